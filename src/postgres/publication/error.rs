use std::fmt;

use crate::event::TableName;

/// A publication that could not be kept, or that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The conversation went wrong.
    #[error(transparent)]
    Postgres(#[from] super::super::Error),
    /// The publication would leave changes out without a word, and is the user's own, or another role's. At start halt:
    /// only its owner can mend it.
    #[error("publication `{publication}` is not ours to alter and cannot be followed: {}", list(faults))]
    Unusable {
        /// The publication.
        publication: String,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
}

/// Why a publication of the user's own cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It leaves operations out.
    Operations {
        /// Those that it leaves out, as in `truncate`.
        missing: Vec<&'static str>,
        /// What mends it.
        sql: String,
    },
    /// It holds a partitioned table and publishes its partitions by their own names.
    PartitionRoot {
        /// One of the tables.
        table: TableName,
        /// What mends it.
        sql: String,
    },
}

impl Fault {
    /// The SQL that mends it.
    pub fn sql(&self) -> &str {
        match self {
            Self::Operations { sql, .. } | Self::PartitionRoot { sql, .. } => sql,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operations { missing, .. } => write!(f, "it leaves out {}", missing.join(", ")),
            Self::PartitionRoot { table, .. } => {
                write!(f, "it holds the partitioned table {table} without `publish_via_partition_root`")
            }
        }
    }
}

fn list(faults: &[Fault]) -> String {
    let texts: Vec<String> =
        faults.iter().map(|fault| format!("{fault} (mend it by `{}`)", fault.sql())).collect();
    texts.join("; ")
}
