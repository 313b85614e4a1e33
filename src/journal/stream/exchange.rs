//! A message a row on the topic exchange, for services: every change as the log has it, at least once.
//!
//! It goes its own way beside the journal: what is sent again after a restart is what the slot was not told of yet, whether
//! the journal has it or not.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Event, ExchangeKind};
use tokio::sync::{mpsc, oneshot, watch};

use super::broker::{Events, Url};
use super::publisher::{PERSISTENT, confirmation};
use super::{Error, broker, topology};
use crate::event::envelope::{Encoder, RowMessage, Source, Types};
use crate::event::{Change, Chunk, Lsn, TableName};
use crate::journal::ledger::{Ledger, Page, Party};
use crate::journal::now;
use crate::postgres::publication::Patterns;
use crate::shutdown::Scope;
use crate::telemetry::metric;

/// What goes to services.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// The broker.
    pub url: Url,
    /// The tables.
    pub tables: Patterns,
    /// Who speaks.
    pub source: Source,
}

/// What the catalog says of types and keys, for [`Encoder::describe`].
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// Types that have no fixed oid.
    pub types: Types,
    /// The names of primary keys' columns, by `pg_class.oid`.
    pub keys: std::collections::HashMap<u32, Vec<Arc<str>>>,
}

/// Sends a message a row, while this process holds the slot.
#[derive(Debug)]
pub struct Exchange {
    config: Arc<ExchangeConfig>,
    described: watch::Receiver<Arc<Described>>,
    ledger: Ledger,
    scope: Scope,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    queue: mpsc::Sender<Item>,
    ended: oneshot::Receiver<Error>,
}

/// What comes to be sent.
#[derive(Debug)]
struct Item {
    /// A part of a transaction; `None` for a position passed.
    chunk: Option<Chunk>,
    /// What is reached with it.
    reaches: Option<Lsn>,
}

/// Chunks that wait for the publisher.
const QUEUED: usize = 64;
/// Unconfirmed messages at most.
const IN_FLIGHT: usize = 1_024;
/// RabbitMQ's own limit since 4.0, less a little: a larger message closes the channel, and would do so for ever.
const MOST_BYTES: usize = (16 << 20) - 4_096;

impl Exchange {
    pub(in crate::journal) fn new(
        config: ExchangeConfig,
        described: watch::Receiver<Arc<Described>>,
        ledger: Ledger,
        scope: Scope,
    ) -> Self {
        ledger.ask_exchange();
        Self { config: Arc::new(config), described, ledger, scope, session: None }
    }

    /// Begins to send what a new stream of the source brings.
    pub fn open(&mut self) {
        let (queue, queued) = mpsc::channel(QUEUED);
        let (end, ended) = oneshot::channel();
        let publisher = Publisher {
            encoder: Encoder::new(&self.config.source),
            config: self.config.clone(),
            described: self.described.clone(),
            ledger: self.ledger.page(Party::Exchange),
            in_flight: FuturesOrdered::new(),
            reached: VecDeque::new(),
            published: 0,
            confirmed: 0,
        };
        let closing = self.scope.clone();
        self.scope.spawn("exchange", async move {
            let error = tokio::select! {
                biased;
                () = closing.closing() => Error::Closed,
                error = publisher.run(queued) => error,
            };
            // Whoever asks no more has begun anew.
            _ = end.send(error);
        });
        self.session = Some(Session { queue, ended });
    }

    /// Nothing comes any more until it is opened again.
    pub fn close(&mut self) {
        self.session = None;
    }

    /// Sends the rows of a part of a transaction.
    ///
    /// # Errors
    /// Why it cannot be known whether what was sent has arrived: send all that was not confirmed again.
    pub async fn send(&mut self, chunk: Chunk, reaches: Option<Lsn>) -> Result<(), Error> {
        self.put(Item { chunk: Some(chunk), reaches }).await
    }

    /// There is nothing to send up to here.
    ///
    /// # Errors
    /// As [`Exchange::send`].
    pub async fn pass(&mut self, reaches: Lsn) -> Result<(), Error> {
        self.put(Item { chunk: None, reaches: Some(reaches) }).await
    }

    async fn put(&mut self, item: Item) -> Result<(), Error> {
        let sent = match &self.session {
            Some(session) => session.queue.send(item).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.lost().await) }
    }

    /// Waits until nothing can be sent any more, if that happens. Cancel safe.
    pub async fn lost(&mut self) -> Error {
        let Some(session) = &mut self.session else { return Error::Closed };
        let error = (&mut session.ended).await.unwrap_or(Error::Closed);
        self.session = None;
        error
    }
}

/// Waits until the broker has a message.
type Confirming = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Publishes, in order, and tells the ledger what the broker has.
struct Publisher {
    config: Arc<ExchangeConfig>,
    encoder: Encoder,
    described: watch::Receiver<Arc<Described>>,
    ledger: Page,
    in_flight: FuturesOrdered<Confirming>,
    /// What is reached once so many messages are confirmed.
    reached: VecDeque<(u64, Lsn)>,
    published: u64,
    confirmed: u64,
}

