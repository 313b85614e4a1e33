use std::sync::Arc;

use governor::RateLimiter;
use governor::clock::MonotonicClock;
use governor::state::{InMemoryState, NotKeyed};

use super::{Allowance, Denied, Key, Limits, Subject};
use crate::telemetry::metric;

/// What one client asks is counted by this: against its address's buckets, its identity's, and a socket's own.
#[derive(Debug)]
pub struct Meter {
    limits: Arc<Limits>,
    address: Option<Key>,
    identity: Option<Key>,
    socket: RateLimiter<NotKeyed, InMemoryState, MonotonicClock>,
}

impl Meter {
    pub(super) fn new(limits: Arc<Limits>, address: Option<Key>) -> Self {
        let socket = RateLimiter::new(limits.socket.quota(), InMemoryState::default(), MonotonicClock);
        Self { limits, address, identity: None, socket }
    }

    /// From here on what is asked counts against `identity` too.
    pub fn identify(&mut self, identity: Key) {
        self.identity = Some(identity);
    }

    /// Takes `amount` out of the client's buckets; gives back what is left of the one with less in it, if there is one.
    ///
    /// # Errors
    /// [`Denied`]: there is not so much in one of them.
    pub fn take(&self, subject: Subject, amount: u32) -> Result<Option<Allowance>, Denied> {
        let mut least: Option<Allowance> = None;
        for key in [&self.address, &self.identity].into_iter().flatten() {
            let left = self.limits.take(subject, key, amount).inspect_err(count)?;
            least = least.into_iter().chain(left).min_by_key(|left| left.remaining);
        }
        Ok(least)
    }

    /// Takes what was taken from the address's buckets, before it was known who asks, from the identity's too.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub fn take_of_identity(&self, subject: Subject, amount: u32) -> Result<Option<Allowance>, Denied> {
        match &self.identity {
            Some(key) => self.limits.take(subject, key, amount).inspect_err(count),
            None => Ok(None),
        }
    }

    /// Takes a frame of so many bytes.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn frame(&self, bytes: usize) -> Result<(), Denied> {
        let denied = |until| Denied::until(&until, Subject::Frames, self.limits.socket);
        self.socket.check().map_err(denied).inspect_err(count)?;
        self.take(Subject::Frames, 1)?;
        self.take(Subject::Bytes, u32::try_from(bytes).unwrap_or(u32::MAX))?;
        Ok(())
    }
}

pub(super) fn count(denied: &Denied) {
    metrics::counter!(metric::LIMIT_DENIED, metric::REASON => denied.reason()).increment(1);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroU32;

    use super::super::{Config, Pace};
    use super::*;

    fn limits(loopback: bool) -> Arc<Limits> {
        let pace =
            |burst| Pace { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(burst).expect("more than 0") };
        let config = Config {
            paces: [Some(pace(1)), Some(pace(2)), Some(pace(5)), None, Some(pace(100))],
            socket: pace(3),
            connections: 1,
            max_keys: 10,
            loopback,
            shared: false,
        };
        Arc::new(Limits::new(&config))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_one_address_takes_is_gone_for_its_other_sockets_and_for_nobody_else() {
        let limits = limits(false);
        let (one, same) = (limits.meter(address("2001:db8::1")), limits.meter(address("2001:db8::2")));
        let other = limits.meter(address("192.0.2.1"));
        assert_eq!((0..5).filter(|_| one.frame(1).is_ok()).count(), 3, "a socket's own pace");
        assert_eq!((0..5).filter(|_| same.frame(1).is_ok()).count(), 2, "the address's");
        other.frame(100).expect("its own");
        let denied = other.frame(50).expect_err("no bytes left");
        assert_eq!(denied.reason(), "bytes");
        assert!(denied.retry_after().as_secs() > 40, "{denied}");
        assert_eq!(one.take(Subject::Requests, 1), Ok(None), "nothing is counted");
        let left = one.take(Subject::Subscribes, 1).expect("two").expect("counted");
        assert_eq!((left.remaining, left.pace.window().as_secs()), (1, 2));
    }

    #[test]
    fn an_identity_is_limited_wherever_it_comes_from() {
        let limits = limits(false);
        let mut taken = 0;
        for number in 0..5 {
            let mut meter = limits.meter(address(&format!("192.0.2.{number}")));
            meter.identify(Key::identity("somebody"));
            taken += u32::from(meter.take(Subject::Subscribes, 1).is_ok());
        }
        assert_eq!(taken, 2);
    }

    #[test]
    fn this_machine_is_limited_only_if_it_is_to_be() {
        for (limited, expected) in [(false, 3), (true, 1)] {
            let limits = limits(limited);
            let seats: Vec<_> =
                (0..3).filter_map(|_| limits.seat(address("::ffff:127.0.0.1")).ok()).collect();
            assert_eq!(seats.len(), expected);
            let meter = limits.meter(address("127.0.0.1"));
            assert_eq!((0..3).filter(|_| meter.take(Subject::Connections, 1).is_ok()).count(), expected);
            assert_eq!((0..9).filter(|_| meter.frame(1).is_ok()).count(), 3, "a socket's pace holds for all");
        }
    }

    #[test]
    fn what_is_larger_than_a_bucket_empties_it() {
        let meter = limits(false).meter(address("192.0.2.1"));
        assert_eq!(meter.take(Subject::Bytes, 1_000_000).expect("full").expect("counted").remaining, 0);
        meter.take(Subject::Bytes, 1).expect_err("empty");
    }
}
