//! Dates and times from PostgreSQL's ISO text to numbers that compare as PostgreSQL compares them.

const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 from `2026-11-22`, `0044-03-15 BC`, `12026-11-22`, `infinity`.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    let (text, era) = era(text);
    let (days, rest) = day(text, era)?;
    rest.is_empty().then_some(days)
}

/// Days from 1970-01-01 to 2000-01-01, from where PostgreSQL counts: from there all its timestamps fit into 64 bits.
const EPOCH: i64 = 10_957;

/// Microseconds since 2000-01-01 from `2026-11-22 10:08:17.123456`, with an offset behind it as in `+00`, `-03:30`
/// if the type has a time zone.
pub(super) fn timestamp(text: &[u8]) -> Option<i64> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    let (text, era) = era(text);
    let (days, rest) = day(text, era)?;
    let (clock, rest) = clock(rest.strip_prefix(b" ")?)?;
    let offset = if rest.is_empty() { 0 } else { offset(rest)? };
    (days - EPOCH).checked_mul(DAY)?.checked_add(clock)?.checked_sub(offset)
}

/// Microseconds since midnight from `10:08:17.123456`.
pub(super) fn time(text: &[u8]) -> Option<i64> {
    let (clock, rest) = clock(text)?;
    rest.is_empty().then_some(clock)
}

/// The span in microseconds by which PostgreSQL compares intervals (a month has 30 days, a day 24 hours), from
/// `P1Y2M3DT4H5M6.5S`, each part with a sign of its own.
pub(super) fn interval(text: &[u8]) -> Option<i128> {
    match text {
        b"infinity" => return Some(i128::MAX),
        b"-infinity" => return Some(i128::MIN),
        _ => {}
    }
    let mut rest = text.strip_prefix(b"P")?;
    if rest.is_empty() || rest.ends_with(b"T") {
        return None;
    }
    let mut in_time = false;
    let mut span = 0_i128;
    while !rest.is_empty() {
        if !in_time && let Some(tail) = rest.strip_prefix(b"T") {
            in_time = true;
            rest = tail;
        }
        let (number, tail) = micros(rest)?;
        let (unit, tail) = tail.split_first()?;
        let unit = match (in_time, unit) {
            (false, b'Y') => 360 * i128::from(DAY),
            (false, b'M') => 30 * i128::from(DAY),
            (false, b'D') => i128::from(DAY),
            (true, b'H') => 3_600_000_000,
            (true, b'M') => 60_000_000,
            (true, b'S') => 1_000_000,
            _ => return None,
        };
        span += number * unit / 1_000_000;
        rest = tail;
    }
    Some(span)
}

fn infinity(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => Some(i64::MAX),
        b"-infinity" => Some(i64::MIN),
        _ => None,
    }
}

/// Takes ` BC` off the end.
fn era(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |text| (text, true))
}

/// Takes `year-month-day` off the front.
fn day(text: &[u8], before_christ: bool) -> Option<(i64, &[u8])> {
    let (year, rest) = digits(text, 4..=7)?;
    let (month, rest) = digits(rest.strip_prefix(b"-")?, 2..=2)?;
    let (day, rest) = digits(rest.strip_prefix(b"-")?, 2..=2)?;
    let year = if before_christ { 1 - year } else { year };
    let valid = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    valid.then(|| (days_from_civil(year, month, day), rest))
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// See <https://howardhinnant.github.io/date_algorithms.html#days_from_civil>.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Takes `hh:mm:ss[.ffffff]` off the front; `24:00:00` is a time.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(text, 2..=2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 2..=2)?;
    let (second, rest) = digits(rest.strip_prefix(b":")?, 2..=2)?;
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => fraction(rest)?,
        None => (0, rest),
    };
    let micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction;
    (minute < 60 && second < 60 && micros <= DAY).then_some((micros, rest))
}

/// Takes up to six decimals off the front, in millionths.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (value, rest) = digits(text, 1..=6)?;
    Some((value * 10_i64.pow(u32::try_from(6 - length).ok()?), rest))
}

/// Microseconds east of Greenwich from `+00`, `-03:30`, `+00:53:28`.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = text.split_first()?;
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (mut seconds, mut rest) = digits(rest, 2..=2).map(|(hours, rest)| (hours * 3600, rest))?;
    for unit in [60, 1] {
        if let Some(tail) = rest.strip_prefix(b":") {
            let (value, tail) = digits(tail, 2..=2)?;
            seconds += value * unit;
            rest = tail;
        }
    }
    rest.is_empty().then_some(sign * seconds * 1_000_000)
}

/// Takes a signed number with up to six decimals off the front, in millionths.
fn micros(text: &[u8]) -> Option<(i128, &[u8])> {
    let (negative, rest) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (whole, rest) = digits(rest, 1..=18)?;
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => fraction(rest)?,
        None => (0, rest),
    };
    let value = i128::from(whole) * 1_000_000 + i128::from(fraction);
    Some((if negative { -value } else { value }, rest))
}

/// Takes all leading digits off the front, if there are as many as `count` allows.
fn digits(text: &[u8], count: std::ops::RangeInclusive<usize>) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !count.contains(&length) {
        return None;
    }
    let (number, rest) = text.split_at(length);
    Some((number.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-03-01", 11_017),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("4714-11-24 BC", -2_440_588),
            ("12026-11-22", 3_673_204),
            ("infinity", i64::MAX),
            ("-infinity", i64::MIN),
        ] {
            assert_eq!(date(text.as_bytes()), Some(days), "{text}");
        }
        for text in ["", "2026-02-29", "2026-13-01", "2026-1-1", "26-01-01", "2026-01-01x", "2026-01-00"] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn timestamps_are_microseconds() {
        for (text, micros) in [
            ("2000-01-01 00:00:00", 0),
            ("2000-01-01 00:00:01.5", 1_500_000),
            ("2000-01-01 00:00:00+00", 0),
            ("2000-01-01 01:00:00+01", 0),
            ("1999-12-31 20:30:00-03:30", 0),
            ("2000-01-01 00:53:28+00:53:28", 0),
            ("1999-12-31 23:59:59.999999", -1),
            ("294276-12-31 23:59:59.999999", 9_223_371_331_199_999_999),
            ("4714-11-24 00:00:00 BC", -211_813_488_000_000_000),
            ("infinity", i64::MAX),
        ] {
            assert_eq!(timestamp(text.as_bytes()), Some(micros), "{text}");
        }
        for text in
            ["1970-01-01", "1970-01-01 25:00:00", "1970-01-01 00:60:00", "1970-01-01 00:00:00.1234567"]
        {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
        assert_eq!(time(b"24:00:00"), Some(DAY));
        assert_eq!(time(b"24:00:01"), None);
    }

    #[test]
    fn intervals_compare_by_their_span() {
        let span = |text: &str| interval(text.as_bytes()).expect(text);
        assert_eq!(span("P1M"), span("P30D"));
        assert_eq!(span("P1Y"), span("P12M"));
        assert_eq!(span("P1D"), span("PT24H"));
        assert_eq!(span("PT0S"), 0);
        assert_eq!(span("P-1Y-2M3DT-4H-5M-6.5S"), -(420 - 3) * i128::from(DAY) - 14_706_500_000);
        assert_eq!(span("PT-0.000001S"), -1);
        for text in ["", "P", "1D", "P1", "PT", "P1H", "PT1D", "P1Dx", "P1.5.5D"] {
            assert_eq!(interval(text.as_bytes()), None, "{text}");
        }
    }
}
