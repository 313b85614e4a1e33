use std::fmt;

use crate::event::TableName;

use super::super::{quote, quote_table};

/// Why a relation cannot be subscribed to. `Display` says it in a sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a table whose changes the stream carries.
    Kind {
        /// The relation.
        table: TableName,
        /// What it is.
        kind: RelationKind,
    },
    /// Its rows cannot be told apart, or their changes not be followed.
    NoKey {
        /// The table.
        table: TableName,
        /// What exactly is missing.
        reason: NoKey,
    },
    /// It was published only now: of what transactions did to it before, and have not committed yet, the stream will
    /// not tell. It can be followed once they have ended.
    Settling {
        /// The table.
        table: TableName,
    },
    /// The publication, which is not ours to alter, leaves changes out of the stream.
    Withheld {
        /// The table.
        table: TableName,
        /// The publication.
        publication: String,
        /// What is wrong with it.
        reason: String,
        /// What mends it.
        sql: String,
    },
    /// The publication leaves it out.
    NotPublished {
        /// The table.
        table: TableName,
        /// The publication.
        publication: String,
    },
}

/// What a relation is, where it is not a table to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A table of another server.
    Foreign,
    /// A table that is not in the write-ahead log.
    Unlogged,
    /// A table of one session.
    Temporary,
    /// PostgreSQL's own.
    System,
    /// A partition: changes come under its root's name.
    Partition {
        /// The root.
        root: TableName,
    },
    /// A table that others inherit from, not as partitions.
    InheritanceParent,
    /// A table that inherits from another, not as a partition.
    InheritanceChild,
    /// A partitioned table of which one partition is not in the write-ahead log.
    Partitioned {
        /// That partition.
        leaf: TableName,
        /// What it is: foreign or unlogged.
        kind: Box<RelationKind>,
    },
}

/// What exactly is missing for a table's rows to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// Neither a primary key nor an identity index.
    Missing {
        /// A unique index that would do as identity index, if there is one.
        index: Option<String>,
        /// Which columns a key would have to hold.
        partitioning: Partitioning,
    },
    /// The primary key is deferrable: PostgreSQL then identifies no row by it.
    Deferrable {
        /// Its columns.
        columns: Vec<String>,
        /// A unique index that would do as identity index, if there is one.
        index: Option<String>,
        /// The constraint, where the table is partitioned: no index can be made beside it without locking all.
        partitioned: Option<String>,
    },
    /// `replica identity nothing`, or an identity index that was dropped; there is a primary key to use.
    Unused,
    /// A partition's old images do not carry the root's key.
    Leaf {
        /// The partition.
        leaf: TableName,
        /// What its identity should be for the key to be carried.
        mend: LeafIdentity,
    },
    /// The publication's column list leaves these columns of the key out.
    ColumnList {
        /// The publication.
        publication: Box<str>,
        /// The columns.
        columns: Vec<String>,
        /// The columns that it lists.
        listed: Box<[String]>,
        /// Its row filter, which is kept.
        row_filter: Option<Box<str>>,
    },
}

/// How a table's rows are spread over partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// They are not.
    None,
    /// By these columns, which every key has to hold.
    Columns(Vec<String>),
    /// By an expression, under which there can be no key.
    Expression,
}

impl Partitioning {
    /// From the columns of the partition key, in which an expression has no name.
    pub(super) fn of(columns: Option<Vec<Option<String>>>) -> Self {
        match columns {
            None => Self::None,
            Some(columns) => {
                columns.into_iter().collect::<Option<_>>().map_or(Self::Expression, Self::Columns)
            }
        }
    }
}

/// What a partition's replica identity should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafIdentity {
    /// Its primary key, which is the root's.
    Default,
    /// The whole row: it has no primary key that carries the root's key.
    Full,
}

impl Refusal {
    /// The relation.
    pub fn table(&self) -> &TableName {
        match self {
            Self::Kind { table, .. }
            | Self::NoKey { table, .. }
            | Self::Settling { table }
            | Self::Withheld { table, .. }
            | Self::NotPublished { table, .. } => table,
        }
    }

    /// The SQL that mends it, for those who own the database, where SQL can.
    pub fn sql(&self) -> Option<String> {
        match self {
            Self::NoKey { table, reason } => reason.sql(table),
            Self::Withheld { sql, .. } => Some(sql.clone()),
            Self::NotPublished { table, publication } => {
                Some(format!("alter publication {} add table {};", quote(publication), quote_table(table)))
            }
            Self::Kind { kind: RelationKind::Unlogged, table } => {
                Some(format!("alter table {} set logged;", quote_table(table)))
            }
            Self::Kind { .. } | Self::Settling { .. } => None,
        }
    }
}

