//! The source against PostgreSQL itself: what it delivers, what it survives, whom it lets in.

mod changes;
mod emitted;
pub(crate) mod follower;
mod histories;
pub(crate) mod login;
mod outages;
mod pace;
mod slots;
