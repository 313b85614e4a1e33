use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection::{Slot, Then, Upgrade};
use super::problem::{Body, bad_request, full};
use super::visit::{Visit, denied};
use super::{Context, who};
use crate::audit::Action;
use crate::auth::Refusal;
use crate::protocol::{CloseCode, ErrorCode, SUBPROTOCOL};

/// Upgrades a request to a WebSocket; what is refused for who asks is told through it.
///
/// See <https://www.rfc-editor.org/rfc/rfc6455#section-4.2>.
pub(super) async fn upgrade(
    context: &Context,
    visit: Visit,
    mut request: Request<Incoming>,
    slot: &Slot,
) -> Response<Body> {
    let headers = request.headers();
    let key = match check(headers) {
        Ok(key) => key,
        Err(message) => {
            let mut response = bad_request(message);
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return response;
        }
    };
    let offered = list(headers, &SEC_WEBSOCKET_PROTOCOL);
    if !offered.is_empty() && !offered.contains(&SUBPROTOCOL) {
        return bad_request(format!(
            "this server speaks the subprotocol `{SUBPROTOCOL}`, which was not offered"
        ));
    }
    let accept = derive_accept_key(key.as_bytes());
    let speaks = !offered.is_empty();
    let then = match visit.allowed {
        Err(denied) => Then::Refuse(CloseCode::TooFast, Some(denied.retry_after())),
        Ok(_) if !context.config.origins.admit(headers) => {
            visit.guest.trail.tell(Action::Connect, "/v1/socket", denied(ErrorCode::Forbidden));
            Then::Refuse(CloseCode::Forbidden, None)
        }
        Ok(_) => match who::asks(context, headers, &offered).await {
            Ok(identity) => Then::Serve(visit.guest, identity, visit.seat),
            Err(Refusal::Unavailable) => Then::Refuse(CloseCode::TimedOut, Some(who::RETRY_AFTER)),
            Err(refusal) => {
                visit.guest.trail.tell(Action::Connect, "/v1/socket", denied(ErrorCode::Unauthenticated));
                Then::Refuse(CloseCode::Unauthorized(refusal.as_str()), None)
            }
        },
    };
    *slot.lock() = Some(Upgrade { upgrade: hyper::upgrade::on(&mut request), then });
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.parse().expect("base64 is visible ASCII"));
    if speaks {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// The key of a request that is a WebSocket's opening handshake.
fn check(headers: &HeaderMap) -> Result<String, &'static str> {
    let names =
        |name: &HeaderName, word: &str| list(headers, name).iter().any(|it| it.eq_ignore_ascii_case(word));
    if !names(&UPGRADE, "websocket") || !names(&CONNECTION, "upgrade") {
        return Err(
            "this is a WebSocket's endpoint: connect with `new WebSocket(…)`; `/v1/stream` answers plain GETs",
        );
    }
    if !names(&SEC_WEBSOCKET_VERSION, "13") {
        return Err("the version of the WebSocket protocol is 13");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).filter(|key| key.len() == 24);
    key.map(Into::into).ok_or("`Sec-WebSocket-Key` is missing, or not 16 bytes in base64")
}

/// The words of a header that is a list.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}
