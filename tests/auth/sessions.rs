use serde_json::{Value, json};
use tidegate::cache::{Cache, Config};
use tidegate::shutdown::Scope;

use super::house::{House, notes, snapshot, token};
use super::in_seconds;
use crate::client::Client;
use crate::fixture::{Redis, eventually, scenario};
use crate::server::Server;
use crate::stage::Raw;

/// The page that the tests' requests come from.
const ORIGIN: &str = "http://localhost:5173";

/// A browser's session.
struct Session {
    cookie: String,
    csrf: String,
    answer: Value,
}

/// Status, head and body of a request with these header lines.
async fn ask(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, Value) {
    let mut raw = Raw::connect(server.address()).await;
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (lines, length) = (lines.concat(), body.len());
    raw.send(format!("{line} HTTP/1.1\r\nhost: localhost\r\n{lines}content-length: {length}\r\n\r\n{body}"))
        .await;
    let head = String::from_utf8(raw.until(b"\r\n\r\n").await.expect("an answer")).expect("ASCII");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let length = head
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok());
    let body = raw.exactly(length.expect("a length")).await.expect("a whole body");
    (status, head, serde_json::from_slice(&body).unwrap_or_default())
}

async fn begin(server: &Server, token: &str) -> Session {
    let body = json!({"token": token}).to_string();
    let (status, head, answer) = ask(server, "POST /v1/session", &[("origin", ORIGIN)], &body).await;
    assert_eq!(status, 200, "{head}{answer}");
    let cookie = head.split("set-cookie: ").nth(1).and_then(|rest| rest.lines().next()).expect("a cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict;") && !cookie.contains("Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    Session { cookie, csrf: answer["csrf_token"].as_str().expect("a token").to_owned(), answer }
}

async fn open(server: &Server, session: &Session) -> Client {
    let headers = [("cookie", &*session.cookie), ("host", "localhost"), ("origin", ORIGIN)];
    Client::open_with(server.address(), &headers).await.expect("the server upgrades")
}

async fn is_let_in(server: &Server, session: &Session) -> Result<(), String> {
    open(server, session).await.next().await.map(drop).map_err(|closed| closed.reason)
}

/// Whether a request to end the session is taken, with these headers beside its cookie.
async fn end(server: &Server, session: &Session, headers: &[(&str, &str)]) -> u16 {
    let headers = [&[("cookie", &*session.cookie)], headers].concat();
    ask(server, "DELETE /v1/session", &headers, "").await.0
}

#[test]
fn a_session_is_who_its_token_was_until_it_is_revoked() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let server = &house.server;
        let session = begin(server, &token(&house.member, json!({"sub": "7"}))).await;
        assert!(!test.logged(&session.cookie), "a cookie was logged");
        let mut client = open(server, &session).await;
        client.expect("ready").await;
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await.len(), 2);
        client.subscribe(json!({"id": "b", "table": "public.notes", "columns": ["secret"]})).await;
        assert_eq!(client.expect("error").await["code"], "unknown_column", "a member, and no more");
        let mut stream = Raw::connect(server.address()).await;
        stream
            .send(format!(
                "GET /v1/stream?table=notes&columns=id HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n",
                session.cookie
            ))
            .await;
        stream.until(b"event: snapshot").await.expect("a stream");

        let shown = ("tidegate-csrf", &*session.csrf);
        assert_eq!(end(server, &session, &[("origin", ORIGIN), shown]).await, 200);
        assert_eq!(client.expect("error").await["code"], "unauthenticated");
        let closed = client.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "unknown_session"));
        stream.end().await;
        assert_eq!(is_let_in(server, &session).await, Err("unknown_session".into()));
        // Whoever does it twice is not worse off.
        assert_eq!(end(server, &session, &[("origin", ORIGIN), shown]).await, 200);
    });
}

#[test]
fn a_request_by_cookie_that_changes_something_must_be_meant() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let server = &house.server;
        let session = begin(server, &token(&house.member, json!({}))).await;
        let other = begin(server, &token(&house.admin, json!({}))).await;
        let (own, others) = (("tidegate-csrf", &*session.csrf), ("tidegate-csrf", &*other.csrf));
        for headers in [
            &[][..],
            &[("origin", ORIGIN)],
            &[own],
            &[("origin", ORIGIN), others],
            &[("origin", ORIGIN), ("tidegate-csrf", "")],
            &[("origin", "https://evil.example"), own],
            &[("origin", "null"), own],
        ] {
            assert_eq!(end(server, &session, headers).await, 403, "{headers:?}");
            let publish = [&[("cookie", &*session.cookie)], headers].concat();
            let (status, _, body) =
                ask(server, "POST /v1/publish", &publish, r#"{"channel":"a","data":1}"#).await;
            assert_eq!(status, 403, "{body}");
        }
        assert_eq!(is_let_in(server, &session).await, Ok(()));
        // A page from elsewhere neither opens a socket with the cookie nor begins a session of its own.
        let headers =
            [("cookie", &*session.cookie), ("host", "localhost"), ("origin", "https://evil.example")];
        let mut socket = Client::open_with(server.address(), &headers).await.expect("upgraded");
        assert_eq!(socket.closed().await.code, Some(4403));
        let body = json!({"token": token(&house.member, json!({}))}).to_string();
        let evil = [("origin", "https://evil.example")];
        assert_eq!(ask(server, "POST /v1/session", &evil, &body).await.0, 403);
    });
}

