//! The objects on the broker besides the stream: their names, and what they are made of.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::Error;

/// Where each row's change goes, for services: a topic exchange.
pub(super) const CHANGES: &str = "tidegate.changes";
/// Where services publish: a topic exchange, the routing key is the channel.
pub(super) const PUBLISH: &str = "tidegate.publish";
/// The queue behind it, of the same name.
pub(super) const INBOX: &str = PUBLISH;
/// Where what cannot be read goes, with the reason.
pub(super) const REJECTED: &str = "tidegate.publish.rejected";
/// What is kept of that; the oldest goes first.
const REJECTED_BYTES: i64 = 64 << 20;

/// Makes what services publish through, unless it is there.
pub(super) async fn declare(channel: &Channel) -> Result<(), Error> {
    let refused = |what: &'static str| move |source| Error::Object { what, source };
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let exchange =
        channel.exchange_declare(PUBLISH.into(), ExchangeKind::Topic, durable, FieldTable::default());
    exchange.await.map_err(refused("the exchange `tidegate.publish`"))?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let rejected = channel.queue_declare(REJECTED.into(), durable, rejected());
    rejected.await.map_err(refused("the queue `tidegate.publish.rejected`"))?;
    let inbox = channel.queue_declare(INBOX.into(), durable, inbox());
    inbox.await.map_err(refused("the queue `tidegate.publish`"))?;
    let all = "#".into();
    let bound = channel.queue_bind(
        INBOX.into(),
        PUBLISH.into(),
        all,
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.map_err(refused("the binding of the queue `tidegate.publish`"))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// RabbitMQ 4 drops what was delivered twenty times, and servers that are killed again and again are no fault of the
/// message.
fn inbox() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(REJECTED));
    arguments
}

fn rejected() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(REJECTED_BYTES));
    arguments.insert("x-overflow".into(), text("drop-head"));
    arguments
}
