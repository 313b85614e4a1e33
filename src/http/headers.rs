use hyper::header::{
    CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::problem::Body;

/// See <https://html.spec.whatwg.org/multipage/browsers.html#cross-origin-opener-policies>.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// A year, of this host alone: what is beside it or below it is not ours to speak for.
const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Tells a browser to take the answer for what it says it is, to keep none that does not say otherwise, and, where the
/// answer came over TLS, never to ask without again.
pub(super) fn protect(response: &mut Response<Body>, over_tls: bool) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if over_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    }
}

/// Whether the client has the answer with this tag already.
///
/// See <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2>.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let listed = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut tags = listed.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|known| known == "*" || known == tag)
}

/// What a page is told beside its policy: it tells nobody where its user comes from, and no page that it opened, or that
/// opened it, reaches into it.
pub(super) fn protect_page(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
}
