use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Change, Lsn, Position, Xid};

/// What the journal holds, in one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A part of one transaction.
    Chunk(Chunk),
    /// A position passed, with nothing of interest before it.
    Mark(Mark),
}

/// A part of one transaction, bounded in bytes; its parts follow each other with nothing in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where the record before this one ends.
    pub previous: Position,
    /// Where the transaction's commit record starts in the log: the same for all its parts.
    pub commit_lsn: Lsn,
    /// The transaction.
    pub xid: Xid,
    /// When it committed, by PostgreSQL's clock.
    pub committed_at: Timestamp,
    /// How many changes of the transaction came in earlier parts.
    pub first_index: u32,
    /// This part's changes, in the order in which they were made.
    pub changes: Arc<[Change]>,
    /// Whether this part ends the transaction.
    pub last: bool,
}

/// A position passed, with nothing of interest before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the record before this one ends.
    pub previous: Position,
    /// The position in the log.
    pub commit_lsn: Lsn,
    /// Where the mark itself lies among what was committed there.
    pub index: u32,
    /// Who waits for it: the number that was written into the log, if one was.
    pub token: Option<u64>,
}

impl Record {
    /// Where the record before this one ends.
    pub const fn previous(&self) -> Position {
        match self {
            Self::Chunk(chunk) => chunk.previous,
            Self::Mark(mark) => mark.previous,
        }
    }

    /// Where this record ends.
    pub fn end(&self) -> Position {
        match self {
            Self::Chunk(chunk) => chunk.end(),
            Self::Mark(mark) => Position { commit_lsn: mark.commit_lsn, index: mark.index },
        }
    }

    /// Whether a cursor may point at this record's end.
    pub const fn ends_transaction(&self) -> bool {
        match self {
            Self::Chunk(chunk) => chunk.last,
            Self::Mark(_) => true,
        }
    }

    /// Roughly what it holds in memory, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Chunk(chunk) => chunk.changes.iter().map(Change::size_bytes).sum(),
                Self::Mark(_) => 0,
            }
    }
}

impl Chunk {
    /// Where this part ends.
    pub fn end(&self) -> Position {
        let length = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        Position { commit_lsn: self.commit_lsn, index: self.first_index.saturating_add(length) }
    }
}

/// A moment by PostgreSQL's clock, in microseconds since 2000-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;

impl Timestamp {
    /// Takes the form that the replication protocol carries.
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// The form that the replication protocol carries.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Microseconds since 1970-01-01 00:00 UTC.
    pub const fn unix_micros(self) -> i64 {
        self.0.saturating_add(EPOCH_DAYS * DAY_MICROS)
    }

    /// Writes [`Display`](fmt::Display)'s form, as each transaction needs it once: `fmt` would take longer than matching.
    pub fn write(self, out: &mut Vec<u8>) {
        let days = self.0.div_euclid(DAY_MICROS) + EPOCH_DAYS;
        let micros = self.0.rem_euclid(DAY_MICROS);
        let (year, month, day) = civil_from_days(days);
        let seconds = micros / 1_000_000;
        if (0..=9_999).contains(&year) {
            write_digits::<4>(year, out);
        } else {
            out.extend_from_slice(year.to_string().as_bytes());
        }
        for (before, number) in [
            (b'-', month),
            (b'-', day),
            (b'T', seconds / 3600),
            (b':', seconds / 60 % 60),
            (b':', seconds % 60),
        ] {
            out.push(before);
            write_digits::<2>(number, out);
        }
        out.push(b'.');
        write_digits::<6>(micros % 1_000_000, out);
        out.push(b'Z');
    }
}

impl From<SystemTime> for Timestamp {
    /// What lies further away than a `Timestamp` reaches becomes the last one; what lies before 1970 begins then.
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Self(micros - EPOCH_DAYS * DAY_MICROS)
    }
}

/// Writes a number that has at most `DIGITS` of them, with zeros in front.
fn write_digits<const DIGITS: usize>(mut number: i64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

/// RFC 3339 in UTC, with microseconds: `2026-11-22T10:08:17.123456Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(27);
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// See <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_systems_time_is_the_same_moment() {
        let at = UNIX_EPOCH + std::time::Duration::from_millis(1_764_000_000_500);
        assert_eq!(Timestamp::from(at).to_string(), "2025-11-24T16:00:00.500000Z");
    }

    #[test]
    fn timestamps_are_written_as_rfc_3339() {
        for (micros, text) in [
            (0, "2000-01-01T00:00:00.000000Z"),
            (-1, "1999-12-31T23:59:59.999999Z"),
            (848_657_297_123_456, "2026-11-22T10:08:17.123456Z"),
            (5_097_599_000_000, "2000-02-28T23:59:59.000000Z"),
            (5_097_600_000_000, "2000-02-29T00:00:00.000000Z"),
        ] {
            assert_eq!(Timestamp::new(micros).to_string(), text);
        }
    }
}
