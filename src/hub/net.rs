use std::collections::HashMap;
use std::sync::Arc;

use super::mapping::Mapping;
use crate::event::{Datum, Image, Operation, Relation, ReplicaIdentity, Row, RowChange, Table};

/// What one transaction did to one table, as any reader of PostgreSQL sees it: each key once.
#[derive(Debug, Default)]
pub(super) struct NetChanges {
    /// How the last of them was mapped: most likely all of them, and the next transaction's too.
    pub(super) mapping: Option<Arc<Mapping>>,
    /// All rows that were there before were removed.
    pub(super) truncated: bool,
    /// In the order in which the transaction first touched each key. What was inserted and deleted again is still
    /// here, absent before and after.
    pub(super) changes: Vec<NetChange>,
}

/// What became of one key: its first old image and its last new image.
#[derive(Debug)]
pub(super) struct NetChange {
    pub(super) relation: Arc<Relation>,
    pub(super) before: Before,
    pub(super) after: Option<Row>,
}

impl NetChange {
    /// Roughly what it holds in memory, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let before = match &self.before {
            Before::Absent => 0,
            Before::Key(row) | Before::Full(row) => row.len(),
        };
        size_of::<Self>() + before + self.after.as_ref().map_or(0, Row::len)
    }
}

/// What is known of a row before the transaction.
#[derive(Clone, Debug)]
pub(super) enum Before {
    /// There was none.
    Absent,
    /// At least its key.
    Key(Row),
    /// All of it.
    Full(Row),
}

/// The stream and the catalog disagree about the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

/// Takes in one table's changes of one transaction, or of several in a row, in their order.
#[derive(Debug)]
pub(super) struct Netting {
    table: Arc<Table>,
    net: NetChanges,
    /// Indexes into `net.changes`; built when a second change comes, since most transactions have one.
    by_key: HashMap<Box<[u8]>, usize, hashbrown::DefaultHashBuilder>,
}

