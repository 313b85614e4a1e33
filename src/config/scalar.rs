use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Value;

/// A whole number within a range.
pub(super) fn count<'de, const LEAST: u64, const MOST: u64, D>(deserializer: D) -> Result<usize, D::Error>
where
    D: Deserializer<'de>,
{
    whole::<LEAST, MOST, D>(deserializer).and_then(|number| {
        usize::try_from(number).map_err(|_| D::Error::custom("must be less on a machine of this word size"))
    })
}

/// Milliseconds within a range.
pub(super) fn milliseconds<'de, const LEAST: u64, const MOST: u64, D>(
    deserializer: D,
) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    whole::<LEAST, MOST, D>(deserializer).map(Duration::from_millis)
}

fn whole<'de, const LEAST: u64, const MOST: u64, D>(deserializer: D) -> Result<u64, D::Error>
where
    D: Deserializer<'de>,
{
    match Value::deserialize(deserializer)? {
        Value::Integer(number) => u64::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number)),
        _ => None,
    }
    .ok_or_else(|| D::Error::custom(format_args!("must be a whole number from {LEAST} to {MOST}")))
}

/// `true` or `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer)?.as_bool().ok_or_else(|| D::Error::custom("must be true or false"))
}

/// A text that the type's own `FromStr` takes.
pub(super) fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    text(deserializer)?.parse().map_err(D::Error::custom)
}

/// A list of texts.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = match Value::deserialize(deserializer)? {
        Value::Array(items) => {
            items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()
        }
        _ => None,
    };
    texts.ok_or_else(|| {
        D::Error::custom("must be a list of texts; in a variable or a flag a JSON array, as in [\"a\",\"b\"]")
    })
}

/// A file's path; `None` for an empty text.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    text(deserializer).map(|text| (!text.is_empty()).then(|| text.into()))
}

/// Any text.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        _ => Err(D::Error::custom("must be a text")),
    }
}
