//! The messages of logical replication, as the output plugin `pgoutput` writes them: bytes ⇄ values.
//!
//! ```text
//!  XLogData ─▶ decode ─▶ Message ─▶ source::assembler
//! ```
//!
//! Protocol version 1 with the option `messages`, rows in text form; no streaming of transactions in progress, no
//! two-phase commit. Rows are slices of what was read from the socket: nothing of them is copied or parsed here.
//! [`encode()`] is the way back, for tests and fuzzing.
//!
//! Nothing here does I/O, and no input panics.
//!
//! See <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>.

mod decode;
mod encode;
mod message;

pub use decode::{DecodeError, decode};
pub use encode::encode;
pub use message::{Begin, Commit, LogicalMessage, Message, OldTuple, Tuple, Update};
