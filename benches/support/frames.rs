//! A client's end of a WebSocket, no more than a bench needs.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request that any server accepts: the key is the one of RFC 6455.
const UPGRADE: &[u8] = b"GET /v1/socket HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
    connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Cuts what is received into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    rest: Vec<u8>,
}

impl Frames {
    /// Gives the payload of each frame that is complete to `take`.
    pub(crate) fn feed(&mut self, received: &[u8], mut take: impl FnMut(&[u8])) {
        if self.rest.is_empty() {
            let used = cut(received, &mut take);
            self.rest.extend_from_slice(&received[used..]);
        } else {
            self.rest.extend_from_slice(received);
            let used = cut(&self.rest, &mut take);
            self.rest.drain(..used);
        }
    }
}

fn cut(bytes: &[u8], take: &mut impl FnMut(&[u8])) -> usize {
    let mut used = 0;
    while let Some((head, length)) = head(&bytes[used..]) {
        let Some(payload) = bytes[used + head..].get(..length) else { break };
        take(payload);
        used += head + length;
    }
    used
}

/// The size of a frame's head and of its payload, once they are known.
fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [_, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
        [_, 127, ..] => {
            let length = u64::from_be_bytes(bytes.get(2..10)?.try_into().expect("eight"));
            Some((10, usize::try_from(length).expect("fits the memory")))
        }
        [_, 126, ..] => None,
        [_, length, ..] => Some((2, usize::from(length))),
        _ => None,
    }
}

/// Upgrades a connection and asks for one subscription.
pub(crate) async fn subscribe(stream: &mut TcpStream, subscribe: &str) -> io::Result<()> {
    stream.write_all(UPGRADE).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    if !answer.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    stream.write_all(&client_frame(subscribe)).await
}

/// A text frame as a client sends it: masked, here with zeros.
fn client_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0xFE);
            frame.extend(u16::try_from(text.len()).expect("a short request").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A text frame as a server sends it, whose payload counts as changes and has `length` bytes.
pub(crate) fn server_frame(length: usize) -> Vec<u8> {
    let mut payload = Vec::from(CHANGES);
    payload.resize(length, b'x');
    let mut frame = vec![0x81, 126];
    frame.extend(u16::try_from(length).expect("a short frame").to_be_bytes());
    frame.extend(payload);
    frame
}

/// How the frames start that are counted.
pub(crate) const CHANGES: &[u8] = b"{\"type\":\"changes\"";
/// How the frame starts that answers a subscription.
pub(crate) const SUBSCRIBED: &[u8] = b"{\"type\":\"subscribed\"";
