use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::code::wire_names;
use super::{ErrorCode, FEATURES, ResyncReason};
use crate::event::{Lsn, Table, Timestamp, Xid, write_json_string};

wire_names! {
    /// The `type` of a frame that the server sends.
    FrameKind {
        /// The conversation begins.
        Ready = "ready",
        /// A subscription was accepted: its shape, key and columns.
        Subscribed = "subscribed",
        /// Rows of a snapshot.
        Snapshot = "snapshot",
        /// What one transaction changed.
        Changes = "changes",
        /// All rows of the table were removed.
        Truncate = "truncate",
        /// Cursors move though nothing was seen.
        Progress = "progress",
        /// An awaited position has been delivered.
        Reached = "reached",
        /// Older rows.
        Page = "page",
        /// Events on a channel.
        Events = "events",
        /// A subscription starts over.
        Resync = "resync",
        /// A subscription ended as asked.
        Unsubscribed = "unsubscribed",
        /// The token will expire.
        TokenExpiring = "token_expiring",
        /// Something was refused.
        Error = "error",
        /// The answer to `ping`.
        Pong = "pong",
    }
}

/// A frame without what is a reader's own: the subscription's `id` and the cursor.
///
/// Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    kind: FrameKind,
    /// What follows the head: starts with a comma or is the closing brace.
    tail: Bytes,
}

/// What all `changes` frames of one transaction say of it: written once for all of them.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Starts with a comma; `tx` is open behind its `committed_at`.
    head: Vec<u8>,
    has_transaction: bool,
}

impl Origin {
    /// A place in the log and the transaction that ends there; no transaction for delivery `latest`.
    pub fn new(lsn: Lsn, transaction: Option<(Xid, Timestamp)>) -> Self {
        let has_transaction = transaction.is_some();
        let mut head = Vec::with_capacity(96);
        head.extend_from_slice(b",\"lsn\":\"");
        lsn.write(&mut head);
        head.push(b'"');
        if let Some((xid, committed_at)) = transaction {
            head.extend_from_slice(b",\"tx\":{\"id\":\"");
            head.extend_from_slice(itoa::Buffer::new().format(xid.low()).as_bytes());
            head.extend_from_slice(b"\",\"committed_at\":\"");
            committed_at.write(&mut head);
            head.push(b'"');
        }
        Self { head, has_transaction }
    }
}

/// What an `error` frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorFrame {
    /// The stable code.
    pub code: ErrorCode,
    /// For people: what was wrong and how to mend it.
    pub message: String,
    /// The field of the request at fault.
    pub field: Option<&'static str>,
    /// Where in the filter's text, in characters from 1.
    pub position: Option<usize>,
    /// The SQL that mends it, for those who own the database.
    pub hint: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The `type` of the request that was refused, where its subscription goes on all the same.
    pub request: Option<&'static str>,
}

impl ErrorFrame {
    /// An error with a code and a message and nothing else.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            position: None,
            hint: None,
            retry_after: None,
            request: None,
        }
    }
}

#[derive(Serialize)]
struct ReadyBody<'a> {
    session: &'a str,
    protocol: u8,
    features: [&'static str; FEATURES.len()],
    heartbeat_ms: u128,
}

#[derive(Serialize)]
struct SubscribedBody<'a> {
    shape: &'a str,
    key: Vec<&'a str>,
    columns: Vec<ColumnBody<'a>>,
}

#[derive(Serialize)]
struct ColumnBody<'a> {
    name: &'a str,
    r#type: &'a str,
    nullable: bool,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'static str>,
}

impl Frame {
    /// `ready`: a random name of this conversation, for logs, and the heartbeat's interval.
    pub fn ready(session: &str, heartbeat: Duration) -> Self {
        let body =
            ReadyBody { session, protocol: 1, features: FEATURES, heartbeat_ms: heartbeat.as_millis() };
        Self::of(FrameKind::Ready, &body)
    }

