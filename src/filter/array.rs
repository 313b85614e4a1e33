//! Arrays in their text form: `{1,NULL,"a b"}`.
//!
//! See <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>.

/// A part of an array's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    Null,
    /// An element, without quotes and escapes.
    Element(&'a [u8]),
}

/// Walks over an array's text; an element with escapes is put together in `scratch`.
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
    depth: usize,
    /// An element or a closing brace has just been read: a comma or a closing brace follows.
    behind: bool,
    /// Dimensions that do not start at 1, as in `[2:3]={…}`.
    bounds: &'a [u8],
}

/// Text that is no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// PostgreSQL's `MAXDIM`.
const DIMENSIONS: usize = 6;

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let text = text.trim_ascii();
        let (bounds, rest) = match text.first() {
            Some(b'[') => text.split_at(memchr::memchr(b'=', text).map_or(0, |at| at + 1)),
            _ => (&text[..0], text),
        };
        Self { rest, depth: 0, behind: false, bounds }
    }

    pub(super) const fn bounds(&self) -> &'a [u8] {
        self.bounds
    }

    /// The next part; `None` behind the last one.
    pub(super) fn next<'b>(&mut self, scratch: &'b mut Vec<u8>) -> Result<Option<Token<'b>>, Malformed>
    where
        'a: 'b,
    {
        self.rest = self.rest.trim_ascii_start();
        if self.behind {
            if self.depth == 0 {
                return if self.rest.is_empty() { Ok(None) } else { Err(Malformed) };
            }
            if let Some(rest) = self.rest.strip_prefix(b",") {
                self.behind = false;
                self.rest = rest.trim_ascii_start();
                if self.rest.first() == Some(&b'}') {
                    return Err(Malformed);
                }
            }
        }
        let (first, tail) = self.rest.split_first().ok_or(Malformed)?;
        match (first, self.behind, self.depth) {
            (b'}', _, 1..) => {
                self.rest = tail;
                self.depth -= 1;
                self.behind = true;
                Ok(Some(Token::Close))
            }
            (b'{', false, ..DIMENSIONS) => {
                self.rest = tail;
                self.depth += 1;
                Ok(Some(Token::Open))
            }
            (b',' | b'{' | b'}', ..) | (_, true, _) | (_, _, 0) => Err(Malformed),
            (b'"', ..) => {
                self.rest = quoted(tail, scratch)?;
                self.behind = true;
                Ok(Some(Token::Element(scratch)))
            }
            _ => self.word(scratch).map(Some),
        }
    }

    fn word<'b>(&mut self, scratch: &'b mut Vec<u8>) -> Result<Token<'b>, Malformed>
    where
        'a: 'b,
    {
        let end = memchr::memchr3(b',', b'}', b'\\', self.rest).ok_or(Malformed)?;
        self.behind = true;
        if self.rest[end] == b'\\' {
            self.rest = escaped(self.rest, scratch)?;
            return Ok(Token::Element(scratch));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let word = word.trim_ascii_end();
        if word.contains(&b'"') || word.contains(&b'{') {
            return Err(Malformed);
        }
        Ok(if word.eq_ignore_ascii_case(b"null") { Token::Null } else { Token::Element(word) })
    }
}

/// Takes a quoted element off the front of `rest`, which starts behind its opening quote.
fn quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    out.clear();
    loop {
        let end = memchr::memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
        out.extend_from_slice(&rest[..end]);
        if rest[end] == b'"' {
            return Ok(&rest[end + 1..]);
        }
        out.push(*rest.get(end + 1).ok_or(Malformed)?);
        rest = &rest[end + 2..];
    }
}

/// Takes an unquoted element with escapes off the front, which only a person writes.
fn escaped<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    out.clear();
    let mut solid = 0;
    loop {
        let (byte, tail) = rest.split_first().ok_or(Malformed)?;
        match byte {
            b',' | b'}' => break,
            b'"' | b'{' => return Err(Malformed),
            b'\\' => {
                let (byte, tail) = tail.split_first().ok_or(Malformed)?;
                out.push(*byte);
                solid = out.len();
                rest = tail;
            }
            other => {
                out.push(*other);
                rest = tail;
            }
        }
    }
    let blanks = out[solid..].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    out.truncate(out.len() - blanks);
    Ok(rest)
}

/// An array constant: its parts, each element in text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Open,
    Close,
    Null,
    Element(String),
}