impl NoKey {
    fn sql(&self, table: &TableName) -> Option<String> {
        let name = quote_table(table);
        Some(match self {
            Self::Missing { index: Some(index), .. } | Self::Deferrable { index: Some(index), .. } => {
                format!("alter table {name} replica identity using index {};", quote(index))
            }
            Self::Missing { index: None, partitioning } => match partitioning {
                Partitioning::None => format!(
                    "alter table {name} add column \"row_id\" bigint generated always as identity primary key;"
                ),
                // A column that is an identity can be added to no partitioned table before PostgreSQL 17.
                Partitioning::Columns(columns) => format!(
                    "alter table {name} add column \"row_id\" bigserial, add primary key (\"row_id\", {});",
                    quoted(columns),
                ),
                Partitioning::Expression => return None,
            },
            Self::Deferrable { columns, index: None, partitioned: None } => {
                let index = quote(&format!("{}_identity", table.name));
                format!(
                    "create unique index concurrently {index} on {name} ({columns});\n\
                     alter table {name} replica identity using index {index};",
                    columns = quoted(columns),
                )
            }
            // Each partition would have to be told to use its own part of an index.
            Self::Deferrable { columns, index: None, partitioned: Some(constraint) } => format!(
                "alter table {name} drop constraint {}, add primary key ({});",
                quote(constraint),
                quoted(columns),
            ),
            Self::Unused => format!("alter table {name} replica identity default;"),
            Self::Leaf { leaf, mend: LeafIdentity::Default } => {
                format!("alter table {} replica identity default;", quote_table(leaf))
            }
            Self::Leaf { leaf, mend: LeafIdentity::Full } => {
                format!("alter table {} replica identity full;", quote_table(leaf))
            }
            Self::ColumnList { publication, columns, listed, row_filter } => format!(
                "begin;\nalter publication {publication} drop table {name};\n\
                 alter publication {publication} add table {name} ({columns}){filter};\ncommit;",
                publication = quote(publication),
                columns = quoted(&[columns.as_slice(), &**listed].concat()),
                filter = row_filter.as_ref().map(|filter| format!(" where ({filter})")).unwrap_or_default(),
            ),
        })
    }
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

impl RelationKind {
    /// What a relation of this schema is whatever its name, for the schemas that are PostgreSQL's own.
    pub(super) fn of_schema(schema: &str) -> Option<Self> {
        if schema.starts_with("pg_temp") {
            Some(Self::Temporary)
        } else if schema.starts_with("pg_") || schema == "information_schema" {
            Some(Self::System)
        } else {
            None
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { table, kind: RelationKind::Partition { root } } => {
                write!(f, "{table} is a partition of {root}: subscribe to that")
            }
            Self::Kind { table, kind } => write!(f, "{table} is {kind}, which cannot be followed"),
            Self::NoKey { table, reason } => write!(f, "table {table} {reason}"),
            Self::Settling { table } => write!(
                f,
                "table {table} was published only now, and transactions that wrote to it before have not ended"
            ),
            Self::Withheld { table, publication, reason, .. } => {
                write!(f, "table {table} cannot be followed through publication `{publication}`: {reason}")
            }
            Self::NotPublished { table, publication } => {
                write!(f, "table {table} is not part of publication `{publication}`")
            }
        }
    }
}

impl fmt::Display for RelationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View => f.write_str("a view"),
            Self::MaterializedView => f.write_str("a materialized view"),
            Self::Foreign => f.write_str("a foreign table"),
            Self::Unlogged => f.write_str("an unlogged table"),
            Self::Temporary => f.write_str("a temporary table"),
            Self::System => f.write_str("a system catalog"),
            Self::Partition { root } => write!(f, "a partition of {root}"),
            Self::InheritanceParent => f.write_str("a table that others inherit from"),
            Self::InheritanceChild => f.write_str("a table that inherits from another"),
            Self::Partitioned { leaf, kind } => {
                write!(f, "a partitioned table whose partition {leaf} is {kind}")
            }
        }
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { .. } => f.write_str("has neither a primary key nor an identity index"),
            Self::Deferrable { .. } => {
                f.write_str("has a deferrable primary key, which cannot identify its rows")
            }
            Self::Unused => f.write_str("has a primary key that its replica identity does not use"),
            Self::Leaf { leaf, .. } => {
                write!(f, "has a partition, {leaf}, whose replica identity does not carry the key")
            }
            Self::ColumnList { publication, columns, .. } => {
                write!(
                    f,
                    "has key columns that publication `{publication}` leaves out: {}",
                    columns.join(", ")
                )
            }
        }
    }
}
