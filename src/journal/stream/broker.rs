use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ErrorKind, Event};
use tokio::time::timeout;

use super::{Config, Error};

/// What a connection's broker says besides answers.
pub(super) type Events = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// Where the broker is, as an AMQP URI. May hold a password, so it shows itself without.
///
/// Text form: `amqp://user:password@host:port/vhost`, or `amqps://` for TLS; `heartbeat` in seconds may follow as a query.
/// See <https://www.rabbitmq.com/docs/uri-spec>.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(pub(super) AMQPUri);

/// A text that is no AMQP URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no AMQP URI ({0}): write amqp://user:password@host:port/vhost, or amqps:// for TLS")]
pub struct InvalidUrl(String);

/// A broker that says nothing for this long, in seconds, is taken for gone after twice that.
const HEARTBEAT: u16 = 10;
/// For one attempt to connect, the handshake included: a frozen broker still accepts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer takes milliseconds; a broker that starts, or elects a leader for a stream, some seconds.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Whoever finds a channel closed waits this long for the word that the broker has closed it with.
const REASON_WITHIN: Duration = Duration::from_secs(1);
/// Retention works by whole segments; RabbitMQ's own default is the upper end.
const SEGMENT_BYTES: (u64, u64) = (1 << 20, 500_000_000);

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        text.parse().map(Self).map_err(InvalidUrl)
    }
}

/// Without user and password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.scheme {
            AMQPScheme::AMQP => "amqp",
            AMQPScheme::AMQPS => "amqps",
        };
        let AMQPUri { authority, vhost, .. } = &self.0;
        write!(f, "{scheme}://{}:{}/{vhost}", authority.host, authority.port)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Connects, for what `purpose` says to whoever lists the broker's connections.
///
/// There is no recovery in the connection itself: whoever uses it opens another, and starts where it knows that it was.
pub(super) async fn connect(url: &Url, purpose: &str) -> Result<Connection, Error> {
    let mut uri = url.0.clone();
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    let name: LongString = format!("tidegate {purpose}").into();
    let properties = ConnectionProperties::default().with_connection_name(name);
    let broker = || url.to_string();
    match timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => Err(Error::Connect { broker: broker(), source }),
        Err(_) => Err(Error::Silent { broker: broker(), seconds: CONNECT_TIMEOUT.as_secs() }),
    }
}

/// Listens to what the broker says of the connection and its channels from now on.
pub(super) fn events(connection: &Connection) -> Events {
    Box::pin(connection.events_listener())
}

/// The broker's own word, where `error` says only that its channel or connection is closed.
pub(super) async fn reason(error: Error, events: &mut Events) -> Error {
    let Error::Refused { doing, source } = &error else { return error };
    if !matches!(source.kind(), ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_)) {
        return error;
    }
    let told = async {
        loop {
            match events.next().await {
                Some(Event::Error(source)) => return Some(source),
                Some(_) => {}
                None => return None,
            }
        }
    };
    match timeout(REASON_WITHIN, told).await {
        Ok(Some(source)) => Error::Refused { doing, source },
        Ok(None) | Err(_) => error,
    }
}

/// Opens a channel.
pub(super) async fn bare_channel(connection: &Connection) -> Result<Channel, Error> {
    answered("open a channel", connection.create_channel()).await
}

/// Acknowledges this message and all before it: that is what lets further ones come.
pub(super) async fn acknowledge(channel: &Channel, tag: u64) -> Result<(), Error> {
    let acknowledged = channel.basic_ack(tag, BasicAckOptions { multiple: true });
    acknowledged.await.map_err(|source| Error::Refused { doing: "take an acknowledgement", source })
}

/// Opens a channel on which the stream is there.
pub(super) async fn channel(connection: &Connection, config: &Config) -> Result<Channel, Error> {
    let channel = bare_channel(connection).await?;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(config.stream.as_str().into(), options, arguments(config));
    match timeout(ANSWER_TIMEOUT, declared).await {
        Ok(Ok(_)) => Ok(channel),
        Ok(Err(source)) => Err(declined(config, source)),
        Err(_) => Err(Error::NoAnswer { doing: "declare the stream", seconds: ANSWER_TIMEOUT.as_secs() }),
    }
}

/// Why the stream cannot be declared.
fn declined(config: &Config, source: lapin::Error) -> Error {
    const ACCESS_REFUSED: u16 = 403;
    let stream = config.stream.clone();
    match source.kind() {
        ErrorKind::ProtocolError(error) if error.get_id() == ACCESS_REFUSED => {
            Error::Forbidden { stream, source }
        }
        _ => Error::Declare { stream, source },
    }
}

/// Has the channel's messages confirmed.
pub(super) async fn confirm(channel: &Channel) -> Result<(), Error> {
    answered("turn on publisher confirms", channel.confirm_select(ConfirmSelectOptions::default())).await
}

/// Where a consumer of the stream starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// The last messages that were stored together.
    Last,
    /// This offset; if it is not kept any more, the first that is.
    Offset(u64),
}

/// Starts to read the stream; at most `prefetch` messages are on their way.
pub(super) async fn consume(
    channel: &Channel,
    config: &Config,
    from: From,
    prefetch: u16,
) -> Result<Consumer, Error> {
    let doing = "read the stream";
    answered(doing, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let offset = match from {
        From::Last => AMQPValue::LongString("last".into()),
        From::Offset(offset) => AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX)),
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), offset);
    let (queue, tag) = (config.stream.as_str().into(), "".into());
    answered(doing, channel.basic_consume(queue, tag, BasicConsumeOptions::default(), arguments)).await
}

/// Stops reading.
pub(super) async fn cancel(channel: &Channel, consumer: &Consumer) -> Result<(), Error> {
    answered("stop reading", channel.basic_cancel(consumer.tag(), BasicCancelOptions::default())).await
}

async fn answered<T>(
    doing: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|source| Error::Refused { doing, source }),
        Err(_) => Err(Error::NoAnswer { doing, seconds: ANSWER_TIMEOUT.as_secs() }),
    }
}

pub(super) fn arguments(config: &Config) -> FieldTable {
    let mut arguments = FieldTable::default();
    let long = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
    let (least, most) = SEGMENT_BYTES;
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    arguments
        .insert("x-max-age".into(), AMQPValue::LongString(format!("{}s", config.max_age.as_secs()).into()));
    arguments.insert("x-max-length-bytes".into(), long(config.max_bytes));
    let segment = (config.max_bytes / 8).clamp(least, most);
    arguments.insert("x-stream-max-segment-size-bytes".into(), long(segment));
    arguments
}