impl Netting {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self::knowing(None, table)
    }

    /// With the mapping that an earlier transaction used for this very table.
    pub(super) fn knowing(mapping: Option<Arc<Mapping>>, table: Arc<Table>) -> Self {
        let net = NetChanges { mapping, ..NetChanges::default() };
        Self { table, net, by_key: HashMap::default() }
    }

    /// The table lost all its rows.
    pub(super) fn truncate(&mut self) {
        self.by_key.clear();
        self.net.truncated = true;
        self.net.changes = Vec::new();
    }

    /// # Errors
    /// [`Mismatch`] if the stream lacks one of the table's columns, or has it in another type.
    pub(super) fn change(&mut self, change: &RowChange) -> Result<(), Mismatch> {
        let relation = &change.relation;
        self.map(relation)?;
        match &change.operation {
            Operation::Insert { new } => self.put(relation, None, Before::Absent, Some(new.clone())),
            Operation::Delete { old } => self.put(relation, None, self.before(old), None),
            Operation::Update { old: None, new } => {
                self.put(relation, None, Before::Key(new.clone()), Some(new.clone()));
            }
            Operation::Update { old: Some(old), new } => self.update(relation, self.before(old), new),
        }
        Ok(())
    }

    /// Takes in what a later transaction made of one key.
    ///
    /// # Errors
    /// [`Mismatch`] if the stream lacks one of the table's columns, or has it in another type.
    pub(super) fn merge(&mut self, change: &NetChange) -> Result<(), Mismatch> {
        self.map(&change.relation)?;
        if !matches!((&change.before, &change.after), (Before::Absent, None)) {
            self.put(&change.relation, None, change.before.clone(), change.after.clone());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> NetChanges {
        self.net
    }

    fn map(&mut self, relation: &Arc<Relation>) -> Result<(), Mismatch> {
        if !self.net.mapping.as_ref().is_some_and(|mapping| mapping.is_of(relation)) {
            self.net.mapping = Some(Arc::new(Mapping::new(&self.table, relation).ok_or(Mismatch)?));
        }
        Ok(())
    }

    fn before(&self, image: &Image) -> Before {
        match image {
            Image::Full(row) if self.table.identity == ReplicaIdentity::Full => Before::Full(row.clone()),
            // A partition with less than its root's identity sends the other columns as NULL.
            Image::Full(row) | Image::Key(row) => Before::Key(row.clone()),
        }
    }

    fn update(&mut self, relation: &Arc<Relation>, before: Before, new: &Row) {
        let (Before::Key(old) | Before::Full(old)) = &before else { unreachable!("made from an image") };
        if self.same_key(old, new) {
            self.put(relation, None, before, Some(new.clone()));
        } else {
            let former = self.remove(relation, before);
            self.put(relation, former.as_ref(), Before::Absent, Some(new.clone()));
        }
    }

    /// Takes the row that is under the key of `before` away, and gives back what it was within the transaction.
    fn remove(&mut self, relation: &Arc<Relation>, before: Before) -> Option<Row> {
        let former = self.find(&before, None).and_then(|index| self.net.changes[index].after.clone());
        self.put(relation, None, before, None);
        former
    }

    /// Notes what is under a key now. `former` is the row's image under its former key in the same transaction.
    fn put(&mut self, relation: &Arc<Relation>, former: Option<&Row>, before: Before, after: Option<Row>) {
        let found = self.find(&before, after.as_ref());
        let Some(index) = found else {
            let after = after.map(|after| fill(after, former));
            self.net.changes.push(NetChange { relation: relation.clone(), before, after });
            return;
        };
        let change = &mut self.net.changes[index];
        let after = after.map(|after| fill(after, former.or(change.after.as_ref())));
        change.relation = relation.clone();
        change.after = after;
    }

    /// The change that the transaction already made under this key; if there is none, the next one will be.
    fn find(&mut self, before: &Before, after: Option<&Row>) -> Option<usize> {
        match self.net.changes.len() {
            0 => return None,
            1 if self.by_key.is_empty() => {
                let first = &self.net.changes[0];
                let key = self.key_of(&first.before, first.after.as_ref());
                self.by_key.insert(key, 0);
            }
            _ => {}
        }
        let key = self.key_of(before, after);
        let next = self.net.changes.len();
        let index = *self.by_key.entry(key).or_insert(next);
        (index < next).then_some(index)
    }

    fn key_of(&self, before: &Before, after: Option<&Row>) -> Box<[u8]> {
        let row = match (before, after) {
            (Before::Key(row) | Before::Full(row), _) | (Before::Absent, Some(row)) => row,
            (Before::Absent, None) => unreachable!("a change has an image"),
        };
        if let [place] = self.net.mapping.as_ref().map_or(&[][..], |mapping| mapping.key())
            && let Some(Datum::Text(text)) = row.get(*place)
        {
            return text.into();
        }
        let mut key = Vec::with_capacity(64);
        for datum in self.key_datums(row) {
            if let Datum::Text(text) = datum {
                key.extend((text.len() as u64).to_be_bytes());
                key.extend(text);
            }
        }
        key.into()
    }

    fn same_key(&self, old: &Row, new: &Row) -> bool {
        // A key column that is large and did not change is left out of the new image.
        self.key_datums(old).zip(self.key_datums(new)).all(|(old, new)| old == new || new == Datum::Unchanged)
    }

    fn key_datums<'r>(&'r self, row: &'r Row) -> impl Iterator<Item = Datum<'r>> {
        let places = self.net.mapping.as_ref().map_or(&[][..], |mapping| mapping.key());
        places.iter().map(|place| row.get(*place).unwrap_or(Datum::Null))
    }
}

/// Fills what `row` leaves out as unchanged from the image before it in the same transaction.
fn fill(row: Row, former: Option<&Row>) -> Row {
    match former {
        Some(former) if row.columns().any(|datum| datum == Datum::Unchanged) => {
            let pairs = row.columns().zip(former.columns());
            pairs.map(|(new, old)| if new == Datum::Unchanged { old } else { new }).collect()
        }
        _ => row,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{relation, row, table};
    use super::*;

    fn net(changes: &[(Option<Image>, Option<&str>, bool)]) -> Vec<(String, Option<String>)> {
        let table = Arc::new(table());
        let relation = relation(&table);
        let mut netting = Netting::new(table.clone());
        for (old, new, insert) in changes {
            let operation = match (old.clone(), new) {
                (None, Some(new)) if *insert => Operation::Insert { new: row(new) },
                (old, Some(new)) => Operation::Update { old, new: row(new) },
                (Some(old), None) => Operation::Delete { old },
                (None, None) => unreachable!("no change without an image"),
            };
            netting.change(&RowChange { relation: relation.clone(), operation }).expect("the same columns");
        }
        let text = |row: &Row| {
            let text = |datum| match datum {
                Datum::Null => "-".to_owned(),
                Datum::Unchanged => "=".to_owned(),
                Datum::Untold => "?".to_owned(),
                Datum::Text(text) => String::from_utf8_lossy(text).into_owned(),
            };
            row.columns().map(text).collect::<Vec<_>>().join(" ")
        };
        let shown = |change: NetChange| {
            let before = match &change.before {
                Before::Absent => "absent".to_owned(),
                Before::Key(row) => format!("key {}", text(row)),
                Before::Full(row) => format!("full {}", text(row)),
            };
            (before, change.after.as_ref().map(text))
        };
        netting.finish().changes.into_iter().map(shown).collect()
    }

    #[expect(clippy::unnecessary_wraps, reason = "an old image as `net` takes it")]
    fn full(text: &str) -> Option<Image> {
        Some(Image::Full(row(text)))
    }

    #[test]
    fn each_key_is_judged_once_by_its_first_and_last_image() {
        let updates = [(full("1 a x"), Some("1 b x"), false), (full("1 b x"), Some("1 c x"), false)];
        assert_eq!(net(&updates), [("full 1 a x".into(), Some("1 c x".into()))]);
        let void = [(None, Some("1 a x"), true), (full("1 a x"), None, false)];
        assert_eq!(net(&void), [("absent".into(), None)]);
        let moved = [(full("1 a x"), None, false), (None, Some("1 b x"), true)];
        assert_eq!(net(&moved), [("full 1 a x".into(), Some("1 b x".into()))], "a move across partitions");
    }

    #[test]
    fn a_changed_key_is_a_delete_and_an_insert() {
        let changes = [(full("1 a x"), Some("2 a x"), false), (full("2 a x"), Some("2 b x"), false)];
        assert_eq!(net(&changes), [("full 1 a x".into(), None), ("absent".into(), Some("2 b x".into()))]);
        let swapped = [
            (full("1 a x"), Some("3 a x"), false),
            (full("2 b x"), Some("1 b x"), false),
            (full("3 a x"), Some("2 a x"), false),
        ];
        let expected = [
            ("full 1 a x".into(), Some("1 b x".into())),
            ("absent".into(), None),
            ("full 2 b x".into(), Some("2 a x".into())),
        ];
        assert_eq!(net(&swapped), expected);
    }

    #[test]
    fn a_large_value_left_out_is_taken_from_the_image_before_it_in_the_transaction() {
        let changes = [(None, Some("1 a x"), false), (None, Some("1 b ="), false)];
        assert_eq!(net(&changes), [("key 1 a x".into(), Some("1 b x".into()))]);
        let rekeyed = [(None, Some("1 a x"), true), (Some(Image::Key(row("1 - -"))), Some("2 a ="), false)];
        assert_eq!(net(&rekeyed), [("absent".into(), None), ("absent".into(), Some("2 a x".into()))]);
    }
}
