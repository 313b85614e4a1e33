use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::broker::{self, Events};
use super::message::{Author, Batch, MOST_BYTES};
use super::order::State;
use super::reader::Seen;
use super::{Config, Error};
use crate::event::{Lsn, Position};
use crate::journal::ledger::Page;
use crate::journal::{Appended, tell};
use crate::shutdown::Scope;
use crate::telemetry::metric;

/// A connection that publishes.
pub(super) struct Link {
    stream: String,
    channel: Channel,
    events: Events,
    // Closes with the link.
    _connection: Connection,
}

/// Publishes one term's records, in order.
pub(super) struct Publisher {
    link: Link,
    author: Author,
    batch: Batch,
    /// When the first record of the batch came.
    since: Instant,
    /// What is known to be reached with the records of the batch.
    reaches: Lsn,
    /// Who waits for records, by their ends.
    waiting: VecDeque<(Position, Vec<oneshot::Sender<()>>)>,
    /// What was published, until the broker has confirmed it: how much of it, and what is reached with it.
    in_flight: FuturesOrdered<Confirming>,
    seen: watch::Receiver<Seen>,
    delay: Delay,
}

/// AMQP's delivery mode of what outlives the broker.
pub(super) const PERSISTENT: u8 = 2;
/// Waits until the broker has a message, and gives what is reached with it; nothing, if it is a part and not the last.
type Confirming = Pin<Box<dyn Future<Output = Result<Option<Lsn>, Error>> + Send>>;

/// A message is closed when it has this many bytes. Larger ones save the broker little more.
const BATCH_BYTES: usize = 128 * 1024;
/// While messages are unconfirmed, records are gathered for this long.
const LINGER: Duration = Duration::from_millis(2);
/// Unconfirmed messages at most: with theirs, a round trip takes a few milliseconds.
const IN_FLIGHT: usize = 32;
/// Records that are taken at once.
const TAKEN_AT_ONCE: usize = 64;

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        let connection = broker::connect(&config.url, "journal writer").await?;
        let events = broker::events(&connection);
        let channel = broker::channel(&connection, config).await?;
        broker::confirm(&channel).await?;
        Ok(Self { stream: config.stream.clone(), channel, events, _connection: connection })
    }

    /// Publishes a message and waits until the broker has it.
    pub(super) async fn publish_alone(&mut self, message: Bytes) -> Result<(), Error> {
        let confirmed = async {
            let confirm = publish(&self.channel, &self.stream, &message).await?;
            confirmation(confirm.await)
        };
        let mut confirmed = std::pin::pin!(confirmed);
        loop {
            tokio::select! {
                biased;
                outcome = &mut confirmed => return outcome,
                event = self.events.next() => heed(event)?,
            }
        }
    }

    /// Waits until the connection is lost. Cancel safe.
    pub(super) async fn lost(&mut self) -> Error {
        loop {
            if let Err(error) = heed(self.events.next().await) {
                return error;
            }
        }
    }
}

/// `mandatory`: what routes nowhere would be confirmed and dropped.
async fn publish(channel: &Channel, stream: &str, message: &[u8]) -> Result<lapin::PublisherConfirm, Error> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let sent = channel.basic_publish("".into(), stream.into(), options, message, properties);
    sent.await.map_err(|source| Error::Refused { doing: "take a message", source })
}

pub(super) fn confirmation(confirmation: lapin::Result<Confirmation>) -> Result<(), Error> {
    match confirmation {
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
            Err(Error::Returned { reason: format!("{} ({})", returned.reply_text, returned.reply_code) })
        }
        Ok(Confirmation::Nack(None) | Confirmation::NotRequested) => Err(Error::Nack),
        Err(source) => Err(Error::Refused { doing: "confirm a message", source }),
    }
}

/// What the broker says of the connection.
fn heed(event: Option<Event>) -> Result<(), Error> {
    match event {
        Some(Event::ConnectionBlocked(reason)) => {
            tracing::warn!(
                reason,
                "the broker takes no messages for want of disk or memory: the journal waits"
            );
            metrics::gauge!(metric::JOURNAL_BLOCKED).set(1.0);
            Ok(())
        }
        Some(Event::ConnectionUnblocked) => {
            tracing::info!("the broker takes messages again");
            metrics::gauge!(metric::JOURNAL_BLOCKED).set(0.0);
            Ok(())
        }
        Some(Event::Error(source)) => Err(Error::Refused { doing: "keep the connection", source }),
        Some(_) => Ok(()),
        None => Err(Error::Closed),
    }
}

impl Publisher {
    pub(super) fn new(
        config: &Config,
        link: Link,
        author: Author,
        state: &State,
        seen: watch::Receiver<Seen>,
        ledger: Page,
    ) -> Self {
        Self {
            link,
            author,
            batch: Batch::new(author, state.end),
            since: Instant::now(),
            reaches: state.reaches,
            waiting: VecDeque::new(),
            in_flight: FuturesOrdered::new(),
            seen,
            delay: Delay { by: config.confirm_delay, waiting: VecDeque::new(), ledger },
        }
    }

    /// Publishes what is queued, until the queue's other end is gone, or records may be lost: `end` tells why.
    pub(super) async fn run(
        mut self,
        mut queued: mpsc::Receiver<Appended>,
        end: oneshot::Sender<Error>,
        scope: Scope,
    ) {
        let error = tokio::select! {
            biased;
            () = scope.closing() => Error::Closed,
            error = self.publish(&mut queued) => error,
        };
        metrics::gauge!(metric::JOURNAL_BLOCKED).set(0.0);
        // Whoever asks no more has begun another term.
        _ = end.send(error);
    }

