//! The reference application: commands and reads, with PostgreSQL's policies over both.

mod forms;
mod house;
mod reference;
mod replies;
mod schemathesis;

pub(crate) use house::{Api, App};
