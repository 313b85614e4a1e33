use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use parking_lot::Mutex;

use super::Key;
use crate::telemetry::metric;

/// Buckets of so many clients at most. Those that come when it is full share one, until there is room again: a bucket
/// that is full is as good as none, and is forgotten. Cloning shares it.
#[derive(Clone)]
pub struct Bounded(Arc<Shared>);

struct Shared {
    /// When the limiter began to count time, just about.
    since: Instant,
    /// When each would be full again, in the limiter's time.
    buckets: DashMap<Key, Nanos>,
    /// So that nobody counts all shards for each newcomer. May be behind by those that come at this moment.
    count: AtomicU64,
    most: u64,
    crowd: Mutex<Option<Nanos>>,
}

impl std::fmt::Debug for Bounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounded").field("most", &self.0.most).finish_non_exhaustive()
    }
}

impl Bounded {
    /// Room for `most`.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared {
            since: Instant::now(),
            buckets: DashMap::new(),
            count: AtomicU64::new(0),
            most: most as u64,
            crowd: Mutex::new(None),
        }))
    }

    /// Takes out of a bucket what was taken elsewhere, `cost` in time for it to come back; as much as `debt` more than
    /// there is, so that it is missing from what comes back next.
    pub(super) fn debit(&self, key: &Key, cost: Nanos, debt: Nanos) {
        let now = Nanos::from(self.0.since.elapsed());
        if let Some(mut bucket) = self.0.buckets.get_mut(key) {
            *bucket = ((*bucket).max(now) + cost).min(now + debt);
        }
    }
}

impl StateStore for Bounded {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if let Some(mut bucket) = self.0.buckets.get_mut(key) {
            let (taken, next) = measure(Some(*bucket))?;
            *bucket = next;
            return Ok(taken);
        }
        if self.0.count.load(Ordering::Relaxed) >= self.0.most {
            metrics::counter!(metric::LIMIT_CROWDED).increment(1);
            let mut crowd = self.0.crowd.lock();
            let (taken, next) = measure(*crowd)?;
            *crowd = Some(next);
            return Ok(taken);
        }
        let mut new = false;
        let mut bucket = self.0.buckets.entry(*key).or_insert_with(|| {
            new = true;
            // The beginning of time: a bucket that was never taken from.
            Nanos::from(0)
        });
        if new {
            self.0.count.fetch_add(1, Ordering::Relaxed);
        }
        let (taken, next) = measure(Some(*bucket))?;
        *bucket = next;
        Ok(taken)
    }
}

impl ShrinkableKeyedStateStore<Key> for Bounded {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.buckets.retain(|_, bucket| {
            let kept = *bucket > drop_below;
            if !kept {
                self.0.count.fetch_sub(1, Ordering::Relaxed);
            }
            kept
        });
    }

    fn shrink_to_fit(&self) {
        if self.0.buckets.capacity() > 4 * self.0.buckets.len() + 1_024 {
            self.0.buckets.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.0.buckets.len()
    }

    fn is_empty(&self) -> bool {
        self.0.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use governor::middleware::StateInformationMiddleware;
    use governor::{Quota, RateLimiter};

    use super::super::Network;
    use super::*;

    type Limiter = RateLimiter<Key, Bounded, FakeRelativeClock, StateInformationMiddleware>;

    const BURST: NonZeroU32 = NonZeroU32::new(10).expect("more than 0");

    #[test]
    fn a_million_addresses_take_the_room_of_some_and_starve_nobody_who_was_there() {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(BURST);
        let limiter = Limiter::new(quota, Bounded::new(1_000), clock.clone());
        let regular = Key::identity("a regular guest");
        limiter.check_key(&regular).expect("one of ten");
        let mut admitted = 0;
        for number in 0..1_000_000 {
            admitted += u32::from(limiter.check_key(&Key::Address(Network::V6(number))).is_ok());
        }
        assert_eq!(limiter.len(), 1_000);
        // Each of those with a bucket of its own, and ten of all the others together.
        assert_eq!(admitted, 999 + BURST.get());
        for _ in 1..BURST.get() {
            limiter.check_key(&regular).expect("what others do is nothing to it");
        }
        limiter.check_key(&regular).expect_err("it is limited all the same");

        clock.advance(Duration::from_secs(2));
        limiter.retain_recent();
        limiter.shrink_to_fit();
        assert_eq!(limiter.len(), 1, "only the regular guest has less than it may have");
        let capacity = limiter.into_state_store().0.buckets.capacity();
        assert!(capacity < 5_000, "room for {capacity} is kept");
    }

    #[test]
    fn one_that_is_forgotten_is_as_one_that_never_came() {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::MIN).allow_burst(BURST);
        let limiter = Limiter::new(quota, Bounded::new(10), clock.clone());
        let key = Key::identity("a");
        for _ in 0..BURST.get() {
            limiter.check_key(&key).expect("within the burst");
        }
        clock.advance(Duration::from_secs(5));
        limiter.retain_recent();
        assert_eq!(limiter.len(), 1, "it has not all back");
        assert_eq!((0..20).filter(|_| limiter.check_key(&key).is_ok()).count(), 5);
        clock.advance(Duration::from_secs(11));
        limiter.retain_recent();
        assert!(limiter.is_empty());
        assert_eq!((0..20).filter(|_| limiter.check_key(&key).is_ok()).count(), 10);
    }
}
