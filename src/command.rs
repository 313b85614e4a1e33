//! Commands: one request, one transaction, as whoever asks.
//!
//! ```text
//!  request ──Shape──▶ Input ─┬─ begin as the caller ─ key? ─ operation ─ activity ─ commit ──▶ Reply { row, tx, lsn }
//!            every fault     │                                 │
//!            at once         └────────── again, if others ◀────┘
//!                                        were in its way
//! ```
//!
//! What somebody may is for the policies of `sql/` to say: PostgreSQL judges a write as it judges a read. Main table,
//! activities and whatever belongs to them are written in the one transaction; what has to leave the database (an event)
//! leaves through it, as a logical message. So nothing is lost, and nothing is told of what was rolled back.
//!
//! Never here: a touch of journal or hub. A write becomes visible only by coming round through the log.

mod alert;
mod batch;
mod board;
mod category;
mod comment;
mod contact;
mod entry;
mod idempotency;
mod me;
mod member;
mod movement;
mod notification;
mod operation;
mod record;
mod run;
pub mod upkeep;
mod workflow;

use std::sync::Arc;
use std::time::Duration;

use crate::limit::Turns;
use crate::postgres::Pool;
use crate::workspace::Vault;

pub(crate) use contact::shown;
pub use contact::{RotateError, rotate};
pub use operation::{Catalogue, Input, Operation, Outcome, Route};
pub(crate) use operation::{anonymous, decoded};
pub(crate) use record::statement;
pub use run::{Key, Reply, Request};

/// Commands at the same time that may take long, as the deletion of a board may: one of each person's.
const LONG: usize = 2;

/// How commands are carried out.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long one may take, all attempts together.
    pub timeout: Duration,
    /// How often one is tried that others were in the way of.
    pub attempts: u32,
    /// Commands in a batch.
    pub batch: usize,
    /// Where functions without a `search_path` of their own look for names.
    pub search_path: String,
    /// Commands that are carried out at the same time.
    pub concurrent: usize,
    /// How long a command is known by its `Idempotency-Key`.
    pub keys_kept: Duration,
    /// How long rows are kept that are written as time goes by.
    pub days_kept: DaysKept,
}

/// How many days rows are kept; 0 for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaysKept {
    /// What happened on boards.
    pub activities: usize,
    /// What people were told.
    pub notifications: usize,
    /// What people looked at.
    pub user_actions: usize,
}

/// Carries commands out. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Commands(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    pool: Pool,
    vault: Vault,
    catalogue: Catalogue,
    /// Not on all connections: those who wait for each other's rows are not to hold reads up.
    turns: Turns,
    /// Of commands that may take long.
    long: Turns,
}

impl Commands {
    /// On sessions of `pool`.
    pub fn new(config: Config, pool: Pool, vault: Vault) -> Self {
        let turns = Turns::new(config.concurrent);
        let long = Turns::new(LONG);
        Self(Arc::new(Shared { config, pool, vault, catalogue: Catalogue::new(), turns, long }))
    }

    /// What PostgreSQL is asked for a movement within a state, between the statements that begin and end its transaction:
    /// for those who measure it beside.
    pub fn movement() -> [&'static str; 4] {
        let [locked, neighbours, moved] = movement::statements();
        [locked, neighbours, moved, record::RECORD]
    }

    /// The operations there are.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }
}
