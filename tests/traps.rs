//! What PostgreSQL does that a reader of its log stumbles over, each through the socket.

mod definitions;
mod identity;
mod live;

pub(crate) use live::Live;
