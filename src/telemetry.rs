//! What the process says about itself: log lines, numbers, and errors with their whole chain.
//!
//! ```text
//!  tracing events ──▶ log ──▶ stderr      text on a terminal, JSON lines otherwise
//!  metrics handles ─▶ Metrics::render ──▶ /metrics
//! ```
//!
//! Spans carry who, events carry what. Never in either: a row's values, a token, a claim, a password.
//! A room asks for its counters once and keeps the handles: `metrics::counter!(metric::HUB_MATCHES)` looks a name
//! up in a map, the handle's `increment` is one atomic addition.

mod chain;
mod log;
pub mod metric;
mod process;
mod recorder;

pub use chain::Chain;
pub use log::{Config, Error, Filter, Format, InvalidFilter, init, panic_text};
pub use process::raise_open_file_limit;
pub use recorder::{Metrics, Taken};
