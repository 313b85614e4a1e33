use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};

use serde_json::json;

use super::headers::protect_page;
use super::problem::{Body, respond};
use super::{Login, Origins};

/// Where the page asks how it logs in.
const LOGIN: &str = "/login.json";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The files of the page at `/`.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("../../web/demo/index.html")),
    ("/demo.js", SCRIPT, include_str!("../../web/demo/demo.js")),
    ("/login.js", SCRIPT, include_str!("../../web/demo/login.js")),
    ("/style.css", STYLE, include_str!("../../web/demo/style.css")),
];

/// Those of the page at `/docs`, where the application is on: it shows what `/openapi.json` says.
const REFERENCE: &[(&str, &str, &str)] = &[
    ("/docs", HTML, include_str!("../../web/reference/index.html")),
    ("/docs/reference.js", SCRIPT, include_str!("../../web/reference/reference.js")),
    ("/docs/style.css", STYLE, include_str!("../../web/reference/style.css")),
];

/// Whether a page has a file at `path`, of a server with the application or without.
pub(super) fn has(path: &str, application: bool) -> bool {
    let named = |files: &[(&str, &str, &str)]| files.iter().any(|(name, ..)| *name == path);
    ["/favicon.ico", LOGIN].contains(&path) || named(FILES) || application && named(REFERENCE)
}

/// The reference's file at `path`. It asks its own server alone.
pub(super) fn reference(path: &str) -> Option<Response<Body>> {
    let (_, content_type, text) = REFERENCE.iter().find(|(name, ..)| *name == path)?;
    Some(page(content_type, text, &policy("")))
}

/// The demo page's file at `path`, of a server that lets these origins in, and logs in like this, if at all.
pub(super) fn file(path: &str, origins: &Origins, login: Option<&Login>) -> Option<Response<Body>> {
    match path {
        "/favicon.ico" => return Some(respond(StatusCode::NO_CONTENT, "image/x-icon", "")),
        LOGIN => return Some(respond(StatusCode::OK, "application/json", told(login))),
        _ => {}
    }
    let (_, content_type, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    Some(page(content_type, text, &policy(&beyond(origins, login))))
}

fn page(content_type: &'static str, text: &'static str, policy: &str) -> Response<Body> {
    let mut response = respond(StatusCode::OK, content_type, text);
    let policy = HeaderValue::from_str(policy).expect("an origin is visible ASCII");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect_page(&mut response);
    response
}

/// How the page logs in; `null` if it does not.
fn told(login: Option<&Login>) -> String {
    let told = login.map(|Login { issuer, client_id, scope, resource, .. }| {
        json!({"issuer": issuer, "client_id": client_id, "scope": scope, "resource": resource})
    });
    json!(told).to_string()
}

/// What the demo's page may connect to beside its server: from loopback to another one on the same machine, since such
/// servers let each other's pages in, and to where it logs in.
fn beyond(origins: &Origins, login: Option<&Login>) -> String {
    let peers = match origins {
        Origins::Loopback => " ws://127.0.0.1:* ws://localhost:*",
        Origins::Own | Origins::Listed(_) | Origins::Any => "",
    };
    let provider = login.map(|login| format!(" {}", login.origin)).unwrap_or_default();
    format!("{peers}{provider}")
}

/// Everything that a page loads is the server's own. It may connect to its server, and `beyond`.
fn policy(beyond: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'{beyond}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
    fn the_reference_asks_its_own_server_alone_and_is_there_with_the_application_only() {
        for (path, ..) in REFERENCE {
            let file = reference(path).expect("the file is there");
            let policy = file.headers()[CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
            assert!(policy.contains("connect-src 'self';") && !policy.contains("unsafe"), "{policy}");
            assert!(has(path, true) && !has(path, false));
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
