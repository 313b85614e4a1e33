use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidegate::event::Lsn;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderName;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::fixture::DEADLINE;

/// One WebSocket.
pub(crate) struct Client {
    ws: WebSocketStream<TcpStream>,
}

/// The server, or the network, ended the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// The close code; `None` if the connection broke without one.
    pub(crate) code: Option<u16>,
    /// What came with it.
    pub(crate) reason: String,
}

impl Client {
    /// Connects, and has read `ready`.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// The same where the server may be away.
    pub(crate) async fn try_connect(address: SocketAddr) -> Result<Self, Error> {
        let mut client = Self::open(address).await?;
        match client.next().await {
            Ok(frame) if frame["type"] == "ready" => Ok(client),
            Ok(frame) => panic!("the first frame is not `ready`: {frame}"),
            Err(_) => Err(Error::ConnectionClosed),
        }
    }

    /// Connects and reads nothing.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Error> {
        Self::open_with(address, &[]).await
    }

    /// The same with these headers beside, or in place of, the usual ones.
    pub(crate) async fn open_with(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{address}/v1/socket").into_client_request()?;
        for (name, value) in [("sec-websocket-protocol", "tidegate.v1")].iter().chain(headers) {
            let name: HeaderName = name.parse().expect("a header's name");
            request.headers_mut().insert(name, value.parse().expect("a header's value"));
        }
        let stream = TcpStream::connect(address).await?;
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (ws, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { ws })
    }

    /// Sends a frame. A connection that has ended says so when it is read.
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends whatever is in `text` as a text message.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends any message.
    pub(crate) async fn send_message(&mut self, message: Message) {
        // Whether it arrived is seen by what comes back.
        let _ = self.ws.send(message).await;
    }

    /// Sends `fields` as a `subscribe`.
    pub(crate) async fn subscribe(&mut self, mut fields: Value) {
        fields["type"] = json!("subscribe");
        self.send(&fields).await;
    }

    /// The next frame, however long it takes up to the deadline of tests.
    pub(crate) async fn next(&mut self) -> Result<Value, Closed> {
        self.next_within(DEADLINE).await.expect("waited in vain for a frame")
    }

    /// The next frame; `None` if none comes within `patience`. Cancel safe.
    pub(crate) async fn next_within(&mut self, patience: Duration) -> Option<Result<Value, Closed>> {
        timeout(patience, self.read()).await.ok()
    }

    /// The next frame, which has to be of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.next().await.unwrap_or_else(|closed| panic!("waited for `{kind}`: {closed:?}"));
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// Waits until the server has said all up to `lsn`, passing every other frame to `each`.
    pub(crate) async fn await_lsn(&mut self, lsn: Lsn, mut each: impl FnMut(&Value)) {
        self.send(&json!({"type": "await", "lsn": lsn.to_string()})).await;
        loop {
            let frame = self.next().await.expect("the connection lives");
            if frame["type"] == "reached" && frame["lsn"] == lsn.to_string() {
                return;
            }
            each(&frame);
        }
    }

    /// Reads on to the end of the connection.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next().await {
                return closed;
            }
        }
    }

    /// Says goodbye and waits for the answer.
    pub(crate) async fn close(mut self) -> Closed {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // A server that has gone already is told by what is read.
        let _ = self.ws.close(Some(goodbye)).await;
        self.closed().await
    }

    /// Cuts the connection as a broken network does: the server reads a reset, with whatever was under way lost.
    pub(crate) fn cut(self) {
        let socket = socket2::SockRef::from(self.ws.get_ref());
        socket.set_linger(Some(Duration::ZERO)).expect("an open socket");
    }

    /// The TCP connection, for what no client of the protocol does.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.ws.get_mut()
    }

    async fn read(&mut self) -> Result<Value, Closed> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("a frame is not JSON: {error}: {text}"));
                    assert!(frame.is_object() && frame["type"].is_string(), "{frame}");
                    return Ok(frame);
                }
                Some(Ok(Message::Close(close))) => {
                    let code = close.as_ref().map(|close| close.code.into());
                    let reason = close.map(|close| close.reason.to_string()).unwrap_or_default();
                    // The answer to the goodbye goes out with the next read.
                    while let Some(Ok(_)) = self.ws.next().await {}
                    return Err(Closed { code, reason });
                }
                Some(Ok(Message::Binary(_))) => panic!("the server sent a binary message"),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed { code: None, reason: String::new() }),
            }
        }
    }
}
