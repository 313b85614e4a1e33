use std::num::NonZeroU32;

use serde::Deserialize;

use super::{CacheBackend, Config, count, flag};
use crate::limit;

/// `[limits]`, each of one address and, where it has proven one, of one identity. `0` a second is no limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Whether clients on this machine are limited too.
    #[serde(deserialize_with = "flag")]
    pub loopback: bool,
    /// How many clients are told apart.
    #[serde(deserialize_with = "count::<100, 10_000_000, _>")]
    pub max_keys: usize,
    /// Connections a second.
    #[serde(deserialize_with = "count::<0, 1_000_000, _>")]
    pub connections_per_second: usize,
    /// Connections at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub connections_burst: usize,
    /// Subscriptions a second.
    #[serde(deserialize_with = "count::<0, 1_000_000, _>")]
    pub subscribes_per_second: usize,
    /// Subscriptions at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub subscribes_burst: usize,
    /// Frames of all its sockets a second.
    #[serde(deserialize_with = "count::<0, 1_000_000, _>")]
    pub frames_per_second: usize,
    /// Such frames at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub frames_burst: usize,
    /// HTTP requests a second.
    #[serde(deserialize_with = "count::<0, 1_000_000, _>")]
    pub requests_per_second: usize,
    /// HTTP requests at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub requests_burst: usize,
    /// Bytes of frames and bodies a second.
    #[serde(deserialize_with = "count::<0, 1_000_000_000, _>")]
    pub bytes_per_second: usize,
    /// Such bytes at once; at least [`Session::max_frame_bytes`](super::Session::max_frame_bytes).
    #[serde(deserialize_with = "count::<1_024, 1_000_000_000, _>")]
    pub bytes_burst: usize,
}

impl Config {
    /// How much one client may ask.
    pub fn limits(&self) -> limit::Config {
        let Limits { loopback, max_keys, .. } = self.limits;
        let of = &self.limits;
        limit::Config {
            paces: [
                pace(of.connections_per_second, of.connections_burst),
                pace(of.subscribes_per_second, of.subscribes_burst),
                pace(of.frames_per_second, of.frames_burst),
                pace(of.requests_per_second, of.requests_burst),
                pace(of.bytes_per_second, of.bytes_burst),
            ],
            socket: pace(self.session.frames_per_second, self.session.frames_burst)
                .expect("both are at least 1"),
            connections: self.http.max_connections_per_address,
            max_keys,
            loopback,
            shared: self.cache.backend == CacheBackend::Redis,
        }
    }
}

fn pace(per_second: usize, burst: usize) -> Option<limit::Pace> {
    let number = |count| NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
    Some(limit::Pace { per_second: number(per_second)?, burst: number(burst)? })
}
