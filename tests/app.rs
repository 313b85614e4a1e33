//! The reference application: commands and reads, with PostgreSQL's policies over both.

mod house;
mod replies;

pub(crate) use house::{Api, App};
