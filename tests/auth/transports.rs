use serde_json::json;

use super::house::{House, notes, snapshot, token};
use super::in_seconds;
use crate::client::Client;
use crate::fixture::scenario;
use crate::stage::Raw;

#[test]
fn every_way_to_bring_a_token_lets_its_bearer_in() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let token = token(&house.member, json!({"exp": in_seconds(600)}));

        let mut by_header = house.client(&token).await;
        by_header.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut by_header).await.len(), 2);

        let words = format!("tidegate.v1, bearer.{token}");
        let mut raw = Raw::connect(house.address()).await;
        let response = raw.handshake(&[("sec-websocket-protocol", &words)]).await;
        assert!(response.head.contains("sec-websocket-protocol: tidegate.v1\r\n"), "{}", response.head);
        assert!(!response.head.contains("bearer"), "the token is not sent back: {}", response.head);
        raw.until(b"\"ready\"").await.expect("a conversation");

        let mut by_frame = Client::connect(house.address()).await;
        // Both at once: the second is judged by the first.
        by_frame.send(&json!({"type": "auth", "token": token})).await;
        by_frame.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut by_frame).await.len(), 2);

        let mut raw = Raw::connect(house.address()).await;
        raw.send(format!(
            "GET /v1/stream?table=notes&columns=id,body HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: bEARER  {token}\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.response().await.status, 200);
        raw.until(b"event: snapshot").await.expect("a stream");
        assert!(!test.logged(&token), "a token was logged");
    });
}

#[test]
fn a_stranger_is_told_to_bring_a_token_and_closed_if_it_does_not() {
    scenario(async |test| {
        let house = House::open(test, &[("session.handshake_timeout_ms", "1000")]).await;
        let mut client = Client::connect(house.address()).await;
        client.subscribe(notes("a")).await;
        let error = client.expect("error").await;
        assert_eq!((&error["id"], &error["code"]), (&json!("a"), &json!("unauthenticated")));
        client.send(&json!({"type": "await", "lsn": "0/1"})).await;
        assert_eq!(client.expect("error").await["code"], "unauthenticated");
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
        assert_eq!(client.closed().await.code, Some(4408));

        for (method, path) in [("GET", "/v1/stream?table=notes"), ("POST", "/v1/publish")] {
            let mut raw = Raw::connect(house.address()).await;
            raw.send(format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"))
                .await;
            let response = raw.response().await;
            assert_eq!(response.status, 401, "{path}");
            assert!(response.head.contains("www-authenticate: bearer\r\n"), "{}", response.head);
        }
        // Whether the server lives is nobody's secret.
        assert_eq!(house.server.get("/healthz").await.map(|(status, _)| status), Some(200));
    });
}

#[test]
fn who_brings_no_token_is_the_anonymous_role_and_may_become_another() {
    scenario(async |test| {
        let house = House::open(test, &[("auth.anonymous_role", "MEMBER")]).await;
        let mut client = Client::connect(house.address()).await;
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await.len(), 2);
        client
            .subscribe(json!({"id": "all", "table": "public.notes", "columns": ["secret"], "snapshot": true}))
            .await;
        let error = client.expect("error").await;
        assert_eq!((&error["id"], &error["code"]), (&json!("all"), &json!("unknown_column")));

        client.send(&json!({"type": "auth", "token": token(&house.admin, json!({}))})).await;
        let resync = client.expect("resync").await;
        assert_eq!((&resync["id"], &resync["reason"]), (&json!("a"), &json!("permissions_changed")));
        assert_eq!(snapshot(&mut client).await.len(), 2);
        client.subscribe(json!({"id": "all", "table": "public.notes", "snapshot": true})).await;
        assert_eq!(snapshot(&mut client).await[0]["secret"], "hidden");

        // A bad token is a bad token, though nobody had to bring one.
        let closed = house.knock("nonsense").await.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "malformed"));
    });
}

#[test]
fn channels_are_closed_to_whoever_is_asked_for_a_token() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let token = token(&house.admin, json!({}));
        let mut client = house.client(&token).await;
        client.subscribe(json!({"id": "c", "channel": "deploys"})).await;
        assert_eq!(client.expect("error").await["code"], "forbidden");
        let mut raw = Raw::connect(house.address()).await;
        let body = r#"{"channel":"deploys","data":1}"#;
        raw.send(format!(
            "POST /v1/publish HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        assert_eq!(raw.response().await.status, 403);
    });
}
