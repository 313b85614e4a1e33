use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::action::Action;
use super::conversation::Conversation;
use super::driver::Driver;
use super::places::{self, Places};
use super::{Guest, Services};
use crate::auth::Identity;
use crate::event::Lsn;
use crate::hub::{Batch, Entry, Outbox};
use crate::protocol::{CloseCode, ErrorFrame, Frame, Start, Subscribe};
use crate::telemetry::metric;

/// A stream of server-sent events, as a body to be sent piece by piece.
///
/// See <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#[derive(Debug)]
pub struct Stream {
    /// The pieces.
    pub pieces: mpsc::Receiver<Bytes>,
    /// Why the only subscription was refused, if it was: then there are no pieces.
    pub refused: Option<ErrorFrame>,
}

/// What a stream is asked for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The subscriptions.
    pub subscribes: Vec<Subscribe>,
    /// Frames that were not understood, with the `id` that they had: told in the stream, so that the others go on.
    pub misunderstood: Vec<(String, ErrorFrame)>,
    /// Positions to tell of once they have been delivered.
    pub awaited: Vec<Lsn>,
}

/// Pieces that wait for the client's connection besides what its outbox holds: enough for one to be written while the
/// next is put together.
const PIECES: usize = 1;
/// How much is put together as one piece: what a slow client costs besides its outbox.
const PIECE_BYTES: usize = 64 * 1_024;
/// How long a response waits for its first frame before it is sent without one.
const FIRST_FRAME: Duration = Duration::from_secs(2);

/// Starts a stream of what is `wanted` for `identity`, which ends with it. `last_event_id` resumes each where that event left it.
pub async fn stream(
    services: Arc<Services>,
    guest: Guest,
    identity: Arc<Identity>,
    mut wanted: Wanted,
    last_event_id: Option<&str>,
) -> Stream {
    if let Some(id) = last_event_id {
        resume(&mut wanted.subscribes, id);
    }
    let (sender, pieces) = mpsc::channel(PIECES);
    let (tell, told) = oneshot::channel();
    guest.came("/v1/stream");
    let name = guest.trail.session();
    let outbox = Arc::new(Outbox::new(services.config.outbox_bytes));
    let conversation = Conversation::new(outbox.clone(), &services.config, guest);
    let scope = services.scope.clone();
    let driver = Driver::new(services, outbox, conversation);
    let session = Session { name, driver, sender, places: Places::default() };
    // A task of its own from the start: a client that goes away before it is answered takes this call with it.
    scope.spawn("stream", session.run(identity, wanted, tell));
    Stream { pieces, refused: told.await.ok().flatten() }
}

/// Has each subscription go on where the last event left it; one that had no place yet starts as it asks.
fn resume(subscribes: &mut [Subscribe], id: &str) {
    for (subscribe, (cursor, shape)) in subscribes.iter_mut().zip(places::parse(id)) {
        if !cursor.is_empty() {
            let (shape, again) = (shape.map(ToOwned::to_owned), subscribe.start.again());
            subscribe.start = Start::Cursor { cursor: cursor.to_owned(), shape, again };
        }
    }
}

struct Session {
    name: String,
    driver: Driver,
    sender: mpsc::Sender<Bytes>,
    /// Where the client has come to with each of its subscriptions.
    places: Places,
}

/// The stream has ended.
struct Ended;

impl Session {
    async fn run(
        mut self,
        identity: Arc<Identity>,
        wanted: Wanted,
        tell: oneshot::Sender<Option<ErrorFrame>>,
    ) {
        self.driver.identify(&identity).await;
        metrics::gauge!(metric::SESSION_CONNECTIONS, metric::TRANSPORT => "sse").increment(1.0);
        let refused = self.open(wanted).await;
        let goes_on = refused.is_none();
        // Whoever asked may have gone: then it takes no pieces either.
        if tell.send(refused).is_ok() && goes_on {
            self.serve().await;
        }
        self.driver.end().await;
        metrics::gauge!(metric::SESSION_CONNECTIONS, metric::TRANSPORT => "sse").decrement(1.0);
    }

    /// Starts the subscriptions, and waits for the first word of an only one; gives it back if that is a refusal.
    async fn open(&mut self, wanted: Wanted) -> Option<ErrorFrame> {
        for subscribe in wanted.subscribes {
            let start = subscribe.start.clone();
            let action = self.driver.conversation.subscribe(subscribe);
            self.places.add(action.as_ref().and_then(Action::opens), &start);
            if let Some(action) = action {
                self.driver.act(action).await;
            }
        }
        let refusal = self.first_word().await;
        if refusal.is_none() {
            for (id, error) in wanted.misunderstood {
                self.driver.conversation.misunderstand(Some(id), &error);
            }
            for lsn in wanted.awaited {
                if let Some(action) = self.driver.conversation.expect(lsn) {
                    self.driver.act(action).await;
                }
            }
        }
        refusal
    }

    /// Waits for the first word of an only subscription, which may be a refusal.
    async fn first_word(&mut self) -> Option<ErrorFrame> {
        if self.places.len() != 1 {
            return None;
        }
        tokio::select! {
            biased;
            () = self.sender.closed() => return None,
            came = timeout(FIRST_FRAME, self.driver.outbox.filled()) => if came.is_err() { return None },
        }
        self.driver.outbox.refusal()
    }