/// Reads an array that someone wrote. Refused are unusual bounds, and inner arrays of unequal length.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, Malformed> {
    let mut tokens = Tokens::new(text.as_bytes());
    if !tokens.bounds().is_empty() {
        return Err(Malformed);
    }
    let mut parts = Vec::new();
    let mut scratch = Vec::new();
    // Per level, how many items the array that is open there has so far, and what its siblings had.
    let mut counts: Vec<usize> = Vec::new();
    let mut widths: Vec<Option<usize>> = vec![None; DIMENSIONS];
    let mut leaves: Option<usize> = None;
    while let Some(token) = tokens.next(&mut scratch)? {
        if token != Token::Close
            && let Some(count) = counts.last_mut()
        {
            *count += 1;
        }
        parts.push(match token {
            Token::Open => {
                counts.push(0);
                Part::Open
            }
            Token::Close => {
                let count = counts.pop().ok_or(Malformed)?;
                let width = widths.get_mut(counts.len()).ok_or(Malformed)?;
                // An empty array inside another has no shape.
                if (count == 0 && !counts.is_empty()) || width.is_some_and(|width| width != count) {
                    return Err(Malformed);
                }
                *width = Some(count);
                Part::Close
            }
            Token::Null | Token::Element(_) => {
                // All elements lie at one depth.
                if *leaves.get_or_insert(counts.len()) != counts.len() {
                    return Err(Malformed);
                }
                match token {
                    Token::Element(text) => {
                        Part::Element(std::str::from_utf8(text).map_err(|_| Malformed)?.to_owned())
                    }
                    _ => Part::Null,
                }
            }
        });
    }
    Ok(parts)
}

/// Writes an array's text.
pub(super) fn write<'a>(parts: impl Iterator<Item = Token<'a>>) -> String {
    let mut out = Vec::new();
    let mut behind = false;
    for part in parts {
        if behind && part != Token::Close {
            out.push(b',');
        }
        behind = part != Token::Open;
        match part {
            Token::Open => out.push(b'{'),
            Token::Close => out.push(b'}'),
            Token::Null => out.extend(b"NULL"),
            Token::Element(text) => {
                out.push(b'"');
                for byte in text {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
                out.push(b'"');
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Option<String> {
        let mut tokens = Tokens::new(text.as_bytes());
        let mut scratch = Vec::new();
        let mut out = String::new();
        while let Some(token) = tokens.next(&mut scratch).ok()? {
            match token {
                Token::Open => out.push('{'),
                Token::Close => out.push('}'),
                Token::Null => out.push_str("null "),
                Token::Element(text) => {
                    out.push_str(&String::from_utf8_lossy(text));
                    out.push(' ');
                }
            }
        }
        Some(out)
    }

    #[test]
    fn arrays_are_walked() {
        for (text, shown) in [
            ("{}", "{}"),
            ("{1,NULL,-3}", "{1 null -3 }"),
            ("{{1,2},{3,4}}", "{{1 2 }{3 4 }}"),
            ("[2:3]={1,2}", "{1 2 }"),
            (r#"{"a b","NULL",null,"q\"\\"}"#, "{a b NULL null q\"\\ }"),
            (" { a b , \"c\" } ", "{a b c }"),
            (r"{a\,b\ ,c}", "{a,b  c }"),
        ] {
            assert_eq!(show(text).as_deref(), Some(shown), "{text}");
        }
        for broken in [
            "",
            "{",
            "{1",
            "{1,",
            "}",
            "{1}}",
            "{\"a",
            "{1}x",
            "1",
            "{,}",
            "{1,}",
            "{1 \"a\"}",
            "{\"a\"b}",
            "{{1}{2}}",
        ] {
            assert_eq!(show(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [r#"{"a b",NULL,"q\"\\","NULL",""}"#, "{}", "{{1,2},{3,NULL}}"] {
            let parts = parse(text).expect(text);
            let written = write(parts.iter().map(|part| match part {
                Part::Open => Token::Open,
                Part::Close => Token::Close,
                Part::Null => Token::Null,
                Part::Element(text) => Token::Element(text.as_bytes()),
            }));
            assert_eq!(parse(&written), Ok(parts), "{text}");
        }
        for ragged in ["{{1},{2,3}}", "{1,{2}}", "{{}}", "{{1},{}}", "[2:3]={1,2}", "{{1},2}"] {
            assert_eq!(parse(ragged), Err(Malformed), "{ragged}");
        }
    }
}
