use super::super::Login;
use super::*;

fn pages(page: &Page, origins: &Origins, files: Option<&[(&str, &str)]>) -> Pages {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), Bytes::from((*text).to_owned()));
    Pages::of(files.map(|files| files.iter().map(own).collect()), page, origins, true)
}

fn policy(pages: &Pages, path: &str) -> String {
    let answer = pages.answer(path, &HeaderMap::new()).expect("the file is there");
    answer.headers()[CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII").to_owned()
}

fn connects_to(page: &Page, origins: &Origins) -> String {
    let policy = policy(&pages(page, origins, None), "/");
    let connect = policy.split("; ").find_map(|part| part.strip_prefix("connect-src "));
    connect.expect("it is said").to_owned()
}

fn accepting(kinds: &str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, kinds.parse().expect("a header"))])
}

#[test]
fn only_a_page_from_loopback_or_of_a_demo_may_connect_beyond_its_server() {
    const NEAR: &str = "'self' ws://127.0.0.1:* http://127.0.0.1:* ws://localhost:* http://localhost:*";
    let page = Page::default();
    assert_eq!(connects_to(&page, &Origins::Loopback), NEAR);
    assert_eq!(connects_to(&page, &Origins::Own), "'self'");
    assert_eq!(connects_to(&page, &Origins::Any), "'self'");
    let demo = Page { control: Some("http://127.0.0.1:9000".to_owned()), ..Page::default() };
    assert_eq!(connects_to(&demo, &Origins::Own), NEAR);
}

#[test]
fn a_page_may_connect_to_the_servers_and_the_provider_that_it_is_told_of() {
    let login = Login {
        issuer: "https://login.example.com/realm".into(),
        origin: "https://login.example.com".into(),
        client_id: "page".into(),
        scope: "openid".into(),
        resource: None,
    };
    let servers = vec!["tide.example.com:8443".parse().expect("an address")];
    let page = Page { login: Some(login), servers, ..Page::default() };
    assert_eq!(
        connects_to(&page, &Origins::Own),
        "'self' ws://tide.example.com:8443 http://tide.example.com:8443 https://login.example.com"
    );
    assert_eq!(
        told(&page, true),
        r#"{"application":true,"demo":null,"login":{"client_id":"page","issuer":"https://login.example.com/realm","resource":null,"scope":"openid"},"servers":["tide.example.com:8443"]}"#
    );
    let demo = Page { control: Some("http://127.0.0.1:9000".to_owned()), ..Page::default() };
    assert_eq!(
        told(&demo, false),
        r#"{"application":false,"demo":{"control":"http://127.0.0.1:9000"},"login":null,"servers":[]}"#
    );
}

#[test]
fn the_reference_asks_its_own_server_alone_and_is_there_with_the_application_only() {
    let with = pages(&Page::default(), &Origins::Loopback, None);
    let without = Pages::of(None, &Page::default(), &Origins::Loopback, false);
    for path in ["/docs", "/docs/reference.js", "/docs/style.css"] {
        let policy = policy(&with, path);
        assert!(policy.contains("connect-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(with.has(path) && !without.has(path) && without.answer(path, &HeaderMap::new()).is_none());
    }
}

#[test]
fn a_place_in_the_page_is_answered_with_it_and_nothing_else_is() {
    const FILES: &[(&str, &str)] =
        &[("/index.html", "<title>page</title>"), ("/assets/a-12345678.js", "let a = 1")];
    let built = pages(&Page::default(), &Origins::Own, Some(FILES));
    let unbuilt = pages(&Page::default(), &Origins::Own, None);
    let browser = accepting("text/html,application/xhtml+xml,*/*;q=0.8");
    for place in ["/boards/1", "/boards/1/", "/a.b", "/index.html"] {
        let answer = built.answer(place, &browser).expect("a place");
        assert_eq!(answer.status(), StatusCode::OK, "{place}");
        assert_eq!(answer.headers()["cache-control"], "no-cache", "{place}");
        assert!(!built.has(place), "metrics do not know it");
        assert!(built.answer(place, &accepting("*/*")).is_none(), "{place}");
        assert!(unbuilt.answer(place, &browser).is_none(), "{place}");
    }
    for path in [
        "/v1",
        "/v1/boards",
        "/docs/x",
        "/openapi.json",
        "/healthz",
        "/metrics/x",
        "/assets/b-1.js",
        "/login.json",
    ] {
        assert!(built.answer(path, &browser).is_none(), "{path}");
    }
    for path in ["/../Cargo.toml", "//etc/passwd", "/%2e%2e/x", "/assets/../index.html"] {
        assert!(built.answer(path, &HeaderMap::new()).is_none(), "{path}");
    }
}

#[test]
fn a_build_does_not_say_what_the_server_says() {
    let built = pages(
        &Page::default(),
        &Origins::Own,
        Some(&[("/index.html", ""), ("/page.json", "{}"), ("/favicon.ico", "icon")]),
    );
    let size = |path: &str| {
        let answer = built.answer(path, &HeaderMap::new()).expect("it is there");
        hyper::body::Body::size_hint(answer.body()).exact()
    };
    assert_eq!(size("/page.json"), Some(told(&Page::default(), true).len() as u64));
    assert_eq!(size("/favicon.ico"), Some(4));
}
