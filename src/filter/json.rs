//! `jsonb` in its text form, walked without being built.
//!
//! PostgreSQL writes equal values in equal text but for the digits of numbers (`1.0`, `1.00`), and an object's keys
//! always in the same order. Nesting is followed by counting, never by recursion into the row's data.

mod text;

use std::borrow::Cow;

use super::decimal::Decimal;
use text::{Items, Tokens, unescape};

pub(super) use text::{escape, plain};

/// The text of one value, without space around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'a>(&'a [u8]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Object,
    Array,
    Scalar,
}

/// Text that is no JSON; PostgreSQL writes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// One step of a path: `-> 'key'`, `-> 0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// As JSON writes it, without its quotes.
    Key(Box<[u8]>),
    /// Counted from 0; from the end if negative.
    Index(i32),
}

impl<'a> Json<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self(text.trim_ascii())
    }

    pub(super) const fn text(self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn len(self) -> usize {
        self.0.len()
    }

    fn shape(self) -> Shape {
        match self.0.first() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            _ => Shape::Scalar,
        }
    }

    /// What is inside the braces or brackets.
    fn items(self) -> Items<'a> {
        Items { rest: self.0.get(1..).unwrap_or_default(), object: self.shape() == Shape::Object }
    }

    /// `json -> step`; `None` is SQL's NULL.
    pub(super) fn step(self, step: &Step) -> Result<Option<Self>> {
        match (step, self.shape()) {
            (Step::Key(key), Shape::Object) => self.member(key),
            (Step::Index(index), Shape::Array) => self.element(*index),
            // PostgreSQL stores a lone scalar as an array of one, and lets that show here.
            (Step::Index(0 | -1), Shape::Scalar) => Ok(Some(self)),
            _ => Ok(None),
        }
    }

    fn member(self, key: &[u8]) -> Result<Option<Self>> {
        for item in self.items() {
            let (name, value) = item?;
            if name == key {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn element(self, index: i32) -> Result<Option<Self>> {
        let mut items = self.items();
        let index = if let Ok(index) = usize::try_from(index) {
            index
        } else {
            let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            let Some(index) = self.items().count().checked_sub(from_end) else { return Ok(None) };
            index
        };
        items.nth(index).transpose().map(|item| item.map(|(_, value)| value))
    }

    /// As `->>` gives it: a string without quotes and escapes, JSON's null as NULL.
    pub(super) fn as_text(self) -> Option<Cow<'a, [u8]>> {
        match self.0 {
            b"null" => None,
            [b'"', inner @ .., b'"'] => Some(unescape(inner)),
            other => Some(Cow::Borrowed(other)),
        }
    }

    /// Whether both are the same value.
    pub(super) fn equals(self, other: Json<'_>) -> Result<bool> {
        let (mut a, mut b) = (Tokens { rest: self.0 }, Tokens { rest: other.0 });
        loop {
            match (a.next()?, b.next()?) {
                (None, None) => return Ok(true),
                (Some(a), Some(b)) if same_token(a, b) => {}
                _ => return Ok(false),
            }
        }
    }

    /// `json @> part`
    ///
    /// Recurses only as deep as both go; the filter's own value is bounded by [`Json::measure`].
    pub(super) fn contains(self, part: Json<'_>) -> Result<bool> {
        match (self.shape(), part.shape()) {
            // At the top, and there only, an array contains the scalars among its elements.
            (Shape::Array, Shape::Scalar) => self.has_element(part),
            (a, b) if a == b => self.contains_nested(part),
            _ => Ok(false),
        }
    }

    fn contains_nested(self, part: Json<'_>) -> Result<bool> {
        match (self.shape(), part.shape()) {
            (Shape::Scalar, Shape::Scalar) => Ok(same_token(self.0, part.0)),
            (Shape::Object, Shape::Object) => {
                for item in part.items() {
                    let (key, wanted) = item?;
                    match self.member(key)? {
                        Some(value) if value.contains_nested(wanted)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            (Shape::Array, Shape::Array) => {
                for item in part.items() {
                    if !self.has_element(item?.1)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn has_element(self, wanted: Json<'_>) -> Result<bool> {
        for item in self.items() {
            let (_, value) = item?;
            if value.shape() == wanted.shape() && value.contains_nested(wanted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `json ? key`: a key of the object, or a string among the array's elements; `key` as JSON writes it, without
    /// quotes.
    pub(super) fn has_key(self, key: &[u8]) -> Result<bool> {
        let is_key = |value: Json<'_>| matches!(value.0, [b'"', inner @ .., b'"'] if inner == key);
        match self.shape() {
            Shape::Object => self.member(key).map(|found| found.is_some()),
            Shape::Scalar => Ok(is_key(self)),
            Shape::Array => {
                for item in self.items() {
                    if is_key(item?.1) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// How many values it holds, itself included, and how deep they are nested.
    pub(super) fn measure(self) -> Result<(usize, usize)> {
        let (mut values, mut depth, mut deepest) = (0, 0_usize, 0);
        let mut tokens = Tokens { rest: self.0 };
        while let Some(token) = tokens.next()? {
            match token {
                b"{" | b"[" => {
                    values += 1;
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b"}" | b"]" => depth = depth.saturating_sub(1),
                b"," | b":" => {}
                _ => values += 1,
            }
        }
        Ok((values, deepest))
    }
}

/// Scalars, or brackets and commas.
fn same_token(a: &[u8], b: &[u8]) -> bool {
    let number = |token: &[u8]| token.first().is_some_and(|first| first.is_ascii_digit() || *first == b'-');
    a == b
        || (number(a)
            && number(b)
            && matches!((Decimal::parse(a), Decimal::parse(b)), (Some(a), Some(b)) if a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::new(text.as_bytes())
    }

    #[test]
    fn containment_is_postgresqls() {
        for (whole, part, expected) in [
            (r#"{"a": 1, "b": [1, 2]}"#, r#"{"b": [2]}"#, true),
            (r#"{"a": {"b": 1}}"#, r#"{"a": {}}"#, true),
            (r#"{"a": {"b": 1}}"#, r#"{"b": 1}"#, false),
            (r#"{"a": [1]}"#, r#"{"a": 1}"#, false),
            ("[1, 2]", "1", true),
            ("[1, 2]", "[2, 1, 1.0]", true),
            ("1", "[1]", false),
            ("1.0", "1.00", true),
            ("[[1, 2]]", "[[1]]", true),
            ("[[1, 2]]", "[1]", false),
            ("[[1]]", "1", false),
            ("{}", "[]", false),
            ("[]", "[]", true),
            (r#""a""#, r#""a""#, true),
            (r#"{"a\"b": "x\\"}"#, r#"{"a\"b": "x\\"}"#, true),
        ] {
            assert_eq!(json(whole).contains(json(part)), Ok(expected), "{whole} @> {part}");
        }
    }

    #[test]
    fn equality_takes_numbers_by_value() {
        for (a, b, expected) in [
            (r#"{"a": [1.0, null]}"#, r#"{"a":[1,null]}"#, true),
            ("[1, 2]", "[12]", false),
            ("\"1\"", "1", false),
            ("[1]", "[1, 2]", false),
            ("-0.50", "-0.5", true),
        ] {
            assert_eq!(json(a).equals(json(b)), Ok(expected), "{a} = {b}");
        }
    }

    #[test]
    fn steps_lead_to_values() {
        let key = |key: &str| Step::Key(escape(key));
        let document = json(r#"{"a": [10, {"b": "x\n\u001fé"}], "n": null, "c\"": true}"#);
        let a = document.step(&key("a")).expect("well formed").expect("there");
        let text = |json: Option<Json<'_>>| {
            json.and_then(|json| json.as_text().map(|text| String::from_utf8(text.into()).expect("UTF-8")))
        };
        assert_eq!(text(a.step(&Step::Index(0)).expect("well formed")).as_deref(), Some("10"));
        assert_eq!(text(a.step(&Step::Index(-2)).expect("well formed")).as_deref(), Some("10"));
        assert_eq!(text(a.step(&Step::Index(-3)).expect("well formed")), None);
        assert_eq!(text(a.step(&Step::Index(2)).expect("well formed")), None);
        let inner = a.step(&Step::Index(1)).expect("well formed").expect("there");
        assert_eq!(text(inner.step(&key("b")).expect("well formed")).as_deref(), Some("x\n\u{1f}é"));
        assert_eq!(text(document.step(&key("n")).expect("well formed")), None);
        assert_eq!(text(document.step(&key("c\"")).expect("well formed")).as_deref(), Some("true"));
        assert_eq!(document.has_key(b"n"), Ok(true));
        assert_eq!(json(r#"["n", 1]"#).has_key(b"n"), Ok(true));
        assert_eq!(json(r#"[["n"]]"#).has_key(b"n"), Ok(false));
    }

    #[test]
    fn broken_text_is_malformed_and_never_a_panic() {
        let whole = r#"{"a": [1, {"b": "x\n"}], "c": "d"}"#;
        for end in 0..whole.len() {
            let cut = json(&whole[..end]);
            let _ = cut.contains(json(whole));
            let _ = json(whole).contains(cut);
            let _ = cut.step(&Step::Index(-1));
            let _ = cut.has_key(b"z");
            let _ = cut.measure();
            let _ = cut.as_text();
        }
        assert_eq!(json(r#"{"a": "#).has_key(b"z"), Err(Malformed));
    }

    #[test]
    fn deep_nesting_in_a_row_needs_no_stack() {
        let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(json(&deep).measure(), Ok((1_000_001, 1_000_000)));
        assert_eq!(json(&deep).contains(json("[[1]]")), Ok(false));
        assert_eq!(json(&deep).equals(json(&deep)), Ok(true));
    }
}
