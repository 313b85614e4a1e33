use std::time::Duration;

/// Pauses that double, drawn at random below their limit so that many do not come back at once.
///
/// See <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>, *full jitter*.
#[derive(Debug)]
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most: most.max(least), failures: 0 }
    }

    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let doubled = self.least.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        self.least + (doubled.saturating_sub(self.least)).mul_f64(fastrand::f64())
    }

    /// It went well in between.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_within_their_limits_and_start_over() {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(least, most);
        assert_eq!(backoff.pause(), least);
        for failures in 1..40 {
            let limit = least.saturating_mul(2_u32.saturating_pow(failures)).min(most);
            let pause = backoff.pause();
            assert!((least..=limit).contains(&pause), "{pause:?} after {failures}");
        }
        backoff.reset();
        assert_eq!(backoff.pause(), least);
    }
}
