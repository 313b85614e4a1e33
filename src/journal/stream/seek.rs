use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{Connection, Consumer};
use tokio::time::timeout;

use super::broker::{self, From};
use super::message::{Body, Message};
use super::reader::offset_of;
use super::{Config, Error};
use crate::event::{Incarnation, Position, Relations};

/// What the stream holds at one place.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Where it really is: what was asked for may not be kept any more.
    offset: u64,
    incarnation: Incarnation,
    /// What the first record there follows.
    previous: Position,
}

/// Below this many messages, reading them is quicker than another look.
const CLOSE_ENOUGH: u64 = 512;
/// A look passes over so many messages without a record at most.
const MOST_BARE: usize = 256;
const PREFETCH: u16 = 8;
/// Beyond the end of the stream nothing comes.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// Finds an offset, below `high`, from which on everything behind `position` is read: by halves, since messages name
/// positions and not the other way round.
///
/// What a former writer left behind may mislead it: the reader checks where it starts.
pub(super) async fn seek(
    connection: &Connection,
    config: &Config,
    incarnation: Incarnation,
    position: Position,
    high: u64,
) -> Result<Option<u64>, Error> {
    let wanted = (incarnation, position);
    let Some(first) = probe(connection, config, 0).await? else { return Ok(None) };
    if (first.incarnation, first.previous) > wanted {
        return Ok(None);
    }
    let (mut low, mut high) = (first.offset, high);
    while high.saturating_sub(low) > CLOSE_ENOUGH {
        let middle = low + (high - low) / 2;
        match probe(connection, config, middle).await? {
            Some(probe) if (probe.incarnation, probe.previous) <= wanted && probe.offset < high => {
                low = probe.offset;
            }
            _ => high = middle,
        }
    }
    Ok(Some(low))
}

async fn probe(connection: &Connection, config: &Config, offset: u64) -> Result<Option<Probe>, Error> {
    let channel = broker::bare_channel(connection).await?;
    let mut consumer = broker::consume(&channel, config, From::Offset(offset), PREFETCH).await?;
    let mut found = None;
    for _ in 0..MOST_BARE {
        let Ok(delivery) = timeout(LOOK_WITHIN, next(&mut consumer, config)).await else { break };
        let delivery = delivery?;
        let offset = offset_of(&delivery, config)?;
        broker::acknowledge(&channel, delivery.delivery_tag).await?;
        let message = Message::decode(delivery.data.into(), &mut Relations::default());
        let Ok(Message { author, body: Body::Entries(entries) }) = message else { continue };
        if let Some(first) = entries.entries.first() {
            let previous = first.record.previous();
            found = Some(Probe { offset, incarnation: author.term.incarnation, previous });
            break;
        }
    }
    broker::cancel(&channel, &consumer).await?;
    Ok(found)
}

pub(super) async fn next(
    consumer: &mut Consumer,
    config: &Config,
) -> Result<lapin::message::Delivery, Error> {
    match consumer.next().await {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(source)) => Err(Error::Refused { doing: "go on sending", source }),
        None => Err(Error::Ended { stream: config.stream.clone() }),
    }
}
