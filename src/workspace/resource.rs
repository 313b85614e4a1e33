use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use crate::event::{Class, Datum, Kind, write_json};
use crate::postgres::Fields;

/// A table, as requests know it: which columns its rows have, in which order, and how each is written.
#[derive(Debug)]
pub struct Resource {
    /// What one row of it is called in the document and in problems, as in `Entry`.
    pub name: &'static str,
    /// The columns of a row.
    pub columns: &'static [Column],
}

/// A column of a [`Resource`].
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// How its values are written.
    pub form: Form,
    /// Whether it can be null.
    pub nullable: bool,
}

/// How the values of a column are written, as everywhere on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `boolean`
    Bool,
    /// `smallint` and `integer`: a number.
    Integer,
    /// `bigint`: a string, so that no browser rounds it.
    Bigint,
    /// `double precision`
    Double,
    /// Its text: `text`, `uuid`.
    Text,
    /// `timestamptz`: RFC 3339 in UTC.
    Moment,
    /// `jsonb`, as it is.
    Json,
    /// `text[]`
    Texts,
    /// `double precision[]`
    Doubles,
}

impl Form {
    /// Its class.
    pub fn class(self) -> &'static Class {
        static TEXTS: LazyLock<Class> = LazyLock::new(|| array("text", 25, Class::Text));
        static DOUBLES: LazyLock<Class> = LazyLock::new(|| array("float8", 701, Class::Float8));
        match self {
            Self::Bool => &Class::Bool,
            Self::Integer => &Class::Int4,
            Self::Bigint => &Class::Int8,
            Self::Double => &Class::Float8,
            Self::Text => &Class::Text,
            Self::Moment => &Class::Timestamptz,
            Self::Json => &Class::Jsonb,
            Self::Texts => &TEXTS,
            Self::Doubles => &DOUBLES,
        }
    }

    /// Its JSON Schema.
    fn schema(self, nullable: bool) -> Value {
        let of = |kind: &str| if nullable { json!([kind, "null"]) } else { json!(kind) };
        match self {
            Self::Bool => json!({"type": of("boolean")}),
            Self::Integer => json!({"type": of("integer"), "format": "int32"}),
            Self::Bigint => json!({"type": of("string"), "pattern": "^-?[0-9]+$"}),
            // NaN and the infinities are strings.
            Self::Double if nullable => json!({"type": ["number", "string", "null"]}),
            Self::Double => json!({"type": ["number", "string"]}),
            Self::Text => json!({"type": of("string")}),
            Self::Moment => json!({"type": of("string"), "format": "date-time"}),
            Self::Json => json!({}),
            Self::Texts => json!({"type": of("array"), "items": {"type": "string"}}),
            Self::Doubles => json!({"type": of("array"), "items": {"type": ["number", "string"]}}),
        }
    }
}

fn array(name: &str, oid: u32, class: Class) -> Class {
    Class::Array { element: Box::new(Kind { oid, name: Arc::from(name), class }), delimiter: b',' }
}

impl Resource {
    /// Its columns as a statement selects them, of a table that is called `alias` there: each as PostgreSQL's text.
    pub fn select(&self, alias: &str) -> String {
        let column = |column: &Column| match column.form {
            // As the stream has it, where a cast would spell it out.
            Form::Bool => format!("left({alias}.{}::text, 1)", column.name),
            _ => format!("{alias}.{}::text", column.name),
        };
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// The place of a column in what [`Resource::select`] gives.
    ///
    /// # Panics
    /// If there is none of that name: the code is at fault.
    pub fn place(&self, column: &str) -> usize {
        self.columns.iter().position(|known| known.name == column).expect("a column of the resource")
    }

    /// The value of a column in a row that begins with what [`Resource::select`] gives.
    pub fn value<'a>(&self, fields: &'a Fields, column: &str) -> Option<&'a str> {
        fields.text(self.place(column))
    }

    /// The version of such a row, if rows of this kind have one.
    pub fn version(&self, fields: &Fields) -> Option<i32> {
        let place = self.columns.iter().position(|known| known.name == "version")?;
        fields.text(place)?.parse().ok()
    }

    /// Writes a row that begins with what [`Resource::select`] gives.
    pub fn write(&self, fields: &Fields, out: &mut Vec<u8>) {
        for (place, column) in self.columns.iter().enumerate() {
            out.push(if place == 0 { b'{' } else { b',' });
            out.push(b'"');
            out.extend_from_slice(column.name.as_bytes());
            out.extend_from_slice(b"\":");
            let datum = fields.text(place).map_or(Datum::Null, |text| Datum::Text(text.as_bytes()));
            write_json(column.form.class(), datum, out);
        }
        out.push(b'}');
    }

    /// Such a row as JSON.
    pub fn json(&self, fields: &Fields) -> Vec<u8> {
        let mut json = Vec::with_capacity(256);
        self.write(fields, &mut json);
        json
    }

    /// Such rows as a JSON array.
    pub fn array(&self, rows: &[Fields]) -> Vec<u8> {
        let mut json = vec![b'['];
        for (index, fields) in rows.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            self.write(fields, &mut json);
        }
        json.push(b']');
        json
    }

    /// The JSON Schema of a row.
    pub fn schema(&self) -> Value {
        let properties: serde_json::Map<_, _> = self
            .columns
            .iter()
            .map(|column| (column.name.to_owned(), column.form.schema(column.nullable)))
            .collect();
        let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        json!({"type": "object", "properties": properties, "required": names})
    }
}
