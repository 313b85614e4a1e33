use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};

use super::Origins;
use super::headers::protect_page;
use super::problem::{Body, respond};

/// Everything the page loads is the server's own; `$connect` is where it may open a socket.
macro_rules! policy {
    ($connect:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src ",
            $connect,
            "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    };
}

/// To its server.
const POLICY: &str = policy!("'self'");
/// Also to another one on the same machine: such servers let each other's pages in.
const LOOPBACK_POLICY: &str = policy!("'self' ws://127.0.0.1:* ws://localhost:*");

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

/// The page's file at `path`, of a server that lets these origins in.
pub(super) fn file(path: &str, origins: &Origins) -> Option<Response<Body>> {
    if path == "/favicon.ico" {
        return Some(respond(StatusCode::NO_CONTENT, "image/x-icon", ""));
    }
    let (_, content_type, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = respond(StatusCode::OK, content_type, *text);
    let policy = match origins {
        Origins::Loopback => LOOPBACK_POLICY,
        Origins::Own | Origins::Listed(_) | Origins::Any => POLICY,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect_page(&mut response);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_from_loopback_may_open_sockets_beyond_its_server() {
        for (origins, beyond) in [(Origins::Loopback, true), (Origins::Own, false), (Origins::Any, false)] {
            let page = file("/", &origins).expect("the page is there");
            let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
            let connect =
                policy.split("; ").find(|part| part.starts_with("connect-src")).expect("it is said");
            assert!(connect.starts_with("connect-src 'self'"), "{policy}");
            assert_eq!(connect.contains("ws://127.0.0.1:*"), beyond, "{origins:?}: {policy}");
        }
    }
}
