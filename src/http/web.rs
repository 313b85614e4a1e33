use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

use super::problem::{Body, respond};

/// Everything the page loads is the server's own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of the page at `/`.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../../web/demo/index.html")),
    ("/demo.js", "text/javascript; charset=utf-8", include_str!("../../web/demo/demo.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../../web/demo/style.css")),
];

/// Whether the page has a file at `path`.
pub(super) fn has(path: &str) -> bool {
    path == "/favicon.ico" || FILES.iter().any(|(name, ..)| *name == path)
}

/// The page's file at `path`.
pub(super) fn file(path: &str) -> Option<Response<Body>> {
    if path == "/favicon.ico" {
        return Some(respond(StatusCode::NO_CONTENT, "image/x-icon", ""));
    }
    let (_, content_type, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = respond(StatusCode::OK, content_type, *text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}
