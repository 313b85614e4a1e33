use std::sync::Arc;

use super::{Catalogs, Config, Marker, Snapshots};
use crate::auth::{Authenticator, Identity, Refusal};
use crate::hub;
use crate::policy::Policies;
use crate::postgres::Pool;
use crate::profile::Profiles;
use crate::shutdown::Scope;

/// What all sessions share.
#[derive(Clone, Debug)]
pub struct Services {
    /// Limits and pace.
    pub config: Config,
    /// Who clients are.
    pub auth: Authenticator,
    /// Where the database is told of them.
    pub profiles: Profiles,
    /// The hub.
    pub hub: hub::Handle,
    /// The tables there are.
    pub catalogs: Catalogs,
    /// What roles may see of them.
    pub policies: Policies,
    /// Sessions of PostgreSQL.
    pub pool: Pool,
    /// Snapshots in flight.
    pub snapshots: Snapshots,
    /// Marks in the log.
    pub marker: Marker,
    /// Where sessions and their openers run.
    pub scope: Scope,
}

impl Services {
    /// Who brings this token, of whom the database knows by now. Where nobody is asked it may say anything.
    ///
    /// # Errors
    /// As [`Authenticator::verify`]; [`Refusal::Profile`] if the database does not take its profile,
    /// [`Refusal::Unavailable`] while it is away.
    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>, Refusal> {
        self.known(self.auth.verify(token).await?).await
    }

    /// Whose session a cookie names, of whom the database knows by now.
    ///
    /// # Errors
    /// As [`Authenticator::by_session`], and as [`Services::verify`].
    pub async fn by_session(&self, id: &str) -> Result<Arc<Identity>, Refusal> {
        self.known(self.auth.by_session(id).await?).await
    }

    async fn known(&self, identity: Arc<Identity>) -> Result<Arc<Identity>, Refusal> {
        match self.profiles.tell(&identity).await {
            Ok(()) => Ok(identity),
            Err(refusal) => Err(self.auth.refuse(refusal)),
        }
    }
}
