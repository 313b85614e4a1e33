use std::sync::Arc;

use bytes::Bytes;

use super::{Relation, Row};

/// One thing that a transaction did, in the order in which it did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A row was inserted, updated or deleted.
    Row(RowChange),
    /// All rows of a table were removed at once.
    Truncate(Arc<Relation>),
    /// An event on a channel, emitted in the transaction by `pg_logical_emit_message`.
    Event(ChannelEvent),
    /// Definitions of tables may have changed: told by the event trigger.
    Schema,
}

/// What happened to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table, as described at that point of the log.
    pub relation: Arc<Relation>,
    /// What was done.
    pub operation: Operation,
}

/// What was done to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was inserted.
    Insert {
        /// The row.
        new: Row,
    },
    /// It was updated.
    Update {
        /// What the stream tells of the row before; `None` if the identity's columns stayed as they were and the
        /// identity is not the whole row.
        old: Option<Image>,
        /// The row after.
        new: Row,
    },
    /// It was deleted.
    Delete {
        /// What the stream tells of the row before.
        old: Image,
    },
}

impl Operation {
    /// What the stream tells of the row before.
    pub const fn old(&self) -> Option<&Image> {
        match self {
            Self::Insert { .. } => None,
            Self::Update { old, .. } => old.as_ref(),
            Self::Delete { old } => Some(old),
        }
    }

    /// The row after.
    #[expect(clippy::new_ret_no_self, reason = "the manual's word for it, beside `old`")]
    pub const fn new(&self) -> Option<&Row> {
        match self {
            Self::Insert { new } | Self::Update { new, .. } => Some(new),
            Self::Delete { .. } => None,
        }
    }
}

/// An old image: how much of the row it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// The replica identity's columns; all others read as NULL and mean nothing.
    Key(Row),
    /// The whole row.
    Full(Row),
}

impl Image {
    /// The columns, whichever they are.
    pub fn row(&self) -> &Row {
        match self {
            Self::Key(row) | Self::Full(row) => row,
        }
    }
}

/// An event on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    /// The channel, as in `deploys.eu`.
    pub channel: Arc<str>,
    /// One JSON value, checked.
    pub data: Bytes,
    /// What that value is.
    pub form: EventForm,
}

/// What the JSON value of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventForm {
    /// The event's data: all else that makes it a `CloudEvent` follows from the transaction that emitted it.
    Data,
    /// A whole `CloudEvent`, as a service has published it.
    CloudEvent,
}

impl Change {
    /// Roughly what it holds in memory, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Row(change) => {
                    let old = change.operation.old().map_or(0, |old| old.row().len());
                    old + change.operation.new().map_or(0, Row::len)
                }
                Self::Event(event) => event.channel.len() + event.data.len(),
                Self::Truncate(_) | Self::Schema => 0,
            }
    }
}
