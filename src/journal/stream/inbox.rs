//! What services publish: taken from the broker's queue by whoever writes the journal, and acknowledged once it is in.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::publisher::{PERSISTENT, confirmation};
use super::{Config, Error, broker, topology};
use crate::event::{Attributes, InvalidPublication, Publication};
use crate::journal::{Submission, now};
use crate::telemetry::{Chain, metric};

/// Takes what services publish, while this process writes the journal.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) config: Arc<Config>,
    pub(super) submissions: mpsc::Sender<Submission>,
    /// Whether this process writes the journal.
    pub(super) writing: watch::Receiver<bool>,
}

/// Why a message is rejected.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("the body has {bytes} bytes, and at most {most} are taken: raise `publish.max_bytes`")]
    TooLarge { bytes: usize, most: usize },
    #[error("the header `{0}` is no text, number or truth value")]
    Header(String),
    #[error(transparent)]
    Invalid(#[from] InvalidPublication),
}

/// Events that wait for the journal to have them; the broker keeps the others.
const PREFETCH: (u16, u16) = (16, 256);
/// And of them about so much, if they are as large as they may be. How large another is that is larger is known only once
/// it is here: the broker's own limit is 16 MiB since 4.0.
const WAITING_BYTES: usize = 64 << 20;
/// When an event is given back that may not be in the journal: by then more is known.
const GIVEN_BACK_AFTER: Duration = Duration::from_millis(250);
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// One line tells of all that was rejected meanwhile: whoever sends rubbish may send a lot of it.
const WARN_INTERVAL: Duration = Duration::from_secs(1);
/// With which header a rejected message says why.
const REASON: &str = "x-tidegate-reason";

impl Inbox {
    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            if until(&mut self.writing, true).await.is_err() {
                return;
            }
            let mut writing = self.writing.clone();
            tokio::select! {
                biased;
                // Another process is to take what comes; what was not acknowledged goes back.
                _ = until(&mut writing, false) => pause = PAUSES.0,
                error = self.take_all() => {
                    tracing::warn!(error = %Chain(&error), pause_ms = pause.as_millis(), "events of services cannot be taken");
                    sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn take_all(&self) -> Error {
        let outcome = async {
            let connection = broker::connect(&self.config.url, "events in").await?;
            let channel = broker::bare_channel(&connection).await?;
            topology::declare(&channel).await?;
            broker::confirm(&channel).await?;
            let consumer = consume(&channel, self.config.event_bytes).await?;
            self.follow(&channel, consumer).await
        };
        match outcome.await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn follow(
        &self,
        channel: &Channel,
        mut consumer: Consumer,
    ) -> Result<std::convert::Infallible, Error> {
        let mut waiting = FuturesUnordered::new();
        let mut warned_at: Option<tokio::time::Instant> = None;
        loop {
            tokio::select! {
                biased;
                Some((tag, stored)) = waiting.next() => settle(channel, tag, stored).await?,
                delivery = consumer.next() => {
                    let delivery = match delivery {
                        Some(delivery) => delivery.map_err(|source| Error::Refused { doing: "go on sending", source })?,
                        None => return Err(Error::Ended { stream: topology::INBOX.to_owned() }),
                    };
                    let tag = delivery.delivery_tag;
                    match read(&delivery, self.config.event_bytes) {
                        Ok(publication) => {
                            let (stored, outcome) = oneshot::channel();
                            let submission = Submission { publication, stored };
                            if self.submissions.send(submission).await.is_err() {
                                return Err(Error::Closed);
                            }
                            waiting.push(async move {
                                let stored = outcome.await.is_ok();
                                if !stored {
                                    // Given back at once it would be here again at once.
                                    sleep(GIVEN_BACK_AFTER).await;
                                }
                                (tag, stored)
                            });
                        }
                        Err(rejection) => {
                            metrics::counter!(metric::PUBLISH_REJECTED).increment(1);
                            if warned_at.is_none_or(|at| at.elapsed() > WARN_INTERVAL) {
                                warned_at = Some(tokio::time::Instant::now());
                                tracing::warn!(
                                    reason = %rejection,
                                    queue = topology::REJECTED,
                                    "rejected what a service has published"
                                );
                            }
                            reject(channel, &delivery, &rejection).await?;
                            settle(channel, tag, true).await?;
                        }
                    }
                }
            }
        }
    }
}

/// Waits until this process writes, or does not; an error if it stops.
async fn until(writing: &mut watch::Receiver<bool>, wanted: bool) -> Result<(), watch::error::RecvError> {
    writing.wait_for(|writing| *writing == wanted).await.map(|_| ())
}

async fn consume(channel: &Channel, event_bytes: usize) -> Result<Consumer, Error> {
    let refused = |source| Error::Refused { doing: "read the queue `tidegate.publish`", source };
    let prefetch =
        u16::try_from(WAITING_BYTES / event_bytes).unwrap_or(u16::MAX).clamp(PREFETCH.0, PREFETCH.1);
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(refused)?;
    let (queue, tag) = (topology::INBOX.into(), "".into());
    let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
    consumer.await.map_err(refused)
}

/// Acknowledges what is in the journal, and gives back what may not be.
async fn settle(channel: &Channel, tag: u64, stored: bool) -> Result<(), Error> {
    let settled = if stored {
        channel.basic_ack(tag, BasicAckOptions::default()).await
    } else {
        channel.basic_nack(tag, BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await
    };
    settled.map_err(|source| Error::Refused { doing: "take an acknowledgement", source })
}

/// Puts a message where its publisher finds it, with the reason.
async fn reject(channel: &Channel, delivery: &Delivery, rejection: &Rejection) -> Result<(), Error> {
    let mut headers = delivery.properties.headers().clone().unwrap_or_default();
    headers.insert(REASON.into(), AMQPValue::LongString(rejection.to_string().into()));
    headers
        .insert("x-tidegate-routing-key".into(), AMQPValue::LongString(delivery.routing_key.as_str().into()));
    let properties: BasicProperties =
        delivery.properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent =
        channel.basic_publish("".into(), topology::REJECTED.into(), options, &delivery.data, properties);
    let confirm = sent.await.map_err(|source| Error::Refused { doing: "take a rejected event", source })?;
    confirmation(confirm.await)
}

/// Reads a message: a `CloudEvent` in structured or binary mode, or any JSON value.
fn read(delivery: &Delivery, most: usize) -> Result<Publication, Rejection> {
    let (channel, data) = (delivery.routing_key.as_str(), &*delivery.data);
    if data.len() > most {
        return Err(Rejection::TooLarge { bytes: data.len(), most });
    }
    let (now, random) = (now(), fastrand::u128(..));
    let properties = &delivery.properties;
    let content_type = properties.content_type().as_ref().map(|text| text.as_str().to_ascii_lowercase());
    if content_type.is_some_and(|text| text.starts_with("application/cloudevents+json")) {
        return Ok(Publication::structured(channel, data, now, random)?);
    }
    let mut attributes = Attributes::default();
    if let Some(id) = properties.message_id() {
        attributes.set("id", id.as_str())?;
    }
    let headers = properties.headers().iter().flat_map(FieldTable::inner);
    for (name, value) in headers {
        let name = name.as_str();
        if let Some(attribute) =
            name.strip_prefix("cloudEvents_").or_else(|| name.strip_prefix("cloudEvents:"))
        {
            let text = text(value).ok_or_else(|| Rejection::Header(name.to_owned()))?;
            attributes.set(attribute, &text)?;
        }
    }
    Ok(Publication::binary(channel, attributes, data, now, random)?)
}

fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok()?,
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        _ => return None,
    })
}
