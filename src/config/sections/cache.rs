use std::str::FromStr;

use serde::Deserialize;

use super::auth::set;
use super::{parsed, text};
use crate::cache::{self, RedisUrl};

/// `[cache]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Cache {
    /// Where it is kept.
    #[serde(deserialize_with = "parsed")]
    pub backend: CacheBackend,
    /// Where Redis is; set if it is kept there.
    #[serde(deserialize_with = "set")]
    pub url: Option<RedisUrl>,
    /// What all names begin with.
    #[serde(deserialize_with = "text")]
    pub prefix: String,
}

/// Where the cache is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheBackend {
    /// In this process.
    Memory,
    /// In Redis.
    Redis,
}

impl FromStr for CacheBackend {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "memory" => Ok(Self::Memory),
            "redis" => Ok(Self::Redis),
            _ => Err("must be memory or redis"),
        }
    }
}

impl Cache {
    /// Where it is kept.
    pub fn config(&self) -> cache::Config {
        match self.backend {
            CacheBackend::Memory => cache::Config::Memory,
            CacheBackend::Redis => cache::Config::Redis {
                url: self.url.clone().expect("a configuration without one is refused"),
                prefix: self.prefix.clone(),
            },
        }
    }
}
