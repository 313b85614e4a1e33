use std::time::Duration;

use serde::Deserialize;

use super::{Config, count, flag, milliseconds, parsed};
use crate::workspace::Keys;
use crate::{command, query};

/// `[app]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct App {
    /// Whether it is served.
    #[serde(deserialize_with = "flag")]
    pub enabled: bool,
    /// Connections for commands and reads.
    #[serde(deserialize_with = "count::<1, 10_000, _>")]
    pub pool_size: usize,
    /// How long one may take.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds::<100, 600_000, _>")]
    pub timeout: Duration,
    /// How often a command is tried.
    #[serde(deserialize_with = "count::<1, 1_000, _>")]
    pub attempts: usize,
    /// The largest body.
    #[serde(deserialize_with = "count::<1_024, 67_108_864, _>")]
    pub max_body_bytes: usize,
    /// Commands in a batch.
    #[serde(deserialize_with = "count::<1, 100, _>")]
    pub max_batch: usize,
    /// How long a command is known by its key.
    #[serde(rename = "idempotency_ms", deserialize_with = "milliseconds::<60_000, 31_536_000_000, _>")]
    pub idempotency: Duration,
    /// What encrypts contacts.
    #[serde(deserialize_with = "parsed")]
    pub contact_keys: Keys,
    /// How many days activities are kept; 0 for ever.
    #[serde(deserialize_with = "count::<0, 100_000, _>")]
    pub activities_days: usize,
    /// How many days notifications are kept; 0 for ever.
    #[serde(deserialize_with = "count::<0, 100_000, _>")]
    pub notifications_days: usize,
    /// How many days it is kept what people looked at; 0 for ever.
    #[serde(deserialize_with = "count::<0, 100_000, _>")]
    pub user_actions_days: usize,
    /// What people did that waits to be written.
    #[serde(deserialize_with = "count::<1, 10_000_000, _>")]
    pub queue_actions: usize,
}

impl Config {
    /// How commands are carried out.
    pub fn commands(&self) -> command::Config {
        command::Config {
            timeout: self.app.timeout,
            attempts: u32::try_from(self.app.attempts).unwrap_or(u32::MAX),
            batch: self.app.max_batch,
            search_path: self.policy.search_path.clone(),
            // A quarter is for reads, whatever commands wait for.
            concurrent: (self.app.pool_size * 3 / 4).max(1),
            keys_kept: self.app.idempotency,
            days_kept: command::DaysKept {
                activities: self.app.activities_days,
                notifications: self.app.notifications_days,
                user_actions: self.app.user_actions_days,
            },
        }
    }

    /// How reads are made and kept.
    pub fn queries(&self) -> query::Config {
        query::Config {
            timeout: self.app.timeout,
            search_path: self.policy.search_path.clone(),
            lifetimes: self.cache.lifetimes(),
            memory_bytes: self.cache.memory_bytes,
            replica_wait: self.postgres.replica_wait,
            // The same: two persons who ask for what takes long leave some to others.
            concurrent: (self.app.pool_size * 3 / 4).max(1),
            queue: self.app.queue_actions,
        }
    }
}
