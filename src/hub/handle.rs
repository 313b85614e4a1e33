use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::memo::Memo;
use super::outbox::{Fall, Outbox, ReaderKey};
use super::place::Place;
use super::selection::Selection;
use super::{Config, Ticket};
use crate::event::{Incarnation, Lsn, Position, Table};
use crate::journal::{Journal, Tail};
use crate::policy::Digests;
use crate::protocol::ResyncReason;

/// The hub, as sessions know it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    journal: Journal,
    memo: Memo,
}

/// How a reader was let in.
#[derive(Debug)]
#[must_use]
pub enum Attach {
    /// What it missed was queued, and everything later will be; a [`Note::Live`](super::Note::Live) tells its session.
    Live,
    /// It is further behind than the hub replays: replay from the journal, and ask again.
    Behind,
    /// Its outbox has no room for what it missed: wait for room, and ask again.
    Full,
    /// It must start over.
    Refused(ResyncReason),
    /// What it missed cannot be told.
    Fell(Fall),
}

/// What a session wants all of its readers to be told.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// How far they are.
    Progress,
    /// That they have come this far.
    Reached(Lsn),
}

/// The hub has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hub has stopped")]
pub struct Stopped;

#[derive(Debug)]
pub(super) enum Command {
    Attach {
        selection: Selection,
        outbox: Arc<Outbox>,
        key: ReaderKey,
        place: Place,
        reply: oneshot::Sender<Attach>,
    },
    Detach {
        ticket: Ticket,
        outbox: Arc<Outbox>,
        key: ReaderKey,
    },
    Release {
        ticket: Ticket,
        outbox: Arc<Outbox>,
        key: ReaderKey,
    },
    Report {
        readers: Vec<(ReaderKey, Ticket)>,
        outbox: Arc<Outbox>,
        report: Report,
        reply: oneshot::Sender<bool>,
    },
    Tables(HashMap<u32, Arc<Table>>),
    Grants(Digests),
}

/// What the hub's task and its handles share.
#[derive(Debug)]
pub(super) struct Shared {
    here: watch::Sender<Tail>,
    marks: Mutex<HashMap<u64, oneshot::Sender<Position>>>,
    /// Definitions of tables may have changed.
    pub(super) schema_changed: Notify,
}

impl Shared {
    pub(super) fn new(here: Tail) -> Self {
        Self { here: watch::Sender::new(here), marks: Mutex::default(), schema_changed: Notify::new() }
    }

    pub(super) fn move_to(&self, incarnation: Incarnation, position: Position) {
        let here = Tail { incarnation, position };
        self.here.send_if_modified(|tail| std::mem::replace(tail, here) != here);
    }

    /// A new life of the journal has begun: marks of the one before may never come round.
    pub(super) fn marks_lost(&self) {
        self.marks.lock().clear();
    }

    pub(super) fn marks_passed(&self, tokens: &[u64], position: Position) {
        if tokens.is_empty() {
            return;
        }
        let mut marks = self.marks.lock();
        for waiter in tokens.iter().filter_map(|token| marks.remove(token)) {
            // Whoever waited may have given up.
            _ = waiter.send(position);
        }
    }
}

impl Handle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        shared: Arc<Shared>,
        journal: Journal,
        config: Config,
    ) -> Self {
        Self { commands, shared, journal, memo: Memo::new(config) }
    }

    /// Where the hub stands: everything up to here has been offered to every reader, or is being offered just now. Nobody
    /// was told of anything beyond, and whoever attaches from here on misses nothing and is told nothing before it.
    pub fn here(&self) -> Place {
        let Tail { incarnation, position } = *self.shared.here.borrow();
        Place { incarnation, position, seen: None }
    }

    /// Tells when the hub has moved on.
    pub fn moves(&self) -> watch::Receiver<Tail> {
        self.shared.here.subscribe()
    }

    /// The journal, for replays.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What those who catch up find in the journal, for each other.
    pub fn memo(&self) -> &Memo {
        &self.memo
    }

    /// Lets a reader in who stands at `place`.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn attach(
        &self,
        selection: Selection,
        outbox: Arc<Outbox>,
        key: ReaderKey,
        place: Place,
    ) -> Result<Attach, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Attach { selection, outbox, key, place, reply }).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Lets a reader go.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn detach(&self, ticket: Ticket, outbox: Arc<Outbox>, key: ReaderKey) -> Result<(), Stopped> {
        self.send(Command::Detach { ticket, outbox, key }).await
    }

    /// Takes a reader out for a while: a [`Fall::Behind`] tells where it stands.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn release(&self, ticket: Ticket, outbox: Arc<Outbox>, key: ReaderKey) -> Result<(), Stopped> {
        self.send(Command::Release { ticket, outbox, key }).await
    }

    /// Queues a report to a connection, behind all that its readers are owed; tells whether it could, which it cannot
    /// while something is withheld from one of them.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn report(
        &self,
        readers: Vec<(ReaderKey, Ticket)>,
        outbox: Arc<Outbox>,
        report: Report,
    ) -> Result<bool, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Report { readers, outbox, report, reply }).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Gives the hub the catalog's tables.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn set_tables(&self, tables: HashMap<u32, Arc<Table>>) -> Result<(), Stopped> {
        self.send(Command::Tables(tables)).await
    }

    /// Gives the hub what roles may see: whoever sees by something else starts over.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn set_grants(&self, grants: Digests) -> Result<(), Stopped> {
        self.send(Command::Grants(grants)).await
    }

    /// A number to write into the log, and where the hub stands when it has come round.
    pub fn expect_mark(&self) -> (u64, Mark) {
        let token = fastrand::u64(..);
        let (passed, waiter) = oneshot::channel();
        self.shared.marks.lock().insert(token, passed);
        (token, Mark { token, waiter, shared: self.shared.clone() })
    }

    /// Waits until definitions of tables may have changed.
    pub async fn schema_changed(&self) {
        self.shared.schema_changed.notified().await;
    }

    async fn send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }
}

/// A number that will come round in the log.
#[derive(Debug)]
pub struct Mark {
    token: u64,
    waiter: oneshot::Receiver<Position>,
    shared: Arc<Shared>,
}

impl Mark {
    /// Waits until the hub has passed it. Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`] while the server goes down.
    pub async fn passed(&mut self) -> Result<Position, Stopped> {
        (&mut self.waiter).await.map_err(|_| Stopped)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.shared.marks.lock().remove(&self.token);
    }
}
