use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use metrics::Counter;

use super::assembly::{self, Assembled, Assembly};
use super::frames::{self, FrameBuilder};
use super::judge::{Images, LastMapping, Undecided, Verdict};
use super::net::{NetChange, NetChanges, Netting};
use super::outbox::{Fall, Outbox, ReaderKey, Stamp};
use super::place::Place;
use super::selection::Selection;
use super::shapes::{ShapeId, Shapes, Ticket};
use super::{Config, policy_raised, raised};
use crate::event::{Change, ChannelEvent, Cursor, Incarnation, Position, Record, Table};
use crate::journal::Tail;
use crate::protocol::Origin;
use crate::protocol::ResyncReason;
use crate::telemetry::metric;

/// The hub's mind: takes records in order, finds who sees what, and offers it. Never waits, never blocks.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) config: Config,
    pub(super) incarnation: Incarnation,
    /// The end of the last transaction that was taken in whole.
    pub(super) position: Position,
    pub(super) shapes: Shapes,
    assembly: Assembly,
    /// Shapes that a transaction over the limit touches.
    touched: BTreeSet<ShapeId>,
    /// Readers whose rights it may change; of one within the limit, only while it is told.
    revoked: HashSet<Ticket>,
    /// When a conflating shape is due, soonest first.
    pub(super) due: BTreeSet<(Instant, ShapeId)>,
    candidates: Vec<ShapeId>,
    /// Shapes that see something of the transaction in work, in the order in which they do.
    seeing: Vec<ShapeId>,
    counters: Counters,
}

/// What moves with every transaction: looked up once, not each time.
struct Counters {
    deliveries: Counter,
    matches: Counter,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// What a record brought besides deliveries.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// Numbers that were written into the log for those who wait.
    pub(super) tokens: Vec<u64>,
    /// Definitions of tables may have changed.
    pub(super) schema: bool,
}

impl Engine {
    pub(super) fn new(config: Config, incarnation: Incarnation, position: Position) -> Self {
        Self {
            config,
            incarnation,
            position,
            shapes: Shapes::default(),
            assembly: Assembly::new(config.transaction_bytes),
            touched: BTreeSet::new(),
            revoked: HashSet::new(),
            due: BTreeSet::new(),
            candidates: Vec::new(),
            seeing: Vec::new(),
            counters: Counters {
                deliveries: metrics::counter!(metric::HUB_DELIVERIES),
                matches: metrics::counter!(metric::HUB_MATCHES),
            },
        }
    }

    /// Starts over at another place of the journal: every reader is told to.
    pub(super) fn reset(&mut self, start: Tail) {
        self.incarnation = start.incarnation;
        self.position = start.position;
        self.assembly.clear();
        self.touched.clear();
        self.revoked.clear();
        for shape in self.shapes.all() {
            self.resync(shape, ResyncReason::SourceReset);
        }
    }

    /// Takes the next record in.
    pub(super) fn take(&mut self, record: &Arc<Record>, noticed: &mut Noticed) {
        match &**record {
            Record::Mark(mark) => {
                noticed.tokens.extend(mark.token);
                self.position = record.end();
            }
            Record::Chunk(chunk) => {
                noticed.schema |= chunk.changes.iter().any(|change| matches!(change, Change::Schema));
                match self.assembly.push(record) {
                    Assembled::Partly => {}
                    Assembled::Whole(parts) => self.deliver(&parts),
                    Assembled::Large { parts, last } => self.touch(&parts, last),
                }
            }
        }
    }

    /// Takes a reader out, and tells up to where it has been offered everything; `None` if it was out already.
    pub(super) fn release(&mut self, ticket: Ticket, outbox: &Arc<Outbox>, key: ReaderKey) -> Option<Place> {
        if !self.shapes.holds(ticket, outbox, key) {
            return None;
        }
        let position = self.shapes.withheld_from(ticket).unwrap_or(self.position);
        self.shapes.leave(ticket, outbox, key);
        Some(self.place(position))
    }

    /// Whether parts of a transaction over the limit are coming in: who joins now would not know what it touched.
    pub(super) fn is_in_large_transaction(&self) -> bool {
        self.assembly.is_large()
    }

