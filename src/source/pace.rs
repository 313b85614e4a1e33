use std::time::Duration;

use tokio::time::Instant;

/// PostgreSQL sends each row by itself, and would wake us for each. A reader that is woken this often within
/// [`WINDOW`] lets the rest of what is on its way gather: at 1,000 commits a second it never happens, and a backlog
/// costs a tenth of the system calls.
const MOST_READS: u32 = 8;
const WINDOW: Duration = Duration::from_millis(1);
/// A read of this size has gathered enough.
const LARGE_BYTES: usize = 32 * 1024;

/// Tells a busy stream from a quiet one.
#[derive(Debug)]
pub(super) struct Pace {
    window_start: Instant,
    reads: u32,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { window_start: now, reads: 0 }
    }

    /// Notes a read, and tells for how long the next one may wait.
    pub(super) fn note(&mut self, bytes: usize, now: Instant) -> Option<Duration> {
        if now.duration_since(self.window_start) >= WINDOW {
            (self.window_start, self.reads) = (now, 0);
        }
        self.reads += 1;
        (self.reads > MOST_READS && bytes < LARGE_BYTES).then_some(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_of_many_small_reads_is_let_gather() {
        let start = Instant::now();
        let mut quiet = Pace::new(start);
        for read in 0..1_000 {
            assert_eq!(quiet.note(100, start + read * Duration::from_micros(300)), None);
        }
        let mut large = Pace::new(start);
        for read in 0..1_000 {
            assert_eq!(large.note(LARGE_BYTES, start + read * Duration::from_micros(10)), None);
        }
        let mut busy = Pace::new(start);
        let waits =
            (0..100).filter(|read| busy.note(100, start + *read * Duration::from_micros(10)).is_some());
        assert_eq!(waits.count(), 100 - usize::try_from(MOST_READS).expect("small"));
    }
}
