use std::time::Duration;

use serde::Deserialize;

use super::{Config, flag, milliseconds};
use crate::analytics::LiveConfig;

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

impl Config {
    /// How measures are kept, if they are.
    pub fn live(&self) -> Option<LiveConfig> {
        let Analytics { enabled, interval, count_timeout } = self.analytics;
        (self.app.enabled && enabled).then_some(LiveConfig { interval, count_timeout })
    }
}
