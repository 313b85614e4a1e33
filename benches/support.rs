//! What the benches share: a private PostgreSQL, the server, clients in a process of their own, and the arithmetic.
//!
//! ```text
//!  bench ── Database ── a private cluster, quick rather than durable
//!    ├───── Server ──── the real one, in this process: its CPU time and memory are this process's
//!    └───── Swarm ───── this program once more, as a child: its clients' costs are not ours
//! ```
//!
//! A number alone says little on a machine that does other things too: every bench puts what it measures beside
//! something that stands still, in the same run, in turns, and prints the ratio of the medians.

pub(crate) mod backlog;
pub(crate) mod child;
pub(crate) mod database;
pub(crate) mod feed;
pub(crate) mod frames;
pub(crate) mod measure;
pub(crate) mod replica;
pub(crate) mod server;
pub(crate) mod swarm;
pub(crate) mod wrk;
