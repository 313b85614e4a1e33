use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// What the server says. Unknown types and fields are ignored, as the protocol asks of a client.
#[derive(Debug)]
pub(super) enum ServerFrame {
    Ready(Ready),
    Subscribed(Subscribed),
    Snapshot(Snapshot),
    Changes(Changes),
    Truncate(Place),
    Progress(Place),
    Events(Events),
    Resync(Resync),
    TokenExpiring,
    Error(Refusal),
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) heartbeat_ms: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Subscribed {
    /// A channel has none, and neither key nor columns.
    pub(super) shape: Option<String>,
    #[serde(default)]
    pub(super) key: Vec<String>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    pub(super) rows: Vec<Row>,
    pub(super) last: bool,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Changes {
    /// Absent until the transaction's last frame.
    pub(super) cursor: Option<String>,
    pub(super) lsn: String,
    /// Absent under delivery `latest`.
    pub(super) tx: Option<Transaction>,
    #[serde(rename = "changes")]
    pub(super) rows: Vec<Change>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Transaction {
    pub(super) id: String,
    pub(super) committed_at: String,
    #[serde(default = "yes")]
    pub(super) last: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) cursor: Option<String>,
    pub(super) lsn: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Events {
    pub(super) cursor: Option<String>,
    pub(super) events: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Resync {
    pub(super) reason: String,
}

/// An `error` frame.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) field: Option<String>,
    pub(super) position: Option<usize>,
    pub(super) hint: Option<String>,
    pub(super) retry_after_ms: Option<u64>,
}

/// One row's net change in a transaction.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawChange")]
pub(super) enum Change {
    Insert { row: Row },
    Update { row: Row, unchanged: Vec<String> },
    Delete { key: Row },
}

#[derive(Deserialize)]
struct RawChange {
    op: String,
    row: Option<Row>,
    key: Option<Row>,
    #[serde(default)]
    unchanged: Vec<String>,
}

impl TryFrom<RawChange> for Change {
    type Error = String;

    fn try_from(raw: RawChange) -> Result<Self, String> {
        match (raw.op.as_str(), raw.row, raw.key) {
            ("insert", Some(row), _) => Ok(Self::Insert { row }),
            ("update", Some(row), _) => Ok(Self::Update { row, unchanged: raw.unchanged }),
            ("delete", _, Some(key)) => Ok(Self::Delete { key }),
            (op, ..) => Err(format!("a change with op `{op}` lacks its row or key")),
        }
    }
}

impl ServerFrame {
    /// Reads one frame.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Tagged<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        // In two steps: a tagged enum would buffer the frame and lose the values' own text.
        fn body<T: DeserializeOwned>(
            text: &str,
            frame: fn(T) -> ServerFrame,
        ) -> Result<ServerFrame, serde_json::Error> {
            serde_json::from_str(text).map(frame)
        }
        match &*serde_json::from_str::<Tagged<'_>>(text)?.kind {
            "ready" => body(text, Self::Ready),
            "subscribed" => body(text, Self::Subscribed),
            "snapshot" => body(text, Self::Snapshot),
            "changes" => body(text, Self::Changes),
            "truncate" => body(text, Self::Truncate),
            "progress" => body(text, Self::Progress),
            "events" => body(text, Self::Events),
            "resync" => body(text, Self::Resync),
            "token_expiring" => Ok(Self::TokenExpiring),
            "error" => body(text, Self::Error),
            _ => Ok(Self::Other),
        }
    }
}

/// Columns with their values in the server's order, each value in the server's own text, so that no number is rounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(Box<str>, Box<RawValue>)>);

impl Row {
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.get()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.columns().find(|(column, _)| *column == name).map(|(_, value)| value)
    }

    /// Takes the values called `names` over from `other`, where this row has none.
    pub(super) fn fill(&mut self, names: &[String], other: &Self) {
        for (name, value) in &other.0 {
            if names.iter().any(|wanted| **wanted == **name) && self.get(name).is_none() {
                self.0.push((name.clone(), value.clone()));
            }
        }
    }

    /// Its memory, about.
    pub(super) fn weight(&self) -> usize {
        const ENTRY: usize = size_of::<(Box<str>, Box<RawValue>)>();
        self.columns().map(|(name, value)| ENTRY + name.len() + value.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        serde_json::from_str(text).expect("an object")
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.columns().all(|(name, value)| other.get(name).is_some_and(|other| other == value))
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut columns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    columns.push(entry);
                }
                Ok(Row(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_own_text_and_columns_their_order() {
        let text = r#"{"z":"9007199254740993","a":1.10,"j":{"b":1,"a":123456789012345678901234567890}}"#;
        assert_eq!(serde_json::to_string(&Row::of(text)).expect("serializes"), text);
    }

    #[test]
    fn frames_are_read_and_unknown_types_and_fields_passed_over() {
        for (text, expected) in [
            (r#"{"type":"ready","session":"x","protocol":1,"features":[],"heartbeat_ms":25000}"#, "Ready"),
            (r#"{"type":"subscribed","id":"t","shape":"s","key":["id"],"columns":[]}"#, "Subscribed"),
            (r#"{"type":"snapshot","id":"t","rows":[{"id":"1"}],"last":false}"#, "Snapshot"),
            (
                r#"{"type":"changes","id":"t","cursor":"c","lsn":"0/1","tx":{"id":"7","committed_at":"x","last":true},"changes":[{"op":"delete","key":{"id":"1"}}]}"#,
                "Changes",
            ),
            (r#"{"type":"truncate","id":"t","cursor":"c","lsn":"0/1"}"#, "Truncate"),
            (r#"{"type":"progress","cursor":"c","lsn":"0/1","new":true}"#, "Progress"),
            (r#"{"type":"events","id":"t","cursor":"c","events":[{"id":"1"}]}"#, "Events"),
            (r#"{"type":"resync","id":"t","reason":"slow_reader"}"#, "Resync"),
            (r#"{"type":"error","id":"t","code":"no_key","message":"m"}"#, "Error"),
            (r#"{"type":"from the future"}"#, "Other"),
        ] {
            let frame = format!("{:?}", ServerFrame::parse(text).expect(text));
            assert!(frame.starts_with(expected), "{text}: {frame}");
        }
        for text in [
            "",
            "7",
            "{}",
            r#"{"type":"changes"}"#,
            r#"{"type":"changes","lsn":"0/1","changes":[{"op":"insert"}]}"#,
        ] {
            assert!(ServerFrame::parse(text).is_err(), "{text}");
        }
    }
}
