use hyper::header::{COOKIE, HOST, HeaderMap, HeaderValue};
use std::time::{Duration, SystemTime};

use super::origin::is_loopback;

/// The cookie of a session. A browser takes a name with this prefix over TLS only, and of no other host.
///
/// See <https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3>.
const SECURE: &str = "__Host-tidegate_session";
/// The same on the user's own machine, where there is no TLS.
const LOCAL: &str = "tidegate_session";

/// The session that a request names; none if it names several.
pub(super) fn session(headers: &HeaderMap) -> Option<&str> {
    let own = name(headers);
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == own).map(|(_, value)| value.trim());
    values.next().filter(|value| !value.is_empty() && values.next().is_none())
}

/// The header that has a browser keep a session's name, out of reach of scripts, until it ends.
pub(super) fn keep(headers: &HeaderMap, id: &str, expires_at: SystemTime) -> HeaderValue {
    let lasts = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
    set(headers, id, lasts)
}

/// The header that has it forget the name.
pub(super) fn forget(headers: &HeaderMap) -> HeaderValue {
    set(headers, "", Duration::ZERO)
}

fn set(headers: &HeaderMap, id: &str, lasts: Duration) -> HeaderValue {
    let (name, secure) = (name(headers), if is_local(headers) { "" } else { "; Secure" });
    let text = format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", lasts.as_secs());
    HeaderValue::from_str(&text).expect("base64 and words of ours are visible ASCII")
}

fn name(headers: &HeaderMap) -> &'static str {
    if is_local(headers) { LOCAL } else { SECURE }
}

/// Whether the browser knows this server as its own machine.
fn is_local(headers: &HeaderMap) -> bool {
    headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a header"));
        for cookie in cookies {
            headers.append(COOKIE, cookie.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn a_session_is_found_among_cookies_under_the_name_that_fits_its_host() {
        for (host, cookies, session) in [
            ("live.example.com", &["a=b; __Host-tidegate_session=x; c=d"][..], Some("x")),
            ("live.example.com", &["a=b", "__Host-tidegate_session=x"], Some("x")),
            ("live.example.com", &["tidegate_session=x"], None),
            ("localhost:8080", &["tidegate_session=x"], Some("x")),
            ("127.0.0.1.evil.example", &["tidegate_session=x"], None),
            ("localhost", &["tidegate_session="], None),
            ("localhost", &["tidegate_session=x; tidegate_session=y"], None),
            ("localhost", &[], None),
        ] {
            assert_eq!(self::session(&headers(host, cookies)), session, "{host} {cookies:?}");
        }
    }

    #[test]
    fn a_cookie_is_kept_from_scripts_other_sites_and_open_lines() {
        let cookie = set(&headers("live.example.com", &[]), "x", Duration::from_mins(1));
        assert_eq!(
            cookie,
            "__Host-tidegate_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        let cookie = forget(&headers("[::1]:8080", &[]));
        assert_eq!(cookie, "tidegate_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}
