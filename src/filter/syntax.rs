//! A filter's text as a tree, before anything is known of the table.
//!
//! `sqlparser` reads the text; this tree holds the part of its grammar that filters may use. Parameters have taken
//! their places in it.

use sqlparser::tokenizer::Location;

/// An expression and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub(super) node: Node,
    pub(super) position: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Column(Name),
    Literal(Literal),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// `is true`, `is false`, `is unknown`
    Truth(Box<Expr>, Option<bool>),
    /// `is null`
    Null(Box<Expr>),
    Compare(Box<Expr>, Comparison, Box<Expr>),
    /// `is distinct from`
    Distinct(Box<Expr>, Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    /// `= any (…)`
    Any(Box<Expr>, Box<Expr>),
    Like(Box<Like>),
    /// `@>`
    Contains(Box<Expr>, Box<Expr>),
    /// `&&`
    Overlaps(Box<Expr>, Box<Expr>),
    /// `?`
    Exists(Box<Expr>, Box<Expr>),
    /// `->`, or with `text` `->>`
    Field {
        base: Box<Expr>,
        key: Box<Expr>,
        text: bool,
    },
    /// `column::text`
    AsText(Box<Expr>),
}

/// A column's name, folded to lower case where it was not quoted, and what stood before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    pub(super) qualifier: Vec<String>,
    pub(super) column: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Like {
    pub(super) subject: Expr,
    pub(super) pattern: Expr,
    /// `None` for the default, a backslash.
    pub(super) escape: Option<Expr>,
    /// `ilike`
    pub(super) any_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The same comparison with its sides exchanged.
    pub(super) const fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// As PostgreSQL writes it.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub(super) const fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    pub(super) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    /// Digits with an optional minus before, point and exponent.
    Number(String),
    /// Of no type yet: takes that of what it is compared with.
    Text(String),
    /// `array[…]`: of the type that its elements agree on.
    Array(Vec<Literal>),
    /// An array parameter: its elements take the type that is wanted.
    List(Vec<Literal>),
    /// `'…'::type`, `cast('…' as type)`, `type '…'`
    Cast(Box<Literal>, TypeName),
}

/// A type's name without modifiers, folded as PostgreSQL folds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeName {
    pub(super) name: String,
    pub(super) array: bool,
}

impl TypeName {
    /// `pg_type.oid` of a built-in scalar type, or of the element of an array of such.
    pub(super) fn builtin(&self) -> Option<u32> {
        Some(match self.name.as_str() {
            "bool" | "boolean" => 16,
            "bytea" => 17,
            "name" => 19,
            "int8" | "bigint" => 20,
            "int2" | "smallint" => 21,
            "int4" | "int" | "integer" => 23,
            "text" => 25,
            "oid" => 26,
            "tid" => 27,
            "json" => 114,
            "float4" | "real" => 700,
            "float8" | "float" | "double precision" => 701,
            "macaddr8" => 774,
            "macaddr" => 829,
            "inet" => 869,
            "bpchar" => 1042,
            "varchar" | "character varying" | "char varying" => 1043,
            "date" => 1082,
            "time" | "time without time zone" => 1083,
            "timestamp" | "timestamp without time zone" => 1114,
            "timestamptz" | "timestamp with time zone" => 1184,
            "interval" => 1186,
            "timetz" | "time with time zone" => 1266,
            "varbit" | "bit varying" => 1562,
            "numeric" | "decimal" | "dec" => 1700,
            "uuid" => 2950,
            "pg_lsn" => 3220,
            "jsonb" => 3802,
            "int4range" => 3904,
            "tsrange" => 3908,
            "tstzrange" => 3910,
            "daterange" => 3912,
            "int8range" => 3926,
            "xid8" => 5069,
            _ => return None,
        })
    }
}

impl std::fmt::Display for TypeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.name, if self.array { "[]" } else { "" })
    }
}

/// From line and column, both counted from 1, to a character of the text, counted from 1.
pub(super) struct Positions {
    /// The number of characters before each line.
    before: Vec<usize>,
    end: usize,
}

impl Positions {
    pub(super) fn of(text: &str) -> Self {
        let mut before = vec![0];
        let mut end = 0;
        for character in text.chars() {
            end += 1;
            if character == '\n' {
                before.push(end);
            }
        }
        Self { before, end }
    }

    /// `None` for the location of nothing.
    pub(super) fn at(&self, location: Location) -> Option<usize> {
        let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(location.column).ok().filter(|column| *column > 0)?;
        Some((self.before.get(line)? + column).min(self.end + 1))
    }

    /// Just behind the last character.
    pub(super) const fn end(&self) -> usize {
        self.end + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_over_lines() {
        let positions = Positions::of("größe\n= 1");
        assert_eq!(positions.at(Location { line: 1, column: 3 }), Some(3));
        assert_eq!(positions.at(Location { line: 2, column: 1 }), Some(7));
        assert_eq!(positions.at(Location { line: 0, column: 0 }), None);
        assert_eq!(positions.at(Location { line: 9, column: 1 }), None);
        assert_eq!(positions.end(), 10);
    }
}
