//! How the process stops: named tasks, one word that says *stop*, and a limited time to obey it.
//!
//! ```text
//!  signals() ──▶ root.close() ──▶ scope.closing() in every task, those of child scopes included
//!                root.drain(grace) ◀── each task ends by itself ── or is named as abandoned
//! ```
//!
//! Every task of the process starts through [`Scope::spawn`], so none is nameless, none dies unheard, and none is
//! forgotten at the end. Nothing here aborts a task: a task that is told to close finishes what it holds.

mod scope;
mod signal;
mod task;

pub use scope::{Drained, Scope, Straggler};
pub use signal::{Reloads, Signal, Signals, reloads, signals};
