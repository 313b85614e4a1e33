//! The nouns of the stream: what PostgreSQL says happened, where in the log, and how a value is written.
//!
//! ```text
//!  Table ─ its columns, key, identity (catalog)        Relation ─ the same as the stream describes it
//!  Row ─ one image, as it came                         Change ─ old and new image of one row, or an event
//!  Chunk ─ a part of one transaction                   Record ─ what the journal holds
//!  Lsn, Xid, Position ─ where and who                  Cursor ─ how far a client has come
//!  envelope ─ a change as a message for services
//! ```
//!
//! Nothing here does I/O, reads a clock, or knows a table by name.

mod change;
mod cursor;
mod encoding;
pub mod envelope;
mod kind;
mod lsn;
mod published;
mod record;
mod relation;
mod row;
mod table;
mod value;
mod xid;

pub use change::{Change, ChannelEvent, EventForm, Image, Operation, RowChange};
pub use cursor::{Cursor, Incarnation, InvalidCursor, Position, Seen};
pub use encoding::{InvalidRecord, Relations};
pub use kind::{Class, Kind};
pub use lsn::{InvalidLsn, Lsn};
pub use published::{Attributes, EventKey, InvalidPublication, OF_POSTGRES, Publication, is_channel};
pub use record::{Chunk, Mark, Record, Timestamp};
pub use relation::{Relation, RelationColumn, ReplicaIdentity};
pub use row::{Datum, InvalidRow, Row, RowBuilder};
pub use table::{Collation, Column, RowFilter, Table, TableName};
pub use value::{write_json, write_json_string};
pub use xid::{InvalidSnapshot, Snapshot, Xid};
