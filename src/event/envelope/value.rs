//! One value as JSON in the form that Debezium gives it.

use super::super::Datum;
use super::super::value::{write_array, write_json_string};
use super::decimal::{Decimal, encode};
use super::form::{Form, Unit};
use super::moment;
use super::text::{write_bits, write_hstore, write_point};

/// What Debezium writes for a large value that did not change and that the stream leaves out.
pub(super) const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same where a value is bytes: base64 of it.
const UNAVAILABLE_BYTES: &[u8] = b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
/// The same in an array of `uuid`: the name-based UUID of it.
const UNAVAILABLE_UUID: &[u8] = b"b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// `infinity` among timestamps, as PostgreSQL's own JDBC driver counts it: milliseconds since 1970.
const FOREVER_MILLIS: i64 = 9_223_372_036_825_200;
/// `-infinity` likewise.
const NEVER_MILLIS: i64 = -9_223_372_036_832_400;

/// Writes one value. Text that is not of its form is written as a string: a value is shown as PostgreSQL gave it rather
/// than lost.
pub(super) fn write(form: &Form, datum: Datum<'_>, out: &mut Vec<u8>) {
    let text = match datum {
        Datum::Text(text) => text,
        Datum::Null | Datum::Untold => return out.extend_from_slice(b"null"),
        Datum::Unchanged => return write_unavailable(form, out),
    };
    let start = out.len();
    if write_form(form, text, out).is_none() {
        out.truncate(start);
        write_json_string(text, out);
    }
}

/// `None` if the text is not of the form; `out` then holds anything.
fn write_form(form: &Form, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match form {
        Form::Text | Form::Uuid => write_json_string(text, out),
        Form::Bool => out.extend_from_slice(match text {
            b"t" => b"true",
            b"f" => b"false",
            _ => return None,
        }),
        Form::Integer => {
            let digits = text.strip_prefix(b"-").unwrap_or(text);
            let plain =
                digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || !digits.starts_with(b"0"));
            (plain && !digits.is_empty()).then(|| out.extend_from_slice(text))?;
        }
        Form::Float => write_float(text, out)?,
        Form::Decimal { scale } => match Decimal::parse(text) {
            Some(decimal) => decimal.write_unscaled(*scale, out).then_some(())?,
            None => write_no_number(text, out)?,
        },
        Form::VariableDecimal => write_variable_decimal(text, out)?,
        Form::Money => write_money(text, out)?,
        Form::Bytes => write_bytes(text, out)?,
        Form::Bits => write_bits(text, out)?,
        Form::Bit => out.extend_from_slice(match text {
            b"1" => b"true",
            b"0" => b"false",
            // Of `bit varying(1)`.
            b"" => b"null",
            _ => return None,
        }),
        Form::Date => write_number(date(text)?, out),
        Form::Time(unit) => write_number(in_unit(moment::time(text)?, *unit), out),
        Form::TimeInZone => write_time_in_zone(moment::time_in_utc(text)?, out),
        Form::Timestamp(unit) => write_number(timestamp(text, *unit)?, out),
        Form::TimestampInZone { digits } => write_timestamp_in_zone(text, *digits, out)?,
        Form::Interval => write_number(moment::interval(text)?, out),
        Form::Point => write_point(text, out)?,
        Form::Hstore => write_hstore(text, out)?,
        Form::Array { element, delimiter } => {
            write_array(*delimiter, text, out, |datum, out| write(element, datum, out));
        }
    }
    Some(())
}

/// Where Debezium writes null, which cannot be told from a NULL, this writes the text: a reader that wants a number then
/// fails rather than takes it for one.
fn write_unavailable(form: &Form, out: &mut Vec<u8>) {
    match form {
        Form::Bytes => write_json_string(UNAVAILABLE_BYTES, out),
        Form::Hstore => write_json_string(format!("{{\"{UNAVAILABLE}\":\"{UNAVAILABLE}\"}}").as_bytes(), out),
        Form::Array { element, .. } => {
            out.push(b'[');
            match **element {
                // Each byte of it is a number.
                Form::Integer | Form::Date => {
                    for (index, byte) in UNAVAILABLE.bytes().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        write_number(i64::from(byte), out);
                    }
                }
                Form::Uuid => write_json_string(UNAVAILABLE_UUID, out),
                Form::Hstore => write_json_string(UNAVAILABLE.as_bytes(), out),
                ref element => write_unavailable(element, out),
            }
            out.push(b']');
        }
        _ => write_json_string(UNAVAILABLE.as_bytes(), out),
    }
}

pub(super) fn write_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A number of JSON, or one of the words that JSON has none for.
pub(super) fn write_float(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match text {
        b"NaN" | b"Infinity" | b"-Infinity" => write_json_string(text, out),
        _ if is_json_number(text) => out.extend_from_slice(text),
        _ => return None,
    }
    Some(())
}

