//! A session: one client's conversation. Its subscriptions, their snapshots, its outbox, its pace.
//!
//! ```text
//!  client frames ──▶ Conversation ──Action::Open──▶ Opener: resolve ─▶ snapshot ─▶ replay ─▶ attach to the hub
//!                        ▲   │                          │                                        │
//!                        │   └─ answers ─▶ ┌────────┐ ◀─┴─ frames, notes ◀───────────────────────┘
//!                        └──── notes ───── │ Outbox │
//!                                          └───┬────┘
//!  client ◀── websocket or sse ◀── all that waits, in one write
//! ```
//!
//! `Conversation` is a value: frames and notes in, actions out, no socket and no clock. An opener is a short task that
//! brings one subscription up to the hub, at the reader's pace; then the hub delivers, and the task is gone.
//! A conversation is with somebody, an `auth::Identity`, or with nobody yet, who can say no more than who it is. Whatever is
//! read for a client is read as that; a client that becomes another one has all of its subscriptions start over.
//!
//! A session never touches another one's outbox, and no failure of one subscription ends another.

mod action;
mod awaited;
mod catalog;
mod conversation;
mod deliver;
mod driver;
mod flight;
mod guest;
mod marker;
mod open;
mod order;
mod page;
mod places;
mod resolve;
mod services;
mod socket;
mod sse;
mod subscriptions;
mod term;
mod websocket;

use std::time::Duration;

pub use catalog::{Catalogs, Refresh};
pub use flight::Snapshots;
pub use guest::Guest;
pub use marker::Marker;
pub use services::Services;
pub use sse::{Stream, Wanted, stream};
pub use websocket::{refuse, serve};

/// Limits and pace of sessions.
#[derive(Clone, Debug)]
pub struct Config {
    /// The most that waits for one connection, in bytes.
    pub outbox_bytes: usize,
    /// The most subscriptions on one connection.
    pub max_subscriptions: usize,
    /// The largest frame that a client may send, in bytes.
    pub max_frame_bytes: usize,
    /// How often a connection is pinged and told of progress.
    pub heartbeat: Duration,
    /// How long a connection may be silent before it is closed.
    pub idle_timeout: Duration,
    /// How long a client may take to say who it is, where it has to.
    pub handshake_timeout: Duration,
    /// The shortest interval for delivery `latest`.
    pub latest_min_interval: Duration,
    /// How long one write may take before the client counts as gone.
    pub write_timeout: Duration,
    /// Whether errors carry the SQL that mends them.
    pub hints: bool,
    /// How snapshots are read.
    pub snapshot: SnapshotConfig,
}

/// How snapshots are read.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotConfig {
    /// The most that are open at once.
    pub concurrent: usize,
    /// The longest that one may take: it holds back vacuum.
    pub timeout: Duration,
    /// The size of one frame of rows, in bytes.
    pub chunk_bytes: usize,
}
