use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Class, Datum};

/// Writes one value as the wire protocol gives it: the same in snapshots, changes, pages and replies.
///
/// `bool` becomes true or false; `int2`, `int4`, `float4`, `float8` numbers (NaN and infinities strings); `int8` and
/// `numeric` strings, so that no browser rounds them; `json` and `jsonb` are embedded as they are; arrays become arrays;
/// `bytea` base64; dates and times ISO 8601 (infinities, BC and years over 9999: PostgreSQL's text); NULL null; any
/// other type its PostgreSQL text.
///
/// The text is what PostgreSQL writes under `DateStyle = ISO`, `IntervalStyle = iso_8601`, `TimeZone = UTC`,
/// `bytea_output = hex`, `client_encoding = UTF8`. Text that is not of the class's form is written as a string: a value
/// is shown as PostgreSQL gave it rather than lost.
pub fn write_json(class: &Class, datum: Datum<'_>, out: &mut Vec<u8>) {
    let Datum::Text(text) = datum else {
        out.extend_from_slice(b"null");
        return;
    };
    match class {
        Class::Bool => match text {
            b"t" => out.extend_from_slice(b"true"),
            b"f" => out.extend_from_slice(b"false"),
            _ => write_json_string(text, out),
        },
        Class::Int2 | Class::Int4 | Class::Float4 | Class::Float8 if is_json_number(text) => {
            out.extend_from_slice(text);
        }
        Class::Json | Class::Jsonb => out.extend_from_slice(text),
        Class::Bytea => write_bytea(text, out),
        Class::Timestamp if is_common_era(text) => write_timestamp(text, b"", out),
        Class::Timestamptz if is_common_era(text) => match text.strip_suffix(b"+00") {
            Some(text) => write_timestamp(text, b"Z", out),
            None => write_json_string(text, out),
        },
        Class::Array { element, delimiter } => {
            write_array(*delimiter, text, out, |datum, out| write_json(&element.class, datum, out));
        }
        _ => write_json_string(text, out),
    }
}

/// Writes `text`, which is UTF-8, as a JSON string.
pub fn write_json_string(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut start = 0;
    for (index, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[start..index]);
        start = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&text[start..]);
    out.push(b'"');
}

/// Of PostgreSQL's numbers only `NaN`, `Infinity` and `-Infinity` are no JSON numbers.
fn is_json_number(text: &[u8]) -> bool {
    text.last().is_some_and(u8::is_ascii_digit) && text.iter().all(|byte| b"+-.e0123456789".contains(byte))
}

/// Whether a date starts with a year of four digits and is not BC: `2026-…`, unlike `infinity`, `12026-…`, `0044-… BC`.
fn is_common_era(text: &[u8]) -> bool {
    text.len() >= 19 && text[4] == b'-' && text[..4].iter().all(u8::is_ascii_digit) && !text.ends_with(b"BC")
}

/// `2026-11-22 10:08:17.1` → `"2026-11-22T10:08:17.1"` and the suffix.
fn write_timestamp(text: &[u8], suffix: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(&text[..10]);
    out.push(b'T');
    out.extend_from_slice(&text[11..]);
    out.extend_from_slice(suffix);
    out.push(b'"');
}

/// `\x…` in hexadecimal → base64.
fn write_bytea(text: &[u8], out: &mut Vec<u8>) {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let decoded: Option<Vec<u8>> = text.strip_prefix(b"\\x").and_then(|digits| {
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
    });
    match decoded {
        Some(bytes) => write_json_string(STANDARD.encode(bytes).as_bytes(), out),
        None => write_json_string(text, out),
    }
}

