//! What the demo's page may ask of the demo: its pace, its servers, and lines that can be cut.

use std::net::SocketAddr;

use rustix::process::Signal;

use super::demo::{Demo, PATIENCE, Scratch, read, ready};
use super::*;
use crate::client::{Client, Mirror};
use crate::stage::Raw;

/// For what must not come.
const WHILE: Duration = Duration::from_secs(1);

/// The demo's control, as its page finds it.
struct Control {
    address: SocketAddr,
    page: SocketAddr,
}

impl Control {
    async fn of(server: SocketAddr) -> Self {
        let mut raw = Raw::connect(server).await;
        raw.send(format!("GET /page.json HTTP/1.1\r\nhost: {server}\r\n\r\n")).await;
        let response = raw.response().await;
        let told = raw.json(&response).await;
        assert_eq!((&told["servers"][0], &told["application"]), (&json!(server.to_string()), &json!(true)));
        let url = told["demo"]["control"].as_str().expect("a demo");
        let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
        Self { address: address.expect("an address"), page: server }
    }

    /// Status and body of the answer to the page's request.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let origin = format!("origin: http://{}\r\n", self.page);
        self.ask_as(method, path, &origin, body).await
    }

    async fn ask_as(&self, method: &str, path: &str, headers: &str, body: &Value) -> (u16, Value) {
        let mut raw = Raw::connect(self.address).await;
        let (address, body) = (self.address, body.to_string());
        let host = if headers.contains("host: ") { String::new() } else { format!("host: {address}\r\n") };
        let length = body.len();
        raw.send(format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\n\r\n{body}"
        ))
        .await;
        let response = raw.response().await;
        let shared = response.head.contains("access-control-allow-origin: ");
        assert_eq!(shared, headers.contains(&format!("http://{}\r\n", self.page)), "{}", response.head);
        let body = if response.status == 204 { Value::Null } else { raw.json(&response).await };
        (response.status, body)
    }

    async fn standing(&self) -> Value {
        self.ask("GET", "/", &Value::Null).await.1
    }
}

/// A client that follows what the team does, and nothing that a clock does.
async fn follower(server: SocketAddr) -> (Client, Mirror) {
    let mut mirror = Mirror::new("activities", json!({"table": "public.activities"}));
    let mut client = Client::connect(server).await;
    client.send(&mirror.request()).await;
    (client, mirror)
}

#[test]
fn the_page_sets_the_pace_and_kills_a_server_that_comes_back() {
    scenario(async |_| {
        let scratch = Scratch::new();
        let mut demo = Demo::start(&scratch.demo(), &["--rate", "20"]).await;
        let [(server, pid)] = demo.servers[..] else { panic!("one server: {:?}", demo.servers) };
        let control = Control::of(server).await;
        let (mut client, mut mirror) = follower(server).await;
        read(&mut client, &mut mirror, 3).await;

        let (status, told) = control.ask("PUT", "/pace", &json!({"per_second": 0})).await;
        assert_eq!((status, &told["pace"], &told["max_pace"]), (200, &json!(0.0), &json!(500.0)));
        let quiet = async {
            while let Some(frame) = client.next_within(WHILE).await {
                mirror.apply(&frame.expect("the server lives"));
            }
        };
        timeout(PATIENCE, quiet).await.expect("the team rests");
        let (rested, seen) = (mirror.rows().clone(), mirror.transactions);
        control.ask("PUT", "/pace", &json!({"per_second": 50})).await;
        read(&mut client, &mut mirror, seen + 10).await;
        assert_ne!(&rested, mirror.rows());
        for body in
            [json!({"per_second": 501}), json!({"per_second": -1}), json!({}), json!({"pace": 1}), json!(7)]
        {
            assert_eq!(control.ask("PUT", "/pace", &body).await.0, 400, "{body}");
        }
        assert_eq!(control.standing().await["pace"], 50.0);

        let (status, told) = control.ask("POST", "/servers/0/kill", &json!({})).await;
        assert_eq!((status, &told["servers"][0]["alive"]), (200, &json!(false)), "{told}");
        assert_eq!(client.closed().await.code, None, "it had no time to say goodbye");
        // It is gone for some seconds, if this machine does not take as long to ask.
        let (status, told) = control.ask("POST", "/servers/0/kill", &json!({})).await;
        let restarts = told["servers"][0]["restarts"].as_u64().unwrap_or_default();
        assert!(status == 409 || restarts > 0, "{status} {told}");
        for path in ["/servers/1/kill", "/servers/x/kill", "/nowhere"] {
            assert_eq!(control.ask("POST", path, &json!({})).await.0, 404, "{path}");
        }
        assert_eq!(control.ask("DELETE", "/pace", &json!({})).await.0, 405);
        let again = eventually("it is back", async || {
            let server = control.standing().await["servers"][0].clone();
            (server["alive"] == true).then_some(server)
        })
        .await;
        assert!(again["restarts"].as_u64().is_some_and(|restarts| restarts > 0), "{again}");
        assert_eq!(again["address"], json!(server.to_string()));
        assert_ne!(again["pid"], pid.as_raw_nonzero().get());
        ready(server).await;
        let mut client = Client::connect(server).await;
        mirror.cut();
        client.send(&mirror.request()).await;
        let seen = mirror.transactions;
        read(&mut client, &mut mirror, seen + 5).await;
        signal(&demo.child, Signal::TERM);
        assert_eq!(demo.ended().await, Some(0));
    });
}

