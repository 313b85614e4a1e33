use std::borrow::Cow;
use std::sync::Arc;

use super::super::Timestamp;

/// One message for the topic exchange: a row, or a table that was emptied.
///
/// It is persistent, and its content type is [`RowMessage::CONTENT_TYPE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowMessage {
    /// `<schema>.<table>.<insert|update|delete|truncate>`, at most 255 bytes.
    pub routing_key: Arc<str>,
    /// The same for the same change however often it is sent, and for no other: for deduplication.
    ///
    /// `<commit_lsn>/<index>`, as in `16/B374D848/3`; of the two messages that a changed key takes, the first has
    /// `/delete` behind it and the second `/insert`.
    pub message_id: String,
    /// What was done, by the body's own letter.
    pub what: What,
    /// When the transaction committed.
    pub committed_at: Timestamp,
    /// Who says it: a URI reference.
    pub source: Arc<str>,
    /// `<schema>.<table>`, by the rule of the routing key, but never shortened.
    pub subject: Arc<str>,
    /// Where a key changed: the other key.
    pub other_key: Option<OtherKey>,
    /// The envelope, in JSON.
    pub body: Vec<u8>,
}

/// What a message says was done.
///
/// An update that changes the row's key is a delete of the old key and an insert of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// `c`
    Insert,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `t`
    Truncate,
}

/// The key on the other side of its change, in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherKey {
    /// On a delete: what the row's key is now.
    New(String),
    /// On an insert: what it was.
    Old(String),
}

impl What {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 4] = [Self::Insert, Self::Update, Self::Delete, Self::Truncate];

    /// The last word of the routing key.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
        }
    }

    /// The envelope's `op`.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Insert => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Truncate => "t",
        }
    }

    /// The property `type` and the attribute `cloudEvents_type`.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Insert => "tidegate.row.insert",
            Self::Update => "tidegate.row.update",
            Self::Delete => "tidegate.row.delete",
            Self::Truncate => "tidegate.table.truncate",
        }
    }
}

impl RowMessage {
    /// The property `content_type`.
    pub const CONTENT_TYPE: &'static str = "application/json";

    /// The headers, all of them texts: the `CloudEvents` attributes in binary mode, then the other key if there is one.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let other_key = self.other_key.as_ref().map(|key| match key {
            OtherKey::New(key) => ("__debezium.newkey", Cow::Borrowed(&**key)),
            OtherKey::Old(key) => ("__debezium.oldkey", Cow::Borrowed(&**key)),
        });
        [
            ("cloudEvents_specversion", Cow::Borrowed("1.0")),
            ("cloudEvents_id", Cow::Borrowed(&*self.message_id)),
            ("cloudEvents_source", Cow::Borrowed(&*self.source)),
            ("cloudEvents_type", Cow::Borrowed(self.what.event_type())),
            ("cloudEvents_subject", Cow::Borrowed(&*self.subject)),
            ("cloudEvents_time", Cow::Owned(self.committed_at.to_string())),
        ]
        .into_iter()
        .chain(other_key)
    }

    /// The property `timestamp`: seconds since 1970.
    pub fn timestamp_seconds(&self) -> u64 {
        u64::try_from(self.committed_at.unix_micros() / 1_000_000).unwrap_or_default()
    }
}
