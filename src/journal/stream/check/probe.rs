use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ErrorKind, Event, ExchangeKind};
use tokio::time::{sleep, timeout};

use super::super::broker::{self, ANSWER_TIMEOUT};
use super::super::{Config, Error};

/// Questions that change nothing, whatever the answer: each asks for what cannot be had.
///
/// A broker looks at permissions before it looks at arguments. So whoever is refused for the arguments has the
/// permission. An objection closes its channel: every question gets one of its own.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    connection: &'a Connection,
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Queue,
    Exchange,
}

/// Why a broker does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) code: u16,
    pub(super) text: String,
}

/// Whether messages are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Taking {
    Taken,
    /// The broker is short of something: its own word, if it has said one.
    Blocked(Option<String>),
    Objection(Objection),
}

pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;

/// A broker with an alarm says so at once, and never confirms.
const ALARM_TIMEOUT: Duration = Duration::from_secs(2);

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Exchange => "exchange",
        }
    }
}

impl Objection {
    /// Whether it is for want of a permission on this object. Others may be named in the same question.
    pub(super) fn denies(&self, kind: Kind, name: &str) -> bool {
        self.code == ACCESS_REFUSED && self.text.contains(&format!("{} '{name}'", kind.word()))
    }
}

impl<'a> Probe<'a> {
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    /// Whether it is there. Needs no permission.
    pub(super) async fn exists(&self, kind: Kind, name: &str) -> Result<Result<(), Objection>, Error> {
        let ask = async |channel: &Channel| match kind {
            Kind::Queue => {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                channel.queue_declare(name.into(), options, FieldTable::default()).await.map(drop)
            }
            Kind::Exchange => {
                let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
                let declared = channel.exchange_declare(
                    name.into(),
                    ExchangeKind::Topic,
                    options,
                    FieldTable::default(),
                );
                declared.await
            }
        };
        self.ask("say what there is", ask).await
    }

    /// The stream as the server declares it: only for one that exists, which that leaves as it is.
    pub(super) async fn same_stream(&self, config: &Config) -> Result<Result<(), Objection>, Error> {
        let ask = async |channel: &Channel| {
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            let arguments = broker::arguments(config);
            channel.queue_declare(config.stream.as_str().into(), options, arguments).await.map(drop)
        };
        self.ask("compare the stream", ask).await
    }

    /// An exchange as the server declares it: only for one that exists, which that leaves as it is.
    pub(super) async fn same_exchange(&self, name: &str) -> Result<Result<(), Objection>, Error> {
        let ask = async |channel: &Channel| {
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await
        };
        self.ask("compare an exchange", ask).await
    }

    /// A stream that ends with its connection: there is none. For a stream that is missing.
    pub(super) async fn fleeting_stream(&self, name: &str) -> Result<Objection, Error> {
        let ask = async |channel: &Channel| {
            let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
            let arguments = table("x-queue-type", AMQPValue::LongString("stream".into()));
            channel.queue_declare(name.into(), options, arguments).await.map(drop)
        };
        Ok(objection(self.ask("say whether it has streams", ask).await?))
    }

    /// Asks for the permission to configure, with an argument that no object can have.
    pub(super) async fn configure(&self, kind: Kind, name: &str) -> Result<Objection, Error> {
        let ask = async |channel: &Channel| match kind {
            Kind::Queue => {
                let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
                let arguments = table("x-dead-letter-exchange", AMQPValue::Boolean(true));
                channel.queue_declare(name.into(), options, arguments).await.map(drop)
            }
            Kind::Exchange => {
                let options =
                    ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
                let arguments = table("alternate-exchange", AMQPValue::Boolean(true));
                channel.exchange_declare(name.into(), ExchangeKind::Topic, options, arguments).await
            }
        };
        Ok(objection(self.ask("say who may configure", ask).await?))
    }

