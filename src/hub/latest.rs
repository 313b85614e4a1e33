use std::sync::Arc;
use std::time::Instant;

use super::engine::Engine;
use super::frames::FrameBuilder;
use super::judge::{Images, LastMapping, Undecided};
use super::net::{NetChange, NetChanges, Netting};
use super::outbox::{Delivery, Stamp};
use super::selection::{Rows, Selection};
use super::shapes::{Conflation, ShapeId};
use crate::protocol::Origin;

/// Delivery `latest`: what several transactions in a row made of each key, once an interval.
impl Conflation {
    /// Holds a change back. Gives back when the shape is due, if that is news: at the end of its interval, or at once
    /// where it withholds more than `limit_bytes`.
    pub(super) fn withhold(
        &mut self,
        id: ShapeId,
        rows: &Rows,
        change: &NetChange,
        limit_bytes: usize,
    ) -> Option<(Instant, ShapeId)> {
        self.withheld_bytes += change.size_bytes();
        let first = self.withheld.is_none();
        let withheld = self.withheld.get_or_insert_with(|| Netting::new(rows.table.clone()));
        // A change of another form than the table's never gets here: it was mapped to be judged.
        _ = withheld.merge(change);
        if self.withheld_bytes > limit_bytes {
            return Some((self.flushed_at, id));
        }
        first.then(|| (self.flushed_at + self.interval, id))
    }

    /// Holds back that the table lost all its rows.
    pub(super) fn withhold_truncate(&mut self, id: ShapeId, rows: &Rows) -> Option<(Instant, ShapeId)> {
        let first = self.withheld.is_none();
        self.withheld.get_or_insert_with(|| Netting::new(rows.table.clone())).truncate();
        first.then(|| (self.flushed_at + self.interval, id))
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
            let verdict = images.judge(self.filter.as_deref())?;
            builder.push(self, &images, verdict, frame_bytes)?;
        }
        Ok(builder.finish(stamp, origin, self.fingerprint))
    }
}

impl Engine {
    /// Offers what a conflating shape has withheld.
    pub(super) fn flush(&mut self, id: ShapeId, now: Instant) {
        let (stamp, position) = (self.stamp(), self.position);
        let Some(shape) = self.shapes.get_mut(id) else { return };
        let (Selection::Rows(rows), Some(conflation)) = (&shape.selection, &mut shape.conflation) else {
            return;
        };
        let flushed = std::mem::replace(&mut conflation.flushed, position);
        conflation.flushed_at = now;
        conflation.withheld_bytes = 0;
        let Some(withheld) = conflation.withheld.take() else { return };
        let origin = Origin::new(position.commit_lsn, None);
        match rows.frames(&withheld.finish(), self.config.frame_bytes, &stamp, &origin) {
            Ok(frames) if frames.is_empty() => {}
            Ok(frames) => {
                let behind = self.place(flushed);
                self.shapes.offer(id, &frames, &behind).report();
            }
            Err(undecided) => self.fail(id, undecided),
        }
    }
}
