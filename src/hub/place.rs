use crate::event::{Cursor, Incarnation, Position, Seen};

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

impl Place {
    /// Reads a place from a cursor.
    pub fn of_cursor(cursor: Cursor) -> Self {
        let Cursor { incarnation, position, seen } = cursor;
        Self { incarnation, position, seen }
    }

    /// The cursor that says it.
    pub fn cursor(&self) -> Cursor {
        Cursor { incarnation: self.incarnation, position: self.position, seen: self.seen.clone() }
    }

    /// The place further on; what was seen is dropped as soon as the position alone tells.
    pub fn advance(&mut self, position: Position) {
        self.position = position;
        if self.seen.as_ref().is_some_and(|seen| seen.settled <= position) {
            self.seen = None;
        }
    }

    /// From where on the position alone tells.
    pub fn settled(&self) -> Position {
        self.seen.as_ref().map_or(self.position, |seen| seen.settled.max(self.position))
    }
}
