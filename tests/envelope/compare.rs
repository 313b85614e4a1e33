//! Whether two values say the same.

use serde_json::Value;

/// Whether both are the same value: numbers by what they are, not by how they are written.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

/// The JSON that a recorded text is, with `XXX` and `KKK` as the large values for which they stand.
pub(super) fn parse(text: &str) -> Value {
    let text = text.replace("XXX", &"x".repeat(3_000)).replace("KKK", &"k".repeat(2_100));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
