//! The wire protocol, version 1: what clients may say, what the server says, and the codes of both.
//!
//! ```text
//!  bytes ──ClientFrame::parse──▶ ClientFrame            Frame::ready, Frame::changes, … ──Frame::write──▶ bytes
//! ```
//!
//! Frames are JSON objects with a `type`. What names a subscription is written in two pieces, so that all who see the
//! same share most of it: a head with the reader's own `id` and cursor, and a tail. See `docs/protocol.md`.

mod client;
mod code;
mod server;

pub use client::{
    Again, ClientFrame, Delivery, FrameError, Page, Param, Select, SnapshotOptions, Start, Subscribe, Target,
};
pub use code::{CloseCode, ErrorCode, ResyncReason};
pub use server::{ErrorFrame, Frame, FrameKind, Origin};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "tidegate.v1";

/// What `ready.features` lists: additions to version 1.
pub const FEATURES: [&str; 2] = ["page", "await"];