    /// Asks for the permission to read a queue, with a priority that is no number. For an exchange, see [`Self::unbind`].
    pub(super) async fn read(&self, queue: &str) -> Result<Objection, Error> {
        let ask = async |channel: &Channel| {
            let arguments = table("x-priority", AMQPValue::Boolean(true));
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.into(), "".into(), options, arguments).await.map(drop)
        };
        Ok(objection(self.ask("say who may read", ask).await?))
    }

    /// Asks for the permission to write `name` and to read the exchange `from`, by taking away a binding that is not
    /// there. Nobody may do that with the default exchange, and a broker says so after it has looked at `name`.
    pub(super) async fn unbind(&self, kind: Kind, name: &str, from: &str) -> Result<Objection, Error> {
        let ask = async |channel: &Channel| {
            let key = format!("tidegate-check-{:016x}", fastrand::u64(..));
            let (name, from, key, none) = (name.into(), from.into(), key.into(), FieldTable::default());
            match kind {
                Kind::Queue => channel.queue_unbind(name, from, key, none).await,
                Kind::Exchange => {
                    let options = lapin::options::ExchangeUnbindOptions::default();
                    channel.exchange_unbind(name, from, key, options, none).await
                }
            }
        };
        Ok(objection(self.ask("say who may write", ask).await?))
    }

    /// Publishes a message to a queue that is not there, so that the broker gives it back: only a broker that is
    /// asked to take one tells of its alarms. A connection that is blocked answers nothing any more.
    pub(super) async fn publish(&self) -> Result<Taking, Error> {
        let mut events = Box::pin(self.connection.events_listener());
        let channel = broker::bare_channel(self.connection).await?;
        broker::confirm(&channel).await?;
        let nowhere = format!("tidegate-check-{:016x}", fastrand::u64(..));
        let confirmed = async {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let properties = BasicProperties::default();
            channel.basic_publish("".into(), nowhere.into(), options, &[], properties).await?.await
        };
        let blocked = async {
            loop {
                match events.next().await {
                    Some(Event::ConnectionBlocked(reason)) => break reason,
                    Some(_) => {}
                    None => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            reason = blocked => Ok(Taking::Blocked(Some(reason))),
            outcome = confirmed => {
                close(&channel).await;
                Ok(match sorted("take a message", outcome)? {
                    Ok(_) => Taking::Taken,
                    Err(objection) => Taking::Objection(objection),
                })
            }
            () = sleep(ALARM_TIMEOUT) => Ok(Taking::Blocked(None)),
        }
    }

    async fn ask(
        &self,
        doing: &'static str,
        ask: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
    ) -> Result<Result<(), Objection>, Error> {
        let channel = broker::bare_channel(self.connection).await?;
        match timeout(ANSWER_TIMEOUT, ask(&channel)).await {
            Ok(answer) => {
                close(&channel).await;
                sorted(doing, answer)
            }
            Err(_) => Err(Error::NoAnswer { doing, seconds: ANSWER_TIMEOUT.as_secs() }),
        }
    }
}

/// Closes a channel, unless an objection has. One that were merely dropped would be closed while its connection is.
async fn close(channel: &Channel) {
    if channel.status().connected() {
        // What goes wrong here, the next question finds.
        drop(timeout(ANSWER_TIMEOUT, channel.close(200, "OK".into())).await);
    }
}

/// What the broker objects to, apart from what breaks the conversation.
fn sorted<T>(doing: &'static str, answer: lapin::Result<T>) -> Result<Result<T, Objection>, Error> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(source) => match objection_in(&source) {
            Some(objection) => Ok(Err(objection)),
            None => Err(Error::Refused { doing, source }),
        },
    }
}

pub(super) fn objection_in(error: &lapin::Error) -> Option<Objection> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            Some(Objection { code: error.get_id(), text: error.get_message().to_string() })
        }
        _ => None,
    }
}

/// A broker that does what cannot be done objects to nothing.
fn objection(answer: Result<(), Objection>) -> Objection {
    answer.err().unwrap_or(Objection { code: 0, text: String::new() })
}

fn table(name: &str, value: AMQPValue) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(name.into(), value);
    table
}
