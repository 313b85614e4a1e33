use std::sync::Arc;

/// A table as the stream describes it, at one point of the log.
///
/// A table whose definition changes is described again; rows before and after refer to their own description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`; of a partitioned table the root's.
    pub oid: u32,
    /// Schema, as stored: unquoted.
    pub schema: Arc<str>,
    /// Table name, as stored: unquoted.
    pub name: Arc<str>,
    /// What the old images of its rows carry.
    pub identity: ReplicaIdentity,
    /// The published columns, in the order in which rows carry them.
    pub columns: Vec<RelationColumn>,
}

/// One column as the stream describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Name, as stored: unquoted.
    pub name: Arc<str>,
    /// Whether it is part of the replica identity.
    pub key: bool,
    /// `pg_type.oid`; a domain's own.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`; -1 for none.
    pub type_modifier: i32,
}

/// What the old image of an updated or deleted row carries.
///
/// See <https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key, and that only where it changed or the row was deleted.
    Default,
    /// Nothing: updates and deletes of a published table then fail.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of a chosen unique index.
    Index,
}

impl ReplicaIdentity {
    /// Reads `pg_class.relreplident`.
    pub const fn from_catalog(letter: u8) -> Option<Self> {
        match letter {
            b'd' => Some(Self::Default),
            b'n' => Some(Self::Nothing),
            b'f' => Some(Self::Full),
            b'i' => Some(Self::Index),
            _ => None,
        }
    }

    /// The letter of `pg_class.relreplident`.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Default => b'd',
            Self::Nothing => b'n',
            Self::Full => b'f',
            Self::Index => b'i',
        }
    }
}
