use std::hash::{Hash, Hasher};
use std::mem::discriminant;
use std::sync::Arc;

use super::outbox::{Delivery, Fall};
use super::replay::{Replayer, Sentry};
use super::selection::Selection;
use super::{Config, Place};
use crate::event::{Change, Record};
use crate::policy::Guard;

/// What is looked for in the journal by those who catch up; equal ones find the same.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// Which relations are touched at all.
    Relations,
    /// What a selection sees, whoever reads it.
    Selection(Selection),
    /// What takes a reader's rights away.
    Guard(Guard),
}

/// Stands for channels among the oids of relations: no relation has it.
pub(super) const EVENTS: u32 = 0;

impl Subject {
    /// What a selection sees, without what a reader's rights depend on.
    pub(super) fn of_selection(selection: &Selection) -> Self {
        Self::Selection(match selection {
            Selection::Rows(rows) => Selection::Rows(rows.without_guards()),
            Selection::Channel(name) => Selection::Channel(name.clone()),
        })
    }

    /// The relation without which there is nothing to be found.
    pub(super) fn relation(&self) -> u32 {
        match self {
            Self::Relations | Self::Selection(Selection::Channel(_)) => EVENTS,
            Self::Selection(Selection::Rows(rows)) => rows.table.oid,
            Self::Guard(guard) => guard.table().oid,
        }
    }

    /// Begins to look for it at a place.
    pub(super) fn finder(&self, place: Place, config: Config) -> Finder {
        match self {
            Self::Relations => Finder::Relations,
            Self::Selection(selection) => {
                Finder::Selection(Box::new(Replayer::new(selection.clone(), place, config)))
            }
            Self::Guard(guard) => Finder::Guard(Sentry::new(guard.clone(), config)),
        }
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Relations, Self::Relations) => true,
            (Self::Selection(a), Self::Selection(b)) => a == b,
            (Self::Guard(a), Self::Guard(b)) => a.name() == b.name() && a.table() == b.table(),
            _ => false,
        }
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self).hash(state);
        match self {
            Self::Relations => {}
            Self::Selection(selection) => selection.hash(state),
            Self::Guard(guard) => guard.name().hash(state),
        }
    }
}

/// Looks for a subject, record by record.
#[derive(Debug)]
pub(super) enum Finder {
    Relations,
    Selection(Box<Replayer>),
    Guard(Sentry),
}

/// What was found in one record, or in the transaction that it ends.
#[derive(Debug)]
pub(super) enum Finding {
    Nothing,
    Relations(Vec<u32>),
    Told(Result<Vec<Arc<Delivery>>, Fall>),
}

impl Finder {
    pub(super) fn take(&mut self, record: &Arc<Record>) -> Finding {
        match self {
            Self::Relations => Finding::Relations(relations(record)),
            Self::Selection(replayer) => match replayer.feed(record) {
                Ok(frames) if frames.is_empty() => Finding::Nothing,
                told => Finding::Told(told),
            },
            Self::Guard(sentry) => sentry
                .feed(record)
                .map_or(Finding::Nothing, |reason| Finding::Told(Err(Fall::Resync(reason)))),
        }
    }
}

fn relations(record: &Record) -> Vec<u32> {
    let Record::Chunk(chunk) = record else { return Vec::new() };
    let of_change = |change: &Change| match change {
        Change::Row(row) => Some(row.relation.oid),
        Change::Truncate(relation) => Some(relation.oid),
        Change::Event(_) => Some(EVENTS),
        Change::Schema => None,
    };
    let mut oids: Vec<_> = chunk.changes.iter().filter_map(of_change).collect();
    oids.sort_unstable();
    oids.dedup();
    oids
}
