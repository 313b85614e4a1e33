use std::hash::Hash;

use hashbrown::HashMap;

/// What stands at one place of the index: nearly always one key, so that a million places stay small.
#[derive(Debug)]
pub(super) enum Posting<K> {
    One(K),
    /// Boxed, so that the rare case does not widen the common one.
    Many(Box<Crowd<K>>),
}

/// What taking a key away came to.
#[must_use]
pub(super) enum Taken {
    /// The key was not there.
    Nothing,
    /// Others are left.
    Key,
    /// It was the last one: the posting is to be dropped.
    Last,
}

impl<K: Copy + Eq + Hash> Posting<K> {
    /// Whether `key` is new here.
    pub(super) fn add(&mut self, key: K) -> bool {
        match self {
            Self::One(first) if *first == key => false,
            Self::One(first) => {
                let mut crowd = Crowd::default();
                crowd.add(*first);
                crowd.add(key);
                *self = Self::Many(Box::new(crowd));
                true
            }
            Self::Many(crowd) => crowd.add(key),
        }
    }

    pub(super) fn take(&mut self, key: &K) -> Taken {
        match self {
            Self::One(only) if only == key => Taken::Last,
            Self::One(_) => Taken::Nothing,
            Self::Many(crowd) => {
                if !crowd.take(key) {
                    return Taken::Nothing;
                }
                if let [only] = crowd.as_slice() {
                    *self = Self::One(*only);
                }
                Taken::Key
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[K] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(crowd) => crowd.as_slice(),
        }
    }
}

/// A set that is read as a slice, and from which any key is taken in constant time.
#[derive(Debug)]
pub(super) struct Crowd<K> {
    keys: Vec<K>,
    /// Where in `keys` each is.
    places: HashMap<K, usize>,
}

impl<K> Default for Crowd<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), places: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Crowd<K> {
    /// Whether `key` is new here.
    pub(super) fn add(&mut self, key: K) -> bool {
        let new = self.places.try_insert(key, self.keys.len()).is_ok();
        if new {
            self.keys.push(key);
        }
        new
    }

    /// Whether `key` was here.
    pub(super) fn take(&mut self, key: &K) -> bool {
        let Some(at) = self.places.remove(key) else { return false };
        self.keys.swap_remove(at);
        if let Some(moved) = self.keys.get(at) {
            self.places.insert(*moved, at);
        }
        true
    }

    pub(super) fn as_slice(&self) -> &[K] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_a_set() {
        let mut crowd = Crowd::default();
        for key in [1, 2, 3, 2] {
            crowd.add(key);
        }
        assert_eq!(crowd.as_slice(), [1, 2, 3]);
        assert!(crowd.take(&1));
        assert!(!crowd.take(&1));
        assert!(crowd.take(&3));
        assert_eq!(crowd.as_slice(), [2]);
    }

    #[test]
    fn a_posting_of_one_is_small() {
        assert!(size_of::<Posting<u64>>() <= 16);
        let mut posting = Posting::One(7);
        assert!(!posting.add(7));
        assert!(posting.add(8));
        assert!(matches!(posting.take(&9), Taken::Nothing));
        assert!(matches!(posting.take(&7), Taken::Key));
        assert!(matches!(posting, Posting::One(8)));
        assert!(matches!(posting.take(&8), Taken::Last));
    }
}
