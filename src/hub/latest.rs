use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::frames::FrameBuilder;
use super::judge::{Images, LastMapping, Undecided};
use super::net::{NetChange, NetChanges, Netting};
use super::outbox::{Delivery, Stamp};
use super::selection::{Rows, Selection};
use super::shapes::ShapeId;
use crate::event::{Position, Table};
use crate::protocol::Origin;

/// Delivery `latest`: what several transactions in a row made of each key, once an interval.
///
/// Who joins in the middle of an interval has seen what is withheld by then, so what comes after it is a *segment* of
/// its own: a key that goes away after it joined has to be told to it, though for the others the key came and went.
#[derive(Debug)]
pub(super) struct Conflation {
    interval: Duration,
    /// What is withheld, oldest first; empty if nothing is.
    segments: Vec<Segment>,
    /// Somebody has joined since the last change: the next one begins a segment.
    split: bool,
    withheld_bytes: usize,
    flushed_at: Instant,
    /// When it was last said to be due; what was said before counts no more.
    due: Option<Instant>,
}

/// Changes in a row during which nobody joined.
#[derive(Debug)]
struct Segment {
    /// Where the readers stand that have seen nothing of it.
    start: Position,
    netting: Netting,
}

/// Each is netted once more for those whose first one it is. With more than this the shape is flushed early.
const MOST_SEGMENTS: usize = 16;

impl Conflation {
    pub(super) fn new(interval: Duration) -> Self {
        let flushed_at = Instant::now().checked_sub(interval).unwrap_or_else(Instant::now);
        Self { interval, segments: Vec::new(), split: false, withheld_bytes: 0, flushed_at, due: None }
    }

    /// Where a reader stands whose first segment is this one; `None` if nothing is withheld from it.
    pub(super) fn start_of(&self, segment: u32) -> Option<Position> {
        self.segments.get(segment as usize).map(|segment| segment.start)
    }

    /// The first segment of a reader who has seen everything so far.
    pub(super) fn join(&mut self) -> u32 {
        self.split = !self.segments.is_empty();
        u32::try_from(self.segments.len()).expect("segments are few")
    }

    /// Holds back a change that a transaction behind `before` made. Gives back when the shape is due, if that is news:
    /// at the end of its interval, or at once where it withholds more than `limit_bytes`.
    pub(super) fn withhold(
        &mut self,
        id: ShapeId,
        table: &Arc<Table>,
        change: &NetChange,
        before: Position,
        limit_bytes: usize,
    ) -> Option<(Instant, ShapeId)> {
        // A change of another form than the table's never gets here: it was mapped to be judged.
        _ = self.open(table, before).merge(change);
        // A key that changes again and again counts each time: a bound from above.
        self.withheld_bytes += change.size_bytes();
        self.becomes_due(id, self.withheld_bytes > limit_bytes || self.segments.len() > MOST_SEGMENTS)
    }

    /// Holds back that the table lost all its rows.
    pub(super) fn withhold_truncate(
        &mut self,
        id: ShapeId,
        table: &Arc<Table>,
        before: Position,
    ) -> Option<(Instant, ShapeId)> {
        self.open(table, before).truncate();
        self.becomes_due(id, false)
    }

    fn open(&mut self, table: &Arc<Table>, before: Position) -> &mut Netting {
        if std::mem::take(&mut self.split) || self.segments.is_empty() {
            self.segments.push(Segment { start: before, netting: Netting::new(table.clone()) });
        }
        let last = self.segments.len() - 1;
        &mut self.segments[last].netting
    }

    fn becomes_due(&mut self, id: ShapeId, at_once: bool) -> Option<(Instant, ShapeId)> {
        let at = if at_once { self.flushed_at } else { self.flushed_at + self.interval };
        let news = self.due.is_none_or(|due| at < due);
        news.then(|| {
            self.due = Some(at);
            (at, id)
        })
    }

    /// Lets go of everything: the segments, with where their readers stand.
    fn flush(&mut self, now: Instant) -> Vec<(Position, NetChanges)> {
        (self.split, self.withheld_bytes, self.flushed_at, self.due) = (false, 0, now, None);
        let segments = std::mem::take(&mut self.segments).into_iter();
        segments.map(|segment| (segment.start, segment.netting.finish())).collect()
    }
}

impl Rows {
    /// The frames of net changes, as this selection sees them.
    pub(super) fn frames(
        &self,
        net: &NetChanges,
        frame_bytes: usize,
        stamp: &Stamp,
        origin: &Origin,
    ) -> Result<Vec<Arc<Delivery>>, Undecided> {
        let mut builder = FrameBuilder::default();
        if net.truncated {
            builder.truncate();
        }
        let mut mapping = LastMapping::of_net(net);
        for change in &net.changes {
            let mapping = mapping.of(&self.table, change).map_err(|_| Undecided::Missing)?;
            let images = Images::new(&self.table, mapping, change);
            let verdict = images.judge(self)?;
            builder.push(self, &images, verdict, frame_bytes)?;
        }
        Ok(builder.finish(stamp, origin, self.fingerprint))
    }

    /// What several segments in a row made of each key.
    fn combine(&self, segments: &[(Position, NetChanges)]) -> NetChanges {
        let mut netting = Netting::new(self.table.clone());
        for (_, net) in segments {
            if net.truncated {
                netting.truncate();
            }
            for change in &net.changes {
                // As when it was withheld.
                _ = netting.merge(change);
            }
        }
        netting.finish()
    }
}

impl Engine {
    /// Flushes the conflating shapes that are due.
    pub(super) fn tick(&mut self, now: Instant) {
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, id)) = self.due.pop_first() else { return };
            let conflation = self.shapes.get_mut(id).and_then(|shape| shape.conflation.as_ref());
            if conflation.is_some_and(|conflation| conflation.due == Some(at)) {
                self.flush(id, now);
            }
        }
    }

    /// Offers what a conflating shape has withheld, to each reader what it has not seen of it.
    fn flush(&mut self, id: ShapeId, now: Instant) {
        let stamp = self.stamp(self.position);
        let Some(shape) = self.shapes.get_mut(id) else { return };
        let (Selection::Rows(rows), Some(conflation)) = (&shape.selection, &mut shape.conflation) else {
            return;
        };
        let (rows, segments) = (rows.clone(), conflation.flush(now));
        let origin = Origin::new(self.position.commit_lsn, None);
        for (index, (start, net)) in segments.iter().enumerate() {
            let is_first = |segment: u32| segment as usize == index;
            let Some(shape) = self.shapes.get_mut(id) else { return };
            if !shape.readers.iter().any(|(_, reader)| is_first(reader.segment)) {
                continue;
            }
            let rest = &segments[index..];
            let frames = match rest {
                [_] => rows.frames(net, self.config.frame_bytes, &stamp, &origin),
                _ => rows.frames(&rows.combine(rest), self.config.frame_bytes, &stamp, &origin),
            };
            match frames {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => {
                    let behind = self.place(*start);
                    self.shapes.offer_some(id, &frames, &behind, |reader| is_first(reader.segment)).report();
                }
                Err(undecided) => return self.fail(id, undecided),
            }
        }
        if let Some(shape) = self.shapes.get_mut(id) {
            for (_, reader) in &mut shape.readers {
                reader.segment = 0;
            }
        }
    }
}