    async fn publish(&mut self, queued: &mut mpsc::Receiver<Appended>) -> Error {
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        loop {
            match self.turn(queued, &mut taken).await {
                Ok(()) => {}
                Err(error) => return broker::reason(error, &mut self.link.events).await,
            }
        }
    }

    async fn turn(
        &mut self,
        queued: &mut mpsc::Receiver<Appended>,
        taken: &mut Vec<Appended>,
    ) -> Result<(), Error> {
        let room = self.in_flight.len() < IN_FLIGHT;
        let (since, gathered) = (self.since, !self.batch.is_empty());
        tokio::select! {
            biased;
            // 1. What comes back.
            heard = self.hear() => heard?,
            // 2. What was gathered for long enough.
            () = sleep_until(since + LINGER), if room && gathered => self.send().await?,
            // 3. More.
            count = queued.recv_many(taken, TAKEN_AT_ONCE), if room => {
                if count == 0 {
                    return Err(Error::Closed);
                }
                for appended in taken.drain(..) {
                    self.gather(appended).await?;
                }
            }
        }
        // Alone on its way, a message waits for nobody.
        if self.in_flight.is_empty() && !self.batch.is_empty() {
            self.send().await?;
        }
        Ok(())
    }

    /// Takes the next thing that broker or stream tells. Cancel safe.
    async fn hear(&mut self) -> Result<(), Error> {
        let release = self.delay.due();
        tokio::select! {
            biased;
            // 1. Whatever makes the rest useless.
            event = self.link.events.next() => heed(event),
            changed = self.seen.changed() => {
                changed.map_err(|_| Error::Closed)?;
                self.look()
            }
            // 2. What is safe.
            Some(confirmed) = self.in_flight.next() => {
                if let Some(reaches) = confirmed? {
                    self.delay.take(reaches);
                }
                Ok(())
            }
            () = until(release) => {
                self.delay.release();
                Ok(())
            }
        }
    }

    /// Whether the stream still takes our records.
    fn look(&mut self) -> Result<(), Error> {
        let seen = self.seen.borrow_and_update();
        if seen.state.author.is_some_and(|last| last != self.author && last.term >= self.author.term) {
            return Err(Error::Fenced);
        }
        if seen.state.holed {
            return Err(Error::Nack);
        }
        // Only what comes round counts: a record that the broker has confirmed may be of a term that is over.
        if seen.state.author == Some(self.author) {
            while self.waiting.front().is_some_and(|(end, _)| *end <= seen.state.end) {
                self.waiting.pop_front().into_iter().for_each(|(_, stored)| tell(stored));
            }
        }
        Ok(())
    }

    async fn gather(&mut self, Appended { record, reaches, stored }: Appended) -> Result<(), Error> {
        if self.batch.is_empty() {
            self.since = Instant::now();
        }
        self.reaches = self.reaches.max(reaches.unwrap_or_default());
        self.batch.push(&record, self.reaches);
        if !stored.is_empty() {
            self.waiting.push_back((record.end(), stored));
        }
        if self.batch.len() >= BATCH_BYTES { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), Error> {
        let reaches = self.reaches;
        let messages = self.batch.take(MOST_BYTES);
        let count = messages.len();
        for (index, message) in messages.into_iter().enumerate() {
            metrics::counter!(metric::JOURNAL_MESSAGES).increment(1);
            metrics::counter!(metric::JOURNAL_MESSAGE_BYTES).increment(message.len() as u64);
            let confirm = self.hand_over(&message).await?;
            // Taken in order, so that the last part speaks for all.
            let last = index + 1 == count;
            self.in_flight.push_back(Box::pin(async move {
                confirmation(confirm.await).map(|()| last.then_some(reaches))
            }));
        }
        Ok(())
    }

    /// Hands a message to the connection, which takes none for as long as the broker blocks it: that it does is heard
    /// meanwhile.
    async fn hand_over(&mut self, message: &[u8]) -> Result<lapin::PublisherConfirm, Error> {
        let (channel, stream) = (self.link.channel.clone(), self.link.stream.clone());
        let mut sent = std::pin::pin!(publish(&channel, &stream, message));
        loop {
            tokio::select! {
                biased;
                heard = self.hear() => heard?,
                confirm = &mut sent => return confirm,
            }
        }
    }
}

/// What the broker has confirmed, until the slot is told of it.
#[derive(Debug)]
struct Delay {
    by: Duration,
    /// Gathered for a moment each: when it is due, and what is reached with it.
    waiting: VecDeque<(Instant, Lsn)>,
    ledger: Page,
}

/// Confirmations of this long are told together.
const TOGETHER: Duration = Duration::from_millis(100);

impl Delay {
    fn take(&mut self, reaches: Lsn) {
        if self.by.is_zero() {
            self.ledger.confirm(reaches);
            return;
        }
        let due = Instant::now() + self.by;
        match self.waiting.back_mut() {
            // The later one waits as long as it should, the earlier ones a moment longer.
            Some((latest, lsn)) if due <= *latest => *lsn = reaches,
            _ => self.waiting.push_back((due + TOGETHER, reaches)),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    fn release(&mut self) {
        let now = Instant::now();
        while let Some((due, reaches)) = self.waiting.front()
            && *due <= now
        {
            self.ledger.confirm(*reaches);
            self.waiting.pop_front();
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
