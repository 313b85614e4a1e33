use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Validator};
use serde::{Deserialize, Deserializer};
use serde_json::map::Entry;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Fault, FieldFault};

/// What a body or a query must be: described by the type that it is read into, shown in the document, and held against
/// every request, so that all of its faults are told at once.
pub struct Shape {
    name: String,
    schema: Value,
    /// What the schema refers to, by name.
    components: Vec<(String, Value)>,
    validator: Validator,
}

/// Faults beyond these are not told.
const MOST_FAULTS: usize = 50;
/// So much of a fault is told: it may quote what was sent.
const MOST_CHARS: usize = 300;

impl Shape {
    /// The shape of what `T` is read from.
    ///
    /// # Panics
    /// If the type's own description is no JSON Schema: the code is at fault.
    pub fn of<T: ToSchema>() -> Self {
        let mut components = Vec::new();
        T::schemas(&mut components);
        let json = |schema| serde_json::to_value(schema).expect("a schema is JSON");
        let schema = json(T::schema());
        let components: Vec<(String, Value)> =
            components.into_iter().map(|(name, schema)| (name, json(schema))).collect();
        let mut whole = schema.clone();
        let defined: Map<String, Value> = components.iter().cloned().collect();
        whole["components"] = json!({"schemas": defined});
        let validator = jsonschema::options().with_draft(Draft::Draft202012).build(&whole);
        let validator = validator.expect("a type's description is a schema");
        Self { name: T::name().into_owned(), schema, components, validator }
    }

    /// What it is called in the document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its JSON Schema; references lead to `#/components/schemas`.
    pub const fn schema(&self) -> &Value {
        &self.schema
    }

    /// What it refers to, by name.
    pub fn components(&self) -> &[(String, Value)] {
        &self.components
    }

    /// Everything that is wrong with a value.
    pub fn faults(&self, value: &Value) -> Vec<FieldFault> {
        let mut faults: Vec<FieldFault> =
            self.validator.iter_errors(value).take(MOST_FAULTS).flat_map(|error| explain(&error)).collect();
        faults.truncate(MOST_FAULTS);
        faults
    }

    /// Reads a value that has this shape.
    ///
    /// # Errors
    /// All of its faults.
    pub fn read<T: for<'de> Deserialize<'de>>(&self, value: Value) -> Result<T, Fault> {
        let faults = self.faults(&value);
        if !faults.is_empty() {
            return Err(Fault::invalid(faults));
        }
        // What JSON Schema cannot say, such as numbers beyond their type's range.
        serde_json::from_value(value).map_err(|error| Fault::field("", error.to_string()))
    }

    /// A query's pairs as a value of this shape: texts become numbers and truths where it wants such, and lists where it
    /// wants a list, of which each pair is an element.
    pub fn query(&self, pairs: impl Iterator<Item = (String, String)>) -> Value {
        let mut query = Map::new();
        for (name, text) in pairs {
            let wanted = &self.schema["properties"][&name];
            let is = |kind: &str| match &wanted["type"] {
                Value::Array(kinds) => kinds.iter().any(|of| of == kind),
                of => of == kind,
            };
            if is("array") {
                if let Value::Array(list) = query.entry(name).or_insert_with(|| json!([])) {
                    list.push(Value::String(text));
                }
                continue;
            }
            let value = match text.as_str() {
                "true" if is("boolean") => json!(true),
                "false" if is("boolean") => json!(false),
                // As it is written in JSON: `+5` and `05` are no numbers there.
                number if is("integer") => match number.parse::<i64>() {
                    Ok(read) if read.to_string() == number => json!(read),
                    _ => json!(text),
                },
                _ => json!(text),
            };
            match query.entry(name) {
                Entry::Vacant(first) => _ = first.insert(value),
                // Which of two would count is nothing to guess at: a list is what the shape does not want.
                Entry::Occupied(mut both) => _ = both.insert(json!([both.get(), value])),
            }
        }
        Value::Object(query)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads a member that may be null and may be missing: `None` if it is missing, `Some(None)` if it is null.
///
/// # Errors
/// As the member's own type.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn explain(error: &jsonschema::ValidationError<'_>) -> Vec<FieldFault> {
    let at = error.instance_path().as_str().trim_start_matches('/').to_owned();
    let within = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
    let fault = |field: String, message: &str| FieldFault { field: short(&field), message: short(message) };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|name| fault(within(name), "is not known here")).collect()
        }
        ValidationErrorKind::Required { property } => {
            vec![fault(within(property.as_str().unwrap_or_default()), "is missing")]
        }
        ValidationErrorKind::Pattern { pattern } => {
            vec![fault(at, &format!("must be of the form {pattern}"))]
        }
        _ => vec![fault(at, &error.to_string())],
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Draft {
        #[schema(min_length = 1, max_length = 5, pattern = "^[^\\u0000]*$")]
        title: String,
        #[schema(minimum = 0, maximum = 2)]
        priority: Option<i16>,
        #[serde(default, deserialize_with = "present")]
        assignee: Option<Option<String>>,
        #[serde(default)]
        #[schema(required = false)]
        labels: Vec<String>,
        done: Option<bool>,
    }

    #[test]
    fn all_faults_are_told_at_once_each_with_its_field() {
        let shape = Shape::of::<Draft>();
        let faults = shape.faults(&json!({"priority": 9, "labels": ["x", 1], "what": true}));
        let mut fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["labels/1", "priority", "title", "what"], "{faults:?}");
        assert!(!shape.faults(&json!({"title": "a\u{0}b"})).is_empty());
        assert!(!shape.faults(&json!([])).is_empty());
    }

    #[test]
    fn a_member_that_is_null_is_told_from_one_that_is_missing() {
        let shape = Shape::of::<Draft>();
        let read = |value| shape.read::<Draft>(value).expect("valid").assignee;
        assert_eq!(read(json!({"title": "x"})), None);
        assert_eq!(read(json!({"title": "x", "assignee": null})), Some(None));
        assert_eq!(read(json!({"title": "x", "assignee": "ada"})), Some(Some("ada".to_owned())));
    }

    #[test]
    fn a_query_is_read_by_the_same_shape() {
        let shape = Shape::of::<Draft>();
        let pairs = [("title", "x"), ("priority", "2"), ("labels", "a"), ("labels", "b"), ("done", "true")];
        let query = shape.query(pairs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert_eq!(query, json!({"title": "x", "priority": 2, "labels": ["a", "b"], "done": true}));
        assert!(shape.faults(&query).is_empty());
        for pairs in [[("title", "x"), ("priority", "+2")], [("title", "x"), ("title", "y")]] {
            let query = shape.query(pairs.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())));
            let faults = shape.faults(&query);
            assert!(faults.len() == 1 && faults[0].field == pairs[1].0, "{faults:?}");
        }
    }
}
