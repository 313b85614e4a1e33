use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN, WWW_AUTHENTICATE};

use super::problem::{Body, problem};
use super::{Context, cookie};
use crate::auth::{Identity, Refusal, Session};
use crate::protocol::{ErrorCode, ErrorFrame};

/// A word of a WebSocket's list of subprotocols that is a token: browsers cannot set a header there.
const SUBPROTOCOL: &str = "bearer.";
/// What shows that a request by cookie is meant.
const CSRF: &str = "tidegate-csrf";
/// When a client may come again whose token could not be judged.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who asks, by the token in its headers or in the subprotocols that it offers, or by its session's cookie; `None` if it
/// brings neither, and nobody is let in without.
///
/// # Errors
/// Why its token is refused.
pub(super) async fn asks(
    context: &Context,
    headers: &HeaderMap,
    subprotocols: &[&str],
) -> Result<Option<Arc<Identity>>, Refusal> {
    let auth = &context.services.auth;
    if !auth.asks() {
        return Ok(auth.anonymous().cloned());
    }
    let offered = subprotocols.iter().filter_map(|word| word.strip_prefix(SUBPROTOCOL));
    let mut tokens = headers.get_all(AUTHORIZATION).into_iter().map(bearer).chain(offered.map(Some));
    match (tokens.next(), tokens.next()) {
        (None, _) => match cookie::session(headers) {
            Some(id) => context.services.by_session(id).await.map(Some),
            None => Ok(auth.anonymous().cloned()),
        },
        (Some(Some(token)), None) => context.services.verify(token).await.map(Some),
        // Which of two would count is nothing to guess at.
        _ => Err(auth.refuse(Refusal::Malformed)),
    }
}

/// The same for those who cannot say it later.
///
/// # Errors
/// [`Refusal::Missing`] too.
pub(super) async fn must_be_known(context: &Context, headers: &HeaderMap) -> Result<Arc<Identity>, Refusal> {
    match asks(context, headers, &[]).await? {
        Some(identity) => Ok(identity),
        None => Err(context.services.auth.refuse(Refusal::Missing)),
    }
}

/// The same for a request that changes something: one by cookie must show that a page of ours has sent it.
///
/// # Errors
/// [`Refusal::Forgery`] too.
pub(super) async fn must_be_known_and_meant(
    context: &Context,
    headers: &HeaderMap,
) -> Result<Arc<Identity>, Refusal> {
    let identity = must_be_known(context, headers).await?;
    match identity.session() {
        Some(session) if !is_meant(context, headers, session) => {
            Err(context.services.auth.refuse(Refusal::Forgery))
        }
        _ => Ok(identity),
    }
}

/// Whether a request may end the session of its own cookie. The database is not told of who leaves.
///
/// # Errors
/// Those of [`Authenticator::by_session`](crate::auth::Authenticator::by_session), and [`Refusal::Forgery`].
pub(super) async fn may_leave(context: &Context, headers: &HeaderMap, id: &str) -> Result<(), Refusal> {
    let auth = &context.services.auth;
    match auth.by_session(id).await?.session() {
        Some(session) if !is_meant(context, headers, session) => Err(auth.refuse(Refusal::Forgery)),
        _ => Ok(()),
    }
}

/// Whether the page that sent a request is allowed and knows the session's token, which no other page can read.
fn is_meant(context: &Context, headers: &HeaderMap, session: &Session) -> bool {
    let shown = headers.get(CSRF).and_then(|token| token.to_str().ok());
    headers.contains_key(ORIGIN)
        && context.config.origins.admit(headers)
        && shown.is_some_and(|token| session.is_shown(token))
}

/// The answer to a token that was refused.
///
/// See <https://www.rfc-editor.org/rfc/rfc6750#section-3>.
pub(super) fn unauthorized(refusal: Refusal) -> Response<Body> {
    let message = format!("{refusal} ({})", refusal.as_str());
    if refusal == Refusal::Unavailable {
        let error = ErrorFrame::new(ErrorCode::Unavailable, message);
        return problem(&ErrorFrame { retry_after: Some(RETRY_AFTER), ..error });
    }
    if refusal == Refusal::Forgery {
        return problem(&ErrorFrame::new(ErrorCode::Forbidden, message));
    }
    let mut response = problem(&ErrorFrame::new(ErrorCode::Unauthenticated, message));
    let challenge = match refusal {
        // Whoever brought nothing is told nothing of what was wrong with it.
        Refusal::Missing => "Bearer".to_owned(),
        refusal => format!("Bearer error=\"invalid_token\", error_description=\"{}\"", refusal.as_str()),
    };
    let challenge = HeaderValue::from_str(&challenge).expect("words of ours are visible ASCII");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// The token behind `Bearer`, whose case does not matter; `None` if something else stands there.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}
