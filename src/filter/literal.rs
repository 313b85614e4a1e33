//! The canonical text of literals, for those that can be told without asking PostgreSQL.

use super::decimal;
use super::time;
use crate::event::{Class, Kind};

/// What is known of a literal without asking PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Canonical {
    /// The text that PostgreSQL would write for it.
    Known(String),
    /// Only PostgreSQL can tell.
    Ask,
    /// It is no literal of that type; says why.
    Invalid(String),
}

use Canonical::{Ask, Invalid, Known};

/// PostgreSQL's limit to the digits before a `numeric`'s decimal point is 131,072; longer literals than this one are
/// left to PostgreSQL.
const DIGITS_AT_HAND: usize = 1_000;

/// `pg_type.oid` of `name`, whose values are cut to 63 bytes.
const NAME: u32 = 19;

/// The canonical text of `text` read as `kind`, which is no array.
pub(super) fn canonical(text: &str, kind: &Kind) -> Canonical {
    if text.contains('\0') {
        return Invalid("a text cannot hold the character U+0000".into());
    }
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    match &kind.class {
        Class::Text if kind.oid == NAME && text.len() > 63 => Ask,
        Class::Text | Class::Bpchar => Known(text.into()),
        Class::Bool => boolean(trimmed).map_or_else(|| invalid(text, kind), |value| Known(value.into())),
        Class::Int2 => integer::<i16>(text, trimmed, kind),
        Class::Int4 => integer::<i32>(text, trimmed, kind),
        Class::Int8 => integer::<i64>(text, trimmed, kind),
        Class::Numeric => numeric(trimmed),
        Class::Float4 | Class::Float8 => float(trimmed, kind),
        Class::Uuid if is_uuid(text) => Known(text.to_ascii_lowercase()),
        Class::Bytea => bytea(text),
        Class::Date if time::date(text.as_bytes()).is_some() && is_plain_date(text) => Known(text.into()),
        Class::Timestamp => timestamp(text, ""),
        Class::Timestamptz => {
            timestamp(text.strip_suffix('Z').or(text.strip_suffix("+00")).unwrap_or(text), "+00")
        }
        Class::Time if time::time(text.as_bytes()).is_some() => Known(without_trailing_zeros(text).into()),
        Class::Enum(labels) if labels.iter().any(|label| **label == *text) => Known(text.into()),
        _ => Ask,
    }
}

fn invalid(text: &str, kind: &Kind) -> Canonical {
    Invalid(format!("`{text}` is not a value of type {}", kind.name))
}

/// `true` and `false` may be shortened as long as they are told apart from other words.
fn boolean(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let shortens = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if shortens("true", 1) || shortens("yes", 1) || text == "on" || text == "1" {
        Some("t")
    } else if shortens("false", 1) || shortens("no", 1) || shortens("off", 2) || text == "0" {
        Some("f")
    } else {
        None
    }
}

/// PostgreSQL 16 reads `0x1F`, `0b1` and `1_000` too.
fn integer<T: std::str::FromStr + ToString>(text: &str, trimmed: &str, kind: &Kind) -> Canonical {
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        trimmed.parse::<T>().map_or_else(
            |_| Invalid(format!("`{text}` is out of range for type {}", kind.name)),
            |value| Known(value.to_string()),
        )
    } else if digits.starts_with('0') || digits.contains('_') {
        Ask
    } else {
        invalid(text, kind)
    }
}

fn numeric(trimmed: &str) -> Canonical {
    match special(trimmed) {
        Some(special) => Known(special.into()),
        None => decimal::expand(trimmed, DIGITS_AT_HAND).map_or(Ask, Known),
    }
}

/// `NaN` and infinities in PostgreSQL's spellings.
fn special(text: &str) -> Option<&'static str> {
    let (negative, word) = match text.strip_prefix(['-', '+']) {
        Some(word) => (text.starts_with('-'), word),
        None => (false, text),
    };
    if text.eq_ignore_ascii_case("nan") {
        Some("NaN")
    } else if word.eq_ignore_ascii_case("infinity") || word.eq_ignore_ascii_case("inf") {
        Some(if negative { "-Infinity" } else { "Infinity" })
    } else {
        None
    }
}

fn float(trimmed: &str, kind: &Kind) -> Canonical {
    if let Some(special) = special(trimmed) {
        return Known(special.into());
    }
    if !trimmed.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return Ask;
    }
    if trimmed.parse::<f64>().is_err() {
        return invalid(trimmed, kind);
    }
    float_text(trimmed, kind.class == Class::Float4)
        .map_or_else(|| Invalid(format!("`{trimmed}` is out of range for type {}", kind.name)), Known)
}

