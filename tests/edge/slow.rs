//! Clients that take their time, and heads that are too large: each loses its own connection, and nobody else's.

use std::time::Duration;

use tokio::time::interval;

use crate::fixture::eventually;
use crate::stage::{Raw, Stage, staged};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off_and_so_is_a_connection_kept_for_nothing() {
    staged(&[("session.handshake_timeout_ms", "400")], async |_, stage| {
        let mut kept = stage.raw().await;
        kept.send("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        assert_eq!(kept.response().await.status, 200);
        let mut dripping = stage.raw().await;
        dripping.send("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n").await;
        let mut pace = interval(Duration::from_millis(50));
        let drip = async {
            loop {
                pace.tick().await;
                dripping.send("x: y\r\n").await;
                if dripping.ends_within(Duration::from_millis(1)).await {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, drip).await.expect("no head is waited for for ever");
        assert!(kept.ends_within(PATIENCE).await, "between requests nobody is waited for for ever either");
    });
}

#[test]
fn a_body_that_comes_byte_by_byte_is_refused() {
    staged(&[("session.handshake_timeout_ms", "400")], async |_, stage| {
        for path in ["/v1/stream", "/v1/publish"] {
            let mut raw = stage.raw().await;
            raw.send(format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 60000\r\n\r\n["))
                .await;
            let mut pace = interval(Duration::from_millis(20));
            let drip = async {
                loop {
                    pace.tick().await;
                    raw.send(" ").await;
                    if let Some(response) = raw.response_within(Duration::from_millis(1)).await {
                        return response;
                    }
                }
            };
            let response =
                tokio::time::timeout(PATIENCE, drip).await.expect("no body is waited for for ever");
            assert_eq!(response.status, 400, "{}", response.head);
        }
    });
}

#[test]
fn heads_are_bounded_in_size_and_in_fields() {
    let settings = [("http.max_header_bytes", "12000"), ("http.max_headers", "20")];
    staged(&settings, async |_, stage| {
        let ask = async |headers: String| {
            let mut raw = stage.raw().await;
            raw.send(format!("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n")).await;
            raw.response().await.status
        };
        let long = |bytes| format!("x: {}\r\n", "y".repeat(bytes));
        assert_eq!(ask(long(11_000)).await, 200);
        assert_eq!(ask(long(13_000)).await, 431);
        assert_eq!(ask("a: b\r\n".repeat(19)).await, 200);
        assert_eq!(ask("a: b\r\n".repeat(20)).await, 431);
    });
}

/// Much that a snapshot would have to say.
async fn fill(stage: &Stage) {
    let rows = "insert into public.entries select n, 7, repeat('x', 4000) from generate_series(1, 8000) n";
    stage.database.execute(rows).await;
}

#[test]
fn a_stream_whose_client_takes_no_byte_gives_its_connection_back() {
    let settings = [
        ("session.write_timeout_ms", "400"),
        ("session.heartbeat_ms", "100"),
        ("session.handshake_timeout_ms", "60000"),
    ];
    staged(&settings, async |_, stage| {
        fill(stage).await;
        let connections = "tidegate_http_connections";
        let before = stage.server.metric(connections).await;
        let mut raw: Vec<Raw> = Vec::new();
        for _ in 0..3 {
            let mut one = stage.raw().await;
            one.small();
            one.send("GET /v1/stream?table=entries HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
            assert_eq!(one.response().await.status, 200);
            raw.push(one);
        }
        assert!(stage.server.metric(connections).await >= before + 3.0);
        eventually("their connections are given up", async || {
            (stage.server.metric(connections).await <= before).then_some(())
        })
        .await;
    });
}
