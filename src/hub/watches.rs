use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use slab::Slab;

use super::judge::{Images, LastMapping};
use super::net::NetChanges;
use super::shapes::Ticket;
use crate::event::{Datum, Table};
use crate::filter::Index;
use crate::policy::{Guard, Visibility};

/// Who starts over once which rows are touched: the guards of all readers, equal ones together, found by what they ask
/// for.
#[derive(Debug, Default)]
pub(super) struct Watches {
    all: Slab<Watch>,
    by_name: HashMap<Box<str>, usize>,
    tables: HashMap<u32, TableWatches>,
}

#[derive(Debug)]
struct Watch {
    guard: Guard,
    readers: HashSet<Ticket>,
}

#[derive(Debug)]
struct TableWatches {
    table: Arc<Table>,
    index: Index<usize>,
    unfiltered: Vec<usize>,
    count: usize,
}

impl Watches {
    /// A table that is watched.
    pub(super) fn table(&self, oid: u32) -> Option<&Arc<Table>> {
        self.tables.get(&oid).map(|watches| &watches.table)
    }

    /// Has a reader start over once what it sees may no longer be what it was worked out to be.
    pub(super) fn add(&mut self, visibility: &Visibility, reader: Ticket) {
        for guard in &*visibility.guards {
            let at = match self.by_name.get(guard.name()) {
                Some(at) => *at,
                None => self.insert(guard),
            };
            self.all[at].readers.insert(reader);
        }
    }

    /// Forgets a reader.
    pub(super) fn remove(&mut self, visibility: &Visibility, reader: Ticket) {
        for guard in &*visibility.guards {
            let Some(at) = self.by_name.get(guard.name()).copied() else { continue };
            let watch = &mut self.all[at];
            watch.readers.remove(&reader);
            if watch.readers.is_empty() {
                self.forget(at);
            }
        }
    }

    /// Who starts over because of what a transaction did to a table.
    pub(super) fn touched(&self, table: &Arc<Table>, net: &NetChanges, out: &mut HashSet<Ticket>) {
        let Some(watches) = self.tables.get(&table.oid) else { return };
        if net.truncated {
            return self.all_of(table.oid, out);
        }
        let mut mapping = LastMapping::of_net(net);
        let mut candidates = Vec::new();
        for change in &net.changes {
            let Ok(mapping) = mapping.of(table, change) else { return self.all_of(table.oid, out) };
            let images = Images::new(table, mapping, change);
            candidates.clear();
            for image in [&images.before, &images.after].into_iter().flatten() {
                watches.index.candidates(image, &mut candidates);
            }
            candidates.extend_from_slice(&watches.unfiltered);
            for at in &candidates {
                let watch = &self.all[*at];
                if is_touched(&watch.guard, &images) {
                    out.extend(&watch.readers);
                }
            }
        }
    }

    /// Everybody who depends on a table.
    pub(super) fn all_of(&self, oid: u32, out: &mut HashSet<Ticket>) {
        let of_table = |watch: &&Watch| watch.guard.table().oid == oid;
        let watches = self.all.iter().map(|(_, watch)| watch).filter(of_table);
        watches.for_each(|watch| out.extend(&watch.readers));
    }

    fn insert(&mut self, guard: &Guard) -> usize {
        let at = self.all.insert(Watch { guard: guard.clone(), readers: HashSet::new() });
        self.by_name.insert(guard.name().into(), at);
        let watches = self.tables.entry(guard.table().oid).or_insert_with(|| TableWatches {
            table: guard.table().clone(),
            index: Index::new(),
            unfiltered: Vec::new(),
            count: 0,
        });
        watches.count += 1;
        match guard.filter() {
            Some(filter) => watches.index.insert(filter, at),
            None => watches.unfiltered.push(at),
        }
        at
    }

    fn forget(&mut self, at: usize) {
        let Watch { guard, .. } = self.all.remove(at);
        self.by_name.remove(guard.name());
        let oid = guard.table().oid;
        let Some(watches) = self.tables.get_mut(&oid) else { return };
        match guard.filter() {
            Some(filter) => watches.index.remove(filter, &at),
            None => watches.unfiltered.retain(|other| *other != at),
        }
        watches.count -= 1;
        if watches.count == 0 {
            self.tables.remove(&oid);
        }
    }
}

/// Whether a guard's rows are touched by what a transaction did to its table.
pub(super) fn touches(guard: &Guard, net: &NetChanges) -> bool {
    if net.truncated {
        return true;
    }
    let mut mapping = LastMapping::of_net(net);
    net.changes.iter().any(|change| match mapping.of(guard.table(), change) {
        Ok(mapping) => is_touched(guard, &Images::new(guard.table(), mapping, change)),
        Err(_) => true,
    })
}

/// Whether a row that counts came, went, or changed in a column that counts; what cannot be told counts as that.
fn is_touched(guard: &Guard, images: &Images<'_>) -> bool {
    let counts = |row: &Option<Vec<Datum<'_>>>| match (guard.filter(), row) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(filter), Some(row)) => filter.matches(row).unwrap_or(true),
    };
    match (counts(&images.before), counts(&images.after)) {
        (false, false) => false,
        (true, true) => {
            let (Some(before), Some(after)) = (&images.before, &images.after) else { return true };
            let differs =
                |column: &usize| after[*column] != Datum::Unchanged && before[*column] != after[*column];
            guard.columns().iter().any(differs)
        }
        _ => true,
    }
}
