use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::action::Action;
use super::conversation::Conversation;
use super::driver::Driver;
use super::socket::{Broken, Socket, Written, write_text};
use super::{Guest, Services};
use crate::auth::{Identity, Refusal};
use crate::hub::{Batch, Entry, Outbox};
use crate::protocol::{CloseCode, Frame};
use crate::telemetry::metric;

/// How long a client has to take what it is owed when it is sent away.
const FAREWELL: Duration = Duration::from_secs(2);
/// When a client may come again whose token could not be judged.
const UNAVAILABLE: Duration = Duration::from_secs(1);
/// An empty ping.
const PING: [u8; 2] = [0x89, 0];

/// Serves one client on a connection whose upgrade is complete; `read` is what came behind the request. A client of which
/// nobody knows who it is yet has to say so first. `stream` fails with [`TimedOut`](std::io::ErrorKind::TimedOut) once the
/// client has taken no byte of a flush for too long.
pub async fn serve<S>(
    services: Arc<Services>,
    guest: Guest,
    identity: Option<Arc<Identity>>,
    stream: S,
    read: Bytes,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    metrics::gauge!(metric::SESSION_CONNECTIONS, metric::TRANSPORT => "websocket").increment(1.0);
    // Boxed, as all is that is over soon or comes seldom: the room that it needs would be in every session.
    let mut session = Box::pin(Session::open(services, guest, identity, stream, read)).await;
    session.run().await;
    metrics::gauge!(metric::SESSION_CONNECTIONS, metric::TRANSPORT => "websocket").decrement(1.0);
}

/// Completes the conversation of a client that is refused: a browser reads the code, which it cannot of a status.
pub async fn refuse<S>(stream: S, read: Bytes, code: CloseCode, retry_after: Option<Duration>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    metrics::counter!(metric::SESSION_REFUSED, metric::REASON => reason(code)).increment(1);
    let mut socket = Socket::open(stream, read, 1_024).await;
    socket.close(code, retry_after).await;
}

struct Session<S> {
    /// What logs call it.
    name: Box<str>,
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

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        if broken == Broken::TooSlow {
            // In the middle of a frame there is no goodbye.
            metrics::counter!(metric::SESSION_REFUSED, metric::REASON => reason(CloseCode::TooSlow))
                .increment(1);
        }
        Self::Gone
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    async fn open(
        services: Arc<Services>,
        guest: Guest,
        identity: Option<Arc<Identity>>,
        stream: S,
        read: Bytes,
    ) -> Self {
        let socket = Socket::open(stream, read, services.config.max_frame_bytes).await;
        let outbox = Arc::new(Outbox::new(services.config.outbox_bytes));
        guest.came("/v1/socket");
        let name = guest.trail.session().into();
        let now = Instant::now();
        let conversation = Conversation::new(outbox.clone(), &services.config, guest);
        let (heartbeat, patience) = (services.config.heartbeat, services.config.handshake_timeout);
        let mut session = Self {
            name,
            socket,
            driver: Driver::new(services, outbox, conversation),
            heard_at: now,
            // Spread over the interval, so that sockets that came together do not all beat together.
            beat_at: now + heartbeat.mul_f64(0.5 + fastrand::f64() / 2.0),
            counters: Counters {
                frames: metrics::counter!(metric::SESSION_FRAMES_OUT),
                bytes: metrics::counter!(metric::SESSION_BYTES_OUT),
            },
        };
        match identity {
            Some(identity) => session.driver.identify(&identity).await,
            None => session.driver.await_identity(patience),
        }
        session
    }

