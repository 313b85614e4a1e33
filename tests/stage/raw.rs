use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::DEADLINE;

/// A TCP connection, for what no client of the protocol does.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("the server listens"), read: Vec::new() }
    }

    /// The same where nobody may listen yet.
    pub(crate) async fn try_connect(address: SocketAddr) -> Option<Self> {
        TcpStream::connect(address).await.ok().map(|stream| Self { stream, read: Vec::new() })
    }

    /// Sends bytes; a server that has closed says so when it is read.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// A WebSocket's opening handshake with these headers beside, or in place of, the usual ones.
    pub(crate) async fn handshake(&mut self, headers: &[(&str, &str)]) -> Response {
        let mut all = vec![
            ("host", self.stream.peer_addr().expect("connected").to_string()),
            ("connection", "Upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-version", "13".to_owned()),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
        ];
        for (name, value) in headers {
            all.retain(|(other, _)| other != name);
            all.push((*name, (*value).to_owned()));
        }
        let lines: Vec<_> = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.send(format!("GET /v1/socket HTTP/1.1\r\n{}\r\n", lines.concat())).await;
        self.response().await
    }

    /// Has the kernel hold little of what nobody reads.
    pub(crate) fn small(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_recv_buffer_size(16_384).expect("an open socket");
    }

    /// The head of the next answer, if it comes within `patience`.
    pub(crate) async fn response_within(&mut self, patience: Duration) -> Option<Response> {
        timeout(patience, self.response()).await.ok()
    }

    /// As [`Raw::until`]; `None` too if it does not come within `patience`.
    pub(crate) async fn until_within(&mut self, mark: &[u8], patience: Duration) -> Option<Vec<u8>> {
        timeout(patience, self.until(mark)).await.ok().flatten()
    }

    /// The head of the next answer.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.until(b"\r\n\r\n").await.expect("an answer");
        let head = String::from_utf8(head).expect("a head is ASCII").to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Response { status: status.unwrap_or_else(|| panic!("no status: {head}")), head }
    }

    /// The body of an answer that says its length.
    pub(crate) async fn body(&mut self, response: &Response) -> Vec<u8> {
        let length = response.head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length = length.and_then(|length| length.parse().ok()).expect("a length");
        self.exactly(length).await.expect("a whole body")
    }

    /// The same as JSON.
    pub(crate) async fn json(&mut self, response: &Response) -> Value {
        serde_json::from_slice(&self.body(response).await).expect("JSON")
    }

    /// Everything up to and with `mark`; `None` if the connection ends before.
    pub(crate) async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, mark) {
                return Some(self.read.drain(..at + mark.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next `count` bytes; `None` if the connection ends before.
    pub(crate) async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.read.drain(..count).collect())
    }

    /// The code of the close frame that comes; `None` if the connection ends without one. Frames before it are read.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        self.close().await.map(|(code, _)| code)
    }

    /// The same with the reason.
    pub(crate) async fn close(&mut self) -> Option<(u16, String)> {
        loop {
            let header = self.exactly(2).await?;
            let length = match header[1] {
                126 => {
                    let length = self.exactly(2).await?;
                    usize::from(u16::from_be_bytes([length[0], length[1]]))
                }
                length => usize::from(length),
            };
            let payload = self.exactly(length).await?;
            if header[0] == 0x88 {
                let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
                return Some((u16::from_be_bytes([payload[0], payload[1]]), reason));
            }
        }
    }

    /// Reads on to the end of the connection, and gives back what was left.
    pub(crate) async fn end(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Whether the connection ends within `patience`.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> bool {
        timeout(patience, self.end()).await.is_ok()
    }

    /// Cuts the connection with a reset.
    pub(crate) fn cut(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("an open socket");
    }

    async fn more(&mut self) -> bool {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.read)).await;
        // A reset is an end too.
        read.expect("waited in vain for bytes").is_ok_and(|count| count > 0)
    }
}

/// A masked frame as a client sends it, with a payload of fewer than 126 bytes.
pub(crate) fn payload_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    let mut frame = vec![first, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
