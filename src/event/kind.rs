use std::sync::Arc;

/// The type of a column, as far as encoding and filtering need to know it.
///
/// A domain is described by its base type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// `pg_type.oid` of the type, or of a domain's base type.
    pub oid: u32,
    /// `pg_type.typname` of the same, as in `int8`, `timestamptz`, `mood`; an array is its element's name
    /// with `[]` behind it.
    pub name: Arc<str>,
    /// How its values are written and compared.
    pub class: Class,
}

/// How the values of a type are written in frames and compared in filters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`
    Numeric,
    /// `text`, `character varying`, `name`
    Text,
    /// `character(n)`: trailing blanks do not count in comparisons
    Bpchar,
    /// `bytea`
    Bytea,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    Timestamptz,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `interval`
    Interval,
    /// An enumerated type, its labels in sort order.
    Enum(Arc<[Arc<str>]>),
    /// An array, of any number of dimensions.
    Array {
        /// The type of its elements.
        element: Box<Kind>,
        /// `pg_type.typdelim` of the element type: a comma for all built-in types but `box`.
        delimiter: u8,
    },
    /// Any other type: known by its PostgreSQL text only.
    Other,
}

impl Class {
    /// The class of a built-in type, by `pg_type.oid`; the oids of built-in types never change.
    ///
    /// `None` for arrays, enums and whatever else the catalog must be asked about.
    pub fn of_builtin(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            19 | 25 | 1043 => Self::Text,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            114 => Self::Json,
            700 => Self::Float4,
            701 => Self::Float8,
            1042 => Self::Bpchar,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::Timestamptz,
            1186 => Self::Interval,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }
}
