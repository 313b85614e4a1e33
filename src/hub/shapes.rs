use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use slab::Slab;

use super::frames::FrameBuilder;
use super::latest::Conflation;
use super::mapping::Mapping;
use super::net::Netting;
use super::outbox::{Delivery, Fall, Note, Offer, Outbox, ReaderKey};
use super::place::Place;
use super::selection::{Fingerprint, Rows, Selection};
use super::watches::Watches;
use crate::event::{Datum, Position, Table};
use crate::filter::Index;
use crate::policy::Visibility;
use crate::protocol::Delivery as Pace;
use crate::telemetry::metric;

/// A shape's number in this process; used again when it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ShapeId(u32);

/// One selection and all who see it.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) selection: Selection,
    pub(super) readers: Slab<Reader>,
    pub(super) conflation: Option<Box<Conflation>>,
    /// What it sees of the transaction in work.
    pub(super) building: Option<Box<FrameBuilder>>,
}

/// One subscription that is delivered to.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) outbox: Arc<Outbox>,
    pub(super) key: ReaderKey,
    /// Of what a conflating shape withholds, the first segment that this reader has not seen.
    pub(super) segment: u32,
    /// By what rights it sees what it sees, if there is more to it than the shape.
    pub(super) visibility: Option<Arc<Visibility>>,
}

/// A reader's place among the shapes: for leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    shape: ShapeId,
    reader: usize,
}

/// The shapes of one table, found by what their filters ask for.
#[derive(Debug)]
struct TableShapes {
    table: Arc<Table>,
    /// How the stream carried it last.
    mapping: Option<Arc<Mapping>>,
    index: Index<ShapeId>,
    unfiltered: Vec<ShapeId>,
    /// All of them: a filter that nothing can match is in neither.
    count: usize,
}

/// All shapes of this process.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the others are ways to find them")]
pub(super) struct Shapes {
    shapes: Slab<Shape>,
    by_selection: HashMap<Selection, ShapeId>,
    tables: HashMap<u32, TableShapes>,
    readers: usize,
    pub(super) watches: Watches,
}

impl Shapes {
    pub(super) fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Readers of all shapes.
    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    pub(super) fn get_mut(&mut self, id: ShapeId) -> Option<&mut Shape> {
        self.shapes.get_mut(id.0 as usize)
    }

    /// What clients know a shape as; `None` if it is gone, or a channel's.
    pub(super) fn fingerprint(&self, id: ShapeId) -> Option<Fingerprint> {
        match &self.shapes.get(id.0 as usize)?.selection {
            Selection::Rows(rows) => Some(rows.fingerprint),
            Selection::Channel(_) => None,
        }
    }

    /// The table as its shapes know it, or those whose rights depend on it; `None` if nobody follows it.
    pub(super) fn table(&self, oid: u32) -> Option<&Arc<Table>> {
        self.tables.get(&oid).map(|shapes| &shapes.table).or_else(|| self.watches.table(oid))
    }

    /// A netting for a transaction's changes of this table; `None` if nobody follows it.
    pub(super) fn netting(&self, oid: u32) -> Option<Netting> {
        match self.tables.get(&oid) {
            Some(TableShapes { table, mapping, .. }) => {
                Some(Netting::knowing(mapping.clone(), table.clone()))
            }
            None => self.watches.table(oid).map(|table| Netting::new(table.clone())),
        }
    }

