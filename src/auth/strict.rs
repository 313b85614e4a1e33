use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Refusal;

/// Reads a JSON object in which no member is named twice, at any depth.
///
/// Which of two counts is left to each reader by RFC 8259: what is checked here could be another than what a policy
/// sees. `serde_json` ends at 128 levels.
///
/// # Errors
/// [`Refusal::Malformed`] and [`Refusal::Duplicate`].
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(text) {
        Ok(Unique(Value::Object(object))) => Ok(object),
        // What can be read otherwise can only have been that.
        Err(_) if serde_json::from_slice::<Value>(text).is_ok() => Err(Refusal::Duplicate),
        Ok(_) | Err(_) => Err(Refusal::Malformed),
    }
}

struct Unique(Value);

struct OfAnyKind;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfAnyKind).map(Unique)
    }
}

impl<'de> Visitor<'de> for OfAnyKind {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("named twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_twice_is_found_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":[{"c":1,"c":2}]}}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(Refusal::Duplicate), "{text}");
        }
        for text in [r#"{"a":{"a":{"a":[{"a":1.5},{"a":-1}]}},"b":null}"#, "{}"] {
            assert_eq!(object(text.as_bytes()).map(Value::Object), Ok(serde_json::from_str(text).unwrap()));
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for text in ["", "7", "[]", "\"a\"", "{", "{}x", r#"{"a"}"#, "{\"a\":\"\0\"}", &deep] {
            assert_eq!(object(text.as_bytes()), Err(Refusal::Malformed), "{}", &text[..text.len().min(20)]);
        }
    }
}
