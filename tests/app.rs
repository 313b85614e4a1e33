//! The reference application: commands and reads, with PostgreSQL's policies over both.

mod alerts;
mod contacts;
mod house;
mod idempotency;
mod model;
mod people;
mod races;
mod replies;
mod roles;
mod workflow;

pub(crate) use house::{Api, App};
