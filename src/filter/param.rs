use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

/// One parameter of a filter, as JSON gives it.
///
/// A text is read as the type that it is compared with, as PostgreSQL reads an untyped literal; a number is a number
/// and fits numeric types only. JSON numbers beyond 64 bits lose digits on the way here: they are to be sent as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// NULL
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number in decimal, as in `7`, `-1.5`, `1e3`.
    Number(String),
    /// PostgreSQL's text form of a value of whichever type is wanted.
    Text(String),
    /// An array of the above.
    Array(Vec<Param>),
}

impl<'de> Deserialize<'de> for Param {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParamVisitor { array: false })
    }
}

/// Reads a parameter, or, with `array`, an element of one: which is no array itself.
struct ParamVisitor {
    array: bool,
}

impl<'de> serde::de::DeserializeSeed<'de> for ParamVisitor {
    type Value = Param;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Param, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ParamVisitor {
    type Value = Param;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.array {
            "a string, number, boolean or null"
        } else {
            "a string, number, boolean, null or an array of these"
        })
    }

    fn visit_unit<E>(self) -> Result<Param, E> {
        Ok(Param::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Param, E> {
        Ok(Param::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Param, E> {
        Ok(Param::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Param, E> {
        Ok(Param::Number(value.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Param, E> {
        // Shortest digits that read back as the same number, which are those that JSON gave but for their spelling.
        if value.is_finite() {
            Ok(Param::Number(format!("{value:e}")))
        } else {
            Err(E::custom("a number that is not finite"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Param, E> {
        Ok(Param::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Param, E> {
        Ok(Param::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Param, A::Error> {
        if self.array {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut items = Vec::new();
        while let Some(item) = elements.next_element_seed(ParamVisitor { array: true })? {
            items.push(item);
        }
        Ok(Param::Array(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_read_from_json() {
        let params: Vec<Param> =
            serde_json::from_str(r#"["7", 7, -1.5, 1e300, true, null, ["a", 1, null]]"#).expect("valid");
        assert_eq!(params[..2], [Param::Text("7".into()), Param::Number("7".into())]);
        assert_eq!(params[2..4], [Param::Number("-1.5e0".into()), Param::Number("1e300".into())]);
        assert_eq!(params[4..6], [Param::Bool(true), Param::Null]);
        assert_eq!(
            params[6],
            Param::Array(vec![Param::Text("a".into()), Param::Number("1".into()), Param::Null])
        );
        for wrong in ["{}", "[[1]]"] {
            assert!(serde_json::from_str::<Param>(wrong).is_err(), "{wrong}");
        }
    }
}
