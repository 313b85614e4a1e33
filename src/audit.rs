//! The audit log: who asked for what, from where, and whether they got it.
//!
//! ```text
//!  route, conversation ──▶ Trail ──▶ log       target `audit`, level INFO: one line an event
//!                                └──▶ queue ──▶ table   if `audit.table` is set: in batches, inserted and nothing else
//! ```
//!
//! Told are names: of a table, a channel, a route. Never a filter, a parameter, a value, a token or a claim. Nobody waits
//! for the table: what finds the queue full is in the log only, counted, and said once.

mod event;
mod table;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::TableName;
use crate::postgres::Pool;
use crate::shutdown::Scope;

pub use event::{Action, Verdict};
pub use trail::Trail;

use event::Entry;

/// What is told, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which events.
    pub events: Events,
    /// The table; `None` for the log alone.
    pub table: Option<TableName>,
    /// How many events may wait for the table.
    pub queue: usize,
    /// How long one waits for others, to be written together.
    pub interval: Duration,
}

/// Which events are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// What was allowed and what was not.
    All,
    /// What was not.
    Denied,
    /// Nothing.
    None,
}

/// Takes events. Cloned, it is the same log.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: Events,
    queue: Option<table::Queue>,
}

impl Audit {
    /// Opens the log; the table's writer runs in `scope`, and writes what waits when that closes.
    pub fn open(config: &Config, pool: &Pool, scope: &Scope) -> Self {
        let queue = config.table.as_ref().map(|table| {
            let (sender, receiver) = mpsc::channel(config.queue);
            let writer = table::Writer::new(table, pool.clone(), config.interval);
            scope.spawn("audit", writer.run(receiver, scope.clone()));
            table::Queue::new(sender)
        });
        Self(Arc::new(Inner { events: config.events, queue }))
    }

    fn tell(&self, entry: Entry<'_>) {
        let told = match self.0.events {
            Events::All => true,
            Events::Denied => matches!(entry.verdict, Verdict::Denied(_)),
            Events::None => false,
        };
        if !told {
            return;
        }
        entry.log();
        if let Some(queue) = &self.0.queue {
            queue.offer(&entry);
        }
    }
}
