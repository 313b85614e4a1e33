use std::cmp::Ordering;

/// A `numeric` as its own text, cut into parts: compared by value without being converted.
///
/// Equal numbers have equal parts: leading and trailing zeros are left out, and zero is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decimal<'a> {
    class: Class,
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
}

/// In PostgreSQL's order: NaN is greatest and equal to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Class {
    NegativeInfinity,
    Finite,
    Infinity,
    NaN,
}

impl<'a> Decimal<'a> {
    /// Reads plain decimal notation with an optional sign, or `NaN`, `Infinity`, `-Infinity`: what `numeric_out`
    /// writes. There is no exponent in it.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let special = |class| Some(Self { class, negative: false, integer: b"", fraction: b"" });
        match text {
            b"NaN" => return special(Class::NaN),
            b"Infinity" => return special(Class::Infinity),
            b"-Infinity" => return special(Class::NegativeInfinity),
            _ => {}
        }
        let (negative, digits) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
        let (integer, fraction) = digits.split_at(point);
        let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
        if (integer.is_empty() && fraction.is_empty())
            || !integer.iter().chain(fraction).all(u8::is_ascii_digit)
        {
            return None;
        }
        let zeros = integer.iter().take_while(|digit| **digit == b'0').count();
        let integer = &integer[zeros..];
        let trailing = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let fraction = &fraction[..fraction.len() - trailing];
        let zero = integer.is_empty() && fraction.is_empty();
        Some(Self { class: Class::Finite, negative: negative && !zero, integer, fraction })
    }

    /// How it lies to the 64-bit integers.
    pub(super) fn place(&self) -> Place {
        match self.class {
            Class::NegativeInfinity => return Place::Below,
            Class::Infinity | Class::NaN => return Place::Above,
            Class::Finite => {}
        }
        let magnitude = self.integer.iter().try_fold(0_i128, |sum, digit| {
            let sum = sum * 10 + i128::from(digit - b'0');
            (sum <= 1 << 64).then_some(sum)
        });
        let Some(magnitude) = magnitude else {
            return if self.negative { Place::Below } else { Place::Above };
        };
        let whole = self.fraction.is_empty();
        let floor = if self.negative { -magnitude - i128::from(!whole) } else { magnitude };
        match i64::try_from(floor) {
            Ok(floor) if whole => Place::At(floor),
            Ok(floor) if floor < i64::MAX => Place::After(floor),
            Err(_) if self.negative => Place::Below,
            Ok(_) | Err(_) => Place::Above,
        }
    }

    /// The shortest text that reads as the same number.
    pub(super) fn canonical(&self) -> String {
        match self.class {
            Class::NegativeInfinity => return "-Infinity".into(),
            Class::Infinity => return "Infinity".into(),
            Class::NaN => return "NaN".into(),
            Class::Finite => {}
        }
        let mut text = String::with_capacity(self.integer.len() + self.fraction.len() + 3);
        if self.negative {
            text.push('-');
        }
        if self.integer.is_empty() {
            text.push('0');
        }
        text.extend(self.integer.iter().map(|digit| char::from(*digit)));
        if !self.fraction.is_empty() {
            text.push('.');
            text.extend(self.fraction.iter().map(|digit| char::from(*digit)));
        }
        text
    }
}

/// Where a number lies among the 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Below all of them.
    Below,
    /// It is one of them.
    At(i64),
    /// Between this one and the next.
    After(i64),
    /// Above all of them; NaN too.
    Above,
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = |a: &Self, b: &Self| {
            a.integer
                .len()
                .cmp(&b.integer.len())
                .then_with(|| a.integer.cmp(b.integer))
                .then_with(|| a.fraction.cmp(b.fraction))
        };
        self.class.cmp(&other.class).then_with(|| match (self.negative, other.negative) {
            (false, false) => magnitude(self, other),
            (true, true) => magnitude(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        })
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Writes a number with an exponent in plain notation: `-1.5e3` → `-1500`.
///
/// `None` if it is no number, or if it would take more than `most` digits.
pub(super) fn expand(text: &str, most: usize) -> Option<String> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix(['-', '+']) {
        Some(digits) => (if mantissa.starts_with('-') { "-" } else { "" }, digits),
        None => ("", mantissa),
    };
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{integer}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i64::try_from(integer.len()).ok()? + i64::from(exponent);
    let width = i64::try_from(all.len()).ok()?;
    if usize::try_from(point.abs().max(width)).ok()? > most {
        return None;
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let plain = match usize::try_from(point) {
        Err(_) | Ok(0) => format!("{sign}0.{}{all}", zeros(-point)),
        Ok(at) if at >= all.len() => format!("{sign}{all}{}", zeros(point - width)),
        Ok(at) => format!("{sign}{}.{}", &all[..at], &all[at..]),
    };
    Decimal::parse(plain.as_bytes()).map(|decimal| decimal.canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal<'_> {
        Decimal::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn numbers_compare_by_value() {
        let ascending = [
            "-Infinity",
            "-100",
            "-10.5",
            "-10.05",
            "-1",
            "-0.5",
            "0",
            "0.05",
            "0.5",
            "1",
            "1.5",
            "10",
            "99",
            "100",
            "Infinity",
            "NaN",
        ];
        for (left, a) in ascending.iter().enumerate() {
            for (right, b) in ascending.iter().enumerate() {
                assert_eq!(decimal(a).cmp(&decimal(b)), left.cmp(&right), "{a} {b}");
            }
        }
        for (a, b) in
            [("1.0", "1"), ("-0", "0.00"), ("007.10", "7.1"), ("+5", "5"), (".5", "0.5"), ("5.", "5")]
        {
            assert_eq!(decimal(a), decimal(b));
        }
        for text in ["", "-", ".", "1e3", "1.2.3", "x", "--1", "nan"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_have_a_place_among_the_integers() {
        for (text, place) in [
            ("7", Place::At(7)),
            ("7.5", Place::After(7)),
            ("-7.5", Place::After(-8)),
            ("-0.5", Place::After(-1)),
            ("9223372036854775807", Place::At(i64::MAX)),
            ("9223372036854775807.5", Place::Above),
            ("9223372036854775808", Place::Above),
            ("-9223372036854775808", Place::At(i64::MIN)),
            ("-9223372036854775808.5", Place::Below),
            ("99999999999999999999999999999999999999999999", Place::Above),
            ("-99999999999999999999999999999999999999999999", Place::Below),
            ("NaN", Place::Above),
            ("-Infinity", Place::Below),
        ] {
            assert_eq!(decimal(text).place(), place, "{text}");
        }
    }

    #[test]
    fn exponents_are_expanded() {
        for (text, plain) in [
            ("1e3", "1000"),
            ("-1.5E+3", "-1500"),
            ("1.25e1", "12.5"),
            ("1.25e-2", "0.0125"),
            ("100e-2", "1"),
            ("0e5", "0"),
            ("12", "12"),
            (".5", "0.5"),
        ] {
            assert_eq!(expand(text, 100).as_deref(), Some(plain), "{text}");
        }
        for text in ["", "e", "1e", "e5", "1e999", "1e99999999999", "x", "1e5x"] {
            assert_eq!(expand(text, 100), None, "{text}");
        }
    }
}