    /// `subscribed` to `columns` (indexes into the table's) of a table.
    pub fn subscribed(shape: &str, table: &Table, columns: &[usize]) -> Self {
        let named = |index: &usize| &*table.columns[*index].name;
        let describe = |index: &usize| {
            let column = &table.columns[*index];
            ColumnBody { name: &column.name, r#type: &column.kind.name, nullable: column.nullable }
        };
        let key = table.key.iter().map(named).collect();
        Self::of(
            FrameKind::Subscribed,
            &SubscribedBody { shape, key, columns: columns.iter().map(describe).collect() },
        )
    }

    /// `subscribed` to a channel.
    pub fn subscribed_channel() -> Self {
        Self::bare(FrameKind::Subscribed)
    }

    /// `snapshot`, not the last frame; `rows` is a JSON array.
    pub fn snapshot(rows: &[u8]) -> Self {
        Self::rows(FrameKind::Snapshot, rows, false)
    }

    /// The last frame of a snapshot, at `lsn`.
    pub fn snapshot_end(lsn: Lsn) -> Self {
        Self::text(FrameKind::Snapshot, &format!(",\"rows\":[],\"last\":true,\"lsn\":\"{lsn}\"}}"))
    }

    /// `page`; `rows` is a JSON array.
    pub fn page(rows: &[u8], last: bool) -> Self {
        Self::rows(FrameKind::Page, rows, last)
    }

    /// `changes`; `changes` is a JSON array. `last` tells whether this frame ends the transaction.
    pub fn changes(origin: &Origin, last: bool, changes: &[u8]) -> Self {
        let last: &[u8] = match (origin.has_transaction, last) {
            (false, _) => b"",
            (true, true) => b",\"last\":true}",
            (true, false) => b",\"last\":false}",
        };
        let parts = [&*origin.head, last, b",\"changes\":", changes, b"}"];
        Self { kind: FrameKind::Changes, tail: parts.concat().into() }
    }

    /// `truncate`.
    pub fn truncate(lsn: Lsn) -> Self {
        Self::text(FrameKind::Truncate, &format!(",\"lsn\":\"{lsn}\"}}"))
    }

    /// `events`; `events` is a JSON array.
    pub fn events(lsn: Lsn, events: &[u8]) -> Self {
        let mut tail = format!(",\"lsn\":\"{lsn}\",\"events\":").into_bytes();
        tail.extend_from_slice(events);
        tail.push(b'}');
        Self { kind: FrameKind::Events, tail: tail.into() }
    }

    /// `progress`.
    pub fn progress(lsn: Lsn) -> Self {
        Self::text(FrameKind::Progress, &format!(",\"lsn\":\"{lsn}\"}}"))
    }

    /// `reached`.
    pub fn reached(lsn: Lsn) -> Self {
        Self::text(FrameKind::Reached, &format!(",\"lsn\":\"{lsn}\"}}"))
    }

    /// `resync`.
    pub fn resync(reason: ResyncReason) -> Self {
        Self::text(FrameKind::Resync, &format!(",\"reason\":\"{reason}\"}}"))
    }

    /// `unsubscribed`.
    pub fn unsubscribed() -> Self {
        Self::bare(FrameKind::Unsubscribed)
    }

    /// `token_expiring`: when the token ends that the client is known by.
    pub fn token_expiring(expires_at: Timestamp) -> Self {
        Self::text(FrameKind::TokenExpiring, &format!(",\"expires_at\":\"{expires_at}\"}}"))
    }

    /// `pong`.
    pub fn pong() -> Self {
        Self::bare(FrameKind::Pong)
    }

    /// `error`.
    pub fn error(error: &ErrorFrame) -> Self {
        Self::of(
            FrameKind::Error,
            &ErrorBody {
                code: error.code.as_str(),
                message: &error.message,
                field: error.field,
                position: error.position,
                hint: error.hint.as_deref(),
                retry_after_ms: error.retry_after.map(|wait| wait.as_millis()),
                request: error.request,
            },
        )
    }

    /// The frame with `id` as its own: for answers about a subscription that is not there, or no longer.
    #[must_use]
    pub fn named(self, id: &str) -> Self {
        let mut tail = b",\"id\":".to_vec();
        write_json_string(id.as_bytes(), &mut tail);
        tail.extend_from_slice(&self.tail);
        Self { kind: self.kind, tail: tail.into() }
    }

    /// The `type`.
    pub const fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The shared part's size in bytes; a reader's own part adds some 100.
    pub fn len(&self) -> usize {
        self.tail.len()
    }

    /// Never: a frame has at least its closing brace.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }

    /// Appends the whole frame as one reader gets it.
    pub fn write(&self, id: Option<&str>, cursor: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.push(b'"');
        if let Some(id) = id {
            out.extend_from_slice(b",\"id\":");
            write_json_string(id.as_bytes(), out);
        }
        if let Some(cursor) = cursor {
            out.extend_from_slice(b",\"cursor\":\"");
            out.extend_from_slice(cursor.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(&self.tail);
    }

    fn rows(kind: FrameKind, rows: &[u8], last: bool) -> Self {
        let mut tail = Vec::with_capacity(rows.len() + 32);
        tail.extend_from_slice(b",\"rows\":");
        tail.extend_from_slice(rows);
        tail.extend_from_slice(if last { b",\"last\":true}" } else { b",\"last\":false}" });
        Self { kind, tail: tail.into() }
    }

    fn bare(kind: FrameKind) -> Self {
        Self { kind, tail: Bytes::from_static(b"}") }
    }

    fn text(kind: FrameKind, tail: &str) -> Self {
        Self { kind, tail: Bytes::copy_from_slice(tail.as_bytes()) }
    }

    fn of(kind: FrameKind, body: &impl Serialize) -> Self {
        let mut tail = serde_json::to_vec(body).expect("plain structs with string keys always serialize");
        tail[0] = b',';
        Self { kind, tail: tail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: &Frame, id: Option<&str>, cursor: Option<&str>) -> String {
        let mut out = Vec::new();
        frame.write(id, cursor, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn frames_are_written_as_documented() {
        let lsn = Lsn::new(0x16_B374_D848);
        let transaction = Origin::new(lsn, Some((Xid::new(743), Timestamp::new(0))));
        for (frame, id, cursor, expected) in [
            (Frame::pong(), None, None, r#"{"type":"pong"}"#),
            (
                Frame::changes(&transaction, true, b"[]"),
                Some("a\"b"),
                Some("c"),
                r#"{"type":"changes","id":"a\"b","cursor":"c","lsn":"16/B374D848","tx":{"id":"743","committed_at":"2000-01-01T00:00:00.000000Z","last":true},"changes":[]}"#,
            ),
            (
                Frame::token_expiring(Timestamp::new(0)),
                None,
                None,
                r#"{"type":"token_expiring","expires_at":"2000-01-01T00:00:00.000000Z"}"#,
            ),
            (
                Frame::snapshot(b"[{}]"),
                Some("x"),
                None,
                r#"{"type":"snapshot","id":"x","rows":[{}],"last":false}"#,
            ),
            (
                Frame::resync(ResyncReason::SlowReader),
                Some("x"),
                None,
                r#"{"type":"resync","id":"x","reason":"slow_reader"}"#,
            ),
            (
                Frame::error(&ErrorFrame::new(ErrorCode::NoKey, "no key")),
                Some("x"),
                None,
                r#"{"type":"error","id":"x","code":"no_key","message":"no key"}"#,
            ),
        ] {
            assert_eq!(text(&frame, id, cursor), expected);
        }
        let ready = text(&Frame::ready("s", Duration::from_secs(25)), None, None);
        assert!(ready.starts_with(r#"{"type":"ready","session":"s","protocol":1,"#), "{ready}");
        assert!(serde_json::from_str::<serde_json::Value>(&ready).is_ok());
    }
}