/// The shortest text that reads back as the same float as `digits` do; `None` if they are too large for it, or would
/// be rounded to zero, which PostgreSQL refuses too.
pub(super) fn float_text(digits: &str, single: bool) -> Option<String> {
    let text = if single {
        let value = digits.parse::<f32>().ok()? + 0.0;
        value.is_finite().then(|| format!("{value:e}"))?
    } else {
        let value = digits.parse::<f64>().ok()? + 0.0;
        value.is_finite().then(|| format!("{value:e}"))?
    };
    let mantissa = digits.split(['e', 'E']).next().unwrap_or(digits);
    let says_zero = !mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    (text != "0e0" || says_zero).then_some(text)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn bytea(text: &str) -> Canonical {
    match text.strip_prefix("\\x") {
        Some(digits) if digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Known(text.to_ascii_lowercase())
        }
        _ => Ask,
    }
}

/// A year of four digits, not BC: within the range of every type, and read alike under any setting.
fn is_plain_date(text: &str) -> bool {
    text.len() == 10 && !text.starts_with("0000")
}

fn timestamp(text: &str, zone: &str) -> Canonical {
    let plain = text.is_char_boundary(10)
        && text.len() >= 19
        && is_plain_date(&text[..10])
        && matches!(text.as_bytes()[10], b' ' | b'T')
        && !text[11..].starts_with("24");
    let spaced = if plain { format!("{} {}", &text[..10], &text[11..]) } else { return Ask };
    // An offset is left to PostgreSQL: only a text without one is read here.
    if spaced[11..].bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b':' | b'.')) {
        return Ask;
    }
    match time::timestamp(spaced.as_bytes()) {
        Some(_) => Known(format!("{}{zone}", without_trailing_zeros(&spaced))),
        None => Ask,
    }
}

/// PostgreSQL writes only as many decimals of a second as are needed.
fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// The canonical plain text of a number literal; `None` if its exponent is out of hand.
pub(super) fn number(text: &str) -> Option<String> {
    decimal::expand(text, DIGITS_AT_HAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(oid: u32, text: &str) -> Canonical {
        let class = Class::of_builtin(oid).expect("built in");
        canonical(text, &Kind { oid, name: "some_type".into(), class })
    }

    #[test]
    fn plain_literals_need_no_round_trip() {
        for (oid, text, known) in [
            (16, " TRUE ", "t"),
            (16, "of", "f"),
            (16, "y", "t"),
            (23, "007", "7"),
            (23, " -0 ", "0"),
            (20, "9223372036854775807", "9223372036854775807"),
            (25, " as is ", " as is "),
            (1700, "1.50", "1.5"),
            (1700, "1e3", "1000"),
            (1700, "-inf", "-Infinity"),
            (701, "0.10", "1e-1"),
            (701, "nan", "NaN"),
            (700, "-0.0", "0e0"),
            (2950, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (17, "\\xDEAD", "\\xdead"),
            (1082, "2026-11-22", "2026-11-22"),
            (1114, "2026-11-22T10:08:17.500", "2026-11-22 10:08:17.5"),
            (1184, "2026-11-22T10:08:17Z", "2026-11-22 10:08:17+00"),
            (1083, "10:08:17.120", "10:08:17.12"),
        ] {
            assert_eq!(read(oid, text), Known(known.into()), "{text}");
        }
    }

    #[test]
    fn odd_literals_are_left_to_postgresql() {
        for (oid, text) in [
            (23, "0x1F"),
            (1700, "1e5000"),
            (701, "0x1p3"),
            (2950, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"),
            (17, "abc"),
            (1082, "now"),
            (1082, "22.11.2026"),
            (1082, "0000-01-01"),
            (1114, "2026-11-22 10:08"),
            (1114, "2026-11-22 10:08:60"),
            (1184, "2026-11-22 10:08:17+02"),
            (1114, "2026-11-22 10:08:17.1234567"),
            (1186, "1 day"),
            (3802, "{}"),
        ] {
            assert_eq!(read(oid, text), Ask, "{text}");
        }
    }

    #[test]
    fn wrong_literals_are_refused() {
        for (oid, text) in [
            (16, "o"),
            (16, ""),
            (16, "truex"),
            (21, "40000"),
            (23, "99999999999"),
            (23, "7.5"),
            (23, "seven"),
            (20, "9223372036854775808"),
            (701, "1e999"),
            (701, "1e-999"),
            (701, "1-1"),
            (25, "\0"),
        ] {
            assert!(matches!(read(oid, text), Invalid(_)), "{text}");
        }
    }
}
