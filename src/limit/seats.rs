use std::sync::Arc;

use dashmap::DashMap;

use super::Key;

/// Who has how many connections open. As large as there are connections, which the listener bounds.
#[derive(Clone, Debug)]
pub struct Seats {
    taken: Arc<DashMap<Key, usize>>,
    most: usize,
}

/// A connection's place among its client's; dropped, it is free again.
#[derive(Debug, Default)]
pub struct Seat(Option<(Arc<DashMap<Key, usize>>, Key)>);

impl Seats {
    /// At most `most` for each client.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// One more for a client; `None` if it has as many as it may.
    pub fn take(&self, key: Key) -> Option<Seat> {
        let mut taken = self.taken.entry(key).or_insert(0);
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Seat(Some((self.taken.clone(), key))))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((taken, key)) = self.0.take() else { return };
        taken.remove_if_mut(&key, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let seats = Seats::new(2);
        let (one, other) = (Key::identity("one"), Key::identity("other"));
        let first = seats.take(one).expect("the first");
        let _second = seats.take(one).expect("the second");
        assert!(seats.take(one).is_none());
        drop(seats.take(other).expect("another client's"));
        drop(first);
        seats.take(one).expect("given back");
        assert_eq!(seats.taken.len(), 1, "who has none is forgotten");
    }
}
