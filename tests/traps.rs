//! What PostgreSQL does that a reader of its log stumbles over, each through the socket.

mod channels;
mod definitions;
mod gaps;
mod identity;
mod kinds;
mod large;
mod live;
mod names;
mod outages;
mod partitions;
mod publications;

pub(crate) use live::Live;
