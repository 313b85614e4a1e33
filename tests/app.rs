//! The reference application: commands and reads, with PostgreSQL's policies over both.

mod house;
mod movement;
mod reads;
mod replica;
mod replies;
mod shared_cache;
