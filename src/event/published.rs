use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{ChannelEvent, EventForm, Timestamp, write_json_string};

/// The `source` of events that PostgreSQL itself tells: no publisher's.
pub const OF_POSTGRES: &str = "/tidegate/postgres";

/// An event that a service publishes on a channel, as a `CloudEvent`.
///
/// See <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The event, whole.
    pub event: ChannelEvent,
    /// What tells it from all others.
    pub key: EventKey,
}

/// Channel, `source` and `id`: an event that has all in common with another is the same event. Another channel's is not:
/// whoever may publish on one could keep an event from another by telling of it first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    channel: Arc<str>,
    source: Box<str>,
    id: Box<str>,
}

/// What is said of an event beside its data; absent attributes get a default.
#[derive(Clone, Debug, Default)]
pub struct Attributes(BTreeMap<String, Box<RawValue>>);

/// What is no event that can be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublication {
    /// The channel's name.
    #[error("a channel's name has 1 to {LONGEST_CHANNEL_BYTES} bytes and no control characters")]
    Channel,
    /// The body is no JSON.
    #[error("the event is not one JSON value in UTF-8: {0}")]
    NotJson(String),
    /// A structured event is no object.
    #[error("a structured CloudEvent is a JSON object: {0}")]
    NotAnObject(String),
    /// The version.
    #[error("the CloudEvents attribute `specversion` must be \"1.0\"")]
    Version,
    /// An attribute's name.
    #[error("`{0}` is no name of a CloudEvents attribute: it has 1 to 64 lower-case letters and digits")]
    Name(String),
    /// An attribute's value.
    #[error("the CloudEvents attribute `{name}` must be {expected}")]
    Value {
        /// The attribute.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
}

/// Names are for people, and travel with each event.
const LONGEST_CHANNEL_BYTES: usize = 255;
const LONGEST_NAME: usize = 64;
/// `source` and `id` are kept in memory for a while, to know an event again.
const LONGEST_KEY_PART: usize = 1_024;

