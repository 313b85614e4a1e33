//! What services publish: `POST /v1/publish` into a journal in memory.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::server::Server;
use crate::stage::staged;

/// Posts a body; gives status and answer.
pub(crate) async fn post(server: &Server, query: &str, kind: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    let request = format!(
        "POST /v1/publish{query} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n{body}",
        server.address(),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

/// Publishes data on a channel.
pub(crate) async fn publish(server: &Server, event: Value) -> (u16, Value) {
    post(server, "", "application/json", &event.to_string()).await
}

/// A subscriber of a channel.
pub(crate) async fn listen(server: &Server, channel: &str) -> Client {
    let mut client = Client::connect(server.address()).await;
    client.subscribe(json!({"id": "c", "channel": channel})).await;
    client.expect("subscribed").await;
    client
}

#[test]
fn what_is_posted_reaches_the_channel_once_and_in_order() {
    staged(&[], async |_, stage| {
        let server = &stage.server;
        let mut listener = listen(server, "deploys.eu").await;
        let mut other = listen(server, "deploys.us").await;
        for n in 0..20 {
            let (status, answer) = publish(server, json!({"channel": "deploys.eu", "data": {"n": n}})).await;
            assert_eq!((status, &answer["published"]), (200, &json!(1)), "{answer}");
        }
        let again =
            json!({"channel": "deploys.eu", "data": "once", "id": "7", "source": "/ci", "type": "built"});
        for _ in 0..3 {
            assert_eq!(publish(server, again.clone()).await.0, 200);
        }
        publish(server, json!({"channel": "deploys.us", "data": null})).await;
        publish(server, json!({"channel": "deploys.eu", "data": "last"})).await;
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &Value| event["data"] != "last") {
            let frame = listener.expect("events").await;
            assert!(frame["cursor"].is_string(), "{frame}");
            events.extend(frame["events"].as_array().expect("a list").clone());
        }
        let numbers: Vec<_> = events.iter().filter_map(|event| event["data"]["n"].as_i64()).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        let built: Vec<_> = events.iter().filter(|event| event["data"] == "once").collect();
        assert_eq!(built.len(), 1, "sent three times, told once");
        assert_eq!(
            (&built[0]["id"], &built[0]["source"], &built[0]["type"], &built[0]["subject"]),
            (&json!("7"), &json!("/ci"), &json!("built"), &json!("deploys.eu"))
        );
        assert_eq!(events.len(), 22);
        let frame = other.expect("events").await;
        assert_eq!(frame["events"][0]["data"], Value::Null);
    });
}

#[test]
fn a_listener_who_was_away_is_told_what_was_published_meanwhile() {
    staged(&[], async |_, stage| {
        let server = &stage.server;
        let mut listener = listen(server, "news").await;
        publish(server, json!({"channel": "news", "data": 1})).await;
        let cursor = listener.expect("events").await["cursor"].clone();
        drop(listener);
        for n in 2..5 {
            publish(server, json!({"channel": "news", "data": n})).await;
            stage.database.execute("update public.steady set n = n + 1 where id = 1").await;
        }
        let mut listener = stage.client().await;
        listener.subscribe(json!({"id": "c", "channel": "news", "cursor": cursor})).await;
        listener.expect("subscribed").await;
        for n in 2..5 {
            assert_eq!(listener.expect("events").await["events"][0]["data"], n);
        }
    });
}

#[test]
fn what_is_no_event_is_refused_with_the_field_and_costs_nobody_anything() {
    staged(&[("publish.max_bytes", "2048")], async |_, stage| {
        let server = &stage.server;
        let large = json!({"channel": "c", "data": "x".repeat(10_000)}).to_string();
        for (body, status, code) in [
            ("", 400, "bad_request"),
            ("{", 400, "bad_request"),
            ("[]", 400, "bad_request"),
            (r#"{"data": 1}"#, 400, "bad_request"),
            (r#"{"channel": "c"}"#, 400, "bad_request"),
            (r#"{"channel": 1, "data": 1}"#, 400, "bad_request"),
            (r#"{"channel": "", "data": 1}"#, 404, "unknown_channel"),
            (r#"{"channel": "a\nb", "data": 1}"#, 404, "unknown_channel"),
            (r#"{"channel": "c", "data": 1, "Id": "x"}"#, 400, "bad_request"),
            (r#"{"channel": "c", "data": 1, "id": 7}"#, 400, "bad_request"),
            (r#"{"channel": "c", "data": 1, "specversion": "0.3"}"#, 400, "bad_request"),
            (&large, 413, "too_large"),
        ] {
            let (got, answer) = post(server, "", "application/json", body).await;
            assert_eq!(
                (got, answer["code"].as_str()),
                (status, Some(code)),
                "{}: {answer}",
                &body[..body.len().min(80)]
            );
            assert!(answer["detail"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
        }
        let structured = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": [1]});
        let kind = "application/cloudevents+json; charset=utf-8";
        assert_eq!(post(server, "", kind, &structured.to_string()).await.0, 400);
        let mut listener = listen(server, "c").await;
        assert_eq!(post(server, "?channel=c", kind, &structured.to_string()).await.0, 200);
        assert_eq!(listener.expect("events").await["events"][0]["data"], json!([1]));
    });
}
