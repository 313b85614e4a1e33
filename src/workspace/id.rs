use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A row's number: `bigint`, as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Id(String);

/// A word on a card.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Label(String);

/// A person's name for itself: what the provider calls it (`sub`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Person(String);

/// A name that the client has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuid(String);

impl Id {
    /// As it stands in JSON and in paths: up to 18 digits, the first of them not 0, so that it always is a `bigint`.
    pub const PATTERN: &str = "^[1-9][0-9]{0,17}$";

    /// Reads one; `None` for what no row has.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        (digits && (1..=18).contains(&text.len()) && !text.starts_with('0')).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Label {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Uuid {
    /// Reads one in its usual form, with hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let groups = text.split('-').map(str::len);
        let hex = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        (hex && groups.eq([8, 4, 4, 4, 12])).then(|| Self(text.to_ascii_lowercase()))
    }

    /// Its text, as PostgreSQL writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Person {
    /// As it stands in JSON.
    pub const PATTERN: &str = r"^[^\u0000-\u001F]{1,255}$";

    /// Reads one; `None` for what nobody is called.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn text(pattern: &str, description: &str, example: &str) -> RefOr<Schema> {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    schema.description(Some(description)).examples([example]).into()
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        text(Self::PATTERN, "A row's number, as text.", "7")
    }
}

impl ToSchema for Id {
    fn name() -> Cow<'static, str> {
        "Id".into()
    }
}

impl PartialSchema for Label {
    fn schema() -> RefOr<Schema> {
        text(r"^[^\u0000]{1,50}$", "A word on a card.", "bug")
    }
}

impl ToSchema for Label {
    fn name() -> Cow<'static, str> {
        "Label".into()
    }
}

impl PartialSchema for Person {
    fn schema() -> RefOr<Schema> {
        text(Self::PATTERN, "A person's id: what the provider of tokens calls it.", "ada")
    }
}

impl ToSchema for Person {
    fn name() -> Cow<'static, str> {
        "Person".into()
    }
}