    async fn serve(&mut self) {
        let mut ready = Vec::new();
        let frame = Frame::ready(&self.name, self.driver.services.config.heartbeat);
        write_frame(&frame, None, None, None, &mut ready);
        if self.sender.send(ready.into()).await.is_ok() {
            // Ended by the client, by the server, or by its last subscription: in each case nothing more is sent.
            let Ended = self.converse().await;
        }
    }

    async fn converse(&mut self) -> Ended {
        let scope = self.driver.services.scope.clone();
        let (outbox, sender) = (self.driver.outbox.clone(), self.sender.clone());
        let heartbeat = self.driver.services.config.heartbeat;
        let mut beat_at = Instant::now() + heartbeat;
        loop {
            let due_at = self.driver.due_at().map_or(beat_at, |due| due.min(beat_at));
            let due_at = self.driver.retry_at().map_or(due_at, |retry| retry.min(due_at));
            let turn = tokio::select! {
                biased;
                // 1. Shutdown: what waits is sent, so that the client returns with its last cursor.
                () = scope.closing() => {
                    _ = self.deliver().await;
                    return Ended;
                }
                // 2. Frames owed to the client.
                () = outbox.filled() => self.deliver().await,
                // 3. The client is gone.
                () = sender.closed() => return Ended,
                // 4. Silence.
                () = sleep_until(due_at) => if self.driver.expire(Instant::now()).is_some() {
                    _ = self.deliver().await;
                    return Ended;
                } else if due_at < beat_at {
                    Ok(())
                } else {
                    beat_at = Instant::now() + heartbeat;
                    self.driver.report_progress().await;
                    self.send(b":\n\n".to_vec()).await
                }
            };
            if turn.is_err() {
                return Ended;
            }
            self.driver.report_owed().await;
        }
    }

    async fn deliver(&mut self) -> Result<(), Ended> {
        let mut batch = Batch::default();
        self.driver.take(&mut batch);
        let mut entries = batch.entries.iter().peekable();
        while entries.peek().is_some() {
            let mut piece = Vec::new();
            while piece.len() < PIECE_BYTES
                && let Some(entry) = entries.next()
            {
                self.write_entry(entry, &mut piece);
            }
            metrics::counter!(metric::SESSION_BYTES_OUT).increment(piece.len() as u64);
            if !piece.is_empty() {
                self.send(piece).await?;
            }
        }
        metrics::counter!(metric::SESSION_FRAMES_OUT).increment(batch.entries.len() as u64);
        self.driver.outbox.written(&batch.entries);
        if self.driver.revoked().is_some() {
            return Err(Ended);
        }
        while let Some(action) = self.driver.news() {
            match action {
                Action::Close(CloseCode::TooSlow | CloseCode::GoingAway, _) => return Err(Ended),
                action => self.driver.act(action).await,
            }
        }
        let conversation = &self.driver.conversation;
        self.places.end(|reader| !conversation.follows(reader));
        // Its last subscription refused, and that told: nothing can follow.
        if conversation.is_idle() && !self.driver.outbox.waits() {
            return Err(Ended);
        }
        Ok(())
    }

    async fn send(&self, piece: Vec<u8>) -> Result<(), Ended> {
        let patience = self.driver.services.config.write_timeout;
        match timeout(patience, self.sender.send(piece.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }

    fn write_entry(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let Some(id) = self.driver.conversation.id_of(entry) else { return };
        let delivery = &entry.delivery;
        let cursor = delivery.cursor.as_ref().map(|stamp| &stamp.text);
        let moved = self.places.take(entry);
        let event_id = if moved { self.places.event_id() } else { None };
        write_frame(&delivery.frame, id, cursor.map(|cursor| &**cursor), event_id.as_deref(), out);
    }
}

fn write_frame(
    frame: &Frame,
    id: Option<&str>,
    cursor: Option<&str>,
    event_id: Option<&str>,
    out: &mut Vec<u8>,
) {
    if let Some(event_id) = event_id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(event_id.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(frame.kind().as_str().as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let start = out.len();
    frame.write(id, cursor, out);
    break_lines(out, start);
    out.extend_from_slice(b"\n\n");
}

/// A line break can only stand between the words of embedded JSON, where one is as good as another; as an event each
/// line is data of its own.
fn break_lines(out: &mut Vec<u8>, start: usize) {
    if memchr::memchr2(b'\n', b'\r', &out[start..]).is_none() {
        return;
    }
    let data = out.split_off(start);
    for byte in data {
        match byte {
            b'\n' | b'\r' => out.extend_from_slice(b"\ndata: "),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_embedded_json_is_data() {
        let mut out = b"data: ".to_vec();
        let start = out.len();
        out.extend_from_slice(b"{\"a\":\r\n1,\n\"b\":2}");
        break_lines(&mut out, start);
        assert_eq!(out, b"data: {\"a\":\ndata: \ndata: 1,\ndata: \"b\":2}");
    }
}
