//! The reference application: commands and reads, with PostgreSQL's policies over both.

mod forms;
mod house;
mod movement;
mod reads;
mod reference;
mod replica;
mod replies;
mod schemathesis;
mod shared_cache;
