//! Tidegate makes a PostgreSQL database live.
//!
//! ```text
//!  PostgreSQL ──WAL──▶ source ──▶ relay ──▶ journal ──▶ hub ──▶ session ──▶ browser
//! ```
//!
//! A subscriber sees a consistent snapshot of the rows it may see, then every later change to them, exactly
//! once, in commit order, or is told plainly to start over.
//!
//! The modules are declared bottom-up, and a module may use only modules declared above it: the reading order,
//! the order of dependence and the order of ideas are one. `tests/layers.rs` holds the tree to it.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// Pure: no I/O, no clock, no tokio.
pub mod event;
pub mod pgoutput;
pub mod filter;
pub mod protocol;
// The ground every process stands on.
pub mod telemetry;
pub mod shutdown;
pub mod report;
// Adapters: each wraps one server.
pub mod postgres;
pub mod source;
pub mod journal;
pub mod cache;
// Engines.
pub mod limit;
pub mod audit;
pub mod auth;
pub mod profile;
pub mod policy;
pub mod hub;
pub mod session;
// The reference application: commands, reads, measures.
pub mod workspace;
pub mod command;
pub mod query;
pub mod analytics;
// Roles and wiring.
pub mod relay;
pub mod http;
pub mod config;
pub mod app;
pub mod cli;
