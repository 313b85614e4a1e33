use std::sync::Arc;

use crate::event::{Datum, Relation, RelationColumn, Row, Table};

/// Where the stream carries the columns of a [`Table`].
///
/// The stream's own order can differ from the table's, and it can carry columns that the catalog did not tell of yet.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    relation: Arc<Relation>,
    /// By index into the relation's columns: the table's column, if it has it.
    places: Vec<Option<usize>>,
    /// By place in the table's key: the relation's column.
    key: Vec<usize>,
    columns: usize,
    /// Both have the same columns in the same order.
    same: bool,
}

impl Mapping {
    /// `None` if the stream lacks a column of the table, or carries it in another type: one of the two descriptions is
    /// out of date.
    pub(super) fn new(table: &Table, relation: &Arc<Relation>) -> Option<Self> {
        let place = |column: &RelationColumn| {
            table.column(&column.name).filter(|place| table.columns[*place].type_oid == column.type_oid)
        };
        let places: Vec<_> = relation.columns.iter().map(place).collect();
        let found = places.iter().flatten().count();
        if found != table.columns.len() {
            return None;
        }
        let same = places.iter().enumerate().all(|(index, place)| *place == Some(index));
        let key = table.key.iter().filter_map(|key| places.iter().position(|place| *place == Some(*key)));
        let key = key.collect();
        Some(Self { relation: relation.clone(), places, key, columns: table.columns.len(), same })
    }

    /// Whether it was made for this description.
    pub(super) fn is_of(&self, relation: &Arc<Relation>) -> bool {
        Arc::ptr_eq(&self.relation, relation)
    }

    /// Where the stream carries the columns of the table's key.
    pub(super) fn key(&self) -> &[usize] {
        &self.key
    }

    /// The row's values by index into the table's columns.
    pub(super) fn datums<'a>(&self, row: &'a Row) -> Vec<Datum<'a>> {
        if self.same {
            return row.columns().collect();
        }
        let mut datums = vec![Datum::Null; self.columns];
        for (datum, place) in row.columns().zip(&self.places) {
            if let Some(place) = place {
                datums[*place] = datum;
            }
        }
        datums
    }
}
