use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Server};
use crate::analytics::export::Export;
use crate::analytics::jobs::Jobs;
use crate::analytics::{Etl, Live};
use crate::cache::{Cache, Marks, Point};
use crate::command::{self, Commands};
use crate::config::{AuthMode, Config};
use crate::journal::Status;
use crate::policy::Policies;
use crate::postgres::migrate::Schema;
use crate::postgres::{self, Pool, migrate};
use crate::query::{self, Queries};
use crate::shutdown::Scope;
use crate::workspace::{Vault, tables};
use crate::{http, hub, journal};

/// Connections for measures: one counts or writes, one looks or marks; and as many for a comparison.
const LIVE_SESSIONS: usize = 4;
/// For jobs, in each of both databases.
const JOB_SESSIONS: usize = 6;

impl Server<'_> {
    /// What cached reads depend on, as of where the journal stands; none where the application is left off.
    pub(super) fn marks(&self, journal: &journal::Journal) -> Option<Arc<Marks>> {
        let tail = journal.tail();
        let start = Point { incarnation: tail.incarnation, lsn: tail.position.commit_lsn };
        self.config.app.enabled.then(|| Arc::new(Marks::new(tables::interests(), start)))
    }

    /// Commands and reads, with connections of their own: what waits for a snapshot does not wait for them.
    pub(super) fn application(
        &self,
        marks: Option<Arc<Marks>>,
        hub: &hub::Handle,
        policies: &Policies,
        cache: &Cache,
    ) -> Result<Option<http::Application>, Error> {
        let Some(marks) = marks else { return Ok(None) };
        let Config { app, postgres, .. } = self.config;
        let pool = |settings| Pool::new(settings, app.pool_size, postgres.connect_timeout);
        let primary = pool(self.settings.clone())?;
        let replicas = postgres.replicas().map(pool).collect::<Result<_, _>>()?;
        let vault = Vault::new(app.contact_keys.clone());
        let commands = Commands::new(self.config.commands(), primary.clone(), vault.clone());
        let (hub, policies, cache) = (hub.clone(), policies.clone(), cache.clone());
        let warehouse = self.config.live().map(|_| pool(self.config.warehouse())).transpose()?;
        let parts = query::Parts { primary, replicas, hub, marks, policies, cache, vault, warehouse };
        let queries = Queries::start(self.config.queries(), parts, &self.core);
        Ok(Some(http::Application::new(commands, queries, app.max_body_bytes)))
    }

    /// Starts what the application does by itself, once its tables are known to be there.
    pub(super) async fn start_application(
        &self,
        commands: Commands,
        hub: &hub::Handle,
        streaming: watch::Receiver<Status>,
    ) -> Result<(), Error> {
        self.must_be_migrated().await?;
        if self.config.auth.mode == AuthMode::Jwt && self.config.profile().is_none() {
            tracing::warn!("auth.profile_function is not set: nobody who comes is known to the application");
        }
        self.core.spawn("upkeep", command::upkeep::keep(commands, self.core.clone()));
        if let Some(config) = self.config.live() {
            let pool = |size| Pool::new(self.settings.clone(), size, self.config.postgres.connect_timeout);
            let live = Live::new(config, pool(LIVE_SESSIONS)?, hub.clone(), streaming.clone());
            let jobs_pool = pool(JOB_SESSIONS)?;
            let warehouse =
                Pool::new(self.config.warehouse(), JOB_SESSIONS, self.config.postgres.connect_timeout)?;
            let export = self.config.export();
            let export = export.map(|export| Export::new(&export, warehouse.clone())).transpose()?;
            let etl = Etl::new(jobs_pool.clone(), warehouse, self.config.retention());
            let jobs = Jobs::new(self.config.jobs(), jobs_pool, live.clone(), etl, export);
            let scope = self.core.clone();
            self.core.spawn("measures", live.keep(scope.clone()));
            self.core.spawn("jobs", async move {
                if streams(streaming, &scope).await {
                    jobs.keep(scope).await;
                }
            });
        }
        Ok(())
    }

    /// The application's tables are there.
    async fn must_be_migrated(&self) -> Result<(), Error> {
        let standing = async {
            let mut standing = migrate::list(Schema::Application, &self.settings).await?;
            if self.config.live().is_some() {
                standing.extend(migrate::list(Schema::Analytics, &self.config.warehouse()).await?);
            }
            Ok(standing)
        };
        let standing = match standing.await {
            Ok(standing) => standing,
            // It was there a moment ago, and will be again: then requests find out.
            Err(migrate::Error::Postgres(error)) if error.recovery() == postgres::Recovery::Retry => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match standing.into_iter().find(|it| it.state == migrate::State::Pending) {
            Some(pending) => Err(Error::Unmigrated { missing: pending.migration }),
            None => Ok(()),
        }
    }
}

/// Waits until changes come in; `false` if the end comes first.
async fn streams(mut streaming: watch::Receiver<Status>, scope: &Scope) -> bool {
    tokio::select! {
        biased;
        () = scope.closing() => false,
        came = streaming.wait_for(|status| *status == Status::Streaming) => came.is_ok(),
    }
}