/// Whether it is a channel's name.
pub fn is_channel(name: &str) -> bool {
    (1..=LONGEST_CHANNEL_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl Attributes {
    /// Sets an attribute from a text, as a header carries it.
    ///
    /// # Errors
    /// If it is no attribute's name.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), InvalidPublication> {
        let mut json = Vec::with_capacity(text.len() + 2);
        write_json_string(text.as_bytes(), &mut json);
        let json = String::from_utf8(json).expect("a JSON string of a text is one");
        self.set_json(name.to_owned(), RawValue::from_string(json).expect("a JSON string"))
    }

    /// Sets an attribute from JSON.
    ///
    /// # Errors
    /// If it is no attribute's name.
    pub fn set_json(&mut self, name: String, value: Box<RawValue>) -> Result<(), InvalidPublication> {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !plain || !(1..=LONGEST_NAME).contains(&name.len()) || name == "data" {
            return Err(InvalidPublication::Name(name));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// The text of an attribute; `None` if it is absent.
    fn text(&self, name: &str) -> Result<Option<String>, InvalidPublication> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        match serde_json::from_str::<String>(value.get()) {
            Ok(text) if !text.is_empty() && text.len() <= LONGEST_KEY_PART => Ok(Some(text)),
            _ => Err(InvalidPublication::Value {
                name: name.to_owned(),
                expected: "a text of 1 to 1,024 bytes",
            }),
        }
    }
}

impl Publication {
    /// From data and what is said of it: the binary mode of `CloudEvents`, and what has no attributes at all.
    ///
    /// An absent `id` is drawn at random from `random`, an absent `time` is `now`.
    ///
    /// # Errors
    /// What keeps it from being an event.
    pub fn binary(
        channel: &str,
        mut attributes: Attributes,
        data: &[u8],
        now: Timestamp,
        random: u128,
    ) -> Result<Self, InvalidPublication> {
        if !is_channel(channel) {
            return Err(InvalidPublication::Channel);
        }
        let data: &RawValue =
            serde_json::from_slice(data).map_err(|error| InvalidPublication::NotJson(error.to_string()))?;
        if attributes.text("specversion")?.is_some_and(|version| version != "1.0") {
            return Err(InvalidPublication::Version);
        }
        attributes.set("specversion", "1.0")?;
        let mut default = |name: &str, text: &str| -> Result<String, InvalidPublication> {
            if let Some(given) = attributes.text(name)? {
                return Ok(given);
            }
            attributes.set(name, text)?;
            Ok(text.to_owned())
        };
        let id = default("id", &format!("{random:032x}"))?;
        let source = default("source", "/tidegate/publish")?;
        if source == OF_POSTGRES {
            return Err(InvalidPublication::Value {
                name: "source".to_owned(),
                expected: "another text than that of PostgreSQL's own events",
            });
        }
        default("type", "tidegate.message")?;
        default("subject", channel)?;
        default("time", &now.to_string())?;
        default("datacontenttype", "application/json")?;
        check_values(&attributes)?;
        let mut whole = Vec::with_capacity(data.get().len() + 256);
        for (name, value) in &attributes.0 {
            whole.push(if whole.is_empty() { b'{' } else { b',' });
            write_json_string(name.as_bytes(), &mut whole);
            whole.push(b':');
            whole.extend_from_slice(value.get().as_bytes());
        }
        whole.extend_from_slice(b",\"data\":");
        whole.extend_from_slice(data.get().as_bytes());
        whole.push(b'}');
        let event = ChannelEvent {
            channel: Arc::from(channel),
            data: Bytes::from(whole),
            form: EventForm::CloudEvent,
        };
        let key = EventKey { channel: event.channel.clone(), source: source.into(), id: id.into() };
        Ok(Self { event, key })
    }

    /// From an event in the JSON format of `CloudEvents`: the structured mode.
    ///
    /// # Errors
    /// What keeps it from being an event.
    pub fn structured(
        channel: &str,
        event: &[u8],
        now: Timestamp,
        random: u128,
    ) -> Result<Self, InvalidPublication> {
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(event)
            .map_err(|error| InvalidPublication::NotAnObject(error.to_string()))?;
        if !members.contains_key("specversion") {
            return Err(InvalidPublication::Version);
        }
        for required in ["id", "source", "type"] {
            if !members.contains_key(required) {
                let (name, expected) = (required.to_owned(), "given");
                return Err(InvalidPublication::Value { name, expected });
            }
        }
        let data = match (members.remove("data"), members.remove("data_base64")) {
            (Some(data), None) => data,
            // Whoever reads it finds the bytes as the text that they are in JSON.
            (None, Some(text)) => text,
            (None, None) => RawValue::from_string("null".to_owned()).expect("JSON"),
            (Some(_), Some(_)) => {
                let (name, expected) = ("data_base64".to_owned(), "absent where there is `data`");
                return Err(InvalidPublication::Value { name, expected });
            }
        };
        let mut attributes = Attributes::default();
        for (name, value) in members {
            attributes.set_json(name, value)?;
        }
        Self::binary(channel, attributes, data.get().as_bytes(), now, random)
    }
}

/// Attributes are texts, whole numbers, truth values; none is null, an array or an object.
fn check_values(attributes: &Attributes) -> Result<(), InvalidPublication> {
    let simple =
        |value: &RawValue| !matches!(value.get().as_bytes().first(), Some(b'{' | b'[' | b'n') | None);
    match attributes.0.iter().find(|(_, value)| !simple(value)) {
        None => Ok(()),
        Some((name, _)) => {
            Err(InvalidPublication::Value { name: name.clone(), expected: "a text, a number, true or false" })
        }
    }
}

impl EventKey {
    /// That of an event in the journal, if it is one that was published.
    pub fn of(event: &ChannelEvent) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Key {
            source: Box<str>,
            id: Box<str>,
        }
        match event.form {
            EventForm::Data => None,
            EventForm::CloudEvent => {
                let Key { source, id } = serde_json::from_slice(&event.data).ok()?;
                Some(Self { channel: event.channel.clone(), source, id })
            }
        }
    }

    /// Roughly what it holds in memory, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.channel.len() + self.source.len() + self.id.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn binary(attributes: &[(&str, &str)], data: &str) -> Result<Publication, InvalidPublication> {
        let mut given = Attributes::default();
        for (name, text) in attributes {
            given.set(name, text)?;
        }
        Publication::binary("deploys.eu", given, data.as_bytes(), Timestamp::new(0), 7)
    }

    fn whole(publication: &Publication) -> Value {
        serde_json::from_slice(&publication.event.data).expect("JSON")
    }

    #[test]
    fn plain_json_becomes_a_whole_event() {
        let publication = binary(&[], " {\"a\": [1, 2.50]} ").expect("valid");
        assert_eq!(
            whole(&publication),
            json!({
                "specversion": "1.0", "id": "00000000000000000000000000000007", "source": "/tidegate/publish",
                "type": "tidegate.message", "subject": "deploys.eu", "time": "2000-01-01T00:00:00.000000Z",
                "datacontenttype": "application/json", "data": {"a": [1, 2.5]},
            })
        );
        let text = String::from_utf8_lossy(&publication.event.data).into_owned();
        assert!(text.contains("2.50"), "numbers stay as they were written: {text}");
        assert_eq!(EventKey::of(&publication.event), Some(publication.key));
    }

    #[test]
    fn attributes_are_kept_and_both_modes_give_the_same() {
        let attributes =
            [("id", "7\"7"), ("source", "/ci"), ("type", "build.done"), ("traceparent", "00-ab")];
        let of_binary = binary(&attributes, "true").expect("valid");
        let structured = json!({
            "specversion": "1.0", "id": "7\"7", "source": "/ci", "type": "build.done", "traceparent": "00-ab",
            "data": true,
        });
        let structured = structured.to_string();
        let of_structured =
            Publication::structured("deploys.eu", structured.as_bytes(), Timestamp::new(0), 9)
                .expect("valid");
        assert_eq!(whole(&of_binary), whole(&of_structured));
        assert_eq!(of_binary.key, of_structured.key);
    }

    #[test]
    fn what_is_no_event_is_refused_by_name() {
        for data in ["", "{", "{} {}", "'a'", "\u{1}"] {
            assert!(matches!(binary(&[], data), Err(InvalidPublication::NotJson(_))), "{data}");
        }
        for name in ["", "Id", "a-b", "data", &"x".repeat(65)] {
            assert_eq!(binary(&[(name, "1")], "1"), Err(InvalidPublication::Name(name.to_owned())));
        }
        assert_eq!(binary(&[("specversion", "0.3")], "1"), Err(InvalidPublication::Version));
        assert!(matches!(binary(&[("id", "")], "1"), Err(InvalidPublication::Value { .. })));
        for channel in ["", "a\nb", &"c".repeat(256)] {
            let publication =
                Publication::binary(channel, Attributes::default(), b"1", Timestamp::default(), 0);
            assert_eq!(publication, Err(InvalidPublication::Channel));
        }
        for event in [
            json!([]),
            json!({"id": "1", "source": "s", "type": "t"}),
            json!({"specversion": "1.0", "source": "s", "type": "t"}),
            json!({"specversion": "1.0", "id": 1, "source": "s", "type": "t"}),
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "x": {}}),
            json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": 1, "data_base64": "AA=="}),
        ] {
            let text = event.to_string();
            let publication = Publication::structured("c", text.as_bytes(), Timestamp::default(), 0);
            assert!(publication.is_err(), "{text}");
        }
    }
}
