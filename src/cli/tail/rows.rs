use std::collections::HashMap;

use super::frame::Row;

/// The rows that are kept to tell what a change was *from*. Beyond this a row is shown without what it was.
const KEPT_BYTES: usize = 256 << 20;

/// The subscription's rows by key, as far as they are kept.
#[derive(Debug)]
pub(super) struct Rows {
    key: Vec<String>,
    by_key: HashMap<String, Kept>,
    bytes: usize,
    most_bytes: usize,
    /// Counts snapshots, to find the rows that a new one lacks.
    round: u64,
}

#[derive(Debug)]
struct Kept {
    row: Row,
    round: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Self { key: Vec::new(), by_key: HashMap::new(), bytes: 0, most_bytes: KEPT_BYTES, round: 0 }
    }
}

impl Rows {
    /// Names the key's columns. With another key than before nothing known can be found again.
    pub(super) fn set_key(&mut self, key: Vec<String>) {
        if self.key != key {
            self.clear();
            self.key = key;
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.bytes = 0;
    }

    /// A snapshot begins.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// The snapshot is complete: what it lacked is gone.
    pub(super) fn end(&mut self) {
        let round = self.round;
        self.by_key.retain(|_, kept| kept.round == round);
        self.bytes = self.by_key.iter().map(|(key, kept)| key.len() + kept.row.weight()).sum();
    }

    /// Keeps `row` in place of the one with its key, if there is room.
    pub(super) fn put(&mut self, row: &Row) {
        self.take(row);
        let Some(key) = self.key_of(row) else { return };
        let weight = key.len() + row.weight();
        if self.bytes + weight <= self.most_bytes {
            self.bytes += weight;
            self.by_key.insert(key, Kept { row: row.clone(), round: self.round });
        }
    }

    /// Takes the row out whose key `row` has.
    pub(super) fn take(&mut self, row: &Row) -> Option<Row> {
        let key = self.key_of(row)?;
        let kept = self.by_key.remove(&key)?;
        self.bytes -= key.len() + kept.row.weight();
        Some(kept.row)
    }

    /// The values of the key's columns in one text. `None` if `row` lacks one.
    fn key_of(&self, row: &Row) -> Option<String> {
        if self.key.is_empty() {
            return None;
        }
        let mut text = String::new();
        for name in &self.key {
            // JSON texts one after the other, with commas between, are read in one way only.
            text.push_str(row.get(name)?);
            text.push(',');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(most_bytes: usize) -> Rows {
        let mut rows = Rows { most_bytes, ..Rows::default() };
        rows.set_key(vec!["id".into()]);
        rows
    }

    #[test]
    fn a_row_is_found_by_its_key_alone() {
        let mut rows = rows(KEPT_BYTES);
        rows.put(&Row::of(r#"{"id":"1","title":"a"}"#));
        assert_eq!(rows.take(&Row::of(r#"{"id":"2"}"#)), None);
        assert_eq!(rows.take(&Row::of(r#"{"id":"1"}"#)), Some(Row::of(r#"{"title":"a","id":"1"}"#)));
        assert_eq!(rows.bytes, 0);
    }

    #[test]
    fn memory_is_bounded_and_freed_again() {
        let row = |id: usize| Row::of(&format!(r#"{{"id":"{id}","title":"{}"}}"#, "x".repeat(100)));
        let mut rows = rows(10 * (row(100).weight() + 6));
        (100..200).for_each(|id| rows.put(&row(id)));
        assert_eq!(rows.by_key.len(), 10);
        assert!(rows.bytes <= rows.most_bytes);
        (100..110).for_each(|id| rows.put(&row(id)));
        assert_eq!(rows.by_key.len(), 10, "a row makes room for itself");
        rows.begin();
        rows.put(&row(105));
        rows.end();
        assert_eq!((rows.by_key.len(), rows.bytes), (1, row(105).weight() + 6));
    }

    #[test]
    fn another_key_forgets_everything() {
        let mut rows = rows(KEPT_BYTES);
        rows.put(&Row::of(r#"{"id":"1","code":"a"}"#));
        rows.set_key(vec!["code".into()]);
        assert_eq!((rows.take(&Row::of(r#"{"code":"a"}"#)), rows.bytes), (None, 0));
    }
}
