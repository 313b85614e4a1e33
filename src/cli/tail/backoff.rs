use std::time::Duration;

/// The ceiling of the first wait; it doubles with every further one.
const FIRST: Duration = Duration::from_millis(500);
/// The ceiling that it grows to.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that was live for as long has not failed: the next wait is a first one.
pub(super) const LIVE: Duration = Duration::from_secs(30);

/// How long to wait before the next attempt: full jitter, so that the clients of a server that went away do not
/// come back as one.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait, `least` or longer. `chance` is a random number from 0 to 1.
    pub(super) fn next(&mut self, least: Duration, chance: f64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts += 1;
        // What was asked for is not a reason for all to return in the same moment either.
        least + ceiling.mul_f64(chance.clamp(0.0, 1.0))
    }

    /// Forgets the attempts so far.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// What a client does about the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// Come back without a wait.
    AtOnce,
    /// Come back after a wait of this length at least.
    AfterWait(Duration),
    /// Come back once, with a new token.
    WithNewToken,
    /// Stay away.
    Never,
}

impl Return {
    /// By the protocol's table of close codes; `None` is a connection that broke (1006).
    pub(super) fn after(code: Option<u16>, reason: &str) -> Self {
        match code {
            Some(1001) => Self::AtOnce,
            Some(4401) => Self::WithNewToken,
            Some(1008 | 1009 | 4400 | 4403) => Self::Never,
            _ => Self::AfterWait(retry_after(reason)),
        }
    }
}

/// `retry_after_ms=…` in a close reason; at most an hour is believed.
fn retry_after(reason: &str) -> Duration {
    const MOST: Duration = Duration::from_hours(1);
    reason
        .split("retry_after_ms=")
        .nth(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        .and_then(|digits| digits.parse().ok())
        .map_or(Duration::ZERO, |wait| Duration::from_millis(wait).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_half_a_second_to_thirty_and_start_again_after_a_reset() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<u128> = (0..9).map(|_| backoff.next(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        backoff.reset();
        assert_eq!(backoff.next(Duration::ZERO, 0.5), Duration::from_millis(250));
        for _ in 0..100 {
            assert!(backoff.next(Duration::ZERO, 1.0) <= LONGEST);
        }
    }

    #[test]
    fn the_least_wait_is_kept_whatever_the_chance() {
        assert_eq!(Backoff::default().next(Duration::from_mins(1), 0.0), Duration::from_mins(1));
    }

    #[test]
    fn close_codes_decide_by_the_table() {
        let wait = |ms| Return::AfterWait(Duration::from_millis(ms));
        for (code, reason, expected) in [
            (Some(1001), "", Return::AtOnce),
            (None, "", wait(0)),
            (Some(4408), "", wait(0)),
            (Some(4409), "slow", wait(0)),
            (Some(4429), "retry_after_ms=1500", wait(1500)),
            (Some(4429), "too fast; retry_after_ms=20, please", wait(20)),
            (Some(4429), "retry_after_ms=99999999999999999999", wait(0)),
            (Some(4429), "retry_after_ms=99999999999", wait(3_600_000)),
            (Some(4401), "", Return::WithNewToken),
            (Some(1008), "", Return::Never),
            (Some(1009), "", Return::Never),
            (Some(4400), "", Return::Never),
            (Some(4403), "", Return::Never),
            (Some(1011), "", wait(0)),
        ] {
            assert_eq!(Return::after(code, reason), expected, "{code:?} {reason}");
        }
    }
}
