use std::fmt;
use std::str::FromStr;

use crate::event::TableName;

/// Which tables are meant: `public.*`, `app.order_*`, `*.*`, `app."Orders"`, and `!app.secrets` for all but.
///
/// A table is meant if some pattern matches it and none with `!` does. Unquoted names are folded to lower case, as
/// PostgreSQL does; `*` stands for any letters, unless it is quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: String,
    excludes: bool,
    schema: Glob,
    name: Glob,
}

/// Literal pieces with anything between them: `order_*` is `["order_", ""]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(Vec<String>);

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a pattern of tables: expected `schema.table`, as in `public.*`, `app.\"Orders\"` or `!app.secrets`"
)]
pub struct InvalidPattern {
    /// The text.
    pub text: String,
}

impl Patterns {
    /// Reads a list of patterns.
    ///
    /// # Errors
    /// [`InvalidPattern`] for the first that is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        texts.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `table` is meant.
    pub fn matches(&self, table: &TableName) -> bool {
        let mut meant = false;
        for pattern in &self.0 {
            if pattern.schema.matches(&table.schema) && pattern.name.matches(&table.name) {
                if pattern.excludes {
                    return false;
                }
                meant = true;
            }
        }
        meant
    }

    /// Whether `table` is meant by its very name, not as one of many.
    pub fn names(&self, table: &TableName) -> bool {
        self.matches(table)
            && self.0.iter().any(|pattern| {
                pattern.schema.0 == [table.schema.to_string()] && pattern.name.0 == [table.name.to_string()]
            })
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|pattern| pattern.text.as_str()).collect();
        f.write_str(&texts.join(", "))
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern { text: text.to_owned() };
        let trimmed = text.trim();
        let (excludes, rest) = trimmed.strip_prefix('!').map_or((false, trimmed), |rest| (true, rest));
        let (schema, rest) = Glob::take(rest).ok_or_else(invalid)?;
        let (name, rest) = rest.strip_prefix('.').and_then(Glob::take).ok_or_else(invalid)?;
        if rest.is_empty() {
            Ok(Self { text: trimmed.to_owned(), excludes, schema, name })
        } else {
            Err(invalid())
        }
    }
}

impl Glob {
    /// Takes one name, or pattern of names, off the front of `text`.
    fn take(text: &str) -> Option<(Self, &str)> {
        if let Some(mut rest) = text.strip_prefix('"') {
            let mut name = String::new();
            loop {
                let (part, tail) = rest.split_once('"')?;
                name.push_str(part);
                match tail.strip_prefix('"') {
                    Some(tail) => {
                        name.push('"');
                        rest = tail;
                    }
                    None => return (!name.is_empty()).then(|| (Self(vec![name]), tail)),
                }
            }
        }
        let end = text.find(['.', '"']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        plain.then(|| (Self(name.to_ascii_lowercase().split('*').map(str::to_owned).collect()), rest))
    }

    fn matches(&self, name: &str) -> bool {
        let (first, rest) = self.0.split_first().expect("a split gives at least one piece");
        let Some((last, middle)) = rest.split_last() else { return name == first };
        let Some(mut name) = name.strip_prefix(first.as_str()) else { return false };
        // The earliest place for each piece leaves the most room for those after it.
        for piece in middle {
            match name.find(piece.as_str()) {
                Some(place) => name = &name[place + piece.len()..],
                None => return false,
            }
        }
        name.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(patterns: &[&str], schema: &str, name: &str) -> bool {
        Patterns::parse(patterns.iter().copied()).expect("valid").matches(&TableName::new(schema, name))
    }

    #[test]
    fn patterns_mean_what_they_say() {
        assert!(meant(&["public.*"], "public", "entries"));
        assert!(!meant(&["public.*"], "app", "entries"));
        assert!(meant(&["*.*"], "größe", "Übung"));
        assert!(meant(&["App.Orders"], "app", "orders"));
        assert!(!meant(&["app.Orders"], "app", "Orders"));
        assert!(meant(&["app.\"Orders\""], "app", "Orders"));
        assert!(meant(&["app.order_*_old"], "app", "order_2024_x_old"));
        assert!(!meant(&["app.order_*_old"], "app", "order_old"));
        assert!(meant(&["app.*a*b*"], "app", "xxaxbx"));
        assert!(!meant(&["app.*a*b*"], "app", "xxbxax"));
        assert!(!meant(&["app.\"a*\""], "app", "ab"));
        assert!(!meant(&[], "app", "ab"));
    }

    #[test]
    fn an_exclusion_counts_wherever_it_stands() {
        for patterns in [["public.*", "!public.secrets"], ["!public.secrets", "public.*"]] {
            assert!(meant(&patterns, "public", "entries"));
            assert!(!meant(&patterns, "public", "secrets"));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "entries", "a.b.c", "a.", ".b", "a b.c", "\"a.b", "!", "\"a\"b.c"] {
            let error = Patterns::parse([text]).expect_err(text);
            assert_eq!(error.text, text);
        }
    }
}