#[test]
fn a_session_ends_with_its_token_and_not_by_what_is_no_token() {
    scenario(async |test| {
        let house = House::open(test, &[("auth.anonymous_role", "MEMBER")]).await;
        let server = &house.server;
        let session = begin(server, &token(&house.member, json!({"exp": in_seconds(3)}))).await;
        assert!(session.answer["expires_at"].is_string());
        let mut client = open(server, &session).await;
        assert_eq!(client.closed().await.reason, "expired");
        assert_eq!(is_let_in(server, &session).await, Err("unknown_session".into()));
        for (body, status) in [("", 401), ("{}", 400), (r#"{"token":"x"}"#, 401)] {
            assert_eq!(ask(server, "POST /v1/session", &[], body).await.0, status, "{body}");
        }
        for cookie in ["tidegate_session=x", "tidegate_session=%00"] {
            let made_up = Session { cookie: cookie.into(), csrf: String::new(), answer: Value::Null };
            assert_eq!(is_let_in(server, &made_up).await, Err("unknown_session".into()));
        }
    });
}

#[test]
fn sessions_in_redis_are_known_and_revoked_everywhere_and_bearers_do_not_need_it() {
    scenario(async |test| {
        let mut redis = Redis::start();
        let url = redis.url();
        let prefix = format!("{}:", std::process::id());
        let settings = [("cache.backend", "redis"), ("cache.url", &*url), ("cache.prefix", &*prefix)];
        let house = House::open(test, &settings).await;
        let roles = json!([house.member]).to_string();
        let own = [
            ("auth.mode", "jwt"),
            ("auth.roles", &*roles),
            ("auth.jwt.secret", super::house::SECRET),
            ("postgres.slot", "tidegate_other"),
        ];
        // Another process, as far as sessions go: it shares nothing with the first but Redis.
        let slot = format!("{}_other", house.database.slot());
        let mut own: Vec<_> =
            own.into_iter().filter(|(key, _)| *key != "postgres.slot").chain(settings).collect();
        own.push(("postgres.slot", &slot));
        let other = Server::start_with(&house.database, &own).await;

        let session = begin(&house.server, &token(&house.member, json!({}))).await;
        let mut client = open(&other, &session).await;
        client.expect("ready").await;
        let shown = [("origin", ORIGIN), ("tidegate-csrf", &*session.csrf)];
        assert_eq!(end(&house.server, &session, &shown).await, 200);
        let asked = std::time::Instant::now();
        assert_eq!(client.closed().await.reason, "unknown_session");
        assert!(asked.elapsed().as_secs() < 5, "within a second, on a machine that has time");

        let session = begin(&house.server, &token(&house.member, json!({}))).await;
        assert_eq!(is_let_in(&house.server, &session).await, Ok(()));
        redis.kill();
        let away = async || {
            (is_let_in(&house.server, &session).await == Err("retry_after_ms=1000".into())).then_some(())
        };
        eventually("Redis is missed", away).await;
        let get = "GET /v1/stream?table=notes&columns=id";
        let (status, head, _) = ask(&house.server, get, &[("cookie", &session.cookie)], "").await;
        assert_eq!(status, 503, "{head}");
        let body = json!({"token": token(&house.member, json!({}))}).to_string();
        assert_eq!(ask(&house.server, "POST /v1/session", &[], &body).await.0, 503);
        // A token needs nothing of it.
        house.client(&token(&house.member, json!({}))).await;
        redis.resume();
        let back = async || (ask(&house.server, "POST /v1/session", &[], &body).await.0 == 200).then_some(());
        eventually("Redis is used again", back).await;
        // It forgot everything: who is known by it has to come with a token again.
        assert_eq!(is_let_in(&house.server, &session).await, Err("unknown_session".into()));
    });
}

#[test]
fn both_caches_forget_in_time_and_on_demand() {
    scenario(async |_| {
        let redis = Redis::start();
        let scope = Scope::new();
        let url = redis.url().parse().expect("a URL");
        for config in [Config::Memory, Config::Redis { url, prefix: "a:".into() }] {
            let cache = Cache::open(config, &scope).expect("it can be opened");
            let long = std::time::Duration::from_mins(1);
            cache.put("one", "1", long).await.expect("up");
            cache.put("two", "2", std::time::Duration::from_millis(50)).await.expect("up");
            cache.put("three", "3", long).await.expect("up");
            cache.put("one", "again", long).await.expect("up");
            assert_eq!(cache.get("one").await.expect("up").as_deref(), Some("again"));
            let gone = async || cache.get("two").await.expect("up").is_none().then_some(());
            eventually("its time is over", gone).await;
            cache.remove("three").await.expect("up");
            cache.remove("three").await.expect("up");
            let names = ["one", "two", "three", "four"].map(str::to_owned).to_vec();
            assert_eq!(cache.missing(names).await.expect("up"), ["two", "three", "four"]);
        }
        scope.close();
    });
}
