use bytes::Bytes;

use super::Error;
use super::archive::{Run, Shared};
use super::broker::{self, From};
use super::order::{Order, Step};
use super::reader::offset_of;
use super::seek::{next, seek};
use crate::event::Position;
use crate::journal::window::Read;
use crate::protocol::ResyncReason;

/// Why a run cannot go on.
pub(super) enum Broken {
    /// What somebody needs is not in the stream.
    Gap(ResyncReason),
    /// The stream cannot be read.
    Stream(Error),
}

/// Messages on their way.
const PREFETCH: u16 = 64;
const ACKED_TOGETHER: u16 = PREFETCH / 4;
/// How much further back it starts when what it found begins too late: what a former writer left behind has misled it.
const STEPS_BACK: [u64; 4] = [0, 1 << 10, 1 << 13, 1 << 16];

/// Reads the stream from where the run's first passenger is up to the window.
pub(super) async fn run(shared: &Shared, run: &Run) -> Result<(), Broken> {
    let config = &*shared.config;
    let connection = broker::connect(&config.url, "journal catch-up").await?;
    let wanted = run.depart();
    let known = shared.index.lock().before(run.incarnation, wanted);
    let found = if let Some(offset) = known {
        offset
    } else {
        let high = shared.index.lock().first();
        let sought = seek(&connection, config, run.incarnation, wanted, high).await?;
        sought.ok_or(Broken::Gap(ResyncReason::CursorExpired))?
    };
    for back in STEPS_BACK {
        let from = found.saturating_sub(back);
        let channel = broker::bare_channel(&connection).await?;
        let mut consumer = broker::consume(&channel, config, From::Offset(from), PREFETCH).await?;
        let mut attempt = Attempt { shared, run, order: Order::default(), wanted, placed: false };
        let (mut unacked, mut kept_from) = (0, None);
        loop {
            let delivery = next(&mut consumer, config).await?;
            let tag = delivery.delivery_tag;
            let kept_from = *kept_from.get_or_insert(offset_of(&delivery, config)?);
            match attempt.take(delivery.data.into_boxed_slice().into()).await? {
                Progress::On => {}
                Progress::Done => return Ok(()),
                Progress::TooLate if from == 0 || kept_from > from => {
                    return Err(Broken::Gap(ResyncReason::CursorExpired));
                }
                Progress::TooLate => break,
            }
            unacked += 1;
            if unacked >= ACKED_TOGETHER {
                unacked = 0;
                broker::acknowledge(&channel, tag).await?;
            }
        }
        broker::cancel(&channel, &consumer).await?;
    }
    Err(Broken::Gap(ResyncReason::CursorExpired))
}

/// One reading from one offset.
struct Attempt<'a> {
    shared: &'a Shared,
    run: &'a Run,
    order: Order,
    /// Where the records have to begin, at the latest.
    wanted: Position,
    /// They have begun.
    placed: bool,
}

enum Progress {
    /// There is more.
    On,
    /// The window has what follows, or nobody is left.
    Done,
    /// The records begin behind what is wanted.
    TooLate,
}

impl Attempt<'_> {
    async fn take(&mut self, message: Bytes) -> Result<Progress, Broken> {
        let mut steps = Vec::new();
        // What is no message was told of by whoever reads the stream for the window.
        let Ok(message) = self.order.decode(message) else { return Ok(Progress::On) };
        if self.order.take(message, &mut steps).is_err() {
            return Ok(Progress::On);
        }
        for step in steps {
            match step {
                Step::Begin(incarnation) if incarnation > self.run.incarnation => {
                    return if self.placed {
                        Err(Broken::Gap(ResyncReason::SourceReset))
                    } else {
                        Ok(Progress::TooLate)
                    };
                }
                Step::Start(incarnation, position) if incarnation == self.run.incarnation => {
                    if self.placed {
                        return Err(Broken::Gap(ResyncReason::CursorExpired));
                    }
                    if position > self.wanted {
                        return Ok(Progress::TooLate);
                    }
                    self.placed = true;
                    self.run.starts_at(position);
                }
                // A second attempt reads some of it again.
                Step::Take(record) if self.placed && record.end() > self.run.end_position() => {
                    self.run.push(record).await;
                }
                Step::Begin(_) | Step::Start(..) | Step::Take(_) => {}
            }
        }
        let arrived = self.placed && {
            let end = self.run.end_position();
            end >= self.wanted
                && matches!(self.shared.window.read_on(self.run.incarnation, end, 0), Read::Records(_))
        };
        Ok(if arrived || self.run.is_deserted() { Progress::Done } else { Progress::On })
    }
}
