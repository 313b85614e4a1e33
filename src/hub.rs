//! The hub: finds who wants to see what happened, encodes it once for all who see the same, and offers it.
//!
//! ```text
//!  journal ──Record──▶ Engine ── assembly ─▶ net ─▶ judge ─▶ frames ──offer──▶ Outbox ─▶ session
//!                        ▲         whole       each   which     one for
//!   sessions ──Command───┘         transactions key    shapes    all readers of a shape
//!                                              once
//!  journal ──Stretch─▶ Resumption ── the same, for one reader who was away
//!                          ▲
//!                         Memo ── what others of the same selection were told of the stretch
//! ```
//!
//! A [`Selection`] (table, filter, columns, pace) that somebody follows is a *shape*; who follows it are its *readers*.
//! The hub is one task that owns them all. It never awaits a reader and never blocks: a reader without room is dropped
//! from the hub and told so through its [`Outbox`], and comes back by replaying from the journal on its own time.

mod assembly;
mod engine;
#[cfg(test)]
mod fixture;
mod found;
mod frames;
mod handle;
mod judge;
mod latest;
mod mapping;
mod memo;
mod net;
mod outbox;
mod place;
mod replay;
mod resumption;
mod selection;
mod shapes;
mod subject;
mod task;
mod watches;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

pub use handle::{Attach, Handle, Mark, Report, Stopped};
pub use memo::Memo;
pub use outbox::{Batch, Delivery, Entry, Fall, Note, Offer, Outbox, ReaderKey, Stamp};
pub use place::Place;
pub use resumption::{Missed, Resumption};
pub use selection::{Fingerprint, Projection, Rows, Selection};
pub use shapes::Ticket;

use crate::cache::Marks;
use crate::filter::RowError;
use crate::journal::{Follower, Journal};
use crate::protocol::{ErrorCode, ErrorFrame};
use crate::shutdown::Scope;

/// Limits of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest transaction that is netted, in bytes; a larger one is a resync for the shapes that it touches.
    pub transaction_bytes: usize,
    /// The size in bytes from which a transaction's changes are split into several frames.
    pub frame_bytes: usize,
}

/// How many commands wait before sessions do.
const COMMANDS: usize = 1_024;

/// Starts the hub on a journal, in `scope`. What cached reads depend on is noted in `marks`, before anybody is told of it.
pub fn start(
    config: Config,
    follower: Follower,
    journal: Journal,
    marks: Option<Arc<Marks>>,
    scope: &Scope,
) -> Handle {
    let (sender, commands) = mpsc::channel(COMMANDS);
    let tail = journal.tail();
    let shared = Arc::new(handle::Shared::new(tail));
    let task = task::Task {
        engine: engine::Engine::new(config, tail.incarnation, tail.position),
        config,
        follower,
        journal: journal.clone(),
        commands,
        marks,
        shared: shared.clone(),
        tables: HashMap::new(),
        grants: HashMap::new(),
    };
    scope.spawn_essential("hub", task.run(scope.clone()));
    Handle::new(sender, shared, journal, config)
}

/// What a reader is told whose filter raised on a row.
fn raised(error: &RowError) -> ErrorFrame {
    let message = format!("the filter raised on a row, as PostgreSQL would: {error}");
    ErrorFrame { field: Some("where"), ..ErrorFrame::new(ErrorCode::FilterError, message) }
}

/// What a reader is told for whom a policy raised on a row, which it may not see: not which, and not what is in it.
fn policy_raised() -> ErrorFrame {
    ErrorFrame::new(ErrorCode::PolicyError, "a policy raised on a row, as it would in PostgreSQL")
}
