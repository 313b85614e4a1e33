//! Dates and times as PostgreSQL writes them under `DateStyle = ISO` and `IntervalStyle = iso_8601` → numbers.

const DAY_MICROS: i64 = 86_400_000_000;
/// Debezium counts a month as the 12th part of 365.25 days.
const MONTH_MICROS: i128 = 2_629_800_000_000;

/// A day of the proleptic Gregorian calendar.
pub(super) struct Date {
    /// In the astronomical count, in which 1 BC is the year 0.
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
}

impl Date {
    /// Days since 1970-01-01.
    ///
    /// See <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
    pub(super) const fn days(&self) -> i64 {
        let year = self.year - (self.month <= 2) as i64;
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (self.month as i64 + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + self.day as i64 - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }
}

/// `2026-11-22`, `12026-01-01`, `0044-03-15 BC`.
pub(super) fn date(text: &[u8]) -> Option<Date> {
    let (text, before_christ) = era(text);
    date_of_era(text, before_christ)
}

/// A date without what says its era.
pub(super) fn date_of_era(text: &[u8], before_christ: bool) -> Option<Date> {
    let (date, rest) = take_date(text, before_christ)?;
    rest.is_empty().then_some(date)
}

/// `2026-11-22 10:08:17.123456`: the date, and microseconds of the day.
pub(super) fn timestamp(text: &[u8]) -> Option<(Date, i64)> {
    let (text, before_christ) = era(text);
    let (date, rest) = take_date(text, before_christ)?;
    let (micros, rest) = take_time(rest.strip_prefix(b" ")?)?;
    rest.is_empty().then_some((date, micros))
}

/// `10:08:17.123456`, at most `24:00:00`: microseconds of the day.
pub(super) fn time(text: &[u8]) -> Option<i64> {
    let (micros, rest) = take_time(text)?;
    rest.is_empty().then_some(micros)
}

/// `10:08:17.5-15:59`: microseconds of the day in UTC.
pub(super) fn time_in_utc(text: &[u8]) -> Option<i64> {
    let (micros, rest) = take_time(text)?;
    let (sign, digits) = rest.split_first()?;
    let mut parts = digits.split(|byte| *byte == b':');
    let mut seconds = 0;
    for unit in [3_600, 60, 1] {
        if let Some(part) = parts.next() {
            seconds += unit * number(part, 2)?;
        }
    }
    let offset = match sign {
        b'+' => seconds * 1_000_000,
        b'-' => seconds * -1_000_000,
        _ => return None,
    };
    parts.next().is_none().then_some((micros - offset).rem_euclid(DAY_MICROS))
}

/// `P1Y2M3DT4H5M6.789S`: microseconds, a month being 30.4375 days; the nearest that 64 bits hold.
pub(super) fn interval(text: &[u8]) -> Option<i64> {
    let mut rest = text.strip_prefix(b"P")?;
    let (mut months, mut micros) = (0_i128, 0_i128);
    let mut of_day = false;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'T' && !of_day {
            of_day = true;
            rest = tail;
            continue;
        }
        let end = rest.iter().position(u8::is_ascii_alphabetic)?;
        let (quantity, tail) = rest.split_at(end);
        let (unit, tail) = tail.split_first()?;
        rest = tail;
        let (whole, fraction) = signed(quantity)?;
        let unit = match (of_day, unit) {
            (false, b'Y') => {
                months = months.saturating_add(whole * 12);
                continue;
            }
            (false, b'M') => {
                months = months.saturating_add(whole);
                continue;
            }
            (false, b'D') => i128::from(DAY_MICROS),
            (true, b'H') => 3_600_000_000,
            (true, b'M') => 60_000_000,
            (true, b'S') => 1_000_000,
            _ => return None,
        };
        if fraction != 0 && unit != 1_000_000 {
            return None;
        }
        micros = micros.saturating_add(whole * unit + fraction);
    }
    let total = months.saturating_mul(MONTH_MICROS).saturating_add(micros);
    Some(i64::try_from(total).unwrap_or(if total < 0 { i64::MIN } else { i64::MAX }))
}

