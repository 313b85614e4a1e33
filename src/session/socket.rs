//! The WebSocket as sessions write to it: frames are put together elsewhere, many at a time, and go out in one write.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::protocol::CloseCode;

/// tungstenite reads into a buffer of this size, one a socket; its default of 128 KiB would cost 2 GB at 15,000.
const READ_BUFFER_BYTES: usize = 2 * 1_024;
/// How long a client has to answer a close, so that what was sent before it arrives.
const GOODBYE: Duration = Duration::from_secs(1);
/// How much is put together before it is written. What a client does not take at once is kept for it alone: this much
/// and one frame, however much waits.
const WRITE_BYTES: usize = 64 * 1_024;
/// A scratch buffer that has grown beyond this is given back.
const SCRATCH_BYTES: usize = 256 * 1_024;

thread_local! {
    /// Where frames are put together before they are written: one a thread, not one a socket.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The kernel took it.
    AtOnce,
    /// The client had to be waited for: it has taken what came before.
    Taken,
}

/// The client took no byte for too long, or its connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It took nothing.
    TooSlow,
    /// It is gone: nobody's fault.
    Gone,
}

/// The WebSocket, on which frames that were put together elsewhere can be written too.
pub(super) struct Socket<S> {
    ws: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket<S> {
    /// A connection whose upgrade is complete; `read` is what came behind the request.
    pub(super) async fn open(stream: S, read: Bytes, max_frame: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1_024)
            .max_message_size(Some(max_frame))
            .max_frame_size(Some(max_frame));
        let ws = WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config));
        Self { ws: ws.await }
    }

    /// What the client says next; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Message, Error>> {
        self.ws.next().await
    }

    /// Writes `frames`, each put into the buffer by `compose`, in as few writes as the socket takes; gives up on a client
    /// that takes no byte for as long as `patience`.
    ///
    /// Nothing of tungstenite's own may wait to be written, or frames would be mixed: see [`Socket::flush`].
    pub(super) async fn write<T>(
        &mut self,
        patience: Duration,
        frames: impl IntoIterator<Item = T>,
        mut compose: impl FnMut(T, &mut Vec<u8>),
    ) -> Result<Written, Broken> {
        let mut frames = frames.into_iter().peekable();
        let mut outcome = Written::AtOnce;
        while frames.peek().is_some() {
            let left = poll_fn(|cx| {
                SCRATCH.with_borrow_mut(|scratch| {
                    scratch.clear();
                    while scratch.len() < WRITE_BYTES
                        && let Some(frame) = frames.next()
                    {
                        compose(frame, scratch);
                    }
                    let left = self.write_now(cx, scratch);
                    if scratch.capacity() > SCRATCH_BYTES {
                        *scratch = Vec::new();
                    }
                    Poll::Ready(left)
                })
            });
            let Some(mut rest) = left.await.map_err(|error| broken(&error))? else { continue };
            outcome = Written::Taken;
            while !rest.is_empty() {
                let taken = timeout(patience, self.ws.get_mut().write_buf(&mut rest)).await;
                taken.map_err(|_| Broken::TooSlow)?.map_err(|error| broken(&error))?;
            }
            // What TLS has taken and the network has not. The stream itself gives up on a client that takes no byte.
            self.ws.get_mut().flush().await.map_err(|error| broken(&error))?;
        }
        Ok(outcome)
    }

    /// Writes what tungstenite holds, which is its answer to a ping: due after each.
    pub(super) async fn flush(&mut self, patience: Duration) -> Result<(), Broken> {
        within(patience, self.ws.flush()).await
    }

    /// Writes what the socket takes at once. Gives back the rest, which is empty where only TLS still holds some of it;
    /// `None` if the kernel took all.
    fn write_now(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> io::Result<Option<Bytes>> {
        let mut written = 0;
        while written < buffer.len() {
            match Pin::new(self.ws.get_mut()).poll_write(cx, &buffer[written..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => written += count,
                Poll::Pending => return Ok(Some(Bytes::copy_from_slice(&buffer[written..]))),
            }
        }
        let flushed = Pin::new(self.ws.get_mut()).poll_flush(cx)?;
        Ok(flushed.is_pending().then(Bytes::new))
    }

    /// Says goodbye and waits for the answer, a moment.
    pub(super) async fn close(&mut self, code: CloseCode, retry_after: Option<Duration>) {
        let reason = match (code, retry_after) {
            (CloseCode::Unauthorized(word), _) => word.to_owned(),
            (_, Some(wait)) => format!("retry_after_ms={}", wait.as_millis()),
            (_, None) => String::new(),
        };
        let frame = CloseFrame { code: WireCode::from(code.number()), reason: reason.into() };
        let goodbye = async {
            // A client that is gone already hears no goodbye.
            if self.ws.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.ws.next().await {}
                // What is still on its way is read too: a socket closed on unread bytes is reset, and the reset may
                // overtake the goodbye.
                let stream = self.ws.get_mut();
                let mut unread = [0; READ_BUFFER_BYTES];
                if stream.shutdown().await.is_ok() {
                    while stream.read(&mut unread).await.is_ok_and(|count| count > 0) {}
                }
            }
        };
        _ = timeout(GOODBYE, goodbye).await;
    }
}

/// What an error of the stream says of the client.
fn broken(error: &io::Error) -> Broken {
    if error.kind() == io::ErrorKind::TimedOut { Broken::TooSlow } else { Broken::Gone }
}

/// Waits for a write for as long as a client may take no byte.
async fn within<T, E>(patience: Duration, write: impl Future<Output = Result<T, E>>) -> Result<T, Broken> {
    match timeout(patience, write).await {
        Ok(written) => written.map_err(|_| Broken::Gone),
        Err(_) => Err(Broken::TooSlow),
    }
}

/// Writes one unmasked text frame, whose payload has at least `least` bytes.
///
/// See <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>.
pub(super) fn write_text(out: &mut Vec<u8>, least: usize, payload: impl FnOnce(&mut Vec<u8>)) {
    // Almost always right; where it is not, the payload is moved by a few bytes.
    let guess = if least < 65_000 { 4 } else { 10 };
    let start = out.len();
    out.resize(start + guess, 0);
    payload(out);
    let length = out.len() - start - guess;
    let mut header = [0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 126 => {
            header[1] = length;
            &header[..2]
        }
        (_, Ok(length)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            &header[..4]
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            &header[..]
        }
    };
    if header.len() == guess {
        out[start..start + guess].copy_from_slice(header);
    } else {
        out.splice(start..start + guess, header.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_shortest_header_for_their_length() {
        for length in [0, 1, 125, 126, 64_999, 65_535, 65_536, 100_000] {
            for least in [0, length] {
                let mut out = vec![7];
                write_text(&mut out, least, |out| out.resize(out.len() + length, b'x'));
                let header = match length {
                    0..126 => 2,
                    126..65_536 => 4,
                    _ => 10,
                };
                assert_eq!(out.len(), 1 + header + length, "{length}");
                assert_eq!(out[1], 0x81);
                assert!(out[1 + header..].iter().all(|byte| *byte == b'x'));
            }
        }
    }
}
