//! The journal: an ordered, replayable record of all that happened, here in memory.
//!
//! ```text
//!  relay ──Writer::append──▶ ┌ oldest … newest ┐ ──Follower::next──▶ hub
//!                            └───────┬─────────┘
//!                                    └──Journal::read──▶ whoever was away, by position
//! ```
//!
//! It is bounded in bytes and in age. What the hub has not yet read is never evicted: a full journal makes the writer
//! wait, and so the source, and so PostgreSQL. A snapshot that is being read *holds* its place: what its readers are owed
//! stays, within a bound of its own. A reader that was away longer than the journal is long finds a
//! [`Read::Gap`]. The journal in memory ends with its process: the next one is a new [`Incarnation`].
//!
//! [`Incarnation`]: crate::event::Incarnation

mod memory;

use std::time::Duration;

pub use memory::{Follower, Hold, Journal, Read, Step, Tail, Writer};

/// Bounds of the journal.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The most that is kept, in bytes; a single larger record is kept alone.
    pub memory_bytes: usize,
    /// How much more is kept for those who hold a place, in bytes.
    pub held_bytes: usize,
    /// The longest that a record is kept.
    pub max_age: Duration,
}

/// Opens an empty journal, in a life of its own.
pub fn open(config: Config) -> (Writer, Follower, Journal) {
    memory::open(config)
}
