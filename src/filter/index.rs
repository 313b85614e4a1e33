//! Finds the filters of one table that a row may match, without asking each.
//!
//! ```text
//!  board_id = 7 and status <> 'archived'   ──▶ equal: 7        ─┐
//!  id in (1, 2)                            ──▶ equal: 1, 2      ├─ by column: a hash, or an ordered search
//!  at >= '2026-01-01' and at < '2027-01-01'──▶ ranges: […, …)  ─┘
//!  title like '%sea%'                      ──▶ rest             ── asked of every row
//! ```
//!
//! A filter stands under its most selective conjunct; under every part of it, if that is an `or`. A row finds its candidates by one lookup a column
//! that any filter stands under; whether a candidate matches is for [`Filter::matches`] to say.

mod access;
mod column;
mod posting;
mod ranges;

use std::hash::Hash;

use super::{Filter, Predicate};
use crate::event::Datum;
pub(super) use access::values_of;
use access::{Access, Entry};
use column::ColumnIndex;
use posting::Crowd;

/// The filters of one table, each with whatever it stands for: a shape's number.
#[derive(Debug)]
pub struct Index<K> {
    columns: Vec<ColumnIndex<K>>,
    /// What no column could be found for.
    rest: Crowd<K>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { columns: Vec::new(), rest: Crowd::default() }
    }
}

impl<K: Copy + Eq + Hash> Index<K> {
    /// An index without filters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing would ever be a candidate.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.rest.as_slice().is_empty()
    }

    /// Adds `key`, which stands for one filter and no other, under `filter`.
    pub fn insert(&mut self, filter: &Filter, key: K) {
        match Access::of(filter.predicate()) {
            Access::Nothing => {}
            Access::Everything => drop(self.rest.add(key)),
            Access::Columns(entries) => {
                for Entry { column, scale, place } in entries {
                    let found = self.columns.iter().position(|index| index.is_for(column, scale));
                    let at = found.unwrap_or_else(|| {
                        self.columns.push(ColumnIndex::new(column, scale.clone()));
                        self.columns.len() - 1
                    });
                    self.columns[at].insert(&place, key);
                }
            }
        }
    }

    /// Takes `key` away, which was added under an equal filter. Nothing happens if it was not.
    pub fn remove(&mut self, filter: &Filter, key: &K) {
        match Access::of(filter.predicate()) {
            Access::Nothing => {}
            Access::Everything => drop(self.rest.take(key)),
            Access::Columns(entries) => {
                for Entry { column, scale, place } in entries {
                    let Some(at) = self.columns.iter().position(|index| index.is_for(column, scale)) else {
                        continue;
                    };
                    self.columns[at].remove(&place, key);
                    if self.columns[at].is_empty() {
                        self.columns.swap_remove(at);
                    }
                }
            }
        }
    }

    /// Appends to `out` every key whose filter may match `row`, which has a value for each of the table's columns; more
    /// than once if the filter stands under several columns.
    ///
    /// Where the row lacks a value, or holds one that cannot be
    /// read, all filters under that column come: each of them says so itself.
    pub fn candidates(&self, row: &[Datum<'_>], out: &mut Vec<K>) {
        for column in &self.columns {
            column.candidates(row, out);
        }
        out.extend_from_slice(self.rest.as_slice());
    }
}

#[cfg(test)]
mod tests;