#[test]
fn a_line_that_is_down_says_nothing_and_what_was_missed_comes_afterwards() {
    scenario(async |_| {
        let scratch = Scratch::new();
        let mut demo = Demo::start(&scratch.demo(), &["--rate", "30"]).await;
        let server = demo.servers[0].0;
        let control = Control::of(server).await;
        let (status, line) = control.ask("POST", "/lines", &json!({})).await;
        assert_eq!((status, &line["up"]), (201, &json!(true)), "{line}");
        let relayed: SocketAddr =
            line["addresses"][0].as_str().and_then(|address| address.parse().ok()).expect("an address");
        let path = format!("/lines/{}", line["id"].as_str().expect("a name"));
        let (mut client, mut mirror) = follower(relayed).await;
        read(&mut client, &mut mirror, 5).await;
        let (mut near, mut other) = follower(server).await;

        assert_eq!(control.ask("PUT", &path, &json!({"up": false})).await.1["up"], false);
        read(&mut near, &mut other, 20).await;
        // What had come through before is read; then there is silence, and no end.
        let quiet = async {
            while let Some(frame) = client.next_within(WHILE).await {
                mirror.apply(&frame.expect("nobody ends it"));
            }
        };
        timeout(PATIENCE, quiet).await.expect("nothing comes through");
        assert_eq!(control.standing().await["lines"][0]["connections"], 1);

        assert_eq!(control.ask("PUT", &path, &json!({"up": true})).await.1["up"], true);
        assert_eq!(client.closed().await.code, None, "reset");
        mirror.cut();
        let mut client = Client::connect(relayed).await;
        client.send(&mirror.request()).await;
        let seen = mirror.transactions;
        read(&mut client, &mut mirror, seen + 20).await;
        assert_eq!((mirror.resumes, mirror.snapshots), (1, 1), "nothing was fetched twice");
        // A page's other requests go through it too: the server lets a page of loopback ask.
        let mut raw = Raw::connect(relayed).await;
        let (origin, host) = (format!("http://{server}"), relayed);
        raw.send(format!("GET /v1/boards HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\r\n")).await;
        let answer = raw.response().await;
        assert!(answer.status == 200, "{}", answer.head);
        assert!(
            answer.head.contains(&format!("access-control-allow-origin: {origin}\r\n")),
            "{}",
            answer.head
        );

        assert_eq!(control.ask("DELETE", &path, &json!({})).await.0, 204);
        assert_eq!(control.ask("DELETE", &path, &json!({})).await.0, 404);
        assert_eq!(control.ask("PUT", &path, &json!({"up": true})).await.0, 404);
        assert_eq!(client.closed().await.code, None);

        for headers in [
            "origin: http://evil.example\r\n".to_owned(),
            "origin: null\r\n".to_owned(),
            format!("origin: http://{}\r\n", control.address),
            "host: evil.example\r\n".to_owned(),
        ] {
            let (status, told) = control.ask_as("POST", "/lines", &headers, &json!({})).await;
            assert_eq!((status, &told["code"]), (403, &json!("forbidden")), "{headers}");
        }
        assert_eq!(control.standing().await["lines"], json!([]));
        signal(&demo.child, Signal::TERM);
        assert_eq!(demo.ended().await, Some(0));
    });
}
