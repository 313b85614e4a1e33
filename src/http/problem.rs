use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::protocol::{ErrorCode, ErrorFrame};
use crate::workspace::{Code, Fault};

/// What an answer carries.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A problem as RFC 9457 has it, with the protocol's own members beside it.
#[derive(Serialize)]
struct Problem<'a> {
    /// `urn:tidegate:problem:` and the code.
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// A whole body.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// An answer of a status, a type and a body.
pub(super) fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type.parse().expect("a constant of visible ASCII"));
    response
}

/// The answer to what was refused.
pub(super) fn problem(error: &ErrorFrame) -> Response<Body> {
    let status = status(error.code);
    let problem = Problem {
        r#type: kind(error.code.as_str()),
        title: status.canonical_reason().unwrap_or("refused"),
        status: status.as_u16(),
        detail: &error.message,
        code: error.code.as_str(),
        field: error.field,
        position: error.position,
        hint: error.hint.as_deref(),
    };
    let body = serde_json::to_vec(&problem).expect("plain structs with string keys always serialize");
    let mut response = respond(status, "application/problem+json", body);
    if let Some(wait) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds(wait).max(1).into());
    }
    response
}

/// The answer to a command or a read that was refused.
pub(super) fn fault(fault: &Fault) -> Response<Body> {
    let status = StatusCode::from_u16(fault.code.status()).expect("a status of ours");
    let mut problem = json!({
        "type": kind(fault.code.as_str()),
        "title": status.canonical_reason().unwrap_or("refused"),
        "status": status.as_u16(),
        "detail": fault.detail,
        "code": fault.code.as_str(),
    });
    if !fault.errors.is_empty() {
        problem["errors"] = json!(fault.errors);
    }
    if let Some(current) = &fault.current {
        problem["current"] = serde_json::from_slice(current).expect("rows are written as JSON");
    }
    if let Some(index) = fault.index {
        problem["index"] = json!(index);
    }
    let mut response = respond(status, "application/problem+json", problem.to_string());
    if matches!(fault.code, Code::Contention | Code::Unavailable) {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

/// A problem's type: a name, since nothing is promised to be found there.
fn kind(code: &str) -> String {
    format!("urn:tidegate:problem:{code}")
}

/// Whole seconds, of which the last may have begun: who waits for them has waited long enough.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The answer to a request that is wrong in itself.
pub(super) fn bad_request(message: impl Into<String>) -> Response<Body> {
    problem(&ErrorFrame::new(ErrorCode::BadRequest, message))
}

const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::UnknownTable | ErrorCode::UnknownChannel | ErrorCode::UnknownSubscription => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NoKey
        | ErrorCode::ReplicaIdentity
        | ErrorCode::RelationUnsupported
        | ErrorCode::DuplicateId => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited | ErrorCode::TooManySubscriptions => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::BadRequest
        | ErrorCode::UnknownColumn
        | ErrorCode::FilterSyntax
        | ErrorCode::FilterUnsupported
        | ErrorCode::FilterType
        | ErrorCode::FilterError
        | ErrorCode::PolicyUnsupported
        | ErrorCode::PolicyError => StatusCode::BAD_REQUEST,
    }
}