impl Publisher {
    async fn run(mut self, mut queued: mpsc::Receiver<Item>) -> Error {
        match self.publish(&mut queued).await {
            Ok(()) => Error::Closed,
            Err(error) => error,
        }
    }

    async fn publish(&mut self, queued: &mut mpsc::Receiver<Item>) -> Result<(), Error> {
        let connection = broker::connect(&self.config.url, "exchange").await?;
        let mut events = broker::events(&connection);
        match self.publish_on(&connection, &mut events, queued).await {
            Err(error) => Err(broker::reason(error, &mut events).await),
            done => done,
        }
    }

    async fn publish_on(
        &mut self,
        connection: &Connection,
        events: &mut Events,
        queued: &mut mpsc::Receiver<Item>,
    ) -> Result<(), Error> {
        let channel = broker::bare_channel(connection).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = channel.exchange_declare(
            topology::CHANGES.into(),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        );
        let what = "the exchange `tidegate.changes`";
        declared.await.map_err(|source| Error::Object { what, source })?;
        broker::confirm(&channel).await?;
        self.described.mark_changed();
        loop {
            tokio::select! {
                biased;
                Some(confirmed) = self.in_flight.next() => {
                    confirmed?;
                    self.confirmed += 1;
                    self.tell();
                }
                event = events.next() => match event {
                    Some(Event::Error(source)) => return Err(Error::Refused { doing: "take rows", source }),
                    // That its memory or disk is full the journal's own connection tells.
                    Some(_) => {}
                    None => return Err(Error::Closed),
                },
                item = queued.recv() => match item {
                    Some(item) => self.take(&channel, item).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn take(&mut self, channel: &Channel, Item { chunk, reaches }: Item) -> Result<(), Error> {
        if self.described.has_changed().unwrap_or(false) {
            let described = self.described.borrow_and_update().clone();
            self.encoder.describe(described.types.clone(), described.keys.clone());
        }
        let mut messages = Vec::new();
        for place in 0..chunk.as_ref().map_or(0, |chunk| chunk.changes.len()) {
            let Some(chunk) = &chunk else { break };
            if !self.is_meant(&chunk.changes[place]) {
                continue;
            }
            self.encoder.encode(chunk, place, now(), &mut messages);
            for message in messages.drain(..) {
                self.send(channel, &message).await?;
            }
        }
        if let Some(reaches) = reaches {
            self.reached.push_back((self.published, reaches));
            self.tell();
        }
        Ok(())
    }

    fn is_meant(&self, change: &Change) -> bool {
        let relation = match change {
            Change::Row(row) => &row.relation,
            Change::Truncate(relation) => relation,
            Change::Event(_) | Change::Schema => return false,
        };
        self.config
            .tables
            .matches(&TableName { schema: relation.schema.clone(), name: relation.name.clone() })
    }

    /// Not `mandatory`: a row that no service has bound a queue for is nobody's.
    async fn send(&mut self, channel: &Channel, message: &RowMessage) -> Result<(), Error> {
        if message.body.len() > MOST_BYTES {
            metrics::counter!(metric::EXCHANGE_TOO_LARGE).increment(1);
            tracing::warn!(
                table = %message.subject,
                message_id = message.message_id,
                bytes = message.body.len(),
                "a row is too large for a message to services, and left out there"
            );
            return Ok(());
        }
        while self.in_flight.len() >= IN_FLIGHT {
            if let Some(confirmed) = self.in_flight.next().await {
                confirmed?;
                self.confirmed += 1;
            }
        }
        let mut headers = FieldTable::default();
        for (name, text) in message.headers() {
            headers.insert(name.into(), AMQPValue::LongString(text.as_bytes().into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(RowMessage::CONTENT_TYPE.into())
            .with_message_id(message.message_id.as_str().into())
            .with_type(message.what.event_type().into())
            .with_timestamp(message.timestamp_seconds())
            .with_headers(headers);
        let (exchange, key) = (topology::CHANGES.into(), (*message.routing_key).into());
        let sent =
            channel.basic_publish(exchange, key, BasicPublishOptions::default(), &message.body, properties);
        let confirm = sent.await.map_err(|source| Error::Refused { doing: "take a row", source })?;
        self.published += 1;
        metrics::counter!(metric::EXCHANGE_MESSAGES).increment(1);
        self.in_flight.push_back(Box::pin(async move { confirmation(confirm.await) }));
        Ok(())
    }

    fn tell(&mut self) {
        while let Some((published, reaches)) = self.reached.front()
            && *published <= self.confirmed
        {
            self.ledger.confirm(*reaches);
            self.reached.pop_front();
        }
    }
}
