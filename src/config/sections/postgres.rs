use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::values::{patterns, publication, slot};
use super::{ConnectionString, count, list, milliseconds, parsed};
use crate::postgres::Settings;
use crate::postgres::publication::{self, Patterns};

/// `[postgres]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Postgres {
    /// Where the database is.
    #[serde(deserialize_with = "parsed")]
    pub url: ConnectionString,
    /// Which tables are published, as patterns; at least one.
    #[serde(deserialize_with = "patterns")]
    pub tables: Patterns,
    /// The publication.
    #[serde(deserialize_with = "publication")]
    pub publication: String,
    /// The replication slot.
    #[serde(deserialize_with = "slot")]
    pub slot: String,
    /// Connections besides the replication connection; more than [`Snapshot::concurrent`](super::Snapshot::concurrent).
    #[serde(deserialize_with = "count::<2, 10_000, _>")]
    pub pool_size: usize,
    /// For one attempt to connect, unless the URL names a time.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "milliseconds::<100, 600_000, _>")]
    pub connect_timeout: Duration,
    /// Servers that follow the primary.
    #[serde(deserialize_with = "replicas")]
    pub replica_urls: Vec<ConnectionString>,
    /// How long a read waits for one.
    #[serde(rename = "replica_wait_ms", deserialize_with = "milliseconds::<0, 60_000, _>")]
    pub replica_wait: Duration,
}

impl Postgres {
    /// Where the database is and how to talk to it.
    pub fn settings(&self) -> Settings {
        let settings = self.url.settings().expect("a configuration without one is refused");
        settings.clone().with_default_connect_timeout(self.connect_timeout)
    }

    /// The same of each server that follows it.
    pub fn replicas(&self) -> impl Iterator<Item = Settings> {
        let settings = self.replica_urls.iter().filter_map(ConnectionString::settings);
        let settings = settings.cloned().map(Settings::of_a_standby);
        settings.map(|settings| settings.with_default_connect_timeout(self.connect_timeout))
    }

    /// The publication and its tables.
    pub fn publication(&self) -> publication::Config {
        publication::Config { publication: self.publication.clone(), tables: self.tables.clone() }
    }
}

/// A list of connection strings, each of which says something.
fn replicas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ConnectionString>, D::Error> {
    let parse = |text: String| {
        let parsed: ConnectionString = text.parse().map_err(D::Error::custom)?;
        match parsed.settings() {
            Some(_) => Ok(parsed),
            None => Err(D::Error::custom("holds an empty text")),
        }
    };
    list(deserializer)?.into_iter().map(parse).collect()
}
