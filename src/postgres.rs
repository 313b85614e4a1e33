//! Every conversation with PostgreSQL that is not replication.
//!
//! ```text
//!  Settings ─▶ Pool ─▶ Connection ─┬─ catalog      which tables there are, and which of them can be followed
//!                                  ├─ publication  what the stream carries, kept to what cannot break writes
//!                                  ├─ snapshot     a table's rows as of one moment, in bounded chunks
//!                                  ├─ marker       a place in the log that the stream will pass
//!                                  ├─ policy       grants, row-level security, and what they come to for an identity
//!                                  ├─ profile      a function of the user's own, called as an identity
//!                                  ├─ work         statements of our own, in one transaction as an identity
//!                                  ├─ exclusive    what one of all processes does
//!                                  ├─ visibility   which transactions a reader sees now
//!                                  ├─ migrate      the reference application's schema, each of its files once
//!                                  └─ check        what stands in the way, and the SQL that mends it
//! ```
//!
//! The only room that names `tokio_postgres`. A value is bound, never formatted in; a name goes through
//! [`quote()`]. Every session is pinned to the same settings ([`settings::PINNED`]), so that the text of a value is
//! the same in a snapshot and in the stream, whatever the server's configuration says.
//!
//! Never here: a row's values in a log line, a statement without a bound on its time, DDL on a user's table but what
//! `sql/` says.

pub mod settings;
pub mod tls;
mod error;
mod line;
mod connection;
mod pool;
mod exclusive;
mod lease;
mod work;
pub mod catalog;
pub mod publication;
pub mod event_trigger;

pub mod snapshot;
pub mod marker;
pub mod visibility;
pub mod literals;
pub mod policy;
pub mod profile;
pub mod check;
pub mod teardown;
pub mod migrate;
pub mod audit;
mod impersonation;
mod text;
mod nearest;
mod quote;

pub use connection::Connection;
pub use error::{Error, Recovery};
pub use exclusive::Exclusive;
pub use impersonation::{Acting, Impersonation};
pub use pool::{Pool, Pooled};
pub use quote::{quote, quote_literal, quote_table};
pub use settings::Settings;
pub use work::{Access, Begun, Fields, Rows, Work};
