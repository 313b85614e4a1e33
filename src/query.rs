//! Reads of the reference application: cached, and never older than what the stream has shown.
//!
//! ```text
//!  GET ──▶ tags ──▶ since when? ──▶ cache ── as of then or later ──▶ answer
//!                   (Marks: told       │
//!                    by the journal)   └─ else, once for all who ask: as the caller, on a replica that has come so
//!                                         far, or on the primary ──▶ cache
//! ```
//!
//! A cached answer carries the position that it is as of. It is good for as long as the journal has told of no change to
//! what it was made from: a committed change outdates exactly the answers that it touches, in every process, with nothing
//! to delete anywhere. Its key has all that the caller's policies go by: nobody is served what another may see.
//!
//! Never here: an error because the cache is away.

mod action;
mod activity;
mod board;
mod entry;
mod export;
mod figure;
mod history;
mod me;
mod one;
mod operation;
mod page;
mod people;
mod read;
mod replica;
mod store;

use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Cache, Marks};
use crate::event::TableName;
use crate::hub;
use crate::limit::Turns;
use crate::policy::Policies;
use crate::postgres::Pool;
use crate::shutdown::Scope;
use crate::workspace::tables::interests;
use crate::workspace::{Code, Fault, Id, Vault};

use action::{Action, Actions};
pub use figure::charts;
pub use operation::{Answer, Asked, Catalogue, Kind, Read, Shown};
pub use read::{Answered, Request};
use replica::Replicas;
use store::Store;

/// Large answers that are in memory at the same time, until they are sent: half of them one person's.
const LARGE: usize = 4;

/// How reads are made and kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long one may take.
    pub timeout: Duration,
    /// Where functions without a `search_path` of their own look for names.
    pub search_path: String,
    /// How long an answer is kept at most, by its [`Kind`].
    pub lifetimes: Lifetimes,
    /// How much of this process's memory answers may take, in bytes.
    pub memory_bytes: usize,
    /// How long a replica is waited for that has not come so far yet.
    pub replica_wait: Duration,
    /// Reads of the primary at the same time.
    pub concurrent: usize,
    /// What people looked at waits in a queue of so many.
    pub queue: usize,
}

/// How long answers are kept at most; what the journal tells of ends them sooner.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Rows of boards, entries and all else.
    pub rows: Duration,
    /// Categories and workflows.
    pub categories: Duration,
    /// Measures.
    pub kpis: Duration,
    /// Charts.
    pub charts: Duration,
}

/// What reads go by.
#[derive(Debug)]
pub struct Parts {
    /// Sessions on the primary.
    pub primary: Pool,
    /// Sessions on each server that follows it.
    pub replicas: Vec<Pool>,
    /// Where the stream is.
    pub hub: hub::Handle,
    /// What it has told of.
    pub marks: Arc<Marks>,
    /// What roles may see.
    pub policies: Policies,
    /// What processes keep together.
    pub cache: Cache,
    /// Opens contacts.
    pub vault: Vault,
    /// Where the history is, if one is kept.
    pub warehouse: Option<Pool>,
}

/// Makes reads. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Queries(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    primary: Pool,
    replicas: Replicas,
    hub: hub::Handle,
    marks: Arc<Marks>,
    policies: Policies,
    vault: Vault,
    warehouse: Option<Pool>,
    store: Store,
    /// On the primary, whose connections commands have too.
    turns: Turns,
    /// Of answers that are large.
    large: Turns,
    actions: Actions,
    catalogue: Catalogue,
    /// What answers are made from, and what of it tells them apart.
    tables: Vec<(TableName, &'static [&'static str])>,
}

impl Queries {
    /// Of these parts; what people looked at is written in `scope`.
    pub fn start(config: Config, parts: Parts, scope: &Scope) -> Self {
        let store = Store::new(config.memory_bytes, parts.cache);
        let actions = Actions::start(parts.primary.clone(), config.queue, scope);
        Self(Arc::new(Shared {
            turns: Turns::new(config.concurrent),
            large: Turns::new(LARGE),
            replicas: Replicas::new(parts.replicas, config.replica_wait),
            config,
            primary: parts.primary,
            hub: parts.hub,
            marks: parts.marks,
            policies: parts.policies,
            vault: parts.vault,
            warehouse: parts.warehouse,
            store,
            actions,
            catalogue: Catalogue::new(),
            tables: interests()
                .iter()
                .map(|of| (TableName::new(of.table.0, of.table.1), of.columns))
                .collect(),
        }))
    }

    /// Notes that somebody's movement of a card was refused, if its workflow did that: no way there, a guard, a role, a limit.
    pub fn note_refusal(&self, user: &str, entry: &str, fault: &Fault) {
        let by_workflow = matches!(
            fault.code,
            Code::NoTransition | Code::TransitionRefused | Code::WipLimit | Code::Forbidden
        );
        // What is no number names no card.
        if by_workflow && let Some(entry) = Id::parse(entry) {
            self.0.actions.note(user, Action::refused(entry.as_str(), fault.code.as_str()));
        }
    }

    /// The reads there are.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }
}
