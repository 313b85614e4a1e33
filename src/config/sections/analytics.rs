use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::auth::set;
use super::{Config, ConnectionString, count, flag, list, milliseconds, parsed};
use crate::analytics::export::{self, Target};
use crate::analytics::jobs::{self, Kind, Schedule, Zone};
use crate::analytics::{LiveConfig, Retention};
use crate::postgres::Settings;

/// `[analytics]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Analytics {
    /// Whether measures are kept.
    #[serde(deserialize_with = "flag")]
    pub enabled: bool,
    /// Where the history is; set if it is elsewhere.
    #[serde(deserialize_with = "parsed")]
    pub url: ConnectionString,
    /// How long values by the minute are kept.
    #[serde(deserialize_with = "count::<0, 36_500, _>")]
    pub raw_days: usize,
    /// By the hour.
    #[serde(deserialize_with = "count::<0, 36_500, _>")]
    pub hour_days: usize,
    /// By the day.
    #[serde(deserialize_with = "count::<0, 36_500, _>")]
    pub day_days: usize,
    /// What happened, one row each.
    #[serde(deserialize_with = "fact_days")]
    pub fact_days: usize,
    /// How long changes gather before they are written.
    #[serde(rename = "interval_ms", deserialize_with = "milliseconds::<10, 60_000, _>")]
    pub interval: Duration,
    /// How long counting all anew may take.
    #[serde(rename = "count_timeout_ms", deserialize_with = "milliseconds::<1_000, 86_400_000, _>")]
    pub count_timeout: Duration,
}

/// `[export]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Export {
    /// Where exports go.
    #[serde(deserialize_with = "set")]
    pub url: Option<Target>,
    /// Options of the object store.
    #[serde(deserialize_with = "options")]
    pub options: Options,
}

/// Loads compare the last eight days, and facts go by the month: less would be let go and loaded in turn.
fn fact_days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match count::<0, 36_500, _>(deserializer)? {
        1..32 => Err(D::Error::custom("must be 0, or a whole number from 32 to 36500")),
        days => Ok(days),
    }
}

/// Names and values. They may be secrets, and do not show themselves.
#[derive(Clone)]
pub struct Options(Vec<(String, String)>);

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Options(not shown)")
    }
}

fn options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Options, D::Error> {
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(D::Error::custom("must be name=value, as in \"aws_region=eu-central-1\"")),
    };
    let pairs: Result<_, D::Error> = list(deserializer)?.into_iter().map(pair).collect();
    pairs.map(Options)
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
    /// How long one measure's query may take.
    #[serde(rename = "measure_timeout_ms", deserialize_with = "milliseconds::<100, 21_600_000, _>")]
    pub measure_timeout: Duration,
    /// How long is kept what became of runs.
    #[serde(rename = "kept_ms", deserialize_with = "milliseconds::<60_000, 31_536_000_000, _>")]
    pub kept: Duration,
    /// [`Kind::Measures`]
    #[serde(deserialize_with = "set")]
    pub measures: Option<Schedule>,
    /// [`Kind::Sample`]
    #[serde(deserialize_with = "set")]
    pub sample: Option<Schedule>,
    /// [`Kind::Hourly`]
    #[serde(deserialize_with = "set")]
    pub hourly: Option<Schedule>,
    /// [`Kind::Daily`]
    #[serde(deserialize_with = "set")]
    pub daily: Option<Schedule>,
    /// [`Kind::Export`]
    #[serde(deserialize_with = "set")]
    pub export: Option<Schedule>,
    /// [`Kind::Check`]
    #[serde(deserialize_with = "set")]
    pub check: Option<Schedule>,
    /// [`Kind::Upkeep`]
    #[serde(deserialize_with = "set")]
    pub upkeep: Option<Schedule>,
}

impl Jobs {
    /// When each runs, and how.
    fn config(&self) -> jobs::Config {
        let Self {
            time_zone,
            retries,
            retry,
            timeout,
            measure_timeout,
            kept,
            measures,
            sample,
            hourly,
            daily,
            export,
            check,
            upkeep,
        } = self.clone();
        let schedules = vec![
            (Kind::Measures, measures),
            (Kind::Sample, sample),
            (Kind::Hourly, hourly),
            (Kind::Daily, daily),
            (Kind::Backfill, None),
            (Kind::Export, export),
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
            measure_timeout,
            kept,
        }
    }
}

impl Config {
    /// How measures are kept, if they are.
    pub fn live(&self) -> Option<LiveConfig> {
        let Analytics { enabled, interval, count_timeout, .. } = self.analytics;
        (self.app.enabled && enabled).then_some(LiveConfig { interval, count_timeout })
    }

    /// Where the history is.
    pub fn warehouse(&self) -> Settings {
        self.analytics.url.settings().cloned().unwrap_or_else(|| self.postgres.settings())
    }

    /// When jobs run, and how.
    pub fn jobs(&self) -> jobs::Config {
        let mut jobs = self.jobs.config();
        // What has no place is not due.
        if self.export.url.is_none() {
            jobs.schedules.retain(|(kind, _)| *kind != Kind::Export);
            jobs.schedules.push((Kind::Export, None));
        }
        jobs
    }

    /// Where exports go, if they go anywhere.
    pub fn export(&self) -> Option<export::Config> {
        let Export { url, options } = self.export.clone();
        url.map(|url| export::Config { url, options: options.0 })
    }

    /// How long it is kept.
    pub fn retention(&self) -> Retention {
        let days = |days: usize| u32::try_from(days).ok().filter(|days| *days > 0);
        let Analytics { raw_days, hour_days, day_days, fact_days, .. } = self.analytics;
        Retention {
            raw_days: days(raw_days),
            hour_days: days(hour_days),
            day_days: days(day_days),
            fact_days: days(fact_days),
            activities_days: days(self.app.activities_days),
            user_actions_days: days(self.app.user_actions_days),
        }
    }
}
