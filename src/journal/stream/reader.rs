use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::DefaultHashBuilder;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use lapin::{Channel, Connection, Consumer};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use super::broker::{self, From};
use super::index::Index;
use super::message::{Body, InvalidMessage};
use super::order::{Order, State, Step};
use super::seek::next;
use super::{Config, Error, say_again};
use crate::event::Position;
use crate::journal::Status;
use crate::journal::recent::Recent;
use crate::journal::window::{Feed, Start};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// What this process has read of the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) state: State,
    /// Whether an end is known that a writer's records can follow.
    pub(super) anchored: bool,
    /// Who asked last what came before.
    pub(super) asked: u64,
}

/// Reads the stream into the window, and comes back after whatever cuts it off.
#[derive(Debug)]
pub(super) struct Reader {
    config: Arc<Config>,
    feed: Feed,
    order: Order,
    seen: watch::Sender<Seen>,
    status: watch::Sender<Status>,
    known: Known,
    index: Arc<Mutex<Index>>,
    recent: Arc<Mutex<Recent>>,
    steps: Vec<Step>,
}

/// The last messages that were read, to be known again.
#[derive(Debug, Default)]
struct Known {
    /// The offset of the next one.
    next: u64,
    /// What the last ones held, hashed, the newest at the back.
    hashes: VecDeque<u64>,
    hasher: DefaultHashBuilder,
}

/// One publisher has a few dozen messages unconfirmed, and so the broker stores far fewer than this together.
const KNOWN: usize = 1024;
/// Messages that a process reads of what was there before it started, for those who return: as many as fill the window
/// if they are as large as some of them, and enough that whatever a former writer left behind is not all that it sees.
const BEFORE: (u64, u64) = (1_024, 65_536);
/// A small message takes more than itself once it is read.
const LEAST_BYTES: usize = 512;
/// Messages that tell how large they are, out of those that are read in any case.
const SAMPLE: usize = 32;
/// Messages on their way to us: some megabytes under load.
const PREFETCH: u16 = 64;
/// Acknowledged together: an acknowledgement is what lets further ones come, and costs as much as a message.
const ACKED_TOGETHER: u16 = PREFETCH / 4;
/// The first and the longest pause between attempts to read.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

impl Reader {
    pub(super) fn new(
        config: Arc<Config>,
        feed: Feed,
        index: &Arc<Mutex<Index>>,
        recent: &Arc<Mutex<Recent>>,
        status: watch::Sender<Status>,
    ) -> (Self, watch::Receiver<Seen>) {
        let (seen, receiver) = watch::channel(Seen::default());
        let reader = Self {
            config,
            feed,
            order: Order::default(),
            seen,
            status,
            known: Known::default(),
            index: index.clone(),
            recent: recent.clone(),
            steps: Vec::new(),
        };
        (reader, receiver)
    }

    pub(super) async fn run(mut self, scope: Scope) {
        tokio::select! {
            biased;
            () = scope.closing() => {}
            () = self.read() => {}
        }
    }

