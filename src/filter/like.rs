use memchr::memmem;

use super::error::RowError;
use std::sync::Arc;

/// A pattern of `LIKE`: `%` is any text, `_` any one character, a backslash takes the next character as itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What stands between the `%`s: at least one, and one more than there are `%`s.
    segments: Box<[Segment]>,
    /// `ILIKE` under `C`: letters of ASCII match in either case.
    any_case: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Segment {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    AnyCharacter,
    Bytes(Vec<u8>),
}

/// Looking for a segment with `_` takes, at worst, the length of the text times that of the segment; this many steps
/// are a tenth of a second, and a value of that size should not be searched for every change.
const STEPS: usize = 1 << 26;

impl Pattern {
    /// Reads a pattern whose escape character is `escape`; `None` if it ends in an escape.
    pub(super) fn parse(pattern: &str, escape: Option<char>, any_case: bool) -> Option<Self> {
        let mut segments = vec![Segment::default()];
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let segment = segments.last_mut().expect("there is one from the start");
            match character {
                _ if Some(character) == escape => segment.push(characters.next()?, any_case),
                '%' => segments.push(Segment::default()),
                '_' => segment.pieces.push(Piece::AnyCharacter),
                _ => segment.push(character, any_case),
            }
        }
        Some(Self { segments: segments.into(), any_case })
    }

    /// The same pattern, written with a backslash as its escape character.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                text.push('%');
            }
            for piece in &segment.pieces {
                match piece {
                    Piece::AnyCharacter => text.push('_'),
                    Piece::Bytes(bytes) => {
                        for character in String::from_utf8_lossy(bytes).chars() {
                            if matches!(character, '%' | '_' | '\\') {
                                text.push('\\');
                            }
                            text.push(character);
                        }
                    }
                }
            }
        }
        text
    }

    pub(super) const fn any_case(&self) -> bool {
        self.any_case
    }

    /// Whether the whole of `text` matches.
    pub(super) fn matches(&self, text: &[u8], column: &Arc<str>) -> Result<bool, RowError> {
        let widest = self.segments.iter().map(|segment| segment.pieces.len()).max().unwrap_or(0);
        let slow = widest > 1 || self.any_case;
        if slow && text.len().saturating_mul(widest) > STEPS {
            return Err(RowError::TooCostly { column: Arc::clone(column) });
        }
        Ok(self.find(text))
    }

    fn find(&self, text: &[u8]) -> bool {
        let (first, rest) = self.segments.split_first().expect("a pattern has a segment");
        let Some(mut at) = first.match_at(text, 0, self.any_case) else { return false };
        let Some((last, middle)) = rest.split_last() else { return at == text.len() };
        for segment in middle {
            match segment.find(text, at, self.any_case) {
                Some(end) => at = end,
                None => return false,
            }
        }
        last.ends(text, at, self.any_case)
    }
}

impl Segment {
    fn push(&mut self, character: char, any_case: bool) {
        let character = if any_case { character.to_ascii_lowercase() } else { character };
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).as_bytes();
        match self.pieces.last_mut() {
            Some(Piece::Bytes(piece)) => piece.extend(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Where the segment ends if it starts at `at`.
    fn match_at(&self, text: &[u8], mut at: usize, any_case: bool) -> Option<usize> {
        for piece in &self.pieces {
            at = match piece {
                Piece::AnyCharacter => next_character(text, at)?,
                Piece::Bytes(bytes) => {
                    let part = text.get(at..at + bytes.len())?;
                    let same = if any_case { part.eq_ignore_ascii_case(bytes) } else { part == bytes };
                    if !same {
                        return None;
                    }
                    at + bytes.len()
                }
            };
        }
        Some(at)
    }

    /// Where the first occurrence from `start` on ends.
    fn find(&self, text: &[u8], start: usize, any_case: bool) -> Option<usize> {
        let mut at = start;
        loop {
            if let (Some(Piece::Bytes(bytes)), false) = (self.pieces.first(), any_case) {
                at += memmem::find(&text[at..], bytes)?;
            }
            if let Some(end) = self.match_at(text, at, any_case) {
                return Some(end);
            }
            at = next_character(text, at)?;
        }
    }

    /// Whether the segment occurs at the end, and not before `start`.
    fn ends(&self, text: &[u8], start: usize, any_case: bool) -> bool {
        let mut at = text.len();
        for piece in self.pieces.iter().rev() {
            let before = match piece {
                Piece::AnyCharacter => previous_character(text, at),
                Piece::Bytes(bytes) => at.checked_sub(bytes.len()),
            };
            match before {
                Some(before) if before >= start => at = before,
                _ => return false,
            }
        }
        self.match_at(text, at, any_case) == Some(text.len())
    }
}

/// The start of the character behind the one at `at`, in UTF-8.
fn next_character(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?.get(1..)?;
    Some(at + 1 + rest.iter().take_while(|byte| is_continuation(**byte)).count())
}

fn previous_character(text: &[u8], at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    before.iter().rposition(|byte| !is_continuation(*byte))
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        let pattern = Pattern::parse(pattern, Some('\\'), false).expect("valid");
        pattern.matches(text.as_bytes(), &"c".into()).expect("cheap")
    }

    #[test]
    fn patterns_match_as_in_postgresql() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "_b_", true),
            ("abc", "__", false),
            ("", "%", true),
            ("", "_", false),
            ("", "", true),
            ("a", "", false),
            ("größe", "gr__e", true),
            ("größe", "%ö_e", true),
            ("größe", "%_ße", true),
            ("aab", "%ab", true),
            ("abab", "%ab%ab", true),
            ("aba", "ab%ba", false),
            ("a%b", "a\\%b", true),
            ("axb", "a\\%b", false),
            ("aXbXc", "a%b%c", true),
            ("mississippi", "m%iss%ip_i", true),
            ("mississippi", "%i_s%i_s%i_p%", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} like {pattern}");
        }
    }

    #[test]
    fn a_pattern_is_written_back_with_backslashes() {
        let pattern = Pattern::parse("10!%%!_a\\_", Some('!'), false).expect("valid");
        assert_eq!(pattern.text(), "10\\%%\\_a\\\\_");
        assert_eq!(Pattern::parse(&pattern.text(), Some('\\'), false), Some(pattern));
        assert_eq!(Pattern::parse("a\\", Some('\\'), false), None);
        assert!(Pattern::parse("a\\", None, false).is_some());
    }

    #[test]
    fn case_is_ignored_in_ascii_only() {
        let pattern = Pattern::parse("%GRÖ_E", Some('\\'), true).expect("valid");
        let matches = |text: &str| pattern.matches(text.as_bytes(), &"c".into()).expect("cheap");
        assert!(matches("grÖße"));
        assert!(!matches("größe"));
    }

    #[test]
    fn a_search_that_takes_too_long_is_given_up() {
        let pattern = Pattern::parse(&"%a_".repeat(40), Some('\\'), false).expect("valid");
        assert!(pattern.matches(&vec![b'a'; STEPS], &"c".into()).is_err());
        let pattern = Pattern::parse(&format!("%{}b%", "a_".repeat(100)), Some('\\'), false).expect("valid");
        assert!(pattern.matches(&vec![b'a'; STEPS / 100], &"c".into()).is_err());
    }
}
