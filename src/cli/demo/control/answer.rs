use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::super::{lines, simulator};

pub(super) type Body = Full<Bytes>;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It comes from a page of somebody else's, or under a name of somebody else's.
    #[error("pages of this demo's own servers may ask here, and no others")]
    Forbidden,
    /// There is nothing there.
    #[error("there is no such thing here")]
    NotFound,
    /// It is there, and answers other methods.
    #[error("this answers {0}")]
    Method(&'static str),
    /// The body is not what is asked for.
    #[error("the body must be {0}")]
    Body(&'static str),
    /// The pace is none.
    #[error(transparent)]
    Pace(#[from] simulator::InvalidRate),
    /// The server is gone already.
    #[error("this server does not run just now")]
    NotRunning,
    /// There is no line to be had.
    #[error(transparent)]
    Line(#[from] lines::Error),
}

impl Fault {
    const fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Body(_) | Self::Pace(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::NotRunning => (StatusCode::CONFLICT, "not_running"),
            Self::Line(lines::Error::TooMany) => (StatusCode::TOO_MANY_REQUESTS, "too_many_lines"),
            Self::Line(lines::Error::Port(_)) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }

    /// As the servers answer theirs (RFC 9457).
    pub(super) fn answer(&self) -> Response<Body> {
        let (status, code) = self.status();
        let title = status.canonical_reason().unwrap_or("refused");
        let problem = json!({
            "type": format!("urn:tidegate:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.to_string(),
            "code": code,
        });
        let mut response = with(status, "application/problem+json", problem.to_string());
        if let Self::Method(methods) = self {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("plain structs with string keys always serialize");
    with(status, "application/json", text)
}

pub(super) fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What a page may ask by; nobody asks again for ten minutes.
///
/// See <https://fetch.spec.whatwg.org/#cors-preflight-fetch>.
pub(super) fn preflight() -> Response<Body> {
    let mut response = nothing();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, PUT, POST, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets a page read the answer, and nobody keep it.
pub(super) fn shared(mut response: Response<Body>, page: Option<HeaderValue>) -> Response<Body> {
    let headers = response.headers_mut();
    if let Some(page) = page {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
    }
    headers.insert(VARY, HeaderValue::from_static("origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
