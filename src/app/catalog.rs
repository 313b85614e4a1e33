use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Error;
use crate::event::{Table, TableName};
use crate::hub;
use crate::postgres::catalog::{Catalog, Refusal, Watch};
use crate::postgres::publication::{self, Ownership, Report};
use crate::postgres::{self, Pool, Recovery, event_trigger};
use crate::session::Refresh;
use crate::shutdown::Scope;
use crate::telemetry::Chain;

/// Keeps the publication, and tells hub and sessions what tables there are.
pub(super) struct Keeper {
    pool: Pool,
    hub: hub::Handle,
    publication: publication::Config,
    event_trigger: bool,
    watch: Watch,
    current: watch::Sender<Arc<Catalog>>,
    /// What was said of tables that cannot be followed, so that it is said once.
    said: Vec<Refusal>,
    /// And of those that this role may not publish.
    foreign: Vec<TableName>,
}

/// The pauses between attempts to reach a PostgreSQL that is away: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Keeper {
    pub(super) fn new(
        pool: Pool,
        hub: hub::Handle,
        publication: publication::Config,
        event_trigger: bool,
    ) -> (Self, watch::Receiver<Arc<Catalog>>) {
        let (current, receiver) = watch::channel(Arc::new(Catalog::default()));
        let watch = Watch::new(&publication.publication);
        (
            Self {
                pool,
                hub,
                publication,
                event_trigger,
                watch,
                current,
                said: Vec::new(),
                foreign: Vec::new(),
            },
            receiver,
        )
    }

    /// Makes what has to be there before the slot, however long PostgreSQL is away.
    ///
    /// # Errors
    /// What no waiting mends.
    pub(super) async fn prepare(mut self) -> Result<Self, Error> {
        let mut pause = PAUSES.0;
        loop {
            match self.refresh().await {
                Ok(()) => return Ok(self),
                Err(error) if passes(&error) => {
                    tracing::warn!(error = %Chain(&error), "PostgreSQL cannot be reached; trying again");
                    sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Follows changes of the catalog: by the event trigger's word, by request, and by looking every `every`.
    pub(super) async fn run(mut self, mut wishes: mpsc::Receiver<Refresh>, every: Duration, scope: Scope) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hub = self.hub.clone();
        let mut asked = Vec::new();
        loop {
            tokio::select! {
                biased;
                // 1. Shutdown.
                () = scope.closing() => return,
                // 2. The log tells of a change.
                () = hub.schema_changed() => {}
                // 3. A subscriber named a table that is not known.
                taken = wishes.recv_many(&mut asked, 64) => if taken == 0 { return },
                // 4. Time to look.
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.refresh().await {
                let told = Chain(&error);
                if passes(&error) {
                    tracing::debug!(error = %told, "the catalog cannot be read now");
                } else {
                    tracing::warn!(error = %told, "the catalog cannot be read");
                }
            }
            for wish in asked.drain(..) {
                // Whoever asked may have given up.
                _ = wish.send(());
            }
        }
    }

    async fn refresh(&mut self) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let client = client.client_mut();
        let Some(mut catalog) = self.watch.poll(client).await? else { return Ok(()) };
        let report =
            publication::ensure(client, &self.publication).await.inspect_err(|_| self.watch.expire())?;
        if self.event_trigger
            && let event_trigger::Outcome::Refused(message) = event_trigger::ensure(client).await?
        {
            self.event_trigger = false;
            tracing::info!(message, "no event trigger: definitions are polled for");
        }
        if !report.added.is_empty() || !report.dropped.is_empty() || report.ownership == Ownership::Created {
            self.watch.expire();
            catalog = self.watch.poll(client).await?.unwrap_or(catalog);
        }
        self.say(&report);
        self.publish(catalog).await;
        Ok(())
    }

    async fn publish(&self, catalog: Catalog) {
        if **self.current.borrow() == catalog {
            return;
        }
        let tables: HashMap<u32, Arc<Table>> =
            catalog.tables().into_iter().map(|table| (table.oid, table.clone())).collect();
        // The hub knows of a table before anyone can subscribe to it.
        if self.hub.set_tables(tables).await.is_ok() {
            self.current.send_replace(Arc::new(catalog));
        }
    }

    fn say(&mut self, report: &Report) {
        for table in &report.added {
            tracing::info!(%table, "published");
        }
        for table in &report.dropped {
            tracing::warn!(%table, "no longer published");
        }
        for refusal in &report.refused {
            if !self.said.contains(refusal) {
                tracing::info!(table = %refusal.table(), "not published: {refusal}");
            }
        }
        self.said.clone_from(&report.refused);
        for table in &report.not_owned {
            if !self.foreign.contains(table) {
                tracing::info!(%table, "not published: it belongs to another role; see `tidegate check`");
            }
        }
        self.foreign.clone_from(&report.not_owned);
    }
}

/// Whether time alone may mend it.
fn passes(error: &Error) -> bool {
    let error: &postgres::Error = match error {
        Error::Postgres(error) | Error::Publication(publication::Error::Postgres(error)) => error,
        _ => return false,
    };
    error.recovery() == Recovery::Retry
}