/// `{1,NULL,"a b"}`, with nested braces for further dimensions and `[2:4]=` before it for unusual bounds (which JSON
/// cannot tell) → a JSON array, whose elements `write` writes. Text that is no array is written as a string.
///
/// See <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>.
pub(super) fn write_array(
    delimiter: u8,
    text: &[u8],
    out: &mut Vec<u8>,
    write: impl FnMut(Datum<'_>, &mut Vec<u8>),
) {
    let body = match text.first() {
        Some(b'[') => text.iter().position(|byte| *byte == b'=').map_or(text, |equals| &text[equals + 1..]),
        _ => text,
    };
    let start = out.len();
    if write_array_body(delimiter, body, out, write).is_none() {
        out.truncate(start);
        write_json_string(text, out);
    }
}

/// `None` if the text is no array; `out` then holds a part of it.
fn write_array_body(
    delimiter: u8,
    text: &[u8],
    out: &mut Vec<u8>,
    mut write: impl FnMut(Datum<'_>, &mut Vec<u8>),
) -> Option<()> {
    let mut depth = 0_u32;
    let mut rest = text;
    let mut unescaped = Vec::new();
    loop {
        // Before an element, or an inner array, or the end of an empty one.
        let (first, tail) = rest.split_first()?;
        match first {
            b'{' => {
                depth += 1;
                out.push(b'[');
                rest = tail;
                if rest.first() != Some(&b'}') {
                    continue;
                }
            }
            b'"' => {
                rest = unquote(tail, &mut unescaped)?;
                write(Datum::Text(&unescaped), out);
            }
            _ => {
                let end = rest.iter().position(|byte| *byte == delimiter || *byte == b'}')?;
                let (word, tail) = rest.split_at(end);
                let datum = if word == b"NULL" { Datum::Null } else { Datum::Text(word) };
                write(datum, out);
                rest = tail;
            }
        }
        // Behind it: the ends of arrays, then the end of all or the next one.
        while let Some(tail) = rest.strip_prefix(b"}") {
            depth = depth.checked_sub(1)?;
            out.push(b']');
            rest = tail;
        }
        if depth == 0 {
            return rest.is_empty().then_some(());
        }
        let (next, tail) = rest.split_first()?;
        if *next != delimiter {
            return None;
        }
        out.push(b',');
        rest = tail;
    }
}

/// Takes a quoted element off the front of `rest`, which starts behind its opening quote.
pub(super) fn unquote<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    out.clear();
    loop {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        match byte {
            b'"' => return Some(rest),
            b'\\' => {
                let (escaped, tail) = rest.split_first()?;
                out.push(*escaped);
                rest = tail;
            }
            other => out.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn json(class: &Class, text: &str) -> String {
        let mut out = Vec::new();
        write_json(class, Datum::Text(text.as_bytes()), &mut out);
        String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
    }

    fn array_of(class: Class) -> Class {
        Class::Array { element: Box::new(Kind { oid: 0, name: "element".into(), class }), delimiter: b',' }
    }

    #[test]
    fn scalars_are_written_as_the_protocol_says() {
        for (class, text, expected) in [
            (Class::Bool, "t", "true"),
            (Class::Int4, "-7", "-7"),
            (Class::Int8, "9007199254740993", "\"9007199254740993\""),
            (Class::Numeric, "1.50", "\"1.50\""),
            (Class::Float8, "1e+20", "1e+20"),
            (Class::Float8, "NaN", "\"NaN\""),
            (Class::Float4, "-Infinity", "\"-Infinity\""),
            (Class::Jsonb, r#"{"a": 1}"#, r#"{"a": 1}"#),
            (Class::Bytea, "\\x00ff10", "\"AP8Q\""),
            (Class::Timestamptz, "2026-11-22 10:08:17.123456+00", "\"2026-11-22T10:08:17.123456Z\""),
            (Class::Timestamptz, "infinity", "\"infinity\""),
            (Class::Timestamptz, "0044-03-15 00:00:00+00 BC", "\"0044-03-15 00:00:00+00 BC\""),
            (Class::Timestamptz, "12026-11-22 10:08:17+00", "\"12026-11-22 10:08:17+00\""),
            (Class::Timestamp, "2026-11-22 10:08:17", "\"2026-11-22T10:08:17\""),
            (Class::Date, "2026-11-22", "\"2026-11-22\""),
            (Class::Interval, "P1Y2M3DT4H5M6S", "\"P1Y2M3DT4H5M6S\""),
            (Class::Text, "a\"b\\c\nd\u{1}é", "\"a\\\"b\\\\c\\nd\\u0001é\""),
        ] {
            assert_eq!(json(&class, text), expected, "{class:?}");
        }
        let mut out = Vec::new();
        write_json(&Class::Text, Datum::Null, &mut out);
        assert_eq!(out, b"null");
    }

    #[test]
    fn arrays_become_arrays() {
        for (class, text, expected) in [
            (Class::Int4, "{}", "[]"),
            (Class::Int4, "{1,NULL,-3}", "[1,null,-3]"),
            (Class::Int4, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (Class::Int4, "[2:3]={1,2}", "[1,2]"),
            (Class::Text, r#"{"a b","NULL",NULL,"q\"\\",plain}"#, r#"["a b","NULL",null,"q\"\\","plain"]"#),
            (Class::Jsonb, r#"{"{\"a\": [1, 2]}"}"#, r#"[{"a": [1, 2]}]"#),
        ] {
            assert_eq!(json(&array_of(class), text), expected);
        }
        for broken in ["", "{", "{1", "{1,", "}", "{1}}", "{\"a", "{{1}", "{1}x"] {
            assert_eq!(json(&array_of(Class::Int4), broken), format!("\"{}\"", broken.replace('"', "\\\"")));
        }
    }
}
