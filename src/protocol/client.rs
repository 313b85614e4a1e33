mod read;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::Lsn;

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// Brings or renews a token.
    Auth {
        /// The token, as issued.
        token: String,
    },
    /// Starts a subscription.
    Subscribe(Subscribe),
    /// Asks for older rows of a subscription.
    Page(Page),
    /// Ends a subscription.
    Unsubscribe {
        /// The subscription.
        id: String,
    },
    /// Asks to be told once a position has been delivered.
    Await(Lsn),
    /// Asks for a `pong`.
    Ping,
}

/// A subscription asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// The client's own name for it, 1 to 64 bytes.
    pub id: String,
    /// What to follow.
    pub target: Target,
    /// From where.
    pub start: Start,
}

/// What a subscription follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Rows of a table.
    Table(Select),
    /// Events on a channel.
    Channel(String),
}

/// Which rows of which table, and how they are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// `schema.table`, or `table` of schema `public`.
    pub table: String,
    /// The filter's text.
    pub filter: Option<String>,
    /// What its `$1`, `$2` … stand for.
    pub params: Vec<Param>,
    /// The columns to send; `None` for all.
    pub columns: Option<Vec<String>>,
    /// How changes are paced.
    pub delivery: Delivery,
    /// Order and bound of the snapshot.
    pub snapshot: SnapshotOptions,
}

/// A parameter of a filter.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// SQL NULL.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number, as written.
    Number(serde_json::Number),
    /// PostgreSQL's text form of any type.
    Text(String),
    /// The elements of an array.
    Array(Vec<Param>),
}

/// How changes are paced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Every transaction.
    #[default]
    Every,
    /// At most one change a key in so many milliseconds, the newest one.
    Latest {
        /// The interval in milliseconds.
        interval_ms: u32,
    },
}

/// Order and bound of a snapshot; later changes cover every match all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotOptions {
    /// As in `at desc, id`; ties break by key.
    #[serde(default)]
    pub order_by: Option<String>,
    /// The most rows to send.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// From where a subscription starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// What happens from now on.
    Now,
    /// A snapshot, then every later change.
    Snapshot,
    /// Strictly after a cursor, if that can be.
    Cursor {
        /// The cursor, as received.
        cursor: String,
        /// The `shape` that came with it; channels have none.
        shape: Option<String>,
        /// How it starts over if it cannot.
        again: Again,
    },
}

/// How a subscription starts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// With a snapshot.
    Snapshot,
    /// With whatever comes next: it never asked for rows.
    Live,
}

impl Start {
    /// How a subscription that started like this starts over.
    pub const fn again(&self) -> Again {
        match self {
            Self::Now => Again::Live,
            Self::Snapshot => Again::Snapshot,
            Self::Cursor { again, .. } => *again,
        }
    }
}

/// Older rows asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The subscription, which has an order.
    pub id: String,
    /// The last row that the client has: the values of the order's columns and of the key.
    pub after: Map<String, Value>,
    /// The most rows to send.
    pub limit: u32,
}

/// Why a frame was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a JSON object: nothing that follows can be trusted.
    #[error("a frame is a JSON object with a `type`: {0}")]
    NotAnObject(String),
    /// A JSON object, but not one of ours; the conversation goes on.
    #[error("{message}")]
    BadRequest {
        /// The `id` it carried, if that was a string of the right length.
        id: Option<String>,
        /// What was wrong.
        message: String,
        /// The field at fault, where there is one.
        field: Option<&'static str>,
    },
}