    async fn read(&mut self) {
        let mut pause = PAUSES.0;
        loop {
            let error = match self.attempt().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            if self.status.send_replace(Status::Connecting) == Status::Streaming {
                pause = PAUSES.0;
            }
            say_again(&error, pause, "the journal cannot be read");
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn attempt(&mut self) -> Result<std::convert::Infallible, Error> {
        let connection = broker::connect(&self.config.url, "journal reader").await?;
        let (channel, mut consumer, goal) = self.start(&connection).await?;
        let mut unacked = 0;
        loop {
            let delivery = next(&mut consumer, &self.config).await?;
            let tag = delivery.delivery_tag;
            let offset = self.take(delivery).await?;
            unacked += 1;
            if unacked >= ACKED_TOGETHER {
                unacked = 0;
                broker::acknowledge(&channel, tag).await?;
            }
            if offset >= goal && self.order.is_anchored() {
                self.status.send_if_modified(|status| {
                    std::mem::replace(status, Status::Streaming) == Status::Connecting
                });
            }
        }
    }

    /// Starts to read where it was, if the stream still has what it knows; and tells the offset that is the present.
    async fn start(&mut self, connection: &Connection) -> Result<(Channel, Consumer, u64), Error> {
        let channel = broker::channel(connection, &self.config).await?;
        let mut consumer = broker::consume(&channel, &self.config, From::Last, PREFETCH).await?;
        let delivery = next(&mut consumer, &self.config).await?;
        let last = offset_of(&delivery, &self.config)?;
        broker::cancel(&channel, &consumer).await?;
        // What it had sent meanwhile dies with its channel.
        drop((channel, consumer));
        let before = match self.known.newest() {
            Some(_) => last.saturating_sub(BEFORE.0),
            None => self.before(connection, last).await?,
        };
        let from = match self.known.newest() {
            Some(newest) if newest < last => newest,
            // What was stored together is read again, and has to be the same.
            Some(newest) if newest < last + KNOWN as u64 => last,
            Some(_) => {
                self.lose_place("the stream ends long before");
                before
            }
            None => before,
        };
        let channel = broker::channel(connection, &self.config).await?;
        let consumer = broker::consume(&channel, &self.config, From::Offset(from), PREFETCH).await?;
        tracing::info!(stream = self.config.stream, from, last, "reading the journal");
        Ok((channel, consumer, last))
    }

    /// Where to start so that the window is filled, by the size of some messages from there.
    async fn before(&self, connection: &Connection, last: u64) -> Result<u64, Error> {
        let from = last.saturating_sub(BEFORE.0);
        if from == 0 {
            return Ok(0);
        }
        let channel = broker::bare_channel(connection).await?;
        let mut consumer = broker::consume(&channel, &self.config, From::Offset(from), PREFETCH).await?;
        let mut bytes = 0;
        for _ in 0..SAMPLE {
            bytes += next(&mut consumer, &self.config).await?.data.len().max(LEAST_BYTES);
        }
        broker::cancel(&channel, &consumer).await?;
        let fill = self.config.window_bytes / (bytes / SAMPLE);
        Ok(last.saturating_sub((fill as u64).clamp(BEFORE.0, BEFORE.1)))
    }

    /// Takes a message, and waits until the window has room for it; gives its offset.
    async fn take(&mut self, delivery: Delivery) -> Result<u64, Error> {
        let offset = offset_of(&delivery, &self.config)?;
        let bytes = Bytes::from(delivery.data.into_boxed_slice());
        match self.known.meet(offset, &bytes) {
            Meeting::Next => {}
            Meeting::Known => return Ok(offset),
            Meeting::Stranger => {
                self.lose_place("the stream holds something else");
                return Err(Error::LostPlace);
            }
        }
        self.index(offset);
        let asked = match self.read_message(bytes) {
            Ok(asked) => asked,
            // A newer program writes: this one waits to be replaced.
            Err(source) if source.is_newer() => {
                self.known.forget_last();
                return Err(Error::Unreadable { offset, source });
            }
            // Nobody's records: if it was one of ours, its writer notices the hole that it leaves.
            Err(source) => {
                tracing::warn!(error = %Chain(&source), offset, "the stream holds what is no part of the journal");
                None
            }
        };
        for step in self.steps.drain(..) {
            match step {
                Step::Take(record) => {
                    self.recent.lock().note(&record);
                    self.feed.append(record).await;
                }
                Step::Start(incarnation, position) => self.feed.reset(Start { incarnation, position }),
                Step::Begin(incarnation) => {
                    self.feed.reset(Start { incarnation, position: Position::default() });
                }
            }
        }
        self.seen.send_modify(|seen| {
            let asked = asked.unwrap_or(seen.asked);
            *seen = Seen { state: *self.order.state(), anchored: self.order.is_anchored(), asked };
        });
        Ok(offset)
    }

    /// Notes where the stream has which end, before the message at `offset` is taken.
    fn index(&self, offset: u64) {
        let mut index = self.index.lock();
        index.reach(offset);
        if let (Some(author), true) = (self.order.state().author, self.order.is_anchored()) {
            index.note(offset, author.term.incarnation, self.order.state().end);
        }
    }

    /// Takes a message in order; gives who asked by it, if it is a question.
    fn read_message(&mut self, bytes: Bytes) -> Result<Option<u64>, InvalidMessage> {
        let message = self.order.decode(bytes)?;
        let asked = matches!(message.body, Body::Question).then_some(message.author.writer);
        self.order.take(message, &mut self.steps)?;
        Ok(asked)
    }

    fn lose_place(&mut self, reason: &'static str) {
        tracing::warn!(reason, "this process has lost its place in the journal: its clients start over");
        metrics::counter!(metric::JOURNAL_LOST_PLACES).increment(1);
        self.order = Order::default();
        self.known = Known::default();
        self.index.lock().clear();
    }
}

/// What a message is to a reader that knows the ones before.
enum Meeting {
    /// It comes next.
    Next,
    /// It was read before.
    Known,
    /// It is not what was here, or what was in between is gone.
    Stranger,
}

impl Known {
    fn newest(&self) -> Option<u64> {
        if self.hashes.is_empty() { None } else { Some(self.next - 1) }
    }

    /// The last message was not taken after all.
    fn forget_last(&mut self) {
        self.next -= u64::from(self.hashes.pop_back().is_some());
    }

    fn start(&mut self, offset: u64, bytes: &Bytes) {
        self.next = offset + 1;
        self.hashes.push_back(self.hasher.hash_one(bytes));
    }

    fn meet(&mut self, offset: u64, bytes: &Bytes) -> Meeting {
        if self.hashes.is_empty() || offset == self.next {
            self.start(offset, bytes);
            if self.hashes.len() > KNOWN {
                self.hashes.pop_front();
            }
            return Meeting::Next;
        }
        if offset > self.next {
            return Meeting::Stranger;
        }
        let back = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
        match self.hashes.len().checked_sub(back).map(|index| self.hashes[index]) {
            Some(hash) if hash != self.hasher.hash_one(bytes) => Meeting::Stranger,
            _ => Meeting::Known,
        }
    }
}

/// See <https://www.rabbitmq.com/docs/streams#consuming>.
pub(super) fn offset_of(delivery: &Delivery, config: &Config) -> Result<u64, Error> {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get("x-stream-offset")) {
        Some(AMQPValue::LongLongInt(offset)) => Ok(u64::try_from(*offset).unwrap_or_default()),
        _ => Err(Error::NoStream { stream: config.stream.clone() }),
    }
}