    /// Keeps how the stream carries a table, for the next transaction.
    pub(super) fn keep_mapping(&mut self, table: &Arc<Table>, mapping: Option<&Arc<Mapping>>) {
        if let (Some(shapes), Some(mapping)) = (self.tables.get_mut(&table.oid), mapping)
            && Arc::ptr_eq(&shapes.table, table)
            && !shapes.mapping.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, mapping))
        {
            shapes.mapping = Some(mapping.clone());
        }
    }

    pub(super) fn channel(&self, name: &Arc<str>) -> Option<ShapeId> {
        self.by_selection.get(&Selection::Channel(name.clone())).copied()
    }

    /// All shapes of a table.
    pub(super) fn of_table(&self, oid: u32) -> Vec<ShapeId> {
        let of_table =
            |shape: &Shape| matches!(&shape.selection, Selection::Rows(rows) if rows.table.oid == oid);
        self.shapes.iter().filter(|(_, shape)| of_table(shape)).map(|(id, _)| ShapeId::of(id)).collect()
    }

    /// All shapes.
    pub(super) fn all(&self) -> Vec<ShapeId> {
        self.shapes.iter().map(|(id, _)| ShapeId::of(id)).collect()
    }

    /// The shapes of a table that may see a row with one of these images, each once, in place of what `out` held.
    pub(super) fn candidates(&self, oid: u32, images: [Option<&[Datum<'_>]>; 2], out: &mut Vec<ShapeId>) {
        out.clear();
        let Some(shapes) = self.tables.get(&oid) else { return };
        for image in images.into_iter().flatten() {
            shapes.index.candidates(image, out);
        }
        out.sort_unstable();
        out.dedup();
        out.extend_from_slice(&shapes.unfiltered);
    }

    /// Adds a reader, who has seen all that the hub has taken, to the shape with this selection, which is made if it is
    /// the first.
    pub(super) fn join(&mut self, selection: Selection, outbox: Arc<Outbox>, key: ReaderKey) -> Ticket {
        let visibility = match &selection {
            Selection::Rows(rows) => rows.visibility.clone(),
            Selection::Channel(_) => None,
        };
        let id = match self.by_selection.get(&selection) {
            Some(id) => *id,
            None => self.insert(selection),
        };
        self.readers += 1;
        let shape = &mut self.shapes[id.0 as usize];
        let segment = shape.conflation.as_mut().map_or(0, |conflation| conflation.join());
        let reader = Reader { outbox, key, segment, visibility: visibility.clone() };
        let ticket = Ticket { shape: id, reader: shape.readers.insert(reader) };
        if let Some(visibility) = visibility {
            self.watches.add(&visibility, ticket);
        }
        ticket
    }

    /// Takes a reader away, if it is still there; and its shape, if it was the last.
    pub(super) fn leave(&mut self, ticket: Ticket, outbox: &Arc<Outbox>, key: ReaderKey) {
        if self.holds(ticket, outbox, key) {
            self.take_out(ticket);
        }
    }

    /// Takes a reader away and tells it why; tells whether it was there.
    pub(super) fn drop_reader(&mut self, ticket: Ticket, fall: &Fall) -> bool {
        let shape = self.shapes.get(ticket.shape.0 as usize);
        let Some(reader) = shape.and_then(|shape| shape.readers.get(ticket.reader)) else { return false };
        // A session that has ended needs no telling.
        _ = reader.outbox.note(reader.key, Note::Fell(fall.clone()));
        self.take_out(ticket);
        true
    }

    /// All readers who see by rights that may end.
    pub(super) fn bound(&self) -> impl Iterator<Item = (Ticket, &Arc<Visibility>)> {
        self.shapes.iter().flat_map(|(id, shape)| {
            shape.readers.iter().filter_map(move |(reader, it)| {
                Some((Ticket { shape: ShapeId::of(id), reader }, it.visibility.as_ref()?))
            })
        })
    }

    fn take_out(&mut self, ticket: Ticket) {
        let reader = self.shapes[ticket.shape.0 as usize].readers.remove(ticket.reader);
        if let Some(visibility) = reader.visibility {
            self.watches.remove(&visibility, ticket);
        }
        self.readers -= 1;
        self.forget_if_empty(ticket.shape);
    }

    /// Whether the reader is still delivered to: numbers are used again.
    pub(super) fn holds(&self, ticket: Ticket, outbox: &Arc<Outbox>, key: ReaderKey) -> bool {
        let shape = self.shapes.get(ticket.shape.0 as usize);
        let reader = shape.and_then(|shape| shape.readers.get(ticket.reader));
        reader.is_some_and(|reader| reader.key == key && Arc::ptr_eq(&reader.outbox, outbox))
    }

    /// Where a reader stands from whom something is withheld; `None` from whom nothing is.
    pub(super) fn withheld_from(&self, ticket: Ticket) -> Option<Position> {
        let shape = self.shapes.get(ticket.shape.0 as usize)?;
        let segment = shape.readers.get(ticket.reader)?.segment;
        shape.conflation.as_ref()?.start_of(segment)
    }

    /// Whether the reader is delivered to and nothing is withheld from it.
    pub(super) fn owes_nothing(&self, ticket: Ticket, outbox: &Arc<Outbox>, key: ReaderKey) -> bool {
        self.holds(ticket, outbox, key) && self.withheld_from(ticket).is_none()
    }

    /// Takes a shape away and tells its readers why.
    pub(super) fn drop_shape(&mut self, id: ShapeId, fall: &Fall) -> usize {
        let Some(shape) = self.get_mut(id) else { return 0 };
        let readers = std::mem::take(&mut shape.readers);
        let dropped = readers.len();
        for (number, reader) in readers {
            // A session that has ended needs no telling.
            _ = reader.outbox.note(reader.key, Note::Fell(fall.clone()));
            if let Some(visibility) = &reader.visibility {
                self.watches.remove(visibility, Ticket { shape: id, reader: number });
            }
        }
        self.readers -= dropped;
        self.forget_if_empty(id);
        dropped
    }

    /// Offers to every reader of a shape; who has no room falls behind at `place`. Gives back how many took it.
    pub(super) fn offer(&mut self, id: ShapeId, deliveries: &[Arc<Delivery>], place: &Place) -> Offered {
        self.offer_some(id, deliveries, place, |_| true)
    }

    /// The same to those of them that `chosen` says.
    pub(super) fn offer_some(
        &mut self,
        id: ShapeId,
        deliveries: &[Arc<Delivery>],
        place: &Place,
        chosen: impl Fn(&Reader) -> bool,
    ) -> Offered {
        let mut offered = Offered::default();
        let Some(shape) = self.shapes.get_mut(id.0 as usize) else { return offered };
        let watches = &mut self.watches;
        shape.readers.retain(|number, reader| {
            if !chosen(reader) {
                return true;
            }
            let offer = reader.outbox.offer(reader.key, deliveries);
            match offer {
                Offer::Queued => offered.queued += 1,
                Offer::Full => {
                    _ = reader.outbox.note(reader.key, Note::Fell(Fall::Behind(place.clone())));
                    offered.full += 1;
                }
                Offer::Closed => offered.closed += 1,
            }
            if offer != Offer::Queued
                && let Some(visibility) = &reader.visibility
            {
                watches.remove(visibility, Ticket { shape: id, reader: number });
            }
            offer == Offer::Queued
        });
        let gone = offered.full + offered.closed;
        self.readers -= gone;
        if gone > 0 {
            self.forget_if_empty(id);
        }
        offered
    }

    fn insert(&mut self, selection: Selection) -> ShapeId {
        let conflation = match &selection {
            Selection::Rows(Rows { delivery: Pace::Latest { interval_ms }, .. }) => {
                Some(Box::new(Conflation::new(Duration::from_millis(u64::from(*interval_ms)))))
            }
            _ => None,
        };
        let shape = Shape { selection: selection.clone(), readers: Slab::new(), conflation, building: None };
        let id = ShapeId::of(self.shapes.insert(shape));
        if let Selection::Rows(rows) = &selection {
            let shapes = self.tables.entry(rows.table.oid).or_insert_with(|| TableShapes {
                table: rows.table.clone(),
                mapping: None,
                index: Index::new(),
                unfiltered: Vec::new(),
                count: 0,
            });
            shapes.count += 1;
            match rows.whole() {
                Some(filter) => shapes.index.insert(filter, id),
                None => shapes.unfiltered.push(id),
            }
        }
        self.by_selection.insert(selection, id);
        id
    }

    fn forget_if_empty(&mut self, id: ShapeId) {
        if self.get_mut(id).is_none_or(|shape| !shape.readers.is_empty()) {
            return;
        }
        let shape = self.shapes.remove(id.0 as usize);
        self.by_selection.remove(&shape.selection);
        let Selection::Rows(rows) = &shape.selection else { return };
        let Some(shapes) = self.tables.get_mut(&rows.table.oid) else { return };
        match rows.whole() {
            Some(filter) => shapes.index.remove(filter, &id),
            None => shapes.unfiltered.retain(|other| *other != id),
        }
        shapes.count -= 1;
        if shapes.count == 0 {
            self.tables.remove(&rows.table.oid);
        }
    }
}

/// How an offer to all readers of a shape went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered {
    pub(super) queued: usize,
    pub(super) full: usize,
    pub(super) closed: usize,
}

impl ShapeId {
    fn of(slot: usize) -> Self {
        Self(u32::try_from(slot).expect("fewer shapes than 2^32: each has a reader"))
    }
}

impl Offered {
    /// Tells the metrics, and gives back how many took the offer.
    pub(super) fn report(self) -> u64 {
        if self.full > 0 {
            metrics::counter!(metric::SESSION_SLOW_READERS).increment(self.full as u64);
        }
        self.queued as u64
    }
}
