//! One client that asks too much, beside others that do not.

use serde_json::json;

use crate::client::Client;
use crate::fixture::{eventually, scenario};
use crate::server::Server;
use crate::stage::{Raw, Response, Stage, payload_frame, staged};

/// Clients come from where a proxy on this machine says.
const PROXIED: (&str, &str) = ("http.trusted_proxies", r#"["127.0.0.1"]"#);

/// A GET of a client at `from`, by way of the proxy; its own words stand left of that.
async fn get(stage: &Stage, path: &str, from: &str) -> (Raw, Response) {
    let mut raw = stage.raw().await;
    raw.send(format!(
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: http://localhost\r\nx-forwarded-for: 10.6.6.6, {from}\r\n\
         forwarded: for=10.7.7.7\r\nconnection: close\r\n\r\n"
    ))
    .await;
    let response = raw.response().await;
    (raw, response)
}

async fn socket(stage: &Stage, from: &str) -> Raw {
    let mut raw = stage.raw().await;
    let response = raw.handshake(&[("x-forwarded-for", from)]).await;
    assert_eq!(response.status, 101, "a browser cannot read another status");
    raw
}

/// The code and the reason of the close frame that comes.
async fn refused(mut raw: Raw) -> (Option<u16>, String) {
    let (code, reason) = raw.close().await.expect("a close");
    (Some(code), reason)
}

#[test]
fn requests_beyond_the_rate_are_answered_with_429_and_when_to_come_back() {
    let settings = [PROXIED, ("limits.requests_per_second", "1"), ("limits.requests_burst", "3")];
    staged(&settings, async |_, stage| {
        for left in [2, 1, 0] {
            let (_, response) = get(stage, "/v1/nothing", "192.0.2.1").await;
            assert_eq!(response.status, 404);
            assert!(
                response.head.contains("ratelimit-policy: \"requests\";q=3;w=3\r\n"),
                "{}",
                response.head
            );
            assert!(
                response.head.contains(&format!("ratelimit: \"requests\";r={left};t=")),
                "{}",
                response.head
            );
        }
        let (mut raw, response) = get(stage, "/v1/stream?table=entries", "192.0.2.1").await;
        assert_eq!(response.status, 429);
        for part in [
            "retry-after: 1\r\n",
            "ratelimit: \"requests\";r=0;t=1\r\n",
            "access-control-allow-origin: http://localhost\r\n",
            "access-control-expose-headers: retry-after, ratelimit",
        ] {
            assert!(response.head.contains(part), "{part}: {}", response.head);
        }
        assert_eq!(raw.json(&response).await["code"], "rate_limited");
        let (code, reason) = refused(socket(stage, "192.0.2.1").await).await;
        assert_eq!(code, Some(4429));
        let wait: u32 = reason.strip_prefix("retry_after_ms=").expect(&reason).parse().expect("a number");
        assert!((1..=1_000).contains(&wait), "{wait}");
        // Another client, and the proxy itself.
        assert_eq!(get(stage, "/healthz", "192.0.2.2").await.1.status, 200);
        assert_eq!(stage.server.get("/healthz").await.expect("an answer").0, 200);
    });
}

#[test]
fn an_ipv6_client_is_its_network_and_cannot_take_another_address() {
    let settings = [PROXIED, ("limits.requests_per_second", "1"), ("limits.requests_burst", "2")];
    staged(&settings, async |_, stage| {
        for (from, status) in [
            ("2001:db8:1:2::1", 200),
            ("2001:db8:1:2:ffff::9", 200),
            ("2001:db8:1:2:aaaa::7", 429),
            ("2001:db8:1:3::1", 200),
        ] {
            assert_eq!(get(stage, "/healthz", from).await.1.status, status, "{from}");
        }
    });
}

#[test]
fn this_machine_is_not_limited_unless_it_is_to_be() {
    let settings = [("limits.requests_per_second", "1"), ("limits.requests_burst", "1")];
    staged(&settings, async |_, stage| {
        for _ in 0..20 {
            assert_eq!(get(stage, "/healthz", "192.0.2.1").await.1.status, 200, "nobody trusts this header");
        }
    });
    // No bystander: it would come from this machine too.
    scenario(async |test| {
        let database = test.database().await;
        let settings =
            [("limits.loopback", "true"), ("limits.frames_per_second", "1"), ("limits.frames_burst", "40")];
        let mut server = Server::start_with(&database, &settings).await;
        let mut client = Client::connect(server.address()).await;
        for _ in 0..300 {
            client.send(&json!({"type": "ping"})).await;
        }
        assert_eq!(client.closed().await.code, Some(4429), "though its own rate would be 50 a second");
        server.stop().await;
    });
}

#[test]
fn connections_beyond_the_rate_are_told_so_as_they_can_read_it() {
    let settings = [
        ("limits.loopback", "true"),
        ("limits.connections_per_second", "1"),
        ("limits.connections_burst", "1000"),
    ];
    // Looking whether the server is ready takes some hundred.
    staged(&settings, async |_, stage| {
        let mut raw;
        loop {
            raw = stage.raw().await;
            raw.send("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
            let response = raw.response().await;
            if response.status == 429 {
                assert!(response.head.contains("connection: close\r\n"), "{}", response.head);
                assert!(response.head.contains("\"connections\";r=0"), "{}", response.head);
                break;
            }
            assert_eq!(response.status, 200);
        }
        let mut raw = stage.raw().await;
        assert_eq!(raw.handshake(&[]).await.status, 101);
        let (code, reason) = raw.close().await.expect("a close");
        assert_eq!((code, reason.starts_with("retry_after_ms=")), (4429, true), "{reason}");
    });
}

#[test]
fn an_address_has_so_many_connections_and_no_other_suffers() {
    let settings = [PROXIED, ("http.max_connections_per_address", "2")];
    staged(&settings, async |_, stage| {
        let mut first = socket(stage, "192.0.2.1").await;
        first.until(b"\"ready\"").await.expect("a conversation");
        let (_stream, response) = get(stage, "/v1/stream?table=entries", "192.0.2.1").await;
        assert_eq!(response.status, 200);
        assert_eq!(get(stage, "/v1/stream?table=entries", "192.0.2.1").await.1.status, 429);
        assert_eq!(refused(socket(stage, "192.0.2.1").await).await.0, Some(4429));
        let mut other = socket(stage, "192.0.2.2").await;
        other.until(b"\"ready\"").await.expect("another client's own");
        first.cut();
        eventually("its place is free again", async || {
            let mut raw = socket(stage, "192.0.2.1").await;
            raw.until_within(b"\"ready\"", std::time::Duration::from_secs(1)).await.map(drop)
        })
        .await;
    });
    let settings = [("limits.loopback", "true"), ("http.max_connections_per_address", "3")];
    staged(&settings, async |_, stage| {
        let (_one, _two) = (stage.client().await, stage.client().await);
        let mut raw = stage.raw().await;
        let response = raw.response().await;
        assert_eq!(response.status, 429, "before it has asked anything");
        assert_eq!(raw.json(&response).await["code"], "rate_limited");
    });
}

#[test]
fn subscribes_beyond_the_rate_are_refused_one_by_one_and_the_socket_goes_on() {
    let settings = [
        ("limits.loopback", "true"),
        ("limits.subscribes_per_second", "1"),
        ("limits.subscribes_burst", "4"),
    ];
    staged(&settings, async |_, stage| {
        // One is the bystander's.
        let (mut client, mut other) = (stage.client().await, stage.client().await);
        for number in 0..3 {
            client.subscribe(json!({"id": number.to_string(), "table": "entries"})).await;
            client.expect("subscribed").await;
        }
        let refused = async |client: &mut Client| {
            client.subscribe(json!({"id": "more", "table": "entries"})).await;
            let error = client.expect("error").await;
            assert_eq!((&error["code"], &error["id"]), (&json!("rate_limited"), &json!("more")), "{error}");
            assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait >= 1_000), "{error}");
        };
        refused(&mut client).await;
        refused(&mut other).await;
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
        let (answered, body) = stage.server.get("/v1/stream?table=entries").await.expect("an answer");
        assert_eq!(answered, 429, "{body}");
    });
}

