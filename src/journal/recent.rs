use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Change, EventKey, Record};

/// Which events were published lately, so that one which is sent again is known.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: HashSet<Arc<EventKey>>,
    /// In the order in which they came.
    order: VecDeque<(Instant, Arc<EventKey>)>,
    bytes: usize,
}

/// A service that has had no answer sends again within minutes, or starts anew and sends what it finds in its outbox.
const REMEMBERED: Duration = Duration::from_mins(10);
/// And no more than this is remembered, in bytes: about 100,000 events.
const MOST_BYTES: usize = 16 << 20;

impl Recent {
    /// Remembers the events in a record.
    pub(super) fn note(&mut self, record: &Record) {
        let Record::Chunk(chunk) = record else { return };
        for change in chunk.changes.iter() {
            if let Change::Event(event) = change
                && let Some(key) = EventKey::of(event)
            {
                self.insert(key);
            }
        }
    }

    fn insert(&mut self, key: EventKey) {
        let now = Instant::now();
        let key = Arc::new(key);
        let bytes = key.size_bytes();
        if self.known.insert(key.clone()) {
            self.bytes += bytes;
            self.order.push_back((now, key));
        }
        while let Some((at, oldest)) = self.order.front()
            && (self.bytes > MOST_BYTES || now.duration_since(*at) > REMEMBERED)
        {
            self.bytes -= oldest.size_bytes();
            self.known.remove(oldest);
            self.order.pop_front();
        }
    }

    pub(super) fn knows(&self, key: &EventKey) -> bool {
        self.known.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, Publication, Timestamp};

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let key = |id: usize| {
            let mut attributes = Attributes::default();
            attributes.set("id", &format!("{id:01000}")).expect("a name");
            Publication::binary("c", attributes, b"1", Timestamp::default(), 0).expect("valid").key
        };
        let mut recent = Recent::default();
        for id in 0..20_000 {
            recent.insert(key(id));
            recent.insert(key(id));
        }
        assert!(recent.bytes <= MOST_BYTES && recent.order.len() == recent.known.len());
        assert!(!recent.knows(&key(0)) && recent.knows(&key(19_999)) && recent.knows(&key(10_000)));
    }
}