    /// When the next shape is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Tells the readers of a shape to start over, and forgets it.
    pub(super) fn resync(&mut self, shape: ShapeId, reason: ResyncReason) {
        let dropped = self.shapes.drop_shape(shape, &Fall::Resync(reason));
        metrics::counter!(metric::HUB_RESYNCS, metric::REASON => reason.as_str()).increment(dropped as u64);
    }

    /// Where the hub stands, as a place.
    pub(super) fn here(&self) -> Place {
        self.place(self.position)
    }

    pub(super) fn place(&self, position: Position) -> Place {
        Place { incarnation: self.incarnation, position, seen: None }
    }

    pub(super) fn stamp(&self, position: Position) -> Stamp {
        let cursor = Cursor { incarnation: self.incarnation, position, seen: None };
        Stamp { position, text: cursor.encode().into() }
    }

    /// Nets a whole transaction, judges it for every shape that may see it, and offers what each sees.
    fn deliver(&mut self, parts: &[Arc<Record>]) {
        let Some(last) = parts.last() else { return };
        let mut gathered = Gathered::default();
        for (_, change) in assembly::changes(parts) {
            self.gather(change, &mut gathered);
        }
        if !gathered.is_empty() || parts.iter().any(has_events) {
            self.tell(parts, last, gathered);
        }
        self.position = last.end();
    }

    /// The engine stands before the transaction still.
    fn tell(&mut self, parts: &[Arc<Record>], last: &Arc<Record>, gathered: Gathered) {
        let (before, stamp) = (self.here(), self.stamp(last.end()));
        let tables: Vec<_> = gathered
            .tables
            .into_iter()
            .map(|(table, netting)| (table, netting.map(Netting::finish)))
            .collect();
        // First: of a transaction that changes what somebody may see, that reader is told nothing but that.
        self.revoke(&tables);
        for (table, net) in tables {
            match net {
                Some(net) => self.judge(&table, &net),
                None => self.shapes.of_table(table.oid).into_iter().for_each(|shape| {
                    self.resync(shape, ResyncReason::SchemaChanged);
                }),
            }
        }
        let origin = assembly::chunk(last).map(|chunk| (chunk.xid, chunk.committed_at));
        let origin = Origin::new(stamp.position.commit_lsn, origin);
        let mut deliveries = 0;
        let mut seeing = std::mem::take(&mut self.seeing);
        for shape in seeing.drain(..) {
            let builder = self.shapes.get_mut(shape).and_then(|shape| shape.building.take());
            let (Some(builder), Some(fingerprint)) = (builder, self.shapes.fingerprint(shape)) else {
                continue;
            };
            let frames = builder.finish(&stamp, &origin, fingerprint);
            deliveries += self.shapes.offer(shape, &frames, &before).report();
        }
        self.seeing = seeing;
        deliveries += self.deliver_events(parts, &stamp, &before);
        self.counters.deliveries.increment(deliveries);
    }

    /// Has those start over whose rights were worked out from what a transaction touches.
    fn revoke(&mut self, tables: &[(Arc<Table>, Option<NetChanges>)]) {
        let mut revoked = std::mem::take(&mut self.revoked);
        for (table, net) in tables {
            match net {
                Some(net) => self.shapes.watches.touched(table, net, &mut revoked),
                None => self.shapes.watches.all_of(table.oid, &mut revoked),
            }
        }
        self.drop_readers(revoked.drain(), ResyncReason::PermissionsChanged);
        self.revoked = revoked;
    }

    /// Tells these readers to start over.
    pub(super) fn drop_readers(&mut self, readers: impl Iterator<Item = Ticket>, reason: ResyncReason) {
        let dropped: usize =
            readers.map(|reader| usize::from(self.shapes.drop_reader(reader, &Fall::Resync(reason)))).sum();
        if dropped > 0 {
            metrics::counter!(metric::HUB_RESYNCS, metric::REASON => reason.as_str())
                .increment(dropped as u64);
        }
    }

