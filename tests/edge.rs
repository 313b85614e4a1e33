//! HTTP at the edge: who is let in, what is refused and how, each beside a bystander.

mod audit;
mod headers;
mod masking;
mod pages;
mod rates;
mod shared;
mod slow;
mod tls;

use serde_json::json;

use crate::stage::{payload_frame, staged};

#[test]
fn garbage_and_smuggling_end_their_own_connection_only() {
    staged(&[], async |_, stage| {
        let huge = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
        let many = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n{}\r\n", "a: b\r\n".repeat(500));
        for (request, statuses) in [
            ("\x16\x03\x01\x02\x00\x01\x00\x01\x00", &[400][..]),
            ("nonsense\r\n\r\n", &[400]),
            ("GET / HTTP/9.9\r\n\r\n", &[400]),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400]),
            ("GET /\0 HTTP/1.1\r\n\r\n", &[400]),
            ("GET / HTTP/1.1\r\nhost : 127.0.0.1\r\n\r\n", &[400]),
            (
                "POST /v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
                &[400],
            ),
            ("POST /v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n", &[400]),
            (
                "POST /v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
                &[400],
            ),
            (&huge, &[400, 431]),
            (&many, &[400, 431]),
        ] {
            let mut raw = stage.raw().await;
            raw.send(request).await;
            let answer = raw.end().await;
            let answer = String::from_utf8_lossy(&answer);
            let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
            // What is no HTTP at all may be answered by closing.
            let fits = status.is_none_or(|status| statuses.contains(&status));
            assert!(fits, "{:?}: {answer}", &request[..request.len().min(60)]);
        }
    });
}

#[test]
fn a_body_with_two_lengths_is_never_read_as_two_requests() {
    staged(&[], async |_, stage| {
        let mut raw = stage.raw().await;
        raw.send(
            "POST /v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
             0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n",
        )
        .await;
        let answer = String::from_utf8_lossy(&raw.end().await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(!answer.contains("tidegate_build_info"), "the second request was smuggled in: {answer}");
    });
}

#[test]
fn a_page_from_elsewhere_is_closed_with_4403() {
    staged(&[], async |_, stage| {
        for (headers, admitted) in [
            (&[("origin", "http://localhost:5173")][..], true),
            (&[("origin", "http://127.0.0.1:8080")], true),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://localhost.evil.example")], false),
            (&[("origin", "http://127.0.0.1.evil.example")], false),
            // The name of a page that was made to resolve to this machine.
            (&[("host", "evil.example:8080"), ("origin", "http://evil.example:8080")], false),
            (&[("host", "evil.example:8080")], false),
        ] {
            let mut raw = stage.raw().await;
            assert_eq!(raw.handshake(headers).await.status, 101, "a browser cannot read another status");
            if admitted {
                raw.until(b"\"ready\"").await.expect("a conversation");
            } else {
                assert_eq!(raw.close_code().await, Some(4403), "{headers:?}");
            }
        }
        for (host, origin, status) in [
            ("127.0.0.1", "https://evil.example", 403),
            ("evil.example", "http://evil.example", 403),
            ("localhost", "http://localhost:3000", 200),
        ] {
            let mut raw = stage.raw().await;
            raw.send(format!(
                "GET /v1/stream?table=entries HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\r\n"
            ))
            .await;
            let response = raw.response().await;
            assert_eq!(response.status, status, "{}", response.head);
            assert!(
                response.head.contains(&format!("access-control-allow-origin: {origin}")),
                "{}",
                response.head
            );
        }
    });
}

#[test]
fn listed_origins_may_connect_and_others_may_not() {
    let settings = [("http.allowed_origins", r#"["https://app.example.com"]"#)];
    staged(&settings, async |_, stage| {
        let mut raw = stage.raw().await;
        raw.handshake(&[("origin", "https://app.example.com"), ("host", "live.example.com")]).await;
        raw.until(b"\"ready\"").await.expect("a conversation");
        let mut raw = stage.raw().await;
        raw.handshake(&[("origin", "http://localhost")]).await;
        assert_eq!(raw.close_code().await, Some(4403));
        let mut raw = stage.raw().await;
        raw.send("OPTIONS /v1/stream HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com\r\n\r\n").await;
        let response = raw.response().await;
        assert_eq!(response.status, 204);
        assert!(response.head.contains("access-control-allow-headers: authorization"), "{}", response.head);
    });
}

#[test]
fn an_upgrade_that_is_none_is_refused_with_what_would_be_one() {
    staged(&[], async |_, stage| {
        for (headers, status, part) in [
            (&[("sec-websocket-version", "8")][..], 426, "version"),
            (&[("upgrade", "h2c")], 426, "new WebSocket"),
            (&[("connection", "keep-alive")], 426, "new WebSocket"),
            (&[("sec-websocket-key", "short")], 426, "Sec-WebSocket-Key"),
            (&[("sec-websocket-protocol", "graphql-ws")], 400, "tidegate.v1"),
        ] {
            let mut raw = stage.raw().await;
            let response = raw.handshake(headers).await;
            assert_eq!(response.status, status, "{headers:?}");
            assert!(response.head.contains("content-type: application/problem+json"), "{}", response.head);
            let problem = raw.json(&response).await;
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{problem}");
            if status == 426 {
                assert!(response.head.contains("sec-websocket-version: 13"), "{}", response.head);
            }
        }
        let mut raw = stage.raw().await;
        let response =
            raw.handshake(&[("sec-websocket-protocol", "other, tidegate.v1, bearer.secret")]).await;
        assert!(response.head.contains("sec-websocket-protocol: tidegate.v1\r\n"), "{}", response.head);
        let mut raw = stage.raw().await;
        let response = raw.handshake(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]).await;
        // The example of RFC 6455, section 1.3.
        assert!(
            response.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{}",
            response.head
        );
        raw.send(payload_frame(0x81, br#"{"type":"ping"}"#)).await;
        raw.until(b"\"pong\"").await.expect("a conversation");
    });
}

#[test]
fn paths_methods_and_health_are_answered() {
    staged(&[], async |_, stage| {
        for (path, status) in [
            ("/healthz", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/", 200),
            ("/nowhere", 404),
            ("/v1/stream", 400),
        ] {
            let (answered, body) = stage.server.get(path).await.expect("an answer");
            assert_eq!(answered, status, "{path}: {body}");
            // The problem says the same as the status line.
            let problem: Option<serde_json::Value> = serde_json::from_str(&body).ok();
            assert!(problem.is_none_or(|problem| problem["status"] == status), "{path}: {body}");
        }
        assert!(stage.server.metric("tidegate_source_streaming").await > 0.0);
        for (method, path, allow) in
            [("POST", "/v1/socket", "get"), ("DELETE", "/v1/stream", "get, post"), ("PUT", "/", "get")]
        {
            let mut raw = stage.raw().await;
            raw.send(format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).await;
            let response = raw.response().await;
            assert_eq!(response.status, 405, "{method} {path}");
            assert!(response.head.contains(&format!("allow: {allow}\r\n")), "{}", response.head);
            assert_eq!(raw.json(&response).await["code"], json!("method"));
        }
    });
}
