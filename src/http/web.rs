use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};

use serde_json::json;

use super::headers::protect_page;
use super::problem::{Body, respond};
use super::{Login, Origins};

/// Where the page asks how it logs in.
const LOGIN: &str = "/login.json";

/// The files of the page at `/`.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../../web/demo/index.html")),
    ("/demo.js", "text/javascript; charset=utf-8", include_str!("../../web/demo/demo.js")),
    ("/login.js", "text/javascript; charset=utf-8", include_str!("../../web/demo/login.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../../web/demo/style.css")),
];

/// Whether the page has a file at `path`.
pub(super) fn has(path: &str) -> bool {
    ["/favicon.ico", LOGIN].contains(&path) || FILES.iter().any(|(name, ..)| *name == path)
}

/// The page's file at `path`, of a server that lets these origins in, and logs in like this, if at all.
pub(super) fn file(path: &str, origins: &Origins, login: Option<&Login>) -> Option<Response<Body>> {
    match path {
        "/favicon.ico" => return Some(respond(StatusCode::NO_CONTENT, "image/x-icon", "")),
        LOGIN => return Some(respond(StatusCode::OK, "application/json", told(login))),
        _ => {}
    }
    let (_, content_type, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = respond(StatusCode::OK, content_type, *text);
    let policy = HeaderValue::from_str(&policy(origins, login)).expect("an origin is visible ASCII");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect_page(&mut response);
    Some(response)
}

/// How the page logs in; `null` if it does not.
fn told(login: Option<&Login>) -> String {
    let told = login.map(|Login { issuer, client_id, scope, resource, .. }| {
        json!({"issuer": issuer, "client_id": client_id, "scope": scope, "resource": resource})
    });
    json!(told).to_string()
}

/// Everything the page loads is the server's own. It may connect to its server, from loopback also to another one on the
/// same machine, since such servers let each other's pages in, and to where it logs in.
fn policy(origins: &Origins, login: Option<&Login>) -> String {
    let peers = match origins {
        Origins::Loopback => " ws://127.0.0.1:* ws://localhost:*",
        Origins::Own | Origins::Listed(_) | Origins::Any => "",
    };
    let provider = login.map(|login| format!(" {}", login.origin)).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'{peers}{provider}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connects_to(origins: &Origins, login: Option<&Login>) -> String {
        let page = file("/", origins, login).expect("the page is there");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
        let connect = policy.split("; ").find_map(|part| part.strip_prefix("connect-src "));
        connect.expect("it is said").to_owned()
    }

    #[test]
    fn only_a_page_from_loopback_may_open_sockets_beyond_its_server() {
        for (origins, beyond) in [(Origins::Loopback, true), (Origins::Own, false), (Origins::Any, false)] {
            let connect = connects_to(&origins, None);
            assert!(connect.starts_with("'self'"), "{connect}");
            assert_eq!(connect.contains("ws://127.0.0.1:*"), beyond, "{origins:?}: {connect}");
        }
    }

    #[test]
    fn only_a_page_with_a_login_may_ask_its_provider() {
        let login = Login {
            issuer: "https://login.example.com/realm".into(),
            origin: "https://login.example.com".into(),
            client_id: "page".into(),
            scope: "openid".into(),
            resource: None,
        };
        assert_eq!(connects_to(&Origins::Own, None), "'self'");
        assert_eq!(connects_to(&Origins::Own, Some(&login)), "'self' https://login.example.com");
        assert_eq!(told(None), "null");
        assert_eq!(
            told(Some(&login)),
            r#"{"client_id":"page","issuer":"https://login.example.com/realm","resource":null,"scope":"openid"}"#
        );
    }
}
