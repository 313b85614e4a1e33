use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use metrics::Counter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Services;
use super::conversation::{Action, Conversation};
use super::driver::Driver;
use crate::hub::{Batch, Outbox};
use crate::protocol::{CloseCode, Frame};
use crate::telemetry::metric;

/// tungstenite reads into a buffer of this size, one a socket; its default of 128 KiB would cost 2 GB at 15,000.
const READ_BUFFER_BYTES: usize = 2 * 1_024;
/// An empty ping.
const PING: [u8; 2] = [0x89, 0];
/// How long a client has to answer a close, so that what was sent before it arrives.
const GOODBYE: Duration = Duration::from_secs(1);
/// A scratch buffer that has grown beyond this is given back.
const SCRATCH_BYTES: usize = 256 * 1_024;

thread_local! {
    /// Where frames are put together before they are written: one a thread, not one a socket.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves one client on a connection whose upgrade is complete; `read` is what came behind the request.
pub async fn serve<S>(services: Arc<Services>, stream: S, read: Bytes)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let ws = open(stream, read, services.config.max_frame_bytes).await;
    let outbox = Arc::new(Outbox::new(services.config.outbox_bytes));
    let now = Instant::now();
    let conversation = Conversation::new(outbox.clone(), &services.config, now.into_std());
    metrics::gauge!(metric::SESSION_CONNECTIONS, metric::TRANSPORT => "websocket").increment(1.0);
    let heartbeat = services.config.heartbeat;
    let session = Session {
        socket: Socket { ws },
        driver: Driver { services, outbox, conversation },
        heard_at: now,
        // Spread over the interval, so that sockets that came together do not all beat together.
        beat_at: now + heartbeat.mul_f64(0.5 + fastrand::f64() / 2.0),
        counters: Counters {
            frames: metrics::counter!(metric::SESSION_FRAMES_OUT),
            bytes: metrics::counter!(metric::SESSION_BYTES_OUT),
        },
    };
    session.run().await;
    metrics::gauge!(metric::SESSION_CONNECTIONS, metric::TRANSPORT => "websocket").decrement(1.0);
}

/// Completes the conversation of a client that is refused: a browser reads the code, which it cannot of a status.
pub async fn refuse<S>(stream: S, read: Bytes, code: CloseCode, retry_after: Option<Duration>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    metrics::counter!(metric::SESSION_REFUSED, metric::REASON => reason(code)).increment(1);
    let mut socket = Socket { ws: open(stream, read, 1_024).await };
    socket.close(code, retry_after).await;
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    read: Bytes,
    max_frame: usize,
) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(64 * 1_024)
        .max_message_size(Some(max_frame))
        .max_frame_size(Some(max_frame));
    WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config)).await
}

struct Session<S> {
    socket: Socket<S>,
    driver: Driver,
    heard_at: Instant,
    beat_at: Instant,
    counters: Counters,
}

/// What moves with every write: looked up once a session, not each time.
struct Counters {
    frames: Counter,
    bytes: Counter,
}

/// Why a session ends.
enum End {
    /// The client said goodbye, or its connection broke: nobody's fault.
    Gone,
    /// The server closes.
    Close(CloseCode, Option<Duration>),
}

/// A connection that broke is nobody's fault.
impl From<Error> for End {
    fn from(_: Error) -> Self {
        Self::Gone
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn run(mut self) {
        let name = format!("{:016x}", fastrand::u64(..));
        tracing::debug!(session = %name, "a client connected");
        self.driver.outbox.push_frame(Frame::ready(&name, self.driver.services.config.heartbeat));
        let end = self.converse().await;
        if let End::Close(code, retry_after) = end {
            if code == CloseCode::GoingAway {
                // Clients leave with their last cursor.
                _ = self.deliver().await;
            } else {
                metrics::counter!(metric::SESSION_REFUSED, metric::REASON => reason(code)).increment(1);
            }
            self.socket.close(code, retry_after).await;
        }
        self.driver.end().await;
        tracing::debug!(session = %name, "a client is gone");
    }

    async fn converse(&mut self) -> End {
        let scope = self.driver.services.scope.clone();
        let outbox = self.driver.outbox.clone();
        let timer = sleep_until(self.deadline());
        // Once for the whole conversation: all sessions wait in one list behind one lock.
        let closing = scope.closing();
        tokio::pin!(timer, closing);
        loop {
            let turn = tokio::select! {
                biased;
                // 1. Shutdown.
                () = &mut closing => Err(End::Close(CloseCode::GoingAway, None)),
                // 2. Frames owed to the client.
                () = outbox.filled() => self.deliver().await,
                // 3. What the client says.
                message = self.socket.ws.next() => self.hear(message).await,
                // 4. Silence.
                () = &mut timer => self.beat().await,
            };
            if let Err(end) = turn {
                return end;
            }
            self.rearm(timer.as_mut());
        }
    }

    fn deadline(&self) -> Instant {
        let deadline = self.beat_at.min(self.silent_until());
        self.driver.retry_at().map_or(deadline, |retry| deadline.min(retry))
    }

    /// When a client that says nothing more is given up.
    fn silent_until(&self) -> Instant {
        self.heard_at + self.driver.services.config.idle_timeout
    }

    fn rearm(&self, mut timer: Pin<&mut Sleep>) {
        let deadline = self.deadline();
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
    }

    /// Writes all that waits, at once, then takes the news behind it.
    async fn deliver(&mut self) -> Result<(), End> {
        let mut batch = Batch::default();
        self.driver.outbox.take(&mut batch);
        let (conversation, patience) = (&self.driver.conversation, self.driver.services.config.write_timeout);
        let counters = &self.counters;
        self.socket.write(patience, |out| compose(conversation, &batch, counters, out)).await?;
        self.driver.outbox.written(&batch.entries);
        for (key, note) in batch.notes {
            if let Some(action) = self.driver.conversation.note(key, note) {
                self.act(action).await?;
            }
        }
        self.driver.report_owed().await;
        Ok(())
    }

    async fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        let action = match message {
            Some(Ok(Message::Text(text))) => {
                metrics::counter!(metric::SESSION_FRAMES_IN).increment(1);
                self.driver.conversation.receive(text.as_bytes(), self.heard_at.into_std())
            }
            Some(Ok(Message::Binary(_)) | Err(Error::Utf8(_))) => {
                Some(Action::Close(CloseCode::NotAnObject, None))
            }
            Some(Err(Error::Capacity(_))) => Some(Action::Close(CloseCode::FrameTooLarge, None)),
            // A ping is answered by tungstenite, at the next flush.
            Some(Ok(Message::Ping(_))) => {
                self.socket.flush(self.driver.services.config.write_timeout).await?;
                self.driver.conversation.count(self.heard_at.into_std())
            }
            Some(Ok(_)) => self.driver.conversation.count(self.heard_at.into_std()),
            None | Some(Err(_)) => return Err(End::Gone),
        };
        match action {
            Some(action) => self.act(action).await,
            None => Ok(()),
        }
    }

