use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Error;
use crate::event::{Table, TableName};
use crate::hub;
use crate::journal::{Described, Status};
use crate::postgres::catalog::{self, Catalog, Refusal, Watch};
use crate::postgres::publication::{self, Deferred, Fault, Ownership, Report, Writer};
use crate::postgres::{self, Pool, Pooled, Recovery, event_trigger};
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
    /// As PostgreSQL has it.
    latest: Option<Catalog>,
    /// Tables that were published while transactions wrote to them, until those have ended.
    settling: HashMap<u32, HashSet<Writer>>,
    /// Types and keys, if messages go to services.
    describe: watch::Sender<Arc<Described>>,
    /// As sessions see it.
    current: watch::Sender<Option<Arc<Catalog>>>,
    /// Changes have come in: what is committed from here on is in the stream.
    open: bool,
    /// What was said of tables that cannot be followed, so that it is said once.
    said: Vec<Refusal>,
    /// And of those that this role may not publish.
    foreign: Vec<TableName>,
    /// And of those that could not be published yet.
    deferred: Vec<TableName>,
    /// Why no table is followed, while that is so.
    withheld: Option<String>,
}

/// The pauses between attempts to reach a PostgreSQL that is away: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Keeper {
    pub(super) fn new(
        pool: Pool,
        hub: hub::Handle,
        publication: publication::Config,
        event_trigger: bool,
        describe: watch::Sender<Arc<Described>>,
    ) -> (Self, watch::Receiver<Option<Arc<Catalog>>>) {
        let (current, receiver) = watch::channel(None);
        let watch = Watch::new(&publication.publication);
        (
            Self {
                pool,
                hub,
                publication,
                event_trigger,
                watch,
                latest: None,
                settling: HashMap::new(),
                describe,
                current,
                open: false,
                said: Vec::new(),
                foreign: Vec::new(),
                deferred: Vec::new(),
                withheld: None,
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
    ///
    /// Nobody is told of a table before changes come in for the first time: what is committed before the slot is made
    /// is in no stream.
    pub(super) async fn run(
        mut self,
        mut wishes: mpsc::Receiver<Refresh>,
        mut status: watch::Receiver<Status>,
        every: Duration,
        scope: Scope,
    ) {
        tokio::select! {
            biased;
            () = scope.closing() => return,
            streaming = status.wait_for(|status| *status == Status::Streaming) => if streaming.is_err() { return },
        }
        self.open = true;
        self.publish().await;
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
            // Whoever asks while definitions change all the time is answered too.
            while let Ok(wish) = wishes.try_recv() {
                asked.push(wish);
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
        let mut session = self.pool.get().await?;
        let taken = self.take(&mut session).await.inspect_err(|_| self.watch.expire())?;
        if taken || !self.settling.is_empty() {
            self.settle(&session).await?;
            self.publish().await;
        }
        Ok(())
    }

    /// Takes in a catalog that has changed, and brings the publication up to it.
    async fn take(&mut self, session: &mut Pooled) -> Result<bool, Error> {
        let client = session.client_mut();
        let Some(mut catalog) = self.watch.poll(client).await? else { return Ok(false) };
        let report = match publication::ensure(client, &self.publication).await {
            Ok(report) => report,
            // While it runs, the server waits for the publication to be put right: its changes come in yet.
            Err(publication::Error::Unusable { publication, faults }) if self.open => {
                self.withhold(catalog, &publication, &faults);
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        if self.withheld.take().is_some() {
            tracing::info!(
                publication = self.publication.publication,
                "the publication can be followed again"
            );
        }
        if self.event_trigger
            && let event_trigger::Outcome::Refused(message) = event_trigger::ensure(client).await?
        {
            self.event_trigger = false;
            tracing::info!(message, "no event trigger: definitions are polled for");
        }
        let made = matches!(report.ownership, Ownership::Created | Ownership::Mended);
        if made || !report.added.is_empty() || !report.dropped.is_empty() {
            self.watch.expire();
            catalog = self.watch.poll(client).await?.unwrap_or(catalog);
        }
        if !report.deferred.is_empty() {
            // What they wait for changes nothing in the catalog when it ends.
            self.watch.expire();
        }
        self.say(&report);
        if !self.describe.is_closed() {
            let (types, keys) = catalog::describe(client).await?;
            self.describe.send_replace(Arc::new(Described { types, keys }));
        }
        let published = self.newly_published(&catalog, &report);
        let mut writers = publication::writers(client, &published).await?;
        self.settling.extend(published.iter().filter_map(|table| writers.remove_entry(table)));
        self.latest = Some(catalog);
        Ok(true)
    }

    /// Takes all tables away from subscribers: of some of their changes the stream does not tell.
    fn withhold(&mut self, mut catalog: Catalog, publication: &str, faults: &[Fault]) {
        let list = |text: fn(&Fault) -> String, separator| {
            faults.iter().map(text).collect::<Vec<_>>().join(separator)
        };
        let reason = list(Fault::to_string, "; ");
        let sql = list(|fault| fault.sql().to_owned(), "\n");
        catalog.withhold(publication, &reason, &sql);
        if self.withheld.as_ref() != Some(&reason) {
            tracing::warn!(
                publication,
                reason,
                sql,
                "the publication leaves changes out: no table is followed"
            );
        }
        self.withheld = Some(reason);
        self.settling.clear();
        self.latest = Some(catalog);
    }

    /// The tables that the stream tells of since a moment ago only, in whole or in part.
    fn newly_published(&self, catalog: &Catalog, report: &Report) -> Vec<u32> {
        let tables = catalog.tables().into_iter();
        let new = |table: &&Arc<Table>| match &self.latest {
            Some(latest) => {
                latest.by_oid(table.oid).is_none_or(|former| former.membership != table.membership)
            }
            // A slot that is made after this waits for every transaction itself; one that is there from before had
            // the other tables from before.
            None => report.ownership == Ownership::Mended || report.added.contains(&table.name),
        };
        tables.filter(new).map(|table| table.oid).collect()
    }

    /// Lets go of tables whose early writers have ended.
    async fn settle(&mut self, session: &Pooled) -> Result<(), Error> {
        if self.settling.is_empty() {
            return Ok(());
        }
        let tables: Vec<u32> = self.settling.keys().copied().collect();
        let writing = publication::writers(session, &tables).await?;
        self.settling.retain(|table, early| {
            early.retain(|writer| writing.get(table).is_some_and(|writing| writing.contains(writer)));
            !early.is_empty()
        });
        Ok(())
    }

    async fn publish(&self) {
        let Some(mut catalog) = self.latest.clone().filter(|_| self.open) else { return };
        for table in self.settling.keys() {
            catalog.hold_back(*table);
        }
        if self.current.borrow().as_deref() == Some(&catalog) {
            return;
        }
        let tables: HashMap<u32, Arc<Table>> =
            catalog.tables().into_iter().map(|table| (table.oid, table.clone())).collect();
        // The hub knows of a table before anyone can subscribe to it.
        if self.hub.set_tables(tables).await.is_ok() {
            self.current.send_replace(Some(Arc::new(catalog)));
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
                tracing::info!(
                    %table,
                    "not published: it or the publication belongs to another role; see `tidegate check`"
                );
            }
        }
        self.foreign.clone_from(&report.not_owned);
        for Deferred { table, reason } in &report.deferred {
            if !self.deferred.contains(table) {
                tracing::info!(%table, reason, "not published yet: it will be tried again");
            }
        }
        self.deferred = report.deferred.iter().map(|deferred| deferred.table.clone()).collect();
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
