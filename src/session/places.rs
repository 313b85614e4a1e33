use std::sync::Arc;

use crate::hub::{Entry, ReaderKey};
use crate::protocol::{FrameKind, Start};

/// Where a client has come to with each subscription of a stream, in the order in which it asked for them.
///
/// A stream has one id an event, and its subscriptions stand at different places: a change of the one is written before
/// the same transaction's change of the other. So the id names the place of each.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    /// `None` if the subscription was refused at once, or has ended.
    reader: Option<ReaderKey>,
    cursor: Option<Arc<str>>,
    shape: Option<String>,
}

/// A longer id would not fit into the head of the request that brings it back: such an event has none, and the next
/// `progress`, after which the subscriptions stand at one place, has.
const MOST_BYTES: usize = 6 * 1_024;
/// Stands for the cursor of the subscription before.
const SAME: &str = "*";

impl Places {
    /// Adds the next subscription, which stands where it starts until it is told otherwise.
    pub(super) fn add(&mut self, reader: Option<ReaderKey>, start: &Start) {
        let (cursor, shape) = match start {
            Start::Cursor { cursor, shape, .. } => (Some(cursor.as_str().into()), shape.clone()),
            Start::Now | Start::Snapshot => (None, None),
        };
        self.0.push(Place { reader, cursor, shape });
    }

    /// How many subscriptions were asked for.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the places of subscriptions that have ended: whoever comes back with the whole stream begins them anew.
    pub(super) fn end(&mut self, ended: impl Fn(ReaderKey) -> bool) {
        for place in self.0.iter_mut().filter(|place| place.reader.is_some_and(&ended)) {
            *place = Place { reader: None, cursor: None, shape: None };
        }
    }

    /// Takes in what is written to the client; tells whether it moves a place.
    pub(super) fn take(&mut self, entry: &Entry) -> bool {
        let delivery = &entry.delivery;
        let concerned = self.0.iter_mut().filter(|place| match entry.reader {
            Some(reader) => place.reader == Some(reader),
            None => place.reader.is_some(),
        });
        match (&delivery.cursor, delivery.frame.kind()) {
            (Some(stamp), _) => {
                for place in concerned {
                    place.cursor = Some(stamp.text.clone());
                    if let Some(shape) = delivery.shape {
                        place.shape = Some(shape.to_string());
                    }
                }
                true
            }
            // It starts over: until it has its rows, there is no place to come back to.
            (None, FrameKind::Resync) => {
                for place in concerned {
                    (place.cursor, place.shape) = (None, None);
                }
                true
            }
            _ => false,
        }
    }

    /// What resumes the whole stream.
    pub(super) fn event_id(&self) -> Option<String> {
        let mut id = String::new();
        let mut last: Option<&Arc<str>> = None;
        for (index, Place { cursor, shape, .. }) in self.0.iter().enumerate() {
            if index > 0 {
                id.push(',');
            }
            if let Some(cursor) = cursor {
                id.push_str(if last == Some(cursor) { SAME } else { cursor });
                last = Some(cursor);
            }
            if let (Some(_), Some(shape)) = (cursor, shape) {
                id.push('.');
                id.push_str(shape);
            }
        }
        (id.len() <= MOST_BYTES).then_some(id)
    }
}

/// The cursor of each subscription, empty where it has none, and its shape.
pub(super) fn parse(id: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut last = SAME;
    id.split(',').map(move |place| {
        let (cursor, shape) =
            place.split_once('.').map_or((place, None), |(cursor, shape)| (cursor, Some(shape)));
        let cursor = if cursor == SAME { last } else { cursor };
        if !cursor.is_empty() {
            last = cursor;
        }
        (cursor, shape)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Lsn, Position};
    use crate::hub::{Delivery, Stamp};
    use crate::protocol::{Again, Frame, ResyncReason};

    fn entry(reader: Option<u32>, frame: Frame, cursor: Option<&str>) -> Entry {
        let cursor = cursor.map(|text| Stamp { position: Position::default(), text: text.into() });
        Entry { reader: reader.map(ReaderKey), delivery: Arc::new(Delivery { frame, cursor, shape: None }) }
    }

    #[test]
    fn an_id_names_the_place_of_each_subscription() {
        let mut places = Places::default();
        for reader in [Some(ReaderKey(0)), None, Some(ReaderKey(1))] {
            places.add(reader, &Start::Snapshot);
        }
        let progress = || Frame::progress(Lsn::ZERO);
        assert!(places.take(&entry(Some(1), progress(), Some("a"))));
        assert_eq!(places.event_id().as_deref(), Some(",,a"));
        assert!(places.take(&entry(None, progress(), Some("b"))));
        assert_eq!(places.event_id().as_deref(), Some("b,,*"), "one that was refused has no place");
        assert_eq!(parse("b,,*").collect::<Vec<_>>(), [("b", None), ("", None), ("b", None)]);
        assert!(places.take(&entry(Some(0), Frame::resync(ResyncReason::SlowReader), None)));
        assert_eq!(places.event_id().as_deref(), Some(",,b"));
        assert_eq!(parse(",b.1,*.2").collect::<Vec<_>>(), [("", None), ("b", Some("1")), ("b", Some("2"))]);
        assert!(!places.take(&entry(None, Frame::pong(), None)));
    }

    #[test]
    fn a_subscription_that_has_ended_is_not_moved_past_what_it_missed() {
        let mut places = Places::default();
        places.add(Some(ReaderKey(0)), &Start::Snapshot);
        places.add(Some(ReaderKey(1)), &Start::Snapshot);
        assert!(places.take(&entry(None, Frame::progress(Lsn::ZERO), Some("a"))));
        places.end(|reader| reader == ReaderKey(1));
        assert!(places.take(&entry(None, Frame::progress(Lsn::ZERO), Some("b"))));
        assert_eq!(places.event_id().as_deref(), Some("b,"));
    }

    #[test]
    fn a_resumed_subscription_that_was_told_nothing_yet_keeps_its_place() {
        let mut places = Places::default();
        places.add(
            Some(ReaderKey(0)),
            &Start::Cursor { cursor: "a".into(), shape: Some("s".into()), again: Again::Snapshot },
        );
        places.add(
            Some(ReaderKey(1)),
            &Start::Cursor { cursor: "b".into(), shape: Some("t".into()), again: Again::Snapshot },
        );
        assert!(places.take(&entry(Some(0), Frame::progress(Lsn::ZERO), Some("c"))));
        assert_eq!(places.event_id().as_deref(), Some("c.s,b.t"));
    }
}