    fn gather(&self, change: &Change, gathered: &mut Gathered) {
        let (relation, row) = match change {
            Change::Row(row) => (&row.relation, Some(row)),
            Change::Truncate(relation) => (relation, None),
            Change::Event(_) | Change::Schema => return,
        };
        let Some(netting) = gathered.netting(relation.oid, &self.shapes) else { return };
        let Some(open) = netting else { return };
        match row {
            Some(row) if open.change(row).is_err() => *netting = None,
            Some(_) => {}
            None => open.truncate(),
        }
    }

    fn judge(&mut self, table: &Arc<Table>, net: &NetChanges) {
        if net.truncated {
            self.truncate(table);
        }
        self.shapes.keep_mapping(table, net.mapping.as_ref());
        let mut mapping = LastMapping::of_net(net);
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut matches = 0;
        for change in &net.changes {
            let Ok(mapping) = mapping.of(table, change) else { continue };
            let images = Images::new(table, mapping, change);
            let both = [images.before.as_deref(), images.after.as_deref()];
            self.shapes.candidates(table.oid, both, &mut candidates);
            for shape in &candidates {
                matches += u64::from(self.judge_one(*shape, change, &images));
            }
        }
        self.candidates = candidates;
        self.counters.matches.increment(matches);
    }

    /// Whether the shape sees anything of the change.
    fn judge_one(&mut self, id: ShapeId, change: &NetChange, images: &Images<'_>) -> bool {
        let Some(shape) = self.shapes.get_mut(id) else { return false };
        let Selection::Rows(rows) = &shape.selection else { return false };
        let limits = self.config;
        let written = images.judge(rows).and_then(|verdict| {
            if verdict == Verdict::Nothing {
                return Ok(false);
            }
            if let Some(conflation) = &mut shape.conflation {
                let due =
                    conflation.withhold(id, &rows.table, change, self.position, limits.transaction_bytes);
                self.due.extend(due);
            } else {
                let builder = begun(&mut shape.building, id, &mut self.seeing);
                builder.push(rows, images, verdict, limits.frame_bytes)?;
            }
            Ok(true)
        });
        written.unwrap_or_else(|undecided| {
            self.fail(id, undecided);
            false
        })
    }

    fn truncate(&mut self, table: &Arc<Table>) {
        for id in self.shapes.of_table(table.oid) {
            let Some(shape) = self.shapes.get_mut(id) else { continue };
            if let (Some(conflation), Selection::Rows(rows)) = (&mut shape.conflation, &shape.selection) {
                self.due.extend(conflation.withhold_truncate(id, &rows.table, self.position));
            } else {
                begun(&mut shape.building, id, &mut self.seeing).truncate();
            }
        }
    }

    /// Ends a shape that cannot be told what a transaction did.
    pub(super) fn fail(&mut self, shape: ShapeId, undecided: Undecided) {
        match undecided {
            Undecided::Missing => self.resync(shape, ResyncReason::SchemaChanged),
            Undecided::Policy => {
                let dropped = self.shapes.drop_shape(shape, &Fall::Failed(Box::new(policy_raised())));
                metrics::counter!(metric::HUB_FILTER_ERRORS).increment(dropped as u64);
            }
            Undecided::Raised(error) => {
                let dropped = self.shapes.drop_shape(shape, &Fall::Failed(Box::new(raised(&error))));
                metrics::counter!(metric::HUB_FILTER_ERRORS).increment(dropped as u64);
            }
        }
    }

    fn deliver_events(&mut self, parts: &[Arc<Record>], stamp: &Stamp, before: &Place) -> u64 {
        let Some(chunk) = parts.last().and_then(|part| assembly::chunk(part)) else { return 0 };
        let mut by_channel: HashMap<ShapeId, Vec<(u32, &ChannelEvent)>> = HashMap::new();
        for (index, change) in assembly::changes(parts) {
            if let Change::Event(event) = change
                && let Some(shape) = self.shapes.channel(&event.channel)
            {
                by_channel.entry(shape).or_default().push((index, event));
            }
        }
        let mut deliveries = 0;
        for (shape, events) in by_channel {
            deliveries +=
                self.shapes.offer(shape, &frames::events_frame(chunk, &events, stamp), before).report();
        }
        deliveries
    }

