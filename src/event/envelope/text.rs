//! Bits, points and hstores: texts that Debezium takes apart.

use super::super::value::{unquote, write_json_string};
use super::decimal::encode;
use super::value::write_float;

/// `101` → base64 of the bytes, the last bit being the lowest of the first byte; bytes of zeros at the end are left out.
pub(super) fn write_bits(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.iter().all(|bit| matches!(bit, b'0' | b'1')) {
        return None;
    }
    let mut bytes: Vec<u8> =
        text.rchunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'))).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    out.push(b'"');
    encode(&bytes, out);
    out.push(b'"');
    Some(())
}

/// `(1.5,-2)` → both numbers, and the point as «well-known binary», little-endian.
pub(super) fn write_point(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let body = text.strip_prefix(b"(")?.strip_suffix(b")")?;
    let comma = memchr::memchr(b',', body)?;
    let (x, y) = (&body[..comma], &body[comma + 1..]);
    let mut binary = vec![1, 1, 0, 0, 0];
    for number in [x, y] {
        binary.extend(std::str::from_utf8(number).ok()?.parse::<f64>().ok()?.to_le_bytes());
    }
    out.extend_from_slice(b"{\"x\":");
    write_float(x, out)?;
    out.extend_from_slice(b",\"y\":");
    write_float(y, out)?;
    out.extend_from_slice(b",\"wkb\":\"");
    encode(&binary, out);
    out.extend_from_slice(b"\",\"srid\":null}");
    Some(())
}

/// `"a"=>"1", "b"=>NULL` → a JSON object, as a string.
pub(super) fn write_hstore(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut object = vec![b'{'];
    let mut word = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if object.len() > 1 {
            rest = rest.strip_prefix(b", ")?;
            object.push(b',');
        }
        rest = unquote(rest.strip_prefix(b"\"")?, &mut word)?.strip_prefix(b"=>")?;
        write_json_string(&word, &mut object);
        object.push(b':');
        if let Some(tail) = rest.strip_prefix(b"NULL") {
            object.extend_from_slice(b"null");
            rest = tail;
        } else {
            rest = unquote(rest.strip_prefix(b"\"")?, &mut word)?;
            write_json_string(&word, &mut object);
        }
    }
    object.push(b'}');
    write_json_string(&object, out);
    Some(())
}
