use super::{Catalogs, Config, Marker, Snapshots};
use crate::auth::Authenticator;
use crate::hub;
use crate::policy::Policies;
use crate::postgres::Pool;
use crate::shutdown::Scope;

/// What all sessions share.
#[derive(Clone, Debug)]
pub struct Services {
    /// Limits and pace.
    pub config: Config,
    /// Who clients are.
    pub auth: Authenticator,
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
