use std::sync::Arc;

use bytes::Bytes;

use crate::event::{Lsn, Relation, Row, Timestamp};

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A transaction starts. What follows up to its [`Message::Commit`] belongs to it.
    Begin(Begin),
    /// The transaction ends.
    Commit(Commit),
    /// The transaction was replicated into this server from elsewhere.
    Origin {
        /// Where its commit record lies on the server of origin.
        commit_lsn: Lsn,
        /// The name of the replication origin.
        name: Arc<str>,
    },
    /// What the rows of a table look like from here on.
    Relation(Relation),
    /// The name of a type that is not built in.
    Type {
        /// `pg_type.oid`.
        oid: u32,
        /// Schema, as stored.
        schema: Arc<str>,
        /// Name, as stored.
        name: Arc<str>,
    },
    /// A row was inserted.
    Insert {
        /// The table, by the `oid` of its description.
        relation: u32,
        /// The row.
        new: Tuple,
    },
    /// A row was updated.
    Update(Update),
    /// A row was deleted.
    Delete {
        /// The table, by the `oid` of its description.
        relation: u32,
        /// What is told of the row before.
        old: OldTuple,
    },
    /// All rows of some tables were removed at once.
    Truncate {
        /// The tables, by the `oid` of their descriptions.
        relations: Vec<u32>,
        /// `TRUNCATE … CASCADE`.
        cascade: bool,
        /// `TRUNCATE … RESTART IDENTITY`.
        restart_identity: bool,
    },
    /// Something that `pg_logical_emit_message` wrote into the log.
    Message(LogicalMessage),
}

/// A transaction starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record starts in the log.
    pub commit_lsn: Lsn,
    /// When it committed.
    pub committed_at: Timestamp,
    /// Its id, in 32 bits.
    pub xid: u32,
}

/// A transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where its commit record starts in the log.
    pub commit_lsn: Lsn,
    /// Where its commit record ends in the log.
    pub end_lsn: Lsn,
    /// When it committed.
    pub committed_at: Timestamp,
}

/// A row was updated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The table, by the `oid` of its description.
    pub relation: u32,
    /// What is told of the row before: nothing where the identity's columns stayed as they were.
    pub old: Option<OldTuple>,
    /// The row after.
    pub new: Tuple,
}

/// One image of a row, and how many columns it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// How many columns `row` has. That the relation has as many is for the reader to check.
    pub columns: u16,
    /// The columns.
    pub row: Row,
}

/// An image of a row before the change: how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldTuple {
    /// The replica identity's columns; all others are NULL (kind `K`).
    Key(Tuple),
    /// All columns (kind `O`).
    Full(Tuple),
}

/// Something that `pg_logical_emit_message` wrote into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalMessage {
    /// Whether it belongs to the transaction around it. If not, it was sent whether or not its transaction commits.
    pub transactional: bool,
    /// Where it lies in the log.
    pub lsn: Lsn,
    /// What says whom it is for.
    pub prefix: Arc<str>,
    /// What it says.
    pub content: Bytes,
}
