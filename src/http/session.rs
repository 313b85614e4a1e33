use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, SET_COOKIE};
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::problem::{Body, bad_request, problem, respond};
use super::{Context, cookie, who};
use crate::auth::{Begun, Refusal};
use crate::event::Timestamp;
use crate::protocol::{ErrorCode, ErrorFrame};

/// Around the largest token that can be configured.
const MOST_BYTES: usize = 66 * 1_024;

/// A token, where a form can set no header.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    token: String,
}

/// Trades a token for a session: a cookie, and what requests by that cookie must show.
pub(super) async fn begin(context: &Context, request: Request<Incoming>) -> Response<Body> {
    if let Some(refused) = elsewhere(context, &request) {
        return refused;
    }
    let auth = &context.services.auth;
    if !auth.asks() {
        return bad_request("nobody is asked for a token here: there are no sessions");
    }
    let (head, body) = request.into_parts();
    // Not by the cookie of another session, which would never end then; and nobody's session is the anonymous role's.
    let verified = if head.headers.contains_key(AUTHORIZATION) {
        who::must_be_known(context, &head.headers).await
    } else {
        match read(body, context.config.handshake_timeout).await {
            Some(bytes) if bytes.is_empty() => Err(auth.refuse(Refusal::Missing)),
            Some(bytes) => match serde_json::from_slice::<Raw>(&bytes) {
                Ok(Raw { token }) => context.services.verify(&token).await,
                Err(_) => {
                    return bad_request("the body is an object with a `token`, or empty beside a header");
                }
            },
            None => return bad_request(format!("the body could not be read, of at most {MOST_BYTES} bytes")),
        }
    };
    let begun = match verified {
        Ok(identity) => auth.begin_session(&identity).await,
        Err(refusal) => Err(refusal),
    };
    match begun {
        Ok(Begun { id, csrf, expires_at }) => {
            let answer = json!({"csrf_token": csrf, "expires_at": Timestamp::from(expires_at).to_string()});
            let mut response = respond(StatusCode::OK, "application/json", answer.to_string());
            response.headers_mut().insert(SET_COOKIE, cookie::keep(&head.headers, &id, expires_at));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(refusal) => who::unauthorized(refusal),
    }
}

/// Revokes the session of the request's cookie. One that has ended already is forgotten all the same.
pub(super) async fn end(context: &Context, request: &Request<Incoming>) -> Response<Body> {
    if let Some(refused) = elsewhere(context, request) {
        return refused;
    }
    let headers = request.headers();
    let ended = match cookie::session(headers) {
        Some(id) if context.services.auth.asks() => match who::may_leave(context, headers, id).await {
            Ok(()) => context.services.auth.end_session(id).await,
            Err(Refusal::Session) => Ok(()),
            Err(refusal) => Err(refusal),
        },
        _ => Ok(()),
    };
    match ended {
        Ok(()) => {
            let mut response = respond(StatusCode::OK, "application/json", "{}");
            response.headers_mut().insert(SET_COOKIE, cookie::forget(headers));
            response
        }
        Err(refusal) => who::unauthorized(refusal),
    }
}

fn elsewhere(context: &Context, request: &Request<Incoming>) -> Option<Response<Body>> {
    let message = "this page's origin is not allowed: name it in `http.allowed_origins`";
    let admitted = context.config.origins.admit(request.headers());
    (!admitted).then(|| problem(&ErrorFrame::new(ErrorCode::Forbidden, message)))
}

async fn read(body: Incoming, patience: Duration) -> Option<Bytes> {
    let body = timeout(patience, Limited::new(body, MOST_BYTES).collect()).await.ok()?.ok()?;
    Some(body.to_bytes())
}
