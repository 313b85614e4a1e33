//! What the server is told: how far we are, and that we live.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BufMut as _;
use tokio::time::Instant;

use crate::event::Lsn;

/// A confirmation that moves all the time is told this often.
const CONFIRMATION_SPACING: Duration = Duration::from_millis(100);
/// A server that shuts down asks again as soon as it is answered, until all is confirmed.
const REPLY_SPACING: Duration = Duration::from_millis(10);
/// Microseconds from 1970 to 2000, where PostgreSQL's clock starts.
const EPOCH_MICROS: u128 = 946_684_800_000_000;

/// Whether the server has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Wanted,
    Needless,
}

/// When the next status update is due.
#[derive(Debug)]
pub(super) struct Feedback {
    interval: Duration,
    sent_at: Instant,
    due: Instant,
}

impl Feedback {
    /// The first one is due at once.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, sent_at: now, due: now }
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The reader has confirmed something.
    pub(super) fn confirmed(&mut self) {
        self.due = self.due.min(self.sent_at + CONFIRMATION_SPACING);
    }

    /// Whether the next one comes early enough to tell of a confirmation that comes now.
    pub(super) fn is_soon(&self) -> bool {
        self.due <= self.sent_at + CONFIRMATION_SPACING
    }

    /// The server has asked.
    pub(super) fn asked(&mut self) {
        self.due = self.due.min(self.sent_at + REPLY_SPACING);
    }

    /// One was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sent_at = now;
        self.due = now + self.interval;
    }
}

/// A standby status update: what is confirmed counts as written, flushed and applied.
///
/// See <https://www.postgresql.org/docs/current/protocol-replication.html>.
pub(super) fn status_update(confirmed: Lsn, answer: Answer) -> [u8; 34] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let clock = i64::try_from(now.saturating_sub(EPOCH_MICROS)).unwrap_or(i64::MAX);
    let mut message = [0; 34];
    let mut rest = &mut message[..];
    rest.put_u8(b'r');
    for _ in ["written", "flushed", "applied"] {
        rest.put_u64(confirmed.get());
    }
    rest.put_i64(clock);
    rest.put_u8(u8::from(answer == Answer::Wanted));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_update_is_laid_out_as_the_manual_says() {
        let message = status_update(Lsn::new(0x0102), Answer::Wanted);
        assert_eq!(message[0], b'r');
        for position in [1, 9, 17] {
            assert_eq!(message[position..position + 8], [0, 0, 0, 0, 0, 0, 1, 2]);
        }
        assert_eq!(message[33], 1);
        assert_eq!(status_update(Lsn::ZERO, Answer::Needless)[33], 0);
    }

    #[test]
    fn a_confirmation_hastens_the_next_update_and_never_delays_it() {
        let start = Instant::now();
        let mut feedback = Feedback::new(Duration::from_secs(1), start);
        assert_eq!(feedback.due(), start);
        feedback.sent(start);
        assert_eq!(feedback.due(), start + Duration::from_secs(1));
        assert!(!feedback.is_soon());
        feedback.confirmed();
        assert_eq!(feedback.due(), start + CONFIRMATION_SPACING);
        assert!(feedback.is_soon());
        feedback.asked();
        assert_eq!(feedback.due(), start + REPLY_SPACING);
        feedback.confirmed();
        assert_eq!(feedback.due(), start + REPLY_SPACING);
    }
}
