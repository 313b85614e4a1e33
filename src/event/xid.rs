use std::fmt;
use std::str::FromStr;

/// A transaction's id in 64 bits, as `pg_current_xact_id()` gives it: it never wraps around.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(u64);

impl Xid {
    /// No transaction (`InvalidTransactionId`): every snapshot sees what comes of none.
    pub const NONE: Self = Self(0);

    /// Takes the 64-bit form (`xid8`).
    pub const fn new(full: u64) -> Self {
        Self(full)
    }

    /// The 64-bit form (`xid8`).
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The 32-bit form, as `pg_current_xact_id()::xid` gives it and the stream carries it.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what `xid` means")]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The 64-bit id of a transaction of which the stream gave the low half, at most 2^31 transactions away
    /// from `near`.
    ///
    /// PostgreSQL keeps all ids in use within that distance of each other, so any id that its present
    /// snapshot names will do for `near`.
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the distance is signed: modulo 2^32, as PostgreSQL compares ids"
    )]
    pub const fn widen(low: u32, near: Self) -> Self {
        let distance = low.wrapping_sub(near.low()) as i32;
        Self(near.0.wrapping_add_signed(distance as i64))
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which transactions a statement sees, as `pg_current_snapshot()` gives it.
///
/// Text form: `pg_snapshot`, as in `10:20:10,14,15`.
/// See <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    xmin: Xid,
    xmax: Xid,
    /// In progress when the snapshot was taken; ascending, each in `xmin..xmax`.
    running: Box<[Xid]>,
}

/// A text that is not a `pg_snapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot: expected `xmin:xmax:xip_list`, as `pg_current_snapshot()` gives it")]
pub struct InvalidSnapshot;

impl Snapshot {
    /// Builds a snapshot from its parts.
    ///
    /// # Errors
    /// [`InvalidSnapshot`] unless `xmin <= xmax` and `running` is strictly ascending and within them.
    pub fn new(xmin: Xid, xmax: Xid, running: Vec<Xid>) -> Result<Self, InvalidSnapshot> {
        let within = running.iter().all(|xid| (xmin..xmax).contains(xid));
        let ascending = running.is_sorted_by(|a, b| a < b);
        if xmin <= xmax && within && ascending {
            Ok(Self { xmin, xmax, running: running.into() })
        } else {
            Err(InvalidSnapshot)
        }
    }

    /// Whether a transaction that has committed by now was already visible then.
    pub fn sees(&self, xid: Xid) -> bool {
        xid < self.xmin || (xid < self.xmax && self.running.binary_search(&xid).is_err())
    }

    /// Every id below this one was no longer running.
    pub const fn xmin(&self) -> Xid {
        self.xmin
    }

    /// The first id not yet given out.
    pub const fn xmax(&self) -> Xid {
        self.xmax
    }

    /// The ids in progress, ascending.
    pub fn running(&self) -> &[Xid] {
        &self.running
    }
}

impl FromStr for Snapshot {
    type Err = InvalidSnapshot;

    fn from_str(text: &str) -> Result<Self, InvalidSnapshot> {
        let xid = |digits: &str| digits.parse().map(Xid).map_err(|_| InvalidSnapshot);
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(InvalidSnapshot);
        let (xmin, xmax, list) = (xid(part()?)?, xid(part()?)?, part()?);
        let running = list.split(',').filter(|item| !item.is_empty()).map(xid).collect::<Result<_, _>>()?;
        Self::new(xmin, xmax, running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_had_ended() {
        let snapshot: Snapshot = "10:20:10,14,15".parse().expect("valid");
        let seen: Vec<u64> = (8..22).filter(|xid| snapshot.sees(Xid(*xid))).collect();
        assert_eq!(seen, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        assert!("10:10:".parse::<Snapshot>().is_ok());
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for text in ["", "10", "10:20", "20:10:", "10:20:5", "10:20:15,14", "a:b:", "10:20:20", "-1:2:"] {
            assert!(text.parse::<Snapshot>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrapped_id_is_widened_to_the_nearest() {
        let near = Xid((7 << 32) + 5);
        assert_eq!(Xid::widen(3, near), Xid((7 << 32) + 3));
        assert_eq!(Xid::widen(u32::MAX, near), Xid((7 << 32) - 1));
        let near = Xid((7 << 32) - 5);
        assert_eq!(Xid::widen(3, near), Xid((7 << 32) + 3));
    }
}
