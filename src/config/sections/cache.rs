use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::auth::set;
use super::{count, milliseconds, parsed, text};
use crate::cache::{self, RedisUrl};
use crate::query::Lifetimes;

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
    /// How long answers with rows are kept.
    #[serde(rename = "rows_ms", deserialize_with = "milliseconds::<0, 86_400_000, _>")]
    pub rows: Duration,
    /// Those with categories and workflows.
    #[serde(rename = "categories_ms", deserialize_with = "milliseconds::<0, 86_400_000, _>")]
    pub categories: Duration,
    /// Those with measures.
    #[serde(rename = "kpis_ms", deserialize_with = "milliseconds::<0, 86_400_000, _>")]
    pub kpis: Duration,
    /// Charts.
    #[serde(rename = "charts_ms", deserialize_with = "milliseconds::<0, 86_400_000, _>")]
    pub charts: Duration,
    /// How much of this process's memory answers may take.
    #[serde(deserialize_with = "count::<0, 1_099_511_627_776, _>")]
    pub memory_bytes: usize,
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
    /// How long answers are kept.
    pub const fn lifetimes(&self) -> Lifetimes {
        let Self { rows, categories, kpis, charts, .. } = *self;
        Lifetimes { rows, categories, kpis, charts }
    }

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