    async fn run(&mut self) {
        tracing::debug!(session = %self.name, "a client connected");
        self.driver.outbox.push_frame(Frame::ready(&self.name, self.driver.services.config.heartbeat));
        let end = self.converse().await;
        if let End::Close(code, retry_after) = end {
            // Clients leave with their last cursor, and with the reason where it was told before the close.
            let delivered = if code == CloseCode::GoingAway {
                self.deliver().await
            } else {
                metrics::counter!(metric::SESSION_REFUSED, metric::REASON => reason(code)).increment(1);
                Box::pin(timeout(FAREWELL, self.deliver())).await.unwrap_or(Err(End::Gone))
            };
            // In the middle of a frame there is no goodbye.
            if !matches!(delivered, Err(End::Gone)) {
                Box::pin(self.socket.close(code, retry_after)).await;
            }
        }
        self.driver.end().await;
        tracing::debug!(session = %self.name, "a client is gone");
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
                // 2. What the client says, at most at its rate: before what it is owed, which may never end.
                message = self.socket.next() => self.hear(message).await,
                // 3. Frames owed to the client.
                () = outbox.filled() => self.deliver().await,
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
        let deadline = self.driver.due_at().map_or(deadline, |due| deadline.min(due));
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
        self.driver.take(&mut batch);
        let (conversation, patience) = (&self.driver.conversation, self.driver.services.config.write_timeout);
        let (mut frames, mut bytes) = (0, 0);
        let compose = |entry: &Entry, out: &mut Vec<u8>| {
            let written = compose(conversation, entry, out);
            frames += u64::from(written > 0);
            bytes += written as u64;
        };
        let written = self.socket.write(patience, &batch.entries, compose).await?;
        self.counters.frames.increment(frames);
        self.counters.bytes.increment(bytes);
        if written == Written::Taken {
            // Whoever takes what is sent is there, though it may be too far behind to answer a ping.
            self.heard_at = Instant::now();
        }
        self.driver.outbox.written(&batch.entries);
        if let Some(code) = self.driver.revoked() {
            return Err(End::Close(code, None));
        }
        while let Some(action) = self.driver.news() {
            self.act(action).await?;
        }
        self.driver.report_owed().await;
        Ok(())
    }

    async fn hear(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        let action = match message {
            Some(Ok(Message::Text(text))) => {
                metrics::counter!(metric::SESSION_FRAMES_IN).increment(1);
                self.driver.conversation.receive(text.as_bytes())
            }
            Some(Ok(Message::Binary(_)) | Err(Error::Utf8(_))) => {
                Some(Action::Close(CloseCode::NotAnObject, None))
            }
            Some(Err(Error::Capacity(_))) => Some(Action::Close(CloseCode::FrameTooLarge, None)),
            // A ping is answered by tungstenite, at the next flush.
            Some(Ok(Message::Ping(payload))) => {
                self.socket.flush(self.driver.services.config.write_timeout).await?;
                self.driver.conversation.count(payload.len())
            }
            Some(Ok(message)) => self.driver.conversation.count(message.len()),
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
        if let Some(code) = self.driver.expire(now) {
            return Err(End::Close(code, None));
        }
        self.driver.report_owed().await;
        if now < self.beat_at {
            return Ok(());
        }
        self.beat_at = now + self.driver.services.config.heartbeat;
        let patience = self.driver.services.config.write_timeout;
        self.driver.report_progress().await;
        self.socket.write(patience, [PING], |ping, out| out.extend_from_slice(&ping)).await?;
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), End> {
        match action {
            Action::Close(code, retry_after) => Err(End::Close(code, retry_after)),
            Action::Authenticate(token) => match Box::pin(self.driver.authenticate(&token)).await {
                Ok(()) => Ok(()),
                Err(Refusal::Unavailable) => Err(End::Close(CloseCode::TimedOut, Some(UNAVAILABLE))),
                Err(refusal) => Err(End::Close(CloseCode::Unauthorized(refusal.as_str()), None)),
            },
            action => {
                self.driver.act(action).await;
                Ok(())
            }
        }
    }
}

/// Puts what waits into one WebSocket frame, unless its subscription has ended. Gives back its bytes.
fn compose(conversation: &Conversation, entry: &Entry, out: &mut Vec<u8>) -> usize {
    let Some(id) = conversation.id_of(entry) else { return 0 };
    let start = out.len();
    let cursor = entry.delivery.cursor.as_ref().map(|stamp| &*stamp.text);
    write_text(out, entry.delivery.frame.len(), |out| entry.delivery.frame.write(id, cursor, out));
    out.len() - start
}

const fn reason(code: CloseCode) -> &'static str {
    match code {
        CloseCode::GoingAway => "going_away",
        CloseCode::FrameTooLarge => "frame_too_large",
        CloseCode::NotAnObject => "not_an_object",
        CloseCode::Unauthorized(_) => "unauthorized",
        CloseCode::Forbidden => "forbidden",
        CloseCode::TimedOut => "timed_out",
        CloseCode::TooSlow => "too_slow",
        CloseCode::TooFast => "too_fast",
    }
}