/// `-1.5e-07` and the like, by the grammar of RFC 8259.
fn is_json_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(tail) = rest.strip_prefix(b".") {
        let fraction = digits(tail);
        if fraction == 0 {
            return false;
        }
        rest = &tail[fraction..];
    }
    if let Some(tail) = rest.strip_prefix(b"e") {
        let tail = tail.strip_prefix(b"+").or_else(|| tail.strip_prefix(b"-")).unwrap_or(tail);
        return !tail.is_empty() && digits(tail) == tail.len();
    }
    rest.is_empty()
}

/// The numbers that no decimal can hold are null, as Debezium has them: whatever else stood there would be read as digits.
fn write_no_number(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    matches!(text, b"NaN" | b"Infinity" | b"-Infinity").then(|| out.extend_from_slice(b"null"))
}

fn write_variable_decimal(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let Some(decimal) = Decimal::parse(text) else { return write_no_number(text, out) };
    let decimal = decimal.trimmed();
    let scale = i32::try_from(decimal.scale()).ok()?;
    out.extend_from_slice(b"{\"scale\":");
    write_number(i64::from(scale), out);
    out.extend_from_slice(b",\"value\":");
    decimal.write_unscaled(scale, out).then_some(())?;
    out.push(b'}');
    Some(())
}

/// `-$1,234.50`, which is what `lc_monetary = C` makes of it: two digits behind the point.
fn write_money(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let plain: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'$' && *byte != b',').collect();
    Decimal::parse(&plain)?.write_unscaled(2, out).then_some(())
}

/// `\x…` in hexadecimal → base64.
fn write_bytes(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.strip_prefix(b"\\x")?.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    out.push(b'"');
    encode(&bytes?, out);
    out.push(b'"');
    Some(())
}

/// Days since 1970-01-01; the infinities are the numbers that PostgreSQL itself keeps for them.
fn date(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => Some(i64::from(i32::MAX)),
        b"-infinity" => Some(i64::from(i32::MIN)),
        _ => Some(moment::date(text)?.days()),
    }
}

const fn in_unit(micros: i64, unit: Unit) -> i64 {
    match unit {
        Unit::Millis => micros.div_euclid(1_000),
        Unit::Micros => micros,
    }
}

/// Since 1970; beyond the year 294246 the last microsecond that 64 bits hold.
fn timestamp(text: &[u8], unit: Unit) -> Option<i64> {
    let infinite = |millis: i64| match unit {
        Unit::Millis => millis,
        Unit::Micros => millis * 1_000,
    };
    match text {
        b"infinity" => return Some(infinite(FOREVER_MILLIS)),
        b"-infinity" => return Some(infinite(NEVER_MILLIS)),
        _ => {}
    }
    let (date, micros) = moment::timestamp(text)?;
    Some(match unit {
        Unit::Micros => date.days().saturating_mul(86_400_000_000).saturating_add(micros),
        Unit::Millis => date.days() * 86_400_000 + micros.div_euclid(1_000),
    })
}

