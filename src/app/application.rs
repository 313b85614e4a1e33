use std::sync::Arc;

use super::{Error, Server};
use crate::cache::{Cache, Marks, Point};
use crate::command::{self, Commands};
use crate::config::{AuthMode, Config};
use crate::policy::Policies;
use crate::postgres::{self, Pool, migrate};
use crate::query::{self, Queries};
use crate::workspace::{Vault, tables};
use crate::{http, hub, journal};

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
        let parts = query::Parts { primary, replicas, hub, marks, policies, cache, vault };
        let queries = Queries::start(self.config.queries(), parts, &self.core);
        Ok(Some(http::Application::new(commands, queries, app.max_body_bytes)))
    }

    /// Starts what the application does by itself, once its tables are known to be there.
    pub(super) async fn start_application(&self, commands: Commands) -> Result<(), Error> {
        self.must_be_migrated().await?;
        if self.config.auth.mode == AuthMode::Jwt && self.config.profile().is_none() {
            tracing::warn!("auth.profile_function is not set: nobody who comes is known to the application");
        }
        self.core.spawn("upkeep", command::upkeep::keep(commands, self.core.clone()));
        Ok(())
    }

    /// The application's tables are there.
    async fn must_be_migrated(&self) -> Result<(), Error> {
        let standing = match migrate::list(&self.settings).await {
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
