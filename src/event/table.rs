use std::fmt;
use std::sync::Arc;

use super::{Kind, ReplicaIdentity};

/// A table that can be subscribed to, as the catalog describes it now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// `pg_class.oid`; of a partitioned table the root's.
    pub oid: u32,
    /// Schema and name, as stored: unquoted.
    pub name: TableName,
    /// The columns that the stream carries, in the table's own order. Stored generated columns are missing
    /// before PostgreSQL 18, and so is what a column list of the publication leaves out.
    pub columns: Vec<Column>,
    /// Indexes into `columns`: the identity index's columns if one is set, else the primary key's. Never empty.
    pub key: Vec<usize>,
    /// What old images carry; of a partitioned table the least that any of its leaves gives.
    pub identity: ReplicaIdentity,
    /// The publication's own row filter, which the stream applies and a snapshot must apply too.
    pub row_filter: Option<RowFilter>,
    /// Changes whenever rows may have changed without a word in the stream: the storage (`relfilenode`) of all its leaves,
    /// which leaves there are and since when, the columns' places among all that there ever were, since when they are
    /// what they are, and what composite types in them are made of.
    pub storage: u64,
    /// Changes whenever the publication may have left changes of it out meanwhile: it, or the table's place in it, was
    /// altered or made anew.
    pub membership: u64,
}

impl Table {
    /// The index of the column called `name`, as stored.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }

    /// The table as somebody knows it who may not know of some of its columns: those have no name, which none in SQL can
    /// match. Places stay what they are.
    #[must_use]
    pub fn with_only(&self, known: impl Fn(&str) -> bool) -> Self {
        let mut table = self.clone();
        for column in table.columns.iter_mut().filter(|column| !known(&column.name)) {
            column.name = "".into();
        }
        table
    }

    /// Whether old images carry column `index`.
    pub fn old_image_has(&self, index: usize) -> bool {
        match self.identity {
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Default | ReplicaIdentity::Index => self.key.contains(&index),
            ReplicaIdentity::Nothing => false,
        }
    }
}

/// A publication's row filter, in SQL as `pg_get_expr` gives it; several publications never apply at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowFilter(pub Arc<str>);

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Name, as stored: unquoted.
    pub name: Arc<str>,
    /// Its type; of a domain the base type.
    pub kind: Kind,
    /// `pg_type.oid` of the type it was declared with; a domain's own.
    pub type_oid: u32,
    /// Whether it can be NULL.
    pub nullable: bool,
    /// How its text is compared.
    pub collation: Collation,
}

/// How the text of a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collation {
    /// `C` or `POSIX`: byte by byte, order included.
    Bytes,
    /// Any other deterministic collation: equal only where the bytes are, in an order of its own.
    Deterministic,
    /// A nondeterministic collation: different bytes may be equal.
    Nondeterministic,
    /// The type has no collation.
    None,
}

/// Schema and name of a table, as stored: unquoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The schema.
    pub schema: Arc<str>,
    /// The table within it.
    pub name: Arc<str>,
}

impl TableName {
    /// Both names, as stored.
    pub fn new(schema: &str, name: &str) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// Reads `schema.table` or `table` (of schema `public`) by PostgreSQL's rules: an unquoted name is folded to
    /// lower case (ASCII only, as in a UTF-8 database), `"…"` keeps its case, `""` is one quote.
    ///
    /// `None` if the text is not one or two names.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, rest) = identifier(text)?;
        match rest.strip_prefix('.') {
            None if rest.is_empty() => Some(Self::new("public", &first)),
            None => None,
            Some(rest) => match identifier(rest)? {
                (second, "") => Some(Self::new(&first, &second)),
                _ => None,
            },
        }
    }
}

/// Takes one identifier off the front of `text`.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let plain = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        return plain.then(|| (name.to_ascii_lowercase(), rest));
    };
    let mut name = String::new();
    loop {
        let (part, tail) = rest.split_once('"')?;
        name.push_str(part);
        match tail.strip_prefix('"') {
            Some(tail) => {
                name.push('"');
                rest = tail;
            }
            None => return (!name.is_empty()).then_some((name, tail)),
        }
    }
}

/// `schema.table`, each quoted where PostgreSQL would need it to be.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, separator) in [(&self.schema, "."), (&self.name, "")] {
            let letter = |c: char| match c {
                'a'..='z' | '_' => true,
                c => !c.is_ascii() && !c.is_whitespace() && !c.is_control(),
            };
            let plain = part.starts_with(letter) && part.chars().all(|c| letter(c) || c.is_ascii_digit());
            if plain {
                write!(f, "{part}{separator}")?;
            } else {
                write!(f, "\"{}\"{separator}", part.replace('"', "\"\""))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_postgresql_rules_and_written_back() {
        for (text, schema, name, shown) in [
            ("entries", "public", "entries", "public.entries"),
            ("App.Entries", "app", "entries", "app.entries"),
            ("app.\"Entries\"", "app", "Entries", "app.\"Entries\""),
            ("\"a.b\".\"c\"\"d\"", "a.b", "c\"d", "\"a.b\".\"c\"\"d\""),
            ("\"a\u{8d}b\"", "public", "a\u{8d}b", "public.\"a\u{8d}b\""),
            ("größe.Übung", "größe", "Übung", "größe.Übung"),
        ] {
            let parsed = TableName::parse(text).expect(text);
            assert_eq!((&*parsed.schema, &*parsed.name), (schema, name));
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(TableName::parse(shown), Some(parsed));
        }
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"\"", "a b", "\"a\"b"] {
            assert_eq!(TableName::parse(text), None, "{text}");
        }
    }
}
