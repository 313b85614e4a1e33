use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CONNECTION, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request, Response, StatusCode};

use super::connection::Slot;
use super::problem::{Body, fault, respond};
use super::visit::{self, Peer, Visit};
use super::{Context, Origins, api, headers, publish, session, socket, stream};
use crate::telemetry::metric;
use crate::workspace::{Code, Fault};

const TEXT: &str = "text/plain; charset=utf-8";
/// See <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a page of another origin may read of an answer.
const EXPOSED: &str =
    "retry-after, ratelimit, ratelimit-policy, etag, tidegate-tx, tidegate-lsn, idempotency-replayed";
/// And say in a request.
const ASKED: &str = "authorization, content-type, last-event-id, tidegate-csrf, if-match, if-none-match, \
                     idempotency-key, tidegate-min-lsn";

/// Answers one request.
pub(super) async fn answer(
    context: &Context,
    peer: &Peer,
    request: Request<Incoming>,
    slot: &Slot,
) -> Response<Body> {
    let route = name(context, request.uri().path());
    let stays = matches!(route, "/v1/socket" | "/v1/stream");
    let visit = Visit::begin(context, peer, &request, (route, stays));
    let allowed = visit.allowed;
    let mut response = dispatch(context, visit, request, slot).await;
    visit::tell(&mut response, &allowed);
    headers::protect(&mut response, context.tls.is_some());
    if peer.denied.is_some() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16().to_string();
    metrics::counter!(metric::HTTP_REQUESTS, metric::ROUTE => route, metric::STATUS => status).increment(1);
    response
}

async fn dispatch(
    context: &Context,
    visit: Visit,
    request: Request<Incoming>,
    slot: &Slot,
) -> Response<Body> {
    let path = request.uri().path();
    let origin = request.headers().get(ORIGIN).cloned();
    if path == "/v1/socket" && request.method() == Method::GET {
        return socket::upgrade(context, visit, request, slot).await;
    }
    if let Err(denied) = &visit.allowed {
        return shared_with(context, origin, visit::too_much(denied));
    }
    match (request.method(), path) {
        (&Method::GET | &Method::POST, "/v1/stream") => {
            shared_with(context, origin, stream::answer(context, visit, request).await)
        }
        (&Method::POST, "/v1/publish") => {
            shared_with(context, origin, publish::answer(context, &visit, request).await)
        }
        (&Method::POST, "/v1/session") => {
            shared_with(context, origin, session::begin(context, request).await)
        }
        (&Method::DELETE, "/v1/session") => {
            shared_with(context, origin, session::end(context, &request).await)
        }
        (&Method::GET, "/v1/publish" | "/v1/session") => not_allowed(context, path),
        (&Method::OPTIONS, "/v1/stream" | "/v1/publish" | "/v1/session")
            if context.config.origins.admit(request.headers()) =>
        {
            preflight(context, &request)
        }
        _ if api::has(context, path) => {
            let admitted = context.config.origins.admit(request.headers());
            if request.method() == Method::OPTIONS && admitted {
                return preflight(context, &request);
            }
            // Boxed: it would be room in every connection.
            shared_with(context, origin, Box::pin(api::answer(context, visit, request)).await)
        }
        (&Method::GET, "/healthz") => respond(StatusCode::OK, TEXT, "alive\n"),
        (&Method::GET, "/readyz") => match (context.ready)() {
            Ok(()) => respond(StatusCode::OK, TEXT, "ready\n"),
            Err(why) => respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
        (&Method::GET, "/metrics") => respond(StatusCode::OK, EXPOSITION, (context.metrics)()),
        (&Method::GET | &Method::HEAD, _)
            if let Some(page) = context.pages.answer(path, request.headers()) =>
        {
            page
        }
        _ if name(context, path) == "other" => not_found(path),
        _ => not_allowed(context, path),
    }
}

/// The route as metrics name it: never what a client made up.
fn name(context: &Context, path: &str) -> &'static str {
    match path {
        "/v1/socket" => "/v1/socket",
        "/v1/stream" => "/v1/stream",
        "/v1/publish" => "/v1/publish",
        "/v1/session" => "/v1/session",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        path if context.pages.has(path) => "/",
        path if api::has(context, path) => "/v1",
        _ => "other",
    }
}

pub(super) fn not_found(path: &str) -> Response<Body> {
    let path: String = path.chars().take(200).collect();
    fault(&Fault::new(Code::NotFound, format!("there is nothing at {path}")))
}

fn not_allowed(context: &Context, path: &str) -> Response<Body> {
    let methods = match path {
        "/v1/stream" => "GET, POST",
        "/v1/publish" => "POST",
        "/v1/session" => "POST, DELETE",
        path if context.pages.has(path) => "GET, HEAD",
        _ => "GET",
    };
    let message = format!("{path} answers {methods}");
    let mut response = fault(&Fault::new(Code::Method, message));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Lets the page that asked read the answer: it was admitted, or the answer says that it was not.
fn shared_with(
    context: &Context,
    origin: Option<HeaderValue>,
    mut response: Response<Body>,
) -> Response<Body> {
    let headers = response.headers_mut();
    // Where any page may connect none may do so with a cookie that it was not given.
    if origin.is_some() && context.config.origins != Origins::Any {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// See <https://fetch.spec.whatwg.org/#cors-preflight-fetch>.
fn preflight(context: &Context, request: &Request<Incoming>) -> Response<Body> {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = shared_with(context, origin, respond(StatusCode::NO_CONTENT, TEXT, ""));
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"));
    let allowed = HeaderValue::from_static(ASKED);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    response
}
