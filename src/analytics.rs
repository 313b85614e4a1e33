//! Measures: kept from the journal as changes come in, and computed by jobs for the years.
//!
//! ```text
//!  journal ──change──▶ live ── counters, place ──▶ PostgreSQL ──settle──▶ public.kpi_values ──WAL──▶ those who follow it
//!                        ▲         (one transaction)
//!                        └── counted anew from the tables where the journal does not lead on
//! ```
//!
//! The history is loaded by the clock ([`jobs`]): facts and what they come to, in a database that may be another one.
//!
//! Of all processes one keeps the counters; what it writes names the place in the journal up to which it was counted, in
//! the same transaction, and only from the place that the last one wrote: so each change counts once, whoever is killed
//! when.
//!
//! Never here: a look at a table for a change, or anything that a command waits for.

mod etl;
pub mod export;
pub mod jobs;
mod live;

pub use etl::{Etl, Retention};
pub use live::{Config as LiveConfig, DriftError, Live};
