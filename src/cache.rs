//! What several processes remember together for a while: texts by name, each with an end.
//!
//! ```text
//!  auth ──put, get, remove, missing──▶ Cache ─┬─ memory   of this process, gone when it ends
//!                                             └─ redis    shared by all that name the same server and prefix
//! ```
//!
//! Nothing here is the only copy of anything that matters: a cache that has lost all of it costs a login. A Redis that is
//! away is an [`Error`] within a second, and never waited for longer.
//!
//! The only room that names `fred`. Never here: a key or a value in a log line.

mod marks;
mod memory;
mod redis;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::shutdown::Scope;
use memory::Memory;
use redis::Redis;

pub use marks::{Interest, Marks, Point, Tag};

/// Where it is kept.
#[derive(Clone, Debug)]
pub enum Config {
    /// In this process.
    Memory,
    /// In Redis, under names that begin with `prefix`.
    Redis {
        /// Where.
        url: RedisUrl,
        /// What every name begins with.
        prefix: String,
    },
}

/// Where Redis is. May hold a password, and never shows itself.
///
/// Text form: `redis://[user:password@]host[:port][/database]`, or `rediss://…` for TLS.
#[derive(Clone)]
pub struct RedisUrl(fred::types::config::Config);

/// What is not remembered, or cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis is away, or said no.
    #[error("Redis could not {operation}")]
    Redis {
        /// What was asked of it.
        operation: &'static str,
        /// Why.
        #[source]
        source: fred::error::Error,
    },
    /// The memory of this process holds as much as it may.
    #[error("the cache holds {0} entries, as many as it may")]
    Full(usize),
}

/// The cache. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Backend>);

#[derive(Debug)]
enum Backend {
    Memory(Memory),
    Redis(Redis),
}

impl Cache {
    /// Opens it; the connection to Redis is made in the background, and again whenever it is lost, until `scope` closes.
    ///
    /// # Errors
    /// [`Error::Redis`] if there can never be one.
    pub fn open(config: Config, scope: &Scope) -> Result<Self, Error> {
        Ok(Self(Arc::new(match config {
            Config::Memory => Backend::Memory(Memory::default()),
            Config::Redis { url, prefix } => Backend::Redis(Redis::open(url.0, prefix, scope)?),
        })))
    }

    /// Remembers `value` as `name` for as long as `lives`.
    ///
    /// # Errors
    /// [`Error`]: then it may be remembered, or not.
    pub async fn put(&self, name: &str, value: &str, lives: Duration) -> Result<(), Error> {
        match &*self.0 {
            Backend::Memory(memory) => memory.put(name, value, lives),
            Backend::Redis(redis) => redis.put(name, value, lives).await,
        }
    }

    /// What is remembered as `name`.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn get(&self, name: &str) -> Result<Option<String>, Error> {
        match &*self.0 {
            Backend::Memory(memory) => Ok(memory.get(name)),
            Backend::Redis(redis) => redis.get(name).await,
        }
    }

    /// Forgets `name`.
    ///
    /// # Errors
    /// [`Error::Redis`]: then it may still be remembered.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        match &*self.0 {
            Backend::Memory(memory) => {
                memory.remove(name);
                Ok(())
            }
            Backend::Redis(redis) => redis.remove(name).await,
        }
    }

    /// Whether there is a connection to where it is kept. One that is there may still not answer.
    pub fn is_connected(&self) -> bool {
        match &*self.0 {
            Backend::Memory(_) => true,
            Backend::Redis(redis) => redis.is_connected(),
        }
    }

    /// Whether other processes see the same.
    pub fn is_shared(&self) -> bool {
        matches!(&*self.0, Backend::Redis(_))
    }

    /// Adds to counters, each of which lives for as long as `lives` from now; gives what each counts then. Counters of this
    /// process alone count nothing else.
    ///
    /// # Errors
    /// [`Error::Redis`]: then some may have been added to.
    pub async fn add(&self, counts: Vec<(String, u32)>, lives: Duration) -> Result<Vec<u64>, Error> {
        match &*self.0 {
            Backend::Memory(_) => Ok(counts.into_iter().map(|(_, count)| count.into()).collect()),
            Backend::Redis(redis) => redis.add(counts, lives).await,
        }
    }

    /// Those of `names` that are not remembered.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn missing(&self, names: Vec<String>) -> Result<Vec<String>, Error> {
        match &*self.0 {
            Backend::Memory(memory) => {
                Ok(names.into_iter().filter(|name| memory.get(name).is_none()).collect())
            }
            Backend::Redis(redis) => redis.missing(names).await,
        }
    }
}

impl FromStr for RedisUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be a URL as in redis://user:password@host:6379/0, or rediss:// for TLS";
        // Clusters and sentinels have schemes of their own, which nothing here was tried with.
        let known = text.starts_with("redis://") || text.starts_with("rediss://");
        let config = known.then(|| fred::types::config::Config::from_url(text).ok()).flatten();
        config.map(Self).ok_or(EXPECTED)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(not shown)")
    }
}
