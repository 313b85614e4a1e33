//! How much one client may ask: so much at once, so much a second over time.
//!
//! ```text
//!  address ─┐
//!           ├─▶ Meter ──take──▶ one bucket a client and subject    connections, subscribes, frames, requests, bytes
//!  identity ┘      └──frame──▶ and one a socket                    frames
//! ```
//!
//! Who is behind an address is told by [`Network`], who behind a token by its name. Both have to have some left. The
//! buckets are `governor`'s; what is ours is where they are kept, and that this is bounded: those beyond
//! [`Config::max_keys`] share one bucket, so that an attack with a million addresses costs memory for so many, and
//! starves nobody who came before.
//!
//! Never in here: what a client asks for, and what it is answered.

mod key;
mod meter;
mod seats;
mod shared;
mod store;
mod turns;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::{NotUntil, Quota, RateLimiter};
use tokio::time::{MissedTickBehavior, interval};

use crate::shutdown::Scope;
use shared::Taken;

pub use key::{Key, Network};
pub use meter::Meter;
pub use seats::{Seat, Seats};
pub use store::Bounded;
pub use turns::{Turn, Turns};

/// How often buckets that are full again are forgotten.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a client without a place is to stay away.
const NO_SEAT_PAUSE: Duration = Duration::from_secs(5);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Connections that begin; behind a proxy, sockets and streams.
    Connections,
    /// Subscriptions that are asked for.
    Subscribes,
    /// Frames of sockets.
    Frames,
    /// HTTP requests.
    Requests,
    /// Bytes of frames and of requests' bodies.
    Bytes,
}

impl Subject {
    /// All, in the order of their buckets.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Subscribes, Self::Frames, Self::Requests, Self::Bytes];

    /// As the configuration, metrics and the `RateLimit` headers name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Subscribes => "subscribes",
            Self::Frames => "frames",
            Self::Requests => "requests",
            Self::Bytes => "bytes",
        }
    }
}

/// A bucket's measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How much comes back a second.
    pub per_second: NonZeroU32,
    /// How much it holds.
    pub burst: NonZeroU32,
}

impl Pace {
    const fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }

    /// How long an empty bucket takes to be full.
    pub fn window(self) -> Duration {
        Duration::from_secs(1) * self.burst.get() / self.per_second.get()
    }
}

/// The limits.
#[derive(Clone, Debug)]
pub struct Config {
    /// For one client, by subject in the order of [`Subject::ALL`]; `None` where there is none.
    pub paces: [Option<Pace>; 5],
    /// For the frames of one socket, whoever holds it.
    pub socket: Pace,
    /// The most connections that one address may have open.
    pub connections: usize,
    /// How many clients are told apart, for each subject.
    pub max_keys: usize,
    /// Whether clients on this machine are limited too, but for the pace of a socket, which holds for all.
    pub loopback: bool,
    /// Whether other processes are told, by [`Limits::share`].
    pub shared: bool,
}

/// A client asks too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is not so much in a bucket.
    #[error("too many {} in too short a time: come back in {} ms", subject.as_str(), retry_after.as_millis())]
    TooFast {
        /// Which.
        subject: Subject,
        /// When there is enough again; more than nothing.
        retry_after: Duration,
        /// Its measure.
        pace: Pace,
    },
    /// Its address has as many connections open as it may have.
    #[error("this address has as many connections open as one may have")]
    NoSeat,
}

impl Denied {
    fn until(until: &NotUntil<<MonotonicClock as Clock>::Instant>, subject: Subject, pace: Pace) -> Self {
        let wait = until.wait_time_from(MonotonicClock.now());
        Self::TooFast { subject, retry_after: wait.max(Duration::from_millis(1)), pace }
    }

    /// How long to stay away, at least.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::TooFast { retry_after, .. } => *retry_after,
            Self::NoSeat => NO_SEAT_PAUSE,
        }
    }

    /// As metrics name it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooFast { subject, .. } => subject.as_str(),
            Self::NoSeat => "seats",
        }
    }
}

/// What is left in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Which.
    pub subject: Subject,
    /// How much.
    pub remaining: u32,
    /// Its measure.
    pub pace: Pace,
}

type Buckets = RateLimiter<Key, Bounded, MonotonicClock, StateInformationMiddleware>;

/// The buckets of one subject.
struct Limited {
    pace: Pace,
    buckets: Buckets,
    /// Where they are kept.
    store: Bounded,
}

/// What all clients have left.
pub struct Limits {
    subjects: [Option<Limited>; 5],
    /// What is to be told to other processes; `None` where there are none.
    taken: Option<Taken>,
    socket: Pace,
    seats: Seats,
    loopback: bool,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl Limits {
    /// Full buckets for everybody.
    pub fn new(config: &Config) -> Self {
        let buckets = |pace: Pace| {
            let store = Bounded::new(config.max_keys);
            let buckets = RateLimiter::new(pace.quota(), store.clone(), MonotonicClock);
            Limited { pace, buckets, store }
        };
        Self {
            subjects: config.paces.map(|pace| pace.map(buckets)),
            taken: config.shared.then(|| Taken::new(config.max_keys)),
            socket: config.socket,
            seats: Seats::new(config.connections),
            loopback: config.loopback,
        }
    }

    /// What a client at `address` asks is counted by.
    pub fn meter(self: &Arc<Self>, address: IpAddr) -> Meter {
        Meter::new(self.clone(), self.key(address))
    }

    /// A place for one more connection from `address`. One that is not limited takes none, and gets an empty [`Seat`].
    ///
    /// # Errors
    /// [`Denied::NoSeat`].
    pub fn seat(&self, address: IpAddr) -> Result<Seat, Denied> {
        let Some(key) = self.key(address) else { return Ok(Seat::default()) };
        self.seats.take(key).ok_or(Denied::NoSeat).inspect_err(meter::count)
    }

    fn key(&self, address: IpAddr) -> Option<Key> {
        let address = address.to_canonical();
        (self.loopback || !address.is_loopback()).then(|| Key::Address(Network::of(address)))
    }

    /// Takes `amount` out of the bucket of `key`; `None` if there is none for the subject.
    fn take(&self, subject: Subject, key: &Key, amount: u32) -> Result<Option<Allowance>, Denied> {
        let Some(Limited { pace, buckets, .. }) = &self.subjects[subject as usize] else { return Ok(None) };
        // What is larger than the bucket empties it.
        let amount = NonZeroU32::new(amount).unwrap_or(NonZeroU32::MIN).min(pace.burst);
        let taken = buckets.check_key_n(key, amount).expect("no more is asked for than the bucket holds");
        match taken {
            Ok(left) => {
                if let Some(taken) = &self.taken {
                    taken.note(subject, key, amount.get());
                }
                Ok(Some(Allowance { subject, remaining: left.remaining_burst_capacity(), pace: *pace }))
            }
            Err(until) => Err(Denied::until(&until, subject, *pace)),
        }
    }

    /// How many clients are remembered.
    pub fn keys(&self) -> usize {
        self.subjects.iter().flatten().map(|it| it.buckets.len()).sum()
    }

    /// Forgets those who have all that they may have.
    pub fn forget(&self) {
        for Limited { buckets, .. } in self.subjects.iter().flatten() {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }

    /// Does so once in a while, until `scope` closes.
    pub async fn keep(self: Arc<Self>, scope: Scope) {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = scope.closing() => return,
                _ = ticks.tick() => self.forget(),
            }
        }
    }
}
