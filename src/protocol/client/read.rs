//! From the bytes of a frame to what a client says, or to what was wrong with them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Again, ClientFrame, Delivery, FrameError, Page, Param, Select, SnapshotOptions, Start, Subscribe, Target,
};
use crate::event::{InvalidPublication, is_channel};

const TYPES: &str = "`auth`, `subscribe`, `page`, `unsubscribe`, `await`, `ping`";
const MAX_ID_BYTES: usize = 64;
/// A page or a bounded snapshot larger than this is a plain snapshot's business.
const MAX_LIMIT: u32 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuth {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnsubscribe {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAwait {
    lsn: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubscribe {
    id: String,
    table: Option<String>,
    channel: Option<String>,
    #[serde(rename = "where")]
    filter: Option<String>,
    #[serde(default)]
    params: Option<Vec<Param>>,
    columns: Option<Vec<String>>,
    snapshot: Option<RawSnapshot>,
    cursor: Option<String>,
    shape: Option<String>,
    delivery: Option<String>,
    interval_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`snapshot` is true, false, or an object of `order_by` and `limit`")]
enum RawSnapshot {
    Wanted(bool),
    Options(SnapshotOptions),
}

impl ClientFrame {
    /// Reads one frame.
    ///
    /// # Errors
    /// [`FrameError`], which tells whether the conversation can go on.
    pub fn parse(text: &[u8]) -> Result<Self, FrameError> {
        let mut object = match serde_json::from_slice(text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(FrameError::NotAnObject("it is JSON of another kind".into())),
            Err(error) => return Err(FrameError::NotAnObject(error.to_string())),
        };
        let id =
            object.get("id").and_then(Value::as_str).filter(|id| id.len() <= MAX_ID_BYTES).map(Into::into);
        let bad = |message: String, field| FrameError::BadRequest { id, message, field };
        let kind = match object.remove("type") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(bad("`type` is not a string".into(), Some("type"))),
            None => return Err(bad(format!("the frame has no `type`; it is one of {TYPES}"), Some("type"))),
        };
        Self::of_kind(&kind, object).map_err(|Fault { message, field }| bad(message, field))
    }

    fn of_kind(kind: &str, object: Map<String, Value>) -> Result<Self, Fault> {
        Ok(match kind {
            "auth" => Self::Auth { token: read::<RawAuth>(object)?.token },
            "subscribe" => Self::Subscribe(read::<RawSubscribe>(object)?.check()?),
            "page" => Self::Page(check_page(read(object)?)?),
            "unsubscribe" => Self::Unsubscribe { id: read::<RawUnsubscribe>(object)?.id },
            "await" => {
                let RawAwait { lsn } = read(object)?;
                let lsn = lsn.parse().map_err(|error| Fault::of("lsn", format!("`{lsn}` is {error}")))?;
                Self::Await(lsn)
            }
            "ping" => {
                let RawPing {} = read(object)?;
                Self::Ping
            }
            other => return Err(Fault::of("type", format!("unknown type `{other}`; it is one of {TYPES}"))),
        })
    }
}

struct Fault {
    message: String,
    field: Option<&'static str>,
}

impl Fault {
    fn of(field: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), field: Some(field) }
    }
}

fn read<T: serde::de::DeserializeOwned>(object: Map<String, Value>) -> Result<T, Fault> {
    serde_json::from_value(Value::Object(object))
        .map_err(|error| Fault { message: error.to_string(), field: None })
}

fn check_page(page: Page) -> Result<Page, Fault> {
    check_limit(page.limit)?;
    Ok(page)
}

fn check_limit(limit: u32) -> Result<(), Fault> {
    match limit {
        0 => Err(Fault::of("limit", "`limit` is at least 1")),
        1..=MAX_LIMIT => Ok(()),
        _ => Err(Fault::of("limit", format!("`limit` is at most {MAX_LIMIT}"))),
    }
}

impl RawSubscribe {
    fn check(self) -> Result<Subscribe, Fault> {
        if self.id.is_empty() || self.id.len() > MAX_ID_BYTES {
            return Err(Fault::of("id", format!("`id` has 1 to {MAX_ID_BYTES} bytes")));
        }
        let (start, options) = match (self.cursor, self.snapshot) {
            (Some(cursor), None | Some(RawSnapshot::Wanted(true))) => (
                Start::Cursor { cursor, shape: self.shape, again: Again::Snapshot },
                SnapshotOptions::default(),
            ),
            (Some(cursor), Some(RawSnapshot::Wanted(false))) => {
                (Start::Cursor { cursor, shape: self.shape, again: Again::Live }, SnapshotOptions::default())
            }
            (Some(cursor), Some(RawSnapshot::Options(options))) => {
                (Start::Cursor { cursor, shape: self.shape, again: Again::Snapshot }, options)
            }
            (None, _) if self.shape.is_some() => {
                return Err(Fault::of("shape", "`shape` belongs to a `cursor`, and there is none"));
            }
            (None, None | Some(RawSnapshot::Wanted(false))) => (Start::Now, SnapshotOptions::default()),
            (None, Some(RawSnapshot::Wanted(true))) => (Start::Snapshot, SnapshotOptions::default()),
            (None, Some(RawSnapshot::Options(options))) => (Start::Snapshot, options),
        };
        options.limit.map_or(Ok(()), check_limit)?;
        let delivery = match (self.delivery.as_deref(), self.interval_ms) {
            (None | Some("every"), None) => Delivery::Every,
            (None | Some("every"), Some(_)) => {
                return Err(Fault::of("interval_ms", "`interval_ms` goes with `\"delivery\":\"latest\"`"));
            }
            (Some("latest"), interval) => Delivery::Latest { interval_ms: interval.unwrap_or(250) },
            (Some(other), _) => {
                return Err(Fault::of(
                    "delivery",
                    format!("`delivery` is `every` or `latest`, not `{other}`"),
                ));
            }
        };
        let target = match (self.table, self.channel) {
            (Some(table), None) => Target::Table(Select {
                table,
                filter: self.filter,
                params: self.params.unwrap_or_default(),
                columns: self.columns,
                delivery,
                snapshot: options,
            }),
            (None, Some(channel)) => {
                let alone = self.filter.is_none() && self.params.is_none() && self.columns.is_none();
                if !alone || delivery != Delivery::Every || start == Start::Snapshot {
                    return Err(Fault::of(
                        "channel",
                        "a channel takes `cursor` and nothing else: it has no rows",
                    ));
                }
                Target::Channel(check_channel(channel)?)
            }
            (Some(_), Some(_)) => return Err(Fault::of("channel", "either `table` or `channel`, not both")),
            (None, None) => return Err(Fault::of("table", "a subscription names a `table` or a `channel`")),
        };
        Ok(Subscribe { id: self.id, target, start })
    }
}

fn check_channel(channel: String) -> Result<String, Fault> {
    if is_channel(&channel) {
        Ok(channel)
    } else {
        Err(Fault::of("channel", InvalidPublication::Channel.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (Option<String>, String) {
        match ClientFrame::parse(text.as_bytes()) {
            Err(FrameError::BadRequest { id, message, .. }) => (id, message),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_frame_of_the_documentation_is_understood() {
        for text in [
            r#"{"type":"auth","token":"eyJ"}"#,
            r#"{"type":"subscribe","id":"board","table":"public.entries","where":"board_id = $1","params":["7",1,null,true,["a"]],"columns":["id"],"snapshot":true}"#,
            r#"{"type":"subscribe","id":"board","table":"public.entries","cursor":"x","shape":"y"}"#,
            r#"{"type":"subscribe","id":"feed","table":"a","snapshot":{"order_by":"at desc","limit":50}}"#,
            r#"{"type":"page","id":"feed","after":{"at":"x","id":"1"},"limit":50}"#,
            r#"{"type":"subscribe","id":"kpi","table":"k","snapshot":true,"delivery":"latest","interval_ms":250}"#,
            r#"{"type":"subscribe","id":"deploys","channel":"deploys.eu"}"#,
            r#"{"type":"unsubscribe","id":"board"}"#,
            r#"{"type":"await","lsn":"16/B374D848"}"#,
            r#"{"type":"ping"}"#,
        ] {
            assert!(
                ClientFrame::parse(text.as_bytes()).is_ok(),
                "{text}: {:?}",
                ClientFrame::parse(text.as_bytes())
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            (r#"{"id":"a"}"#, "no `type`"),
            (r#"{"type":7}"#, "not a string"),
            (r#"{"type":"subscripe","id":"a"}"#, "unknown type `subscripe`"),
            (r#"{"type":"ping","extra":1}"#, "unknown field `extra`"),
            (r#"{"type":"subscribe","id":"a","tabel":"x"}"#, "unknown field `tabel`"),
            (r#"{"type":"subscribe","id":"a"}"#, "a `table` or a `channel`"),
            (r#"{"type":"subscribe","table":"x"}"#, "missing field `id`"),
            (r#"{"type":"subscribe","id":"","table":"x"}"#, "1 to 64 bytes"),
            (r#"{"type":"subscribe","id":"a","table":"x","channel":"y"}"#, "not both"),
            (r#"{"type":"subscribe","id":"a","table":"x","shape":"y"}"#, "belongs to a `cursor`"),
            (r#"{"type":"subscribe","id":"a","table":"x","snapshot":3}"#, "`snapshot` is true, false"),
            (r#"{"type":"subscribe","id":"a","table":"x","delivery":"some"}"#, "`every` or `latest`"),
            (r#"{"type":"subscribe","id":"a","channel":"x","where":"a"}"#, "nothing else"),
            (r#"{"type":"page","id":"a","after":{},"limit":0}"#, "at least 1"),
            (r#"{"type":"await","lsn":"x"}"#, "`x` is not a log position"),
        ] {
            let (_, message) = refusal(text);
            assert!(message.contains(part), "{text}: {message}");
        }
        assert_eq!(refusal(r#"{"type":"nope","id":"a"}"#).0.as_deref(), Some("a"));
    }

    #[test]
    fn what_is_no_object_ends_the_conversation() {
        for text in ["", "[]", "7", "{", "\"type\"", "{\"type\":\"ping\"} x", "\u{1}"] {
            let parsed = ClientFrame::parse(text.as_bytes());
            assert!(matches!(parsed, Err(FrameError::NotAnObject(_))), "{text}: {parsed:?}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(ClientFrame::parse(deep.as_bytes()).is_err());
    }
}