    /// Pings the client and tells it how far it is; gives up on one that has been silent for too long.
    async fn beat(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.silent_until() {
            return Err(End::Close(CloseCode::TimedOut, None));
        }
        self.driver.report_owed().await;
        if now < self.beat_at {
            return Ok(());
        }
        self.beat_at = now + self.driver.services.config.heartbeat;
        let patience = self.driver.services.config.write_timeout;
        self.driver.report_progress().await;
        self.socket.write(patience, |out| out.extend_from_slice(&PING)).await
    }

    async fn act(&mut self, action: Action) -> Result<(), End> {
        match action {
            Action::Close(code, retry_after) => Err(End::Close(code, retry_after)),
            action => {
                self.driver.act(action).await;
                Ok(())
            }
        }
    }
}

/// Puts all that waits together as WebSocket frames.
fn compose(conversation: &Conversation, batch: &Batch, counters: &Counters, out: &mut Vec<u8>) {
    let mut frames = 0;
    for entry in &batch.entries {
        if let Some(id) = conversation.id_of(entry) {
            let cursor = entry.delivery.cursor.as_ref().map(|stamp| &*stamp.text);
            write_text(out, entry.delivery.frame.len(), |out| entry.delivery.frame.write(id, cursor, out));
            frames += 1;
        }
    }
    counters.frames.increment(frames);
    counters.bytes.increment(out.len() as u64);
}

/// Writes one unmasked text frame, whose payload has at least `least` bytes.
///
/// See <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>.
fn write_text(out: &mut Vec<u8>, least: usize, payload: impl FnOnce(&mut Vec<u8>)) {
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

/// The WebSocket, on which frames that were put together elsewhere can be written too.
struct Socket<S> {
    ws: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket<S> {
    /// Writes what `compose` puts into the buffer, in as few writes as the socket takes; gives up on a client that takes
    /// no byte for as long as `patience`.
    async fn write(&mut self, patience: Duration, compose: impl FnOnce(&mut Vec<u8>)) -> Result<(), End> {
        // Whatever tungstenite still holds goes first: frames must not be mixed.
        self.flush(patience).await?;
        let mut compose = Some(compose);
        let rest = poll_fn(|cx| {
            let Some(compose) = compose.take() else { return Poll::Ready(Ok(Vec::new())) };
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                compose(scratch);
                let written = self.write_now(cx, scratch);
                let rest = written.map(|written| scratch[written..].to_vec());
                if scratch.capacity() > SCRATCH_BYTES {
                    *scratch = Vec::new();
                }
                Poll::Ready(rest)
            })
        });
        let mut rest = Bytes::from(rest.await?);
        while !rest.is_empty() {
            within(patience, self.ws.get_mut().write_buf(&mut rest)).await?;
        }
        Ok(())
    }

    /// Writes what tungstenite holds: answers to pings.
    async fn flush(&mut self, patience: Duration) -> Result<(), End> {
        within(patience, self.ws.flush()).await
    }

    /// How much the socket takes at once.
    fn write_now(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() {
            match Pin::new(self.ws.get_mut()).poll_write(cx, &buffer[written..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => written += count,
                Poll::Pending => break,
            }
        }
        Ok(written)
    }

    /// Says goodbye and waits for the answer, a moment.
    async fn close(&mut self, code: CloseCode, retry_after: Option<Duration>) {
        let reason =
            retry_after.map(|wait| format!("retry_after_ms={}", wait.as_millis())).unwrap_or_default();
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

/// Waits for a write for as long as a client may take no byte.
async fn within<T, E>(patience: Duration, write: impl Future<Output = Result<T, E>>) -> Result<T, End> {
    let Ok(written) = timeout(patience, write).await else {
        // In the middle of a frame there is no goodbye.
        metrics::counter!(metric::SESSION_REFUSED, metric::REASON => reason(CloseCode::TooSlow)).increment(1);
        return Err(End::Gone);
    };
    written.map_err(|_| End::Gone)
}

const fn reason(code: CloseCode) -> &'static str {
    match code {
        CloseCode::GoingAway => "going_away",
        CloseCode::FrameTooLarge => "frame_too_large",
        CloseCode::NotAnObject => "not_an_object",
        CloseCode::Unauthorized => "unauthorized",
        CloseCode::Forbidden => "forbidden",
        CloseCode::TimedOut => "timed_out",
        CloseCode::TooSlow => "too_slow",
        CloseCode::TooFast => "too_fast",
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
