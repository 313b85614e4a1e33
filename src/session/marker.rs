use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::event::Position;
use crate::hub;
use crate::postgres::{self, Connection, Pool, marker};
use crate::shutdown::Scope;
use crate::telemetry::Chain;

/// Writes marks into the log and tells when the hub has passed them; one mark serves all who ask at the same time.
/// Cloning shares it.
#[derive(Clone, Debug)]
pub struct Marker(mpsc::Sender<Wish>);

/// One unbroken conversation with one running server: as long as it lasts, the server cannot have crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u64);

/// No mark: PostgreSQL was away, or crashed between the two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMark;

#[derive(Debug)]
enum Wish {
    Life(oneshot::Sender<Life>),
    Mark(Option<Life>, oneshot::Sender<Position>),
}

/// How many wish for something at once before others wait.
const WISHES: usize = 256;
/// How long a mark may take to come round: it waits behind the backlog of the slot, and under synchronous replication
/// behind commits that wait for a standby.
const PASS_WITHIN: Duration = Duration::from_mins(1);

impl Marker {
    /// Starts the task that writes them.
    pub fn start(pool: Pool, hub: hub::Handle, scope: &Scope) -> Self {
        let (sender, wishes) = mpsc::channel(WISHES);
        let task = Task { pool, hub, session: None, life: Life(0), scope: scope.clone() };
        scope.spawn_essential("marker", task.run(wishes));
        Self(sender)
    }

    /// The present life. What is read after this and before a mark of the same life is in the log before the mark,
    /// or was never acknowledged to be lost.
    pub(super) async fn life(&self) -> Result<Life, NoMark> {
        let (reply, life) = oneshot::channel();
        self.0.send(Wish::Life(reply)).await.map_err(|_| NoMark)?;
        life.await.map_err(|_| NoMark)
    }

    /// Writes a mark, in the life given if one is, and waits until the hub has passed it.
    pub(super) async fn pass(&self, life: Option<Life>) -> Result<Position, NoMark> {
        let (reply, passed) = oneshot::channel();
        self.0.send(Wish::Mark(life, reply)).await.map_err(|_| NoMark)?;
        passed.await.map_err(|_| NoMark)
    }
}

struct Task {
    pool: Pool,
    hub: hub::Handle,
    session: Option<Connection>,
    life: Life,
    scope: Scope,
}

impl Task {
    async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.scope.closing() => return,
                taken = wishes.recv_many(&mut batch, WISHES) => if taken == 0 { return },
            }
            // Dropped replies are the answer of a wish that could not be granted.
            if let Err(error) = self.grant(&mut batch).await {
                self.session = None;
                tracing::debug!(error = %Chain(&error), "no mark could be written");
                batch.clear();
            }
        }
    }

    async fn grant(&mut self, batch: &mut Vec<Wish>) -> Result<(), postgres::Error> {
        if self.session.as_ref().is_none_or(|session| session.is_closed()) {
            self.session = Some(self.pool.dedicated().await?);
            self.life = Life(self.life.0 + 1);
        }
        let life = self.life;
        let Some(session) = &self.session else { return Ok(()) };
        let (mut lives, mut waiting) = (Vec::new(), Vec::new());
        for wish in batch.drain(..) {
            match wish {
                Wish::Life(reply) => lives.push(reply),
                Wish::Mark(asked, reply) if asked.is_none_or(|asked| asked == life) => waiting.push(reply),
                Wish::Mark(..) => {}
            }
        }
        if !lives.is_empty() && waiting.is_empty() {
            // A session that looks open may be a dead one: only an answer tells.
            postgres::visibility::current_snapshot(session).await?;
        }
        if !waiting.is_empty() {
            let (token, mut mark) = self.hub.expect_mark();
            marker::emit_mark(session, Some(token)).await?;
            let scope = self.scope.clone();
            self.scope.spawn("mark", async move {
                let passed = tokio::select! {
                    biased;
                    () = scope.closing() => return,
                    passed = timeout(PASS_WITHIN, mark.passed()) => passed,
                };
                if let Ok(Ok(position)) = passed {
                    for reply in waiting {
                        // Whoever waited may have given up.
                        _ = reply.send(position);
                    }
                }
            });
        }
        for reply in lives {
            _ = reply.send(life);
        }
        Ok(())
    }
}