/// Splits ` BC` off.
fn era(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

/// `2026-11-22` off the front.
fn take_date(text: &[u8], before_christ: bool) -> Option<(Date, &[u8])> {
    let end = memchr::memchr(b'-', text)?;
    // PostgreSQL's years have four to seven digits.
    let year = number_of(&text[..end], 4..=7)?;
    let year = if before_christ { 1 - year } else { year };
    let (rest, tail) = text[end..].split_at_checked(6)?;
    let [b'-', m1, m2, b'-', d1, d2] = rest else { return None };
    let month = u8::try_from(number(&[*m1, *m2], 2)?).ok().filter(|month| (1..=12).contains(month))?;
    let day = u8::try_from(number(&[*d1, *d2], 2)?).ok().filter(|day| (1..=31).contains(day))?;
    Some((Date { year, month, day }, tail))
}

/// `10:08:17.123456` off the front, as microseconds.
fn take_time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (clock, rest) = text.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hours, minutes, seconds) =
        (number(&[*h1, *h2], 2)?, number(&[*m1, *m2], 2)?, number(&[*s1, *s2], 2)?);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(tail) => {
            let end = tail.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(tail.len());
            let (digits, rest) = tail.split_at(end);
            (fraction(digits)?, rest)
        }
    };
    let plain = hours <= 24 && minutes < 60 && seconds <= 60;
    plain.then_some((((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction, rest))
}

/// The digits behind a point, as microseconds.
fn fraction(digits: &[u8]) -> Option<i64> {
    let power = 6_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    Some(number_of(digits, 1..=6)? * 10_i64.pow(power))
}

/// A number of exactly so many digits.
fn number(digits: &[u8], length: usize) -> Option<i64> {
    number_of(digits, length..=length)
}

fn number_of(digits: &[u8], lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let plain = lengths.contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// `-6.789`: whole units, and microunits of the same sign.
fn signed(text: &[u8]) -> Option<(i128, i128)> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
    let whole = number_of(&digits[..point], 1..=18)?;
    let fraction = match digits[point..].strip_prefix(b".") {
        Some(digits) => fraction(digits)?,
        None => 0,
    };
    Some((i128::from(sign * whole), i128::from(sign * fraction)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_as_debezium_3_6_3_and_postgresql_count_them() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2026-11-22", 20_779),
            ("2000-02-29", 11_016),
            ("0044-03-15 BC", -735_160),
            ("12026-01-01", 3_672_879),
            ("5874897-12-31", 2_145_042_905),
            ("4713-01-01 BC", -2_440_550),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("0001-02-29 BC", -719_469),
            ("1582-10-10", -141_432),
        ] {
            assert_eq!(date(text.as_bytes()).expect(text).days(), days, "{text}");
        }
    }

    #[test]
    fn times_in_a_zone_are_taken_to_utc() {
        for (text, micros) in [
            ("10:08:17+00", 36_497_000_000),
            ("10:08:17.5-15:59", 7_637_500_000),
            ("24:00:00+00", 0),
            ("01:02:03.123456+05:30", 70_323_123_456),
            ("00:00:00+00:00:01", 86_399_000_000),
        ] {
            assert_eq!(time_in_utc(text.as_bytes()), Some(micros), "{text}");
        }
    }

    #[test]
    fn intervals_are_microseconds_as_debezium_3_6_3_counts_them() {
        for (text, micros) in [
            ("PT0S", 0),
            ("P1Y2M3DT4H5M6.789S", 37_091_106_789_000),
            ("P-1M2DT-3H", -2_467_800_000_000),
            ("P178000000Y", i64::MAX),
            ("P-178000000Y", i64::MIN),
            ("P1M", 2_629_800_000_000),
            ("P1D", 86_400_000_000),
            ("PT0.000001S", 1),
            ("PT-0.000001S", -1),
            ("PT1000000H", 3_600_000_000_000_000),
            ("P11M", 28_927_800_000_000),
            ("P-1Y-2M3DT-4H-5M-6.789S", -36_572_706_789_000),
        ] {
            assert_eq!(interval(text.as_bytes()), Some(micros), "{text}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused_and_nothing_panics() {
        let odd = [
            "",
            "-",
            "P",
            "T",
            "BC",
            " BC",
            "infinity",
            "2026",
            "2026-1-1",
            "2026-13-01",
            "2026-00-10",
            "99999999-01-01",
            "2026-11-22 ",
            "2026-11-22T10:08:17",
            "10:08",
            "25:00:00",
            "10:08:17.",
            "10:08:17.1234567",
            "10:08:17x",
            "10:08:17+",
            "10:08:17+1",
            "10:08:17+01:2",
            "10:08:17+01:02:03:04",
            "P1",
            "P1X",
            "P1YT",
            "PT1Y",
            "PTT1S",
            "P1.Y",
            "P--1Y",
            "P9999999999999999999Y",
            "日本-01-01",
            "2026-日",
        ];
        for text in odd.iter().map(|text| text.as_bytes()) {
            let shown = String::from_utf8_lossy(text);
            assert!(
                date(text).is_none() && timestamp(text).is_none() && time_in_utc(text).is_none(),
                "{shown}"
            );
            assert!(time(text).is_none(), "{shown}");
            if !matches!(text, b"P" | b"P1YT") {
                assert!(interval(text).is_none(), "{shown}");
            }
        }
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..20_000 {
            let alphabet = b"0123456789-:+. PYMDTHSBC";
            let text: Vec<u8> =
                (0..random.usize(..24)).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            let _ = (date(&text), timestamp(&text), time(&text), time_in_utc(&text), interval(&text));
        }
    }
}