    /// Notes which shapes a transaction over the limit touches; at its end they are told to start over.
    fn touch(&mut self, parts: &[Arc<Record>], last: bool) {
        let mut gathered: HashMap<u32, bool> = HashMap::new();
        for (_, change) in assembly::changes(parts) {
            match change {
                Change::Row(row) => _ = gathered.entry(row.relation.oid).or_default(),
                Change::Truncate(relation) => _ = gathered.insert(relation.oid, true),
                Change::Event(event) => self.touched.extend(self.shapes.channel(&event.channel)),
                Change::Schema => {}
            }
        }
        for (oid, truncated) in gathered {
            let Some(table) = self.shapes.table(oid).cloned() else { continue };
            if truncated {
                self.touched.extend(self.shapes.of_table(oid));
                self.shapes.watches.all_of(oid, &mut self.revoked);
            }
            self.touch_table(&table, parts);
        }
        if last {
            self.position = parts.last().map_or(self.position, |part| part.end());
            metrics::counter!(metric::HUB_LARGE_TRANSACTIONS).increment(1);
            for shape in std::mem::take(&mut self.touched) {
                self.resync(shape, ResyncReason::LargeTransaction);
            }
            let revoked = std::mem::take(&mut self.revoked);
            self.drop_readers(revoked.into_iter(), ResyncReason::PermissionsChanged);
        }
    }

    fn touch_table(&mut self, table: &Arc<Table>, parts: &[Arc<Record>]) {
        let mut netting = Netting::new(table.clone());
        let mut unknown = false;
        for (_, change) in assembly::changes(parts) {
            if let Change::Row(row) = change
                && row.relation.oid == table.oid
            {
                unknown |= netting.change(row).is_err();
            }
        }
        if unknown {
            self.touched.extend(self.shapes.of_table(table.oid));
            self.shapes.watches.all_of(table.oid, &mut self.revoked);
        }
        let net = netting.finish();
        self.shapes.watches.touched(table, &net, &mut self.revoked);
        let mut mapping = LastMapping::of_net(&net);
        let mut candidates = Vec::new();
        for change in &net.changes {
            let Ok(mapping) = mapping.of(table, change) else { continue };
            let images = Images::new(table, mapping, change);
            let both = [images.before.as_deref(), images.after.as_deref()];
            self.shapes.candidates(table.oid, both, &mut candidates);
            candidates.retain(|shape| !self.touched.contains(shape));
            for shape in &candidates {
                let Some(Selection::Rows(rows)) = self.shapes.get_mut(*shape).map(|shape| &shape.selection)
                else {
                    continue;
                };
                if !matches!(images.judge(rows), Ok(Verdict::Nothing)) {
                    self.touched.insert(*shape);
                }
            }
        }
    }
}

/// The builder of a shape, which is noted where it is the first that the shape sees of the transaction.
fn begun<'a>(
    building: &'a mut Option<Box<FrameBuilder>>,
    id: ShapeId,
    seeing: &mut Vec<ShapeId>,
) -> &'a mut FrameBuilder {
    building.get_or_insert_with(|| {
        seeing.push(id);
        Box::default()
    })
}

/// The tables that a transaction touches and somebody follows, in the order in which it does; without a netting where
/// stream and catalog disagree.
#[derive(Debug, Default)]
struct Gathered {
    tables: Vec<(Arc<Table>, Option<Netting>)>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn netting(&mut self, oid: u32, shapes: &Shapes) -> Option<&mut Option<Netting>> {
        let index = if let Some(index) = self.tables.iter().rposition(|(table, _)| table.oid == oid) {
            index
        } else {
            let table = shapes.table(oid)?.clone();
            self.tables.push((table, shapes.netting(oid)));
            self.tables.len() - 1
        };
        Some(&mut self.tables[index].1)
    }
}

fn has_events(part: &Arc<Record>) -> bool {
    assembly::chunk(part)
        .is_some_and(|chunk| chunk.changes.iter().any(|change| matches!(change, Change::Event(_))))
}
