use crate::event::{Cursor, Incarnation, Position, Snapshot};

/// From where on a reader is owed changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The life of the journal.
    pub incarnation: Incarnation,
    /// Everything up to here is behind it.
    pub position: Position,
    /// What it has seen beyond that.
    pub seen: Option<Seen>,
}

/// Beyond its position a reader has also seen what was visible in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What was visible.
    pub snapshot: Snapshot,
    /// From here on nothing was: the marker that was written after the snapshot. `None` if it is not known, as in a
    /// cursor that came back.
    pub settled: Option<Position>,
}

impl Place {
    /// Reads a place from a cursor.
    pub fn of_cursor(cursor: Cursor) -> Self {
        let seen = cursor.snapshot.map(|snapshot| Seen { snapshot, settled: None });
        Self { incarnation: cursor.incarnation, position: cursor.position, seen }
    }

    /// The cursor that says it.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            incarnation: self.incarnation,
            position: self.position,
            snapshot: self.seen.as_ref().map(|seen| seen.snapshot.clone()),
        }
    }

    /// The place further on; what was seen is dropped as soon as the position alone tells.
    pub fn advance(&mut self, position: Position) {
        self.position = position;
        let settled = self.seen.as_ref().and_then(|seen| seen.settled);
        if settled.is_some_and(|settled| settled <= position) {
            self.seen = None;
        }
    }
}
