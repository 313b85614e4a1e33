use std::hash::Hash;

use hashbrown::{HashMap, HashSet};

use super::access::Place;
use super::posting::{Posting, Taken};
use super::ranges::Ranges;
use crate::event::Datum;
use crate::filter::scale::Scale;
use crate::filter::value::{Key, Value};

/// The filters that stand under one column.
#[derive(Debug)]
pub(super) struct ColumnIndex<K> {
    column: usize,
    scale: Scale,
    /// Of keys that are integers, as nearly all are: a third smaller than [`Self::equal`].
    integers: HashMap<i64, Posting<K>>,
    equal: HashMap<Key, Posting<K>>,
    ranges: Ranges<K>,
    /// How many filters stand under more than one value.
    several: usize,
}

impl<K: Copy + Eq + Hash> ColumnIndex<K> {
    pub(super) fn new(column: usize, scale: Scale) -> Self {
        Self {
            column,
            scale,
            integers: HashMap::new(),
            equal: HashMap::new(),
            ranges: Ranges::new(),
            several: 0,
        }
    }

    pub(super) fn is_for(&self, column: usize, scale: &Scale) -> bool {
        self.column == column && self.scale == *scale
    }

    pub(super) fn is_empty(&self) -> bool {
        self.integers.is_empty() && self.equal.is_empty() && self.ranges.is_empty()
    }

    pub(super) fn insert(&mut self, place: &Place<'_>, key: K) {
        let constants = match place {
            Place::Range(range) => return self.ranges.insert(*range, key),
            Place::Equal(constants) => constants,
        };
        let mut new = false;
        for constant in *constants {
            let posting = match &constant.key {
                Key::Int(value) => self.integers.get_mut(value),
                value => self.equal.get_mut(value),
            };
            match (posting, &constant.key) {
                (Some(posting), _) => new |= posting.add(key),
                (None, Key::Int(value)) => new |= self.integers.insert(*value, Posting::One(key)).is_none(),
                (None, value) => new |= self.equal.insert(value.clone(), Posting::One(key)).is_none(),
            }
        }
        self.several += usize::from(new && constants.len() > 1);
    }

    pub(super) fn remove(&mut self, place: &Place<'_>, key: &K) {
        let constants = match place {
            Place::Range(range) => return self.ranges.remove(*range, key),
            Place::Equal(constants) => constants,
        };
        let mut found = false;
        for constant in *constants {
            let taken = match &constant.key {
                Key::Int(value) => self.integers.get_mut(value).map(|posting| posting.take(key)),
                value => self.equal.get_mut(value).map(|posting| posting.take(key)),
            };
            match (taken, &constant.key) {
                (None | Some(Taken::Nothing), _) => continue,
                (Some(Taken::Key), _) => {}
                (Some(Taken::Last), Key::Int(value)) => drop(self.integers.remove(value)),
                (Some(Taken::Last), value) => drop(self.equal.remove(value)),
            }
            found = true;
        }
        self.several -= usize::from(found && constants.len() > 1);
    }

    pub(super) fn candidates(&self, row: &[Datum<'_>], out: &mut Vec<K>) {
        let text = match row.get(self.column) {
            Some(Datum::Null) => return,
            Some(Datum::Text(text)) => text,
            Some(Datum::Unchanged | Datum::Untold) | None => return self.all(out),
        };
        let Ok(value) = self.scale.read(text) else { return self.all(out) };
        let equal = match value {
            Value::Int(value) => self.integers.get(&value),
            value => self.equal.get(&value),
        };
        if let Some(posting) = equal {
            out.extend_from_slice(posting.as_slice());
        }
        self.ranges.containing(value, out);
    }

    /// Everything here, each key once.
    fn all(&self, out: &mut Vec<K>) {
        let postings = self.integers.values().chain(self.equal.values());
        let keys = postings.flat_map(Posting::as_slice);
        if self.several == 0 {
            out.extend(keys.copied());
        } else {
            let mut seen = HashSet::new();
            out.extend(keys.filter(|key| seen.insert(*key)).copied());
        }
        self.ranges.all(out);
    }
}
