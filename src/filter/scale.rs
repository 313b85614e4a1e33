use std::sync::Arc;

use super::decimal::Decimal;
use super::time;
use super::value::{Value, float_rank};
use crate::event::{Class, Kind};

/// How a type's text is turned into something that compares as PostgreSQL compares the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Bool,
    /// `int2`, `int4`, `int8`
    Int,
    /// Read to single precision and widened, as PostgreSQL does to compare it with a double.
    Float4,
    Float8,
    Numeric,
    /// Byte by byte: `text` and its kin, `bytea`, and types whose equal values have equal text.
    Bytes,
    /// Byte by byte without trailing blanks.
    Bpchar,
    Uuid,
    Date,
    /// With or without time zone.
    Timestamp,
    Time,
    Interval,
    /// An enum's labels by their place in this list.
    Labels(Arc<[Arc<str>]>),
}

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not of the type's form.
    Malformed,
    /// An enum label that is not on the list.
    UnknownLabel,
}

/// Types whose text is the same exactly where PostgreSQL's `=` holds: their output functions write every part that
/// their comparison reads, in one way only. `cidr` is not one of them: it is compared as `inet`, which is written
/// otherwise.
const SAME_TEXT_IF_EQUAL: [u32; 14] = [
    26,   // oid
    27,   // tid
    774,  // macaddr8
    829,  // macaddr
    869,  // inet
    1266, // timetz: equal instants in different zones are not equal
    1562, // varbit
    3220, // pg_lsn
    3904, // int4range: discrete ranges are stored in canonical form
    3908, // tsrange
    3910, // tstzrange
    3912, // daterange
    3926, // int8range
    5069, // xid8
];

impl Scale {
    /// On which scale equality of the type can be decided; `None` if it cannot.
    pub(super) fn of_equality(kind: &Kind) -> Option<Self> {
        Some(match &kind.class {
            Class::Bool => Self::Bool,
            Class::Int2 | Class::Int4 | Class::Int8 => Self::Int,
            Class::Float4 => Self::Float4,
            Class::Float8 => Self::Float8,
            Class::Numeric => Self::Numeric,
            Class::Text | Class::Bytea | Class::Enum(_) => Self::Bytes,
            Class::Bpchar => Self::Bpchar,
            Class::Uuid => Self::Uuid,
            Class::Date => Self::Date,
            Class::Timestamp | Class::Timestamptz => Self::Timestamp,
            Class::Time => Self::Time,
            Class::Interval => Self::Interval,
            Class::Other if SAME_TEXT_IF_EQUAL.contains(&kind.oid) => Self::Bytes,
            Class::Json | Class::Jsonb | Class::Array { .. } | Class::Other => return None,
        })
    }

    /// On which scale the type's order can be decided, collations aside; `None` if it cannot.
    pub(super) fn of_order(kind: &Kind) -> Option<Self> {
        match &kind.class {
            Class::Enum(labels) => Some(Self::Labels(Arc::clone(labels))),
            Class::Other => None,
            _ => Self::of_equality(kind),
        }
    }

    /// Reads a value's text.
    pub(super) fn read<'a>(&self, text: &'a [u8]) -> Result<Value<'a>, Unread> {
        let value = match self {
            Self::Bool => match text {
                b"t" => Some(Value::Int(1)),
                b"f" => Some(Value::Int(0)),
                _ => None,
            },
            Self::Int => integer(text).map(Value::Int),
            Self::Float4 => float::<f32>(text).map(|value| Value::Int(float_rank(value.into()))),
            Self::Float8 => float::<f64>(text).map(|value| Value::Int(float_rank(value))),
            Self::Numeric => Decimal::parse(text).map(Value::Decimal),
            Self::Bytes => Some(Value::Bytes(text)),
            Self::Bpchar => Some(Value::Bytes(without_trailing_blanks(text))),
            Self::Uuid => uuid(text).map(Value::Wide),
            Self::Date => time::date(text).map(Value::Int),
            Self::Timestamp => time::timestamp(text).map(Value::Int),
            Self::Time => time::time(text).map(Value::Int),
            Self::Interval => time::interval(text).map(Value::Wide),
            Self::Labels(labels) => {
                let place = labels.iter().position(|label| label.as_bytes() == text);
                let place = place.ok_or(Unread::UnknownLabel)?;
                i64::try_from(place).ok().map(Value::Int)
            }
        };
        value.ok_or(Unread::Malformed)
    }
}

/// Reads an integer of at most 64 bits; faster than over `str`, and on the way of every row.
fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut magnitude = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits stay below 2^64.
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Reads `1.5`, `1e+20`, `NaN`, `Infinity`, `-Infinity`.
fn float<F: std::str::FromStr>(text: &[u8]) -> Option<F> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `char(n)` without its padding.
pub(super) fn without_trailing_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|byte| **byte == b' ').count();
    &text[..text.len() - blanks]
}

/// Reads 32 hexadecimal digits in groups of 8-4-4-4-12; the sign bit is flipped, so that signed order is byte order.
fn uuid(text: &[u8]) -> Option<i128> {
    if text.len() != 36 {
        return None;
    }
    let mut bits = 0_u128;
    for (index, byte) in text.iter().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
        } else {
            bits = bits << 4 | u128::from(char::from(*byte).to_digit(16)?);
        }
    }
    Some((bits ^ 1 << 127).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_64_bits_are_read_and_nothing_else() {
        for text in ["0", "-1", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(integer(text.as_bytes()), text.parse().ok());
        }
        for text in
            ["", "-", "9223372036854775808", "-9223372036854775809", "+1", "1x", "99999999999999999999"]
        {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn uuids_keep_their_byte_order() {
        let texts = [
            "00000000-0000-0000-0000-000000000000",
            "7fffffff-ffff-ffff-ffff-ffffffffffff",
            "80000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ];
        let read: Vec<_> = texts.iter().map(|text| uuid(text.as_bytes()).expect("valid")).collect();
        assert!(read.is_sorted());
        assert_eq!(uuid(b"00000000-0000-0000-0000-00000000000"), None);
        assert_eq!(uuid(b"00000000+0000-0000-0000-000000000000"), None);
    }

    #[test]
    fn a_single_float_is_widened_from_single_precision() {
        assert_ne!(Scale::Float4.read(b"0.1"), Scale::Float8.read(b"0.1"));
        assert_eq!(Scale::Float4.read(b"0.5"), Scale::Float8.read(b"0.5"));
        assert_eq!(Scale::Float8.read(b"-0"), Scale::Float8.read(b"0"));
        assert_eq!(Scale::Float8.read(b"x"), Err(Unread::Malformed));
    }
}
