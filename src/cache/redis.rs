use std::fmt;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::config::{Config, ReconnectPolicy};
use fred::types::{Builder, Expiration};

use super::Error;
use crate::shutdown::Scope;

/// How long a command may take: whoever waits for it is a client that wants in.
const COMMAND: Duration = Duration::from_secs(1);
/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(2);
/// The pauses between attempts to connect, in milliseconds: the first and the longest.
const PAUSES_MS: (u32, u32) = (50, 1_000);
/// So many names are asked for at once.
const BATCH: usize = 500;

/// What all processes remember that name the same server and prefix.
pub(super) struct Redis {
    client: Client,
    prefix: String,
}

impl Redis {
    pub(super) fn open(config: Config, prefix: String, scope: &Scope) -> Result<Self, Error> {
        let client = Builder::from_config(Config { fail_fast: false, ..config })
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT;
                connection.internal_command_timeout = CONNECT;
                connection.max_command_attempts = 1;
            })
            .with_performance_config(|performance| performance.default_command_timeout = COMMAND)
            .set_policy(ReconnectPolicy::new_exponential(0, PAUSES_MS.0, PAUSES_MS.1, 2))
            .build()
            .map_err(failed("be connected to"))?;
        let (driven, closing) = (client.clone(), scope.clone());
        scope.spawn("cache", async move {
            let connection = driven.connect();
            closing.closing().await;
            // One that is away is not waited for.
            _ = tokio::time::timeout(COMMAND, driven.quit()).await;
            connection.abort();
        });
        Ok(Self { client, prefix })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    pub(super) async fn put(&self, name: &str, value: &str, lives: Duration) -> Result<(), Error> {
        let lives = i64::try_from(lives.as_millis()).unwrap_or(i64::MAX).max(1);
        let put =
            self.client.set::<(), _, _>(self.key(name), value, Some(Expiration::PX(lives)), None, false);
        put.await.map_err(failed("remember"))
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<String>, Error> {
        self.client.get(self.key(name)).await.map_err(failed("tell"))
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), Error> {
        self.client.del::<(), _>(self.key(name)).await.map_err(failed("forget"))
    }

    pub(super) async fn missing(&self, names: Vec<String>) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for batch in names.chunks(BATCH) {
            let keys: Vec<_> = batch.iter().map(|name| self.key(name)).collect();
            let found: Vec<Option<String>> = self.client.mget(keys).await.map_err(failed("tell"))?;
            let absent = batch.iter().zip(found).filter(|(_, value)| value.is_none());
            missing.extend(absent.map(|(name, _)| name.clone()));
        }
        Ok(missing)
    }

    pub(super) async fn add(&self, counts: Vec<(String, u32)>, lives: Duration) -> Result<Vec<u64>, Error> {
        let lives = i64::try_from(lives.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut totals = Vec::with_capacity(counts.len());
        for batch in counts.chunks(BATCH) {
            let pipeline = self.client.pipeline();
            for (name, count) in batch {
                let key = self.key(name);
                () = pipeline.incr_by(&key, i64::from(*count)).await.map_err(failed("count"))?;
                () = pipeline.pexpire(&key, lives, None).await.map_err(failed("count"))?;
            }
            // A total and whether it lives on, by turns.
            let answers: Vec<i64> = pipeline.all().await.map_err(failed("count"))?;
            totals.extend(answers.iter().step_by(2).map(|total| u64::try_from(*total).unwrap_or(0)));
        }
        Ok(totals)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn failed(operation: &'static str) -> impl FnOnce(fred::error::Error) -> Error {
    move |source| Error::Redis { operation, source }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
