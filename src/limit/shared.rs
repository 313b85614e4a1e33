//! Limits that several processes keep together: each tells the others, once a second, what its clients have taken.
//!
//! ```text
//!  take ──▶ bucket            of this process, at once
//!     └───▶ taken ──a second──▶ Redis: a counter a client ──what others took──▶ debited from the bucket, into debt
//! ```
//!
//! Nothing waits for Redis. For a second a client may take what each process would give it; from then on it has what one
//! would. Who takes little is not told of: with fewer processes than [`PROCESSES`] it could not have too much. While Redis
//! is away, each process limits by itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use governor::nanos::Nanos;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::store::Bounded;
use super::{Key, Limits, Pace, Subject};
use crate::cache::Cache;
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// How often the processes tell each other.
const EVERY: Duration = Duration::from_secs(1);
/// So many processes share one limit well: a client that takes less than this part of it is not told of.
const PROCESSES: u32 = 16;
/// How long a counter lives in Redis after it was told of last.
const LIVES: Duration = Duration::from_secs(10);

/// What clients have taken since it was told of last.
#[derive(Debug)]
pub(super) struct Taken {
    of: DashMap<(usize, Key), u32>,
    /// How many these are, just about: nobody is to count all shards for each newcomer.
    count: AtomicUsize,
    most: usize,
    known: Mutex<HashMap<(usize, Key), Counter>>,
}

/// A client's counter in Redis, when it was last seen.
#[derive(Clone, Copy, Debug)]
struct Counter {
    total: u64,
    at: Instant,
}

impl Taken {
    /// Of so many clients and subjects at most.
    pub(super) fn new(most: usize) -> Self {
        Self { of: DashMap::new(), count: AtomicUsize::new(0), most, known: Mutex::default() }
    }

    pub(super) fn note(&self, subject: Subject, key: &Key, amount: u32) {
        let name = (subject as usize, *key);
        if let Some(mut taken) = self.of.get_mut(&name) {
            *taken = taken.saturating_add(amount);
        } else if self.count.load(Ordering::Relaxed) < self.most {
            self.count.fetch_add(1, Ordering::Relaxed);
            *self.of.entry(name).or_default() += amount;
        }
    }

    /// What is to be told of, and forgets it.
    fn drain(&self, pace: impl Fn(usize) -> Option<Pace>) -> Vec<((usize, Key), u32)> {
        let mut drained = Vec::new();
        self.count.store(0, Ordering::Relaxed);
        self.of.retain(|(subject, key), taken| {
            let least = pace(*subject).map_or(u32::MAX, |pace| pace.per_second.get() / PROCESSES);
            if *taken > least {
                drained.push(((*subject, *key), *taken));
            }
            false
        });
        drained
    }

    /// How much of a counter's new `total` is new and not ours.
    fn foreign(&self, name: (usize, Key), ours: u32, total: u64, now: Instant) -> u64 {
        let mut known = self.known.lock();
        let before = known.insert(name, Counter { total, at: now });
        // What it counts besides may be of hours ago, where somebody keeps it alive.
        let Some(before) = before else { return 0 };
        let others = total.saturating_sub(u64::from(ours));
        // A counter that is smaller than it was has ended and begun again.
        others.checked_sub(before.total).unwrap_or(others)
    }

    /// It is not known whether Redis has counted what it was told.
    fn lose(&self, names: impl Iterator<Item = (usize, Key)>) {
        let mut known = self.known.lock();
        names.for_each(|name| _ = known.remove(&name));
    }

    fn forget(&self, now: Instant) {
        self.known.lock().retain(|_, counter| now.duration_since(counter.at) < LIVES);
    }
}

impl Limits {
    /// Tells other processes what clients have taken here, and takes what they have taken there, until `scope` closes.
    pub async fn share(self: std::sync::Arc<Self>, cache: Cache, scope: Scope) {
        let Some(taken) = &self.taken else { return };
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = scope.closing() => return,
                _ = ticks.tick() => {}
            }
            let drained = taken.drain(|subject| self.subjects[subject].as_ref().map(|it| it.pace));
            let counts = drained.iter().map(|((subject, key), amount)| (name(*subject, key), *amount));
            let totals = match cache.add(counts.collect(), LIVES).await {
                Ok(totals) => totals,
                Err(error) => {
                    metrics::counter!(metric::LIMIT_UNSHARED).increment(1);
                    taken.lose(drained.iter().map(|(name, _)| *name));
                    tracing::debug!(error = %Chain(&error), "Redis is not told what clients take: this process limits by itself");
                    continue;
                }
            };
            let now = Instant::now();
            for ((name, ours), total) in drained.into_iter().zip(totals) {
                let foreign = taken.foreign(name, ours, total, now);
                if let Some(limited) = &self.subjects[name.0] {
                    debit(&limited.store, &name.1, limited.pace, foreign);
                }
            }
            taken.forget(now);
        }
    }
}

/// As it is called in Redis.
fn name(subject: usize, key: &Key) -> String {
    format!("limit:{}:{key}", Subject::ALL[subject].as_str())
}

fn debit(store: &Bounded, key: &Key, pace: Pace, amount: u64) {
    let one = 1_000_000_000 / u64::from(pace.per_second.get());
    let whole = Nanos::from(pace.window() * 2);
    store.debit(key, Nanos::from(amount.saturating_mul(one)).min(whole), whole);
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;

    #[test]
    fn what_others_took_is_what_a_counter_has_gained_besides_our_own() {
        let (taken, now) = (Taken::new(10), Instant::now());
        let name = (0, Key::Address(Network::V4(1)));
        // One that has been alive for hours is where counting begins.
        let turns =
            [(5, 360_005, 0), (3, 360_018, 10), (0, 360_018, 0), (2, 360_020, 0), (4, 9, 5), (1, 11, 1)];
        for (ours, total, foreign) in turns {
            assert_eq!(taken.foreign(name, ours, total, now), foreign, "{ours} of {total}");
        }
        taken.lose(std::iter::once(name));
        assert_eq!(taken.foreign(name, 7, 25, now), 0, "it may have been told of twice");
        taken.forget(now + LIVES);
        assert!(taken.known.lock().is_empty());
    }

    #[test]
    fn who_takes_little_is_not_told_of_and_many_take_bounded_room() {
        let taken = Taken::new(10);
        let pace = Pace {
            per_second: std::num::NonZeroU32::new(160).expect("more than 0"),
            burst: std::num::NonZeroU32::MIN,
        };
        for number in 0..100 {
            taken.note(Subject::Frames, &Key::Address(Network::V4(number)), number);
        }
        taken.note(Subject::Frames, &Key::Address(Network::V4(3)), 20);
        let drained = taken.drain(|_| Some(pace));
        assert_eq!(drained, [((Subject::Frames as usize, Key::Address(Network::V4(3))), 23)]);
        assert!(taken.of.is_empty());
    }
}
