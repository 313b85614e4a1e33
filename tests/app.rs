//! The reference application: commands and reads, with PostgreSQL's policies over both.

mod alerts;
mod contacts;
mod forms;
pub(crate) mod house;
mod idempotency;
mod model;
mod movement;
mod people;
mod races;
mod reads;
mod reference;
mod replica;
mod replies;
mod roles;
mod schemathesis;
mod shared_cache;
mod workflow;
