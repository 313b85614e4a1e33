//! Rows as the bytes that came, over a socket and over SSE.

use std::collections::BTreeMap;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::fixture::DEADLINE;
use crate::server::Server;

/// The text of each row, by its `id`.
pub(super) type Rows = BTreeMap<usize, String>;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow, default)]
    rows: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    changes: Vec<Change<'a>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    row: &'a RawValue,
}

#[derive(Deserialize)]
struct Id {
    id: usize,
}

/// Takes the rows out of a frame.
fn take(text: &str, rows: &mut Rows) -> String {
    let frame: Frame<'_> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_ne!(frame.kind, "error", "{text}");
    for row in frame.rows.into_iter().chain(frame.changes.into_iter().map(|change| change.row)) {
        let Id { id } = serde_json::from_str(row.get()).expect("rows have an id");
        rows.insert(id, row.get().to_owned());
    }
    frame.kind
}

/// A WebSocket with one subscription.
pub(super) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Subscribes, and has read `subscribed`: what is committed from then on comes.
    pub(super) async fn subscribe(server: &Server, mut fields: Value) -> Self {
        let mut request =
            format!("ws://{}/v1/socket", server.address()).into_client_request().expect("a URL");
        let protocol = "tidegate.v1".parse().expect("a header's value");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(server.address()).await.expect("it listens");
        let (ws, _) = tokio_tungstenite::client_async(request, stream).await.expect("it upgrades");
        let mut socket = Self(ws);
        fields["type"] = json!("subscribe");
        fields["id"] = json!("it");
        socket.send(&fields).await;
        while take(&socket.text().await, &mut Rows::new()) != "subscribed" {}
        socket
    }

    pub(super) async fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("it is open");
    }

    /// Takes the rows of the next frame, and gives its type.
    pub(super) async fn read(&mut self, rows: &mut Rows) -> String {
        take(&self.text().await, rows)
    }

    async fn text(&mut self) -> String {
        loop {
            let message = timeout(DEADLINE, self.0.next()).await.expect("a frame in time");
            if let Message::Text(text) = message.expect("it is open").expect("it is open") {
                return text.as_str().to_owned();
            }
        }
    }
}

/// A stream of server-sent events.
pub(super) struct Events(BufReader<TcpStream>);

impl Events {
    pub(super) async fn open(server: &Server, query: &str) -> Self {
        let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
        // HTTP/1.0 has no chunks: the body is the stream as it is.
        let request = format!("GET /v1/stream?{query} HTTP/1.0\r\nhost: {}\r\n\r\n", server.address());
        stream.write_all(request.as_bytes()).await.expect("it is open");
        let mut events = Self(BufReader::new(stream));
        let status = events.line().await;
        assert!(status.contains(" 200 "), "{status}");
        while !events.line().await.is_empty() {}
        while events.read(&mut Rows::new()).await != "subscribed" {}
        events
    }

    /// Takes the rows of the next event, and gives its type.
    pub(super) async fn read(&mut self, rows: &mut Rows) -> String {
        // A value with line breaks in it comes in several lines.
        let mut data: Vec<String> = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(part) = line.strip_prefix("data:") {
                data.push(part.strip_prefix(' ').unwrap_or(part).to_owned());
            } else if line.is_empty() && !data.is_empty() {
                return take(&data.join("\n"), rows);
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(DEADLINE, self.0.read_line(&mut line)).await.expect("a line in time");
        assert_ne!(read.expect("it is open"), 0, "the stream ended");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }
}
