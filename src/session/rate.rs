use std::time::Instant;

/// A token bucket: so many at once, so many a second on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    per_second: f32,
    burst: f32,
    left: f32,
    at: Instant,
}

impl Rate {
    #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^24")]
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = burst.max(1) as f32;
        Self { per_second: per_second.max(1) as f32, burst, left: burst, at: now }
    }

    /// Whether one more may come now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f32();
        self.left = (self.left + passed * self.per_second).min(self.burst);
        self.at = now;
        let admitted = self.left >= 1.0;
        if admitted {
            self.left -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 3, start);
        let admitted = (0..10).filter(|_| rate.admits(start)).count();
        assert_eq!(admitted, 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..10).filter(|_| rate.admits(later)).count(), 2);
    }
}