#[test]
fn bytes_beyond_the_rate_close_a_socket_and_refuse_a_body() {
    let settings = [
        PROXIED,
        ("limits.bytes_per_second", "1"),
        ("limits.bytes_burst", "1000000"),
        ("publish.max_bytes", "500000"),
        ("session.frames_burst", "10000"),
    ];
    staged(&settings, async |_, stage| {
        let post = async |from: &str, bytes: usize| {
            let data = "x".repeat(bytes);
            let body = json!({"channel": "a.b", "data": data}).to_string();
            let mut raw = stage.raw().await;
            raw.send(format!(
                "POST /v1/publish HTTP/1.1\r\nhost: 127.0.0.1\r\nx-forwarded-for: {from}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
            raw.response().await.status
        };
        assert_eq!(post("192.0.2.1", 450_000).await, 200);
        assert_eq!(post("192.0.2.1", 450_000).await, 200);
        assert_eq!(post("192.0.2.1", 450_000).await, 429);
        assert_eq!(post("192.0.2.2", 450_000).await, 200);
        let mut raw = socket(stage, "192.0.2.1").await;
        raw.until(b"\"ready\"").await.expect("a conversation");
        // A hundred thousand bytes are left.
        let ping = format!(r#"{{"type":"ping"{}}}"#, " ".repeat(100));
        for _ in 0..2_000 {
            raw.send(payload_frame(0x81, ping.as_bytes())).await;
        }
        assert_eq!(raw.close_code().await, Some(4429));
    });
}
