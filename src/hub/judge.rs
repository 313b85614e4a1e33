use std::sync::Arc;

use super::mapping::Mapping;
use super::net::{Before, Mismatch, NetChange, NetChanges};
use super::selection::Rows;
use crate::event::{Datum, Row, Table};
use crate::filter::{Filter, RowError};

/// Both images of one key, by index into the table's columns, ready to be judged by many filters.
#[derive(Debug)]
pub(super) struct Images<'a> {
    pub(super) before: Option<Vec<Datum<'a>>>,
    pub(super) after: Option<Vec<Datum<'a>>>,
    /// `before` is the whole row.
    pub(super) before_is_full: bool,
}

/// What one selection sees of one key in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    Insert,
    Update,
    Delete,
}

/// The selection cannot be told what the transaction did.
#[derive(Debug)]
pub(super) enum Undecided {
    /// Its filter raised on the row.
    Raised(RowError),
    /// A policy did.
    Policy,
    /// A value that it needs is not in the stream.
    Missing,
}

impl<'a> Images<'a> {
    pub(super) fn new(table: &Table, mapping: &Mapping, change: &'a NetChange) -> Self {
        let full = |row: &'a Row| mapping.datums(row);
        let key_only = |row: &'a Row| {
            let mut datums = mapping.datums(row);
            for (index, datum) in datums.iter_mut().enumerate() {
                if !table.key.contains(&index) {
                    *datum = Datum::Untold;
                }
            }
            datums
        };
        let before = match &change.before {
            Before::Absent => None,
            Before::Key(row) => Some(key_only(row)),
            Before::Full(row) => Some(full(row)),
        };
        let before_is_full = matches!(change.before, Before::Full(_));
        Self { before, after: change.after.as_ref().map(full), before_is_full }
    }

    /// What a selection sees.
    pub(super) fn judge(&self, rows: &Rows) -> Result<Verdict, Undecided> {
        let was = sees(rows, self.before.as_deref())?;
        let is = sees(rows, self.after.as_deref())?;
        Ok(match (was, is) {
            (false, false) => Verdict::Nothing,
            (false, true) => Verdict::Insert,
            (true, true) => Verdict::Update,
            (true, false) => Verdict::Delete,
        })
    }
}

/// The policy first: the filter never sees a row that it hides.
fn sees(rows: &Rows, row: Option<&[Datum<'_>]>) -> Result<bool, Undecided> {
    let Some(row) = row else { return Ok(false) };
    let matches = |filter: Option<&Filter>, raised: fn(RowError) -> Undecided| {
        filter.map_or(Ok(true), |filter| filter.matches(row)).map_err(|error| match error {
            // A label that the catalog did not tell of yet: it will.
            RowError::Missing { .. } | RowError::UnknownLabel { .. } => Undecided::Missing,
            error => raised(error),
        })
    };
    Ok(matches(rows.policy(), |_| Undecided::Policy)? && matches(rows.filter.as_deref(), Undecided::Raised)?)
}

impl Rows {
    /// Writes what the selection sees of one key as a JSON object.
    ///
    /// # Errors
    /// [`Undecided::Missing`] if a row enters of which a large value is not in the stream.
    pub(super) fn write_change(
        &self,
        images: &Images<'_>,
        verdict: Verdict,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecided> {
        let (table, projection) = (&*self.table, &*self.projection);
        match (verdict, &images.before, &images.after) {
            (Verdict::Insert, _, Some(after)) => {
                if projection.columns.iter().any(|column| after[*column] == Datum::Unchanged) {
                    return Err(Undecided::Missing);
                }
                out.extend_from_slice(b"{\"op\":\"insert\",\"row\":");
                projection.write_row(table, after, out);
            }
            (Verdict::Update, Some(before), Some(after)) => {
                out.extend_from_slice(b"{\"op\":\"update\",\"row\":");
                projection.write_row(table, after, out);
                if images.before_is_full {
                    out.extend_from_slice(b",\"changed\":");
                    let differs =
                        |column: usize| after[column] != Datum::Unchanged && after[column] != before[column];
                    projection.write_names(differs, out);
                }
                if projection.columns.iter().any(|column| after[*column] == Datum::Unchanged) {
                    out.extend_from_slice(b",\"unchanged\":");
                    projection.write_names(|column| after[column] == Datum::Unchanged, out);
                }
            }
            (Verdict::Delete, Some(before), _) => {
                out.extend_from_slice(b"{\"op\":\"delete\",\"key\":");
                projection.write_key(table, before, out);
            }
            _ => return Ok(()),
        }
        out.push(b'}');
        Ok(())
    }
}

/// The mapping of the relation that a change came with, made anew only where it differs from the last one.
#[derive(Debug)]
pub(super) struct LastMapping(Option<Arc<Mapping>>);

impl LastMapping {
    /// Starts with the one that the changes were netted by.
    pub(super) fn of_net(net: &NetChanges) -> Self {
        Self(net.mapping.clone())
    }

    pub(super) fn of(&mut self, table: &Table, change: &NetChange) -> Result<&Mapping, Mismatch> {
        if !self.0.as_ref().is_some_and(|mapping| mapping.is_of(&change.relation)) {
            self.0 = Some(Arc::new(Mapping::new(table, &change.relation).ok_or(Mismatch)?));
        }
        self.0.as_deref().ok_or(Mismatch)
    }
}
