use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;

use super::decimal::Decimal;

/// A value read from a row's text, in a form in which equal values are identical and order is PostgreSQL's.
///
/// Only values of one [`Scale`] are ever compared with each other.
///
/// [`Scale`]: super::scale::Scale
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    /// Booleans, integers, floats (see [`float_rank`]), dates and times.
    Int(i64),
    /// Intervals and uuids.
    Wide(i128),
    /// Whatever compares byte by byte.
    Bytes(&'a [u8]),
    /// `numeric`
    Decimal(Decimal<'a>),
}

impl Ord for Value<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Wide(a), Self::Wide(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            // Of different scales: never compared, but an order must be total.
            _ => self.variant().cmp(&other.variant()),
        }
    }
}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Value<'_> {
    const fn variant(&self) -> u8 {
        match self {
            Self::Int(_) => 0,
            Self::Wide(_) => 1,
            Self::Bytes(_) => 2,
            Self::Decimal(_) => 3,
        }
    }

    pub(super) fn to_key(self) -> Key {
        match self {
            Value::Int(value) => Key::Int(value),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "split in halves that `Key::as_value` joins again"
            )]
            #[expect(clippy::cast_sign_loss, reason = "the low half is read as bits")]
            Value::Wide(value) => Key::Wide { high: (value >> 64) as i64, low: value as u64 },
            Value::Bytes(bytes) => Key::Bytes(bytes.into()),
            Value::Decimal(decimal) => Key::Decimal(decimal.canonical().into_bytes().into()),
        }
    }
}

/// A [`Value`] that owns what it points to: a constant of a filter, a key of the index.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Int(i64),
    /// The halves of an `i128`, whose alignment would make every key a third larger.
    Wide {
        high: i64,
        low: u64,
    },
    Bytes(Box<[u8]>),
    /// In canonical text.
    Decimal(Box<[u8]>),
}

impl Key {
    pub(super) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Int(value) => Value::Int(*value),
            Self::Wide { high, low } => Value::Wide(i128::from(*high) << 64 | i128::from(*low)),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Decimal(text) => {
                Value::Decimal(Decimal::parse(text).expect("a key holds a decimal's canonical text"))
            }
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_value() == other.as_value()
    }
}

impl Eq for Key {}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_value().cmp(&other.as_value())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_value().hash(state);
    }
}

impl Equivalent<Key> for Value<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.as_value()
    }
}

/// Maps a float to an integer so that order and equality are PostgreSQL's: `-0` is 0, NaN is greatest and equal to
/// itself.
pub(super) fn float_rank(value: f64) -> i64 {
    if value.is_nan() {
        return i64::MAX;
    }
    // Adding 0 turns -0 into 0. Negative floats have their bits in descending order.
    let bits = (value + 0.0).to_bits().cast_signed();
    if bits < 0 { !bits ^ i64::MIN } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_rank_in_order() {
        let ascending = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -1.0,
            -f64::MIN_POSITIVE,
            0.0,
            5e-324,
            1.0,
            1.5,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
        ];
        for pair in ascending.windows(2) {
            assert!(float_rank(pair[0]) < float_rank(pair[1]), "{pair:?}");
        }
        assert_eq!(float_rank(-0.0), float_rank(0.0));
        assert_eq!(float_rank(-f64::NAN), float_rank(f64::NAN));
    }

    #[test]
    fn keys_are_their_values() {
        for value in [
            Value::Int(-7),
            Value::Wide(i128::MIN),
            Value::Wide(-1),
            Value::Wide(u64::MAX.into()),
            Value::Bytes(b"x"),
            Value::Decimal(Decimal::parse(b"-01.50").expect("valid")),
        ] {
            assert_eq!(value.to_key().as_value(), value);
            assert!(value.equivalent(&value.to_key()));
        }
        assert!(size_of::<Key>() <= 24);
    }
}
