use std::time::Duration;

use serde::Deserialize;

use super::auth::set;
use super::{Config, count, flag, milliseconds, parsed};
use crate::analytics::LiveConfig;
use crate::analytics::jobs::{self, Kind, Schedule, Zone};

/// `[analytics]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Analytics {
    /// Whether measures are kept.
    #[serde(deserialize_with = "flag")]
    pub enabled: bool,
    /// How long changes gather before they are written.
    #[serde(rename = "interval_ms", deserialize_with = "milliseconds::<10, 60_000, _>")]
    pub interval: Duration,
    /// How long counting all anew may take.
    #[serde(rename = "count_timeout_ms", deserialize_with = "milliseconds::<1_000, 86_400_000, _>")]
    pub count_timeout: Duration,
}

/// `[jobs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Jobs {
    /// The zone that schedules are meant in.
    #[serde(deserialize_with = "parsed")]
    pub time_zone: Zone,
    /// How often a run that failed is tried again.
    #[serde(deserialize_with = "count::<0, 100, _>")]
    pub retries: usize,
    /// How long after it failed first.
    #[serde(rename = "retry_ms", deserialize_with = "milliseconds::<100, 3_600_000, _>")]
    pub retry: Duration,
    /// How long one may take.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds::<1_000, 604_800_000, _>")]
    pub timeout: Duration,
    /// How long is kept what became of runs.
    #[serde(rename = "kept_ms", deserialize_with = "milliseconds::<60_000, 31_536_000_000, _>")]
    pub kept: Duration,
    /// [`Kind::Measures`]
    #[serde(deserialize_with = "set")]
    pub measures: Option<Schedule>,
    /// [`Kind::Check`]
    #[serde(deserialize_with = "set")]
    pub check: Option<Schedule>,
    /// [`Kind::Upkeep`]
    #[serde(deserialize_with = "set")]
    pub upkeep: Option<Schedule>,
}

impl Jobs {
    /// When each runs, and how.
    pub fn config(&self) -> jobs::Config {
        let Self { time_zone, retries, retry, timeout, kept, measures, check, upkeep } = self.clone();
        let schedules = vec![
            (Kind::Measures, measures),
            (Kind::Check, check),
            (Kind::Recount, None),
            (Kind::Upkeep, upkeep),
        ];
        jobs::Config {
            schedules,
            zone: time_zone,
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
            retry_pause: retry,
            timeout,
            kept,
        }
    }
}

impl Config {
    /// How measures are kept, if they are.
    pub fn live(&self) -> Option<LiveConfig> {
        let Analytics { enabled, interval, count_timeout } = self.analytics;
        (self.app.enabled && enabled).then_some(LiveConfig { interval, count_timeout })
    }
}
