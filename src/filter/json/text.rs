//! JSON's text, piece by piece.

use std::borrow::Cow;

use super::{Json, Malformed, Result};

/// The members of an object, by key, or the elements of an array, by nothing.
pub(super) struct Items<'a> {
    /// Starts before an item, a comma, or the closing bracket.
    pub(super) rest: &'a [u8],
    pub(super) object: bool,
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<(&'a [u8], Json<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_ascii_start();
        if let Some(rest) = self.rest.strip_prefix(b",") {
            self.rest = rest.trim_ascii_start();
        }
        match self.rest.first() {
            None => Some(Err(Malformed)),
            Some(b'}' | b']') => None,
            Some(_) => Some(self.item()),
        }
        // An error ends the walk: whoever meets one stops.
    }
}

impl<'a> Items<'a> {
    fn item(&mut self) -> Result<(&'a [u8], Json<'a>)> {
        let mut key: &[u8] = b"";
        if self.object {
            let length = string_length(self.rest)?;
            key = &self.rest[1..length - 1];
            self.rest = self.rest[length..]
                .trim_ascii_start()
                .strip_prefix(b":")
                .ok_or(Malformed)?
                .trim_ascii_start();
        }
        let length = value_length(self.rest)?;
        let (value, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok((key, Json(value)))
    }
}

/// The length of the value at the front.
fn value_length(text: &[u8]) -> Result<usize> {
    let mut tokens = Tokens { rest: text };
    let mut depth = 0_usize;
    loop {
        match tokens.next()?.ok_or(Malformed)? {
            b"{" | b"[" => depth += 1,
            b"}" | b"]" => depth = depth.checked_sub(1).ok_or(Malformed)?,
            b"," | b":" if depth == 0 => return Err(Malformed),
            _ => {}
        }
        if depth == 0 {
            return Ok(text.len() - tokens.rest.len());
        }
    }
}

/// The length of the string at the front, quotes included.
fn string_length(text: &[u8]) -> Result<usize> {
    if text.first() != Some(&b'"') {
        return Err(Malformed);
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()).ok_or(Malformed)?;
        if text[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
}

/// Brackets, commas, colons and scalars, one after the other.
pub(super) struct Tokens<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>> {
        self.rest = self.rest.trim_ascii_start();
        let length = match self.rest.first() {
            None => return Ok(None),
            Some(b'{' | b'}' | b'[' | b']' | b',' | b':') => 1,
            Some(b'"') => string_length(self.rest)?,
            Some(_) => {
                let ends = |byte: &u8| {
                    matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
                        || byte.is_ascii_whitespace()
                };
                self.rest.iter().position(ends).unwrap_or(self.rest.len())
            }
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(Some(token))
    }
}

/// A string's inside without its escapes: those that PostgreSQL writes, which never include a surrogate.
pub(super) fn unescape(inner: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', inner) else { return Cow::Borrowed(inner) };
    let mut out = inner[..first].to_vec();
    let mut rest = &inner[first..];
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escaped, tail)) = rest.split_first() else { break };
        rest = tail;
        match escaped {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let character = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(4..).unwrap_or_default();
            }
            other => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// What [`escape`] was given.
pub(in crate::filter) fn plain(escaped: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(escaped)).into_owned()
}

/// A text as PostgreSQL writes it in JSON, without the quotes.
pub(in crate::filter) fn escape(text: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            8 => out.extend(b"\\b"),
            12 => out.extend(b"\\f"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
            _ => out.push(byte),
        }
    }
    out.into()
}