/// `10:08:17.5Z`: as many digits as it takes.
fn write_time_in_zone(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    out.push(b'"');
    for (before, number) in [("", seconds / 3_600), (":", seconds / 60 % 60), (":", seconds % 60)] {
        out.extend_from_slice(before.as_bytes());
        write_padded(number, 2, out);
    }
    if micros % 1_000_000 != 0 {
        out.push(b'.');
        write_padded(micros % 1_000_000, 6, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.extend_from_slice(b"Z\"");
}

/// `2026-11-22T10:08:17.123456Z`, with as many digits as the column has; years before 1 and after 9999 have a sign, and
/// the infinities are words.
fn write_timestamp_in_zone(text: &[u8], digits: usize, out: &mut Vec<u8>) -> Option<()> {
    if matches!(text, b"infinity" | b"-infinity") {
        write_json_string(text, out);
        return Some(());
    }
    let (common, before_christ) = match text.strip_suffix(b"+00") {
        Some(text) => (text, false),
        None => (text.strip_suffix(b"+00 BC")?, true),
    };
    let end = memchr::memchr(b' ', common)?;
    let (day, clock) = (&common[..end], &common[end + 1..]);
    moment::time(clock)?;
    let date = moment::date_of_era(day, before_christ)?;
    out.push(b'"');
    // Nearly all there are have a year of four digits.
    if before_christ || end != 10 {
        match date.year {
            0..=9_999 => {}
            ..0 => out.push(b'-'),
            _ => out.push(b'+'),
        }
        write_padded(date.year.abs(), 4, out);
        out.push(b'-');
        write_padded(i64::from(date.month), 2, out);
        out.push(b'-');
        write_padded(i64::from(date.day), 2, out);
    } else {
        out.extend_from_slice(day);
    }
    out.push(b'T');
    out.extend_from_slice(&clock[..8]);
    let fraction = clock.get(9..).unwrap_or_default();
    if digits > 0 {
        out.push(b'.');
        let told = fraction.len().min(digits);
        out.extend_from_slice(&fraction[..told]);
        out.extend(std::iter::repeat_n(b'0', digits - told));
    }
    out.extend_from_slice(b"Z\"");
    Some(())
}

/// With zeros in front, if it has fewer digits.
fn write_padded(number: i64, digits: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number).as_bytes();
    out.extend(std::iter::repeat_n(b'0', digits.saturating_sub(text.len())));
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn json(form: &Form, text: &str) -> String {
        let mut out = Vec::new();
        write(form, Datum::Text(text.as_bytes()), &mut out);
        String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
    }

    fn array(element: Form) -> Form {
        Form::Array { element: Box::new(element), delimiter: b',' }
    }

    fn forms() -> Vec<Form> {
        let plain = [
            Form::Text,
            Form::Uuid,
            Form::Bool,
            Form::Integer,
            Form::Float,
            Form::Decimal { scale: 2 },
            Form::Decimal { scale: -2 },
            Form::VariableDecimal,
            Form::Money,
            Form::Bytes,
            Form::Bits,
            Form::Bit,
            Form::Date,
            Form::Time(Unit::Millis),
            Form::Time(Unit::Micros),
            Form::TimeInZone,
            Form::Timestamp(Unit::Millis),
            Form::Timestamp(Unit::Micros),
            Form::TimestampInZone { digits: 0 },
            Form::TimestampInZone { digits: 6 },
            Form::Interval,
            Form::Point,
            Form::Hstore,
        ];
        plain.iter().cloned().chain(plain.iter().cloned().map(array)).collect()
    }

    #[test]
    fn values_that_the_engine_gets_wrong_are_what_their_type_says() {
        for (form, text, expected) in [
            (Form::Date, "infinity", "2147483647"),
            (Form::Date, "-infinity", "-2147483648"),
            (Form::Timestamp(Unit::Micros), "294276-12-31 23:59:59.999999", "9223372036854775807"),
            (Form::Decimal { scale: -2 }, "12300", "\"ew==\""),
            (array(Form::Time(Unit::Micros)), "{10:08:17.123456}", "[36497123456]"),
            (array(Form::Integer), "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (array(Form::VariableDecimal), "{NaN,1}", "[null,{\"scale\":0,\"value\":\"AQ==\"}]"),
            (array(array(Form::Integer)), "{\"{1,2}\",\"{3}\"}", "[[1,2],[3]]"),
            (
                Form::TimestampInZone { digits: 6 },
                "0001-01-01 00:00:00+00 BC",
                "\"0000-01-01T00:00:00.000000Z\"",
            ),
        ] {
            assert_eq!(json(&form, text), expected, "{form:?} {text}");
        }
    }

    #[test]
    fn text_that_is_not_of_its_form_is_written_as_a_string() {
        let odd = ["", " ", "\"", "\\", "x", "日本", "{", "}", "(", "(,)", "(1,2", "1e", "+1", "$", "\\x0"];
        for form in forms() {
            for text in odd {
                let written = json(&form, text);
                let value: Value =
                    serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
                let is_value = match form {
                    Form::Bit | Form::Bits | Form::Hstore => text.is_empty(),
                    _ => false,
                };
                assert!(is_value || value == text, "{form:?} {text}: {written}");
            }
        }
        for text in ["01", "-", "-01", "1-"] {
            assert_eq!(json(&Form::Integer, text), format!("\"{text}\""));
        }
        for text in ["01", "1.", ".1", "1e", "1e+", "1e1.5", "-"] {
            assert_eq!(json(&Form::Float, text), format!("\"{text}\""));
        }
    }

    #[test]
    fn whatever_the_text_it_becomes_one_json_value() {
        let mut random = fastrand::Rng::with_seed(12);
        let pieces = [
            "{",
            "}",
            "\"",
            "\\",
            ",",
            "=>",
            "NULL",
            "\\x",
            "00",
            "1",
            "-",
            ".",
            "e",
            "(",
            ")",
            " ",
            ":",
            "+00",
            " BC",
            "$",
            "P",
            "T",
            "Y",
            "2026-11-22",
            "10:08:17",
            "infinity",
            "NaN",
            "é",
            "\u{1}",
            "t",
        ];
        let forms = forms();
        for _ in 0..60_000 {
            let text: String =
                (0..random.usize(..8)).map(|_| *random.choice(&pieces).expect("some")).collect();
            let form = random.choice(&forms).expect("some");
            let written = json(form, &text);
            assert!(serde_json::from_str::<Value>(&written).is_ok(), "{form:?} {text}: {written}");
        }
    }

    #[test]
    fn whatever_is_not_told_becomes_one_json_value() {
        for form in forms() {
            for datum in [Datum::Null, Datum::Untold, Datum::Unchanged] {
                let mut out = Vec::new();
                write(&form, datum, &mut out);
                let value: Value = serde_json::from_slice(&out).expect("JSON");
                assert_eq!(value.is_null(), datum != Datum::Unchanged, "{form:?}");
            }
        }
    }
}
