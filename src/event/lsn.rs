use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log, in bytes since the start of the log.
///
/// Text form: `pg_lsn`, as in `16/B374D848`.
/// See <https://www.postgresql.org/docs/current/datatype-pg-lsn.html>.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

/// A text that is not a `pg_lsn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a log position: expected two hexadecimal numbers as in `16/B374D848`")]
pub struct InvalidLsn;

impl Lsn {
    /// The position before all others; PostgreSQL calls it invalid.
    pub const ZERO: Self = Self(0);

    /// Takes the 64-bit form that the replication protocol carries.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The 64-bit form that the replication protocol carries.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Writes [`Display`](fmt::Display)'s form, as each transaction needs it.
    pub fn write(self, out: &mut Vec<u8>) {
        write_hexadecimal(self.0 >> 32, out);
        out.push(b'/');
        write_hexadecimal(self.0 & 0xFFFF_FFFF, out);
    }

    /// Bytes of log from `earlier` to here; 0 if `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Without zeros in front.
fn write_hexadecimal(number: u64, out: &mut Vec<u8>) {
    let nibbles = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for nibble in (0..nibbles).rev() {
        out.push(b"0123456789ABCDEF"[(number >> (4 * nibble) & 0xF) as usize]);
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let half = |digits: &str| {
            let plain =
                (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if plain { u64::from_str_radix(digits, 16).map_err(|_| InvalidLsn) } else { Err(InvalidLsn) }
        };
        let (high, low) = text.split_once('/').ok_or(InvalidLsn)?;
        Ok(Self(half(high)? << 32 | half(low)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for text in ["0/0", "0/10", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            let lsn = text.parse::<Lsn>().expect("valid");
            assert_eq!(lsn.to_string(), text);
            let mut written = Vec::new();
            lsn.write(&mut written);
            assert_eq!(written, text.as_bytes());
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "/", "1", "1/", "/1", "+1/2", "1/-2", "1/123456789", "g/1", "1/2/3"] {
            assert_eq!(text.parse::<Lsn>(), Err(InvalidLsn), "{text}");
        }
    }
}
