//! Which tables there are, which of them can be followed, and why the others cannot.
//!
//! ```text
//!  pg_class, pg_index ──▶ Relation ─┐
//!  pg_inherits ─────────▶ leaves   ─┼─ rules ─▶ Entry::Table(Table) | Entry::Refused(Refusal)
//!  pg_attribute, pg_type ▶ columns ─┘
//! ```
//!
//! Read as of one moment, in three round trips; the rows of `pg_publication` and its kin tell since when it publishes. [`Watch`] asks every second whether anything changed, which is one
//! short statement, and reads the catalog again only then.

mod described;
mod kinds;
mod load;
mod refusal;
mod relation;
mod survey;
mod watch;

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use crate::event::{Table, TableName};

use super::nearest::nearest;

pub use described::describe;
pub use load::load;
pub use refusal::{LeafIdentity, NoKey, Partitioning, Refusal, RelationKind};
pub(in crate::postgres) use relation::{Candidate, Publishing, Standing};
pub(in crate::postgres) use survey::candidates;
pub use watch::Watch;

/// Every relation that a client could name, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    entries: HashMap<TableName, Entry>,
    by_oid: HashMap<u32, TableName>,
    /// What makes old images whole, by the table's oid.
    full_identities: HashMap<u32, String>,
}

/// One relation: followed, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It can be subscribed to.
    Table(Arc<Table>),
    /// It cannot, and why.
    Refused(Refusal),
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Found<'a> {
    /// A table that can be subscribed to.
    Table(&'a Arc<Table>),
    /// A relation that cannot.
    Refused(Refusal),
    /// Nothing.
    Unknown {
        /// The table that was probably meant.
        nearest: Option<&'a TableName>,
    },
}

impl Catalog {
    /// Looks a name up.
    pub fn find(&self, name: &TableName) -> Found<'_> {
        match self.entries.get(name) {
            Some(Entry::Table(table)) => Found::Table(table),
            Some(Entry::Refused(refusal)) => Found::Refused(refusal.clone()),
            None => match RelationKind::of_schema(&name.schema) {
                Some(kind) => Found::Refused(Refusal::Kind { table: name.clone(), kind }),
                None => Found::Unknown { nearest: self.nearest(name) },
            },
        }
    }

    /// Whether there is a relation of that name, of whatever kind, outside of PostgreSQL's own schemas.
    pub fn has(&self, name: &TableName) -> bool {
        self.entries.contains_key(name)
    }

    /// The table with this `pg_class.oid`, if it can be subscribed to; of a partitioned table the root's.
    pub fn by_oid(&self, oid: u32) -> Option<&Arc<Table>> {
        match self.entries.get(self.by_oid.get(&oid)?)? {
            Entry::Table(table) => Some(table),
            Entry::Refused(_) => None,
        }
    }

    /// The SQL that has a table's old images carry every column; of a partitioned table those of its partitions too.
    ///
    /// `None` where they do, and where they must not: under a publication's column list updates would start to fail.
    pub fn full_identity(&self, oid: u32) -> Option<&str> {
        self.full_identities.get(&oid).map(String::as_str)
    }

    /// Every relation, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&TableName, &Entry)> {
        self.entries.iter()
    }

    /// Every table that can be subscribed to, by name.
    pub fn tables(&self) -> Vec<&Arc<Table>> {
        let mut tables: Vec<_> = self
            .entries
            .values()
            .filter_map(|entry| match entry {
                Entry::Table(table) => Some(table),
                Entry::Refused(_) => None,
            })
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        tables
    }

    /// Has a table refused as [`Refusal::Settling`].
    pub fn hold_back(&mut self, oid: u32) {
        if let Some(table) = self.by_oid.get(&oid)
            && let Some(entry) = self.entries.get_mut(table)
        {
            *entry = Entry::Refused(Refusal::Settling { table: table.clone() });
        }
    }

    /// Has every table refused as [`Refusal::Withheld`].
    pub fn withhold(&mut self, publication: &str, reason: &str, sql: &str) {
        for (table, entry) in &mut self.entries {
            if matches!(entry, Entry::Table(_)) {
                *entry = Entry::Refused(Refusal::Withheld {
                    table: table.clone(),
                    publication: publication.to_owned(),
                    reason: reason.to_owned(),
                    sql: sql.to_owned(),
                });
            }
        }
    }

    /// The table that `name` was most likely meant to be: of another schema, or a letter off.
    fn nearest(&self, name: &TableName) -> Option<&TableName> {
        let followed = || self.tables().into_iter().map(|table| &table.name);
        let elsewhere = followed().find(|other| other.name == name.name);
        elsewhere.or_else(|| {
            let texts: Vec<_> = followed().map(|other| (other.to_string(), other)).collect();
            let text = nearest(&name.to_string(), texts.iter().map(|(text, _)| text.as_str()))?;
            texts.iter().find(|(other, _)| other == text).map(|(_, table)| *table)
        })
    }

    fn insert(&mut self, oid: u32, name: TableName, entry: Entry) {
        self.by_oid.insert(oid, name.clone());
        self.entries.insert(name, entry);
    }
}

/// A number that changes whenever `table` is no longer what it was: columns, types, key, identity, storage.
///
/// Equal definitions give equal numbers in every process of one build.
pub fn fingerprint(table: &Table) -> u64 {
    let mut hasher = Fnv::default();
    table.hash(&mut hasher);
    hasher.finish()
}

/// FNV-1a in 64 bits: the standard library's hashers promise nothing from one release to the next.
#[derive(Hash)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
