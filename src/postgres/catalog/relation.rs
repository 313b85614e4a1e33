use std::collections::HashMap;

use tokio_postgres::Row;

use crate::event::{ReplicaIdentity, TableName};

use super::super::quote_table;
use super::refusal::{LeafIdentity, Partitioning};
use super::{NoKey, Refusal, RelationKind};

/// One row of what [`Survey`](super::survey::Survey) reads.
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) name: TableName,
    kind: String,
    persistence: String,
    family: Family,
    identity: ReplicaIdentity,
    pub(super) filenode: Option<u32>,
    partitioning: Partitioning,
    primary: Option<PrimaryKey>,
    identity_columns: Vec<String>,
    /// A unique index over columns that are never null.
    usable_index: Option<String>,
    standing: Standing,
    /// Changes whenever the publication, or the table's place in it, was altered or made anew.
    pub(super) membership: Option<String>,
    /// Whether the publication publishes it: by its name, its schema's, or with all.
    pub(super) published: bool,
    /// `None` before PostgreSQL 15, which publishes all.
    pub(super) published_columns: Option<Vec<String>>,
    pub(super) row_filter: Option<String>,
    /// Whether a column list, of whichever publication, governs it.
    column_list: bool,
}

struct PrimaryKey {
    name: String,
    columns: Vec<String>,
    /// Not deferrable.
    immediate: bool,
}

/// A relation that a publication may name.
pub(in crate::postgres) struct Candidate {
    pub(in crate::postgres) table: TableName,
    pub(in crate::postgres) standing: Standing,
    /// Whether it can be followed, apart from being published.
    pub(in crate::postgres) verdict: Result<(), Refusal>,
    /// How the publication publishes it, if it does: by its name, its schema's, or with all.
    pub(in crate::postgres) publishing: Publishing,
    /// What makes its old images whole, and those of its partitions; `None` where they are, or must not be.
    pub(in crate::postgres) full_identity: Option<String>,
}

/// Whether a publication tells of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Publishing {
    /// It does not.
    No,
    /// It does.
    Whole,
    /// It does, but its column list leaves the key out.
    Unlisted(Refusal),
}

/// How a relation stands to a publication and to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Standing {
    /// The publication names it.
    Member,
    /// It does not, and we may add it.
    Owned,
    /// It does not, and only another role may add it.
    Foreign,
}

/// What a table is to others.
enum Family {
    Alone,
    Partition { root: Option<u32> },
    Parent,
    Child,
}

/// How a table's rows are told apart, and how much of them old images carry.
pub(super) struct Identity {
    /// By name, in the order of the index.
    pub(super) key: Vec<String>,
    pub(super) identity: ReplicaIdentity,
}

impl Family {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(if row.try_get("relispartition")? {
            Self::Partition { root: row.try_get("root")? }
        } else if row.try_get("has_children")? {
            Self::Parent
        } else if row.try_get("has_parent")? {
            Self::Child
        } else {
            Self::Alone
        })
    }
}

impl Relation {
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let schema: &str = row.try_get("nspname")?;
        let identity: &str = row.try_get("relreplident")?;
        Ok(Self {
            oid: row.try_get("oid")?,
            name: TableName::new(schema, row.try_get("relname")?),
            kind: row.try_get("relkind")?,
            persistence: row.try_get("relpersistence")?,
            family: Family::read(row)?,
            // A letter that no release knows yet is taken for the one that promises nothing.
            identity: ReplicaIdentity::from_catalog(identity.as_bytes().first().copied().unwrap_or_default())
                .unwrap_or(ReplicaIdentity::Nothing),
            filenode: row.try_get("filenode")?,
            partitioning: Partitioning::of(row.try_get("partition_columns")?),
            primary: match row.try_get("primary_columns")? {
                None => None,
                Some(columns) => Some(PrimaryKey {
                    name: row.try_get("primary_name")?,
                    columns,
                    immediate: row.try_get("primary_immediate")?,
                }),
            },
            identity_columns: row.try_get("identity_columns")?,
            usable_index: row.try_get("usable_index")?,
            standing: match (row.try_get("member")?, row.try_get("owned")?) {
                (true, _) => Standing::Member,
                (false, true) => Standing::Owned,
                (false, false) => Standing::Foreign,
            },
            membership: row.try_get("membership")?,
            published: row.try_get("published")?,
            published_columns: row.try_get("published_columns")?,
            row_filter: row.try_get("row_filter")?,
            column_list: row.try_get("column_list")?,
        })
    }

    /// What it is, if that alone rules it out.
    pub(super) fn unsupported(&self, all: &HashMap<u32, Relation>, leaves: &[u32]) -> Option<RelationKind> {
        let own = match (self.kind.as_str(), self.persistence.as_str(), &self.family) {
            ("v", _, _) => Some(RelationKind::View),
            ("m", _, _) => Some(RelationKind::MaterializedView),
            (_, "t", _) => Some(RelationKind::Temporary),
            (_, _, Family::Partition { root }) => {
                let root = root.and_then(|root| all.get(&root)).map(|root| root.name.clone());
                Some(RelationKind::Partition { root: root.unwrap_or_else(|| self.name.clone()) })
            }
            ("f", _, _) => Some(RelationKind::Foreign),
            (_, "u", _) => Some(RelationKind::Unlogged),
            ("r", _, Family::Parent) => Some(RelationKind::InheritanceParent),
            ("r", _, Family::Child) => Some(RelationKind::InheritanceChild),
            _ => None,
        };
        own.or_else(|| {
            leaves.iter().filter_map(|leaf| all.get(leaf)).find_map(|leaf| {
                let kind = match (leaf.kind.as_str(), leaf.persistence.as_str()) {
                    ("f", _) => RelationKind::Foreign,
                    (_, "u") => RelationKind::Unlogged,
                    _ => return None,
                };
                Some(RelationKind::Partitioned { leaf: leaf.name.clone(), kind: Box::new(kind) })
            })
        })
    }

    /// Its key, and the least that the old images of it and all its leaves carry.
    ///
    /// A leaf's own identity decides what the log holds, and the root's what the stream says that it is: full images of a
    /// root that is not arrive as keys.
    pub(super) fn identity(&self, all: &HashMap<u32, Relation>, leaves: &[u32]) -> Result<Identity, NoKey> {
        let key = self.key()?;
        if leaves.is_empty() {
            return Ok(Identity { key, identity: self.identity });
        }
        let mut full = true;
        for leaf in leaves.iter().filter_map(|leaf| all.get(leaf)) {
            full &= leaf.identity == ReplicaIdentity::Full;
            if leaf.identity != ReplicaIdentity::Full && !leaf.carries(&key) {
                let mend = if covers(leaf.immediate_key(), &key) {
                    LeafIdentity::Default
                } else {
                    LeafIdentity::Full
                };
                return Err(NoKey::Leaf { leaf: leaf.name.clone(), mend });
            }
        }
        let identity = match self.identity {
            ReplicaIdentity::Full if full => ReplicaIdentity::Full,
            ReplicaIdentity::Index => ReplicaIdentity::Index,
            _ => ReplicaIdentity::Default,
        };
        Ok(Identity { key, identity })
    }

    /// The columns by which its rows are told apart: the identity index's if one is set, else the primary key's.
    fn key(&self) -> Result<Vec<String>, NoKey> {
        if self.identity == ReplicaIdentity::Index && !self.identity_columns.is_empty() {
            return Ok(self.identity_columns.clone());
        }
        match (&self.primary, self.identity) {
            (None, _) => Err(NoKey::Missing {
                index: self.usable_index.clone(),
                partitioning: self.partitioning.clone(),
            }),
            (Some(primary), _) if !primary.immediate => Err(NoKey::Deferrable {
                columns: primary.columns.clone(),
                index: self.usable_index.clone(),
                partitioned: (self.partitioning != Partitioning::None).then(|| primary.name.clone()),
            }),
            (_, ReplicaIdentity::Nothing | ReplicaIdentity::Index) => Err(NoKey::Unused),
            (Some(primary), ReplicaIdentity::Default | ReplicaIdentity::Full) => Ok(primary.columns.clone()),
        }
    }

    /// The primary key's columns, if PostgreSQL would identify a row by them.
    fn immediate_key(&self) -> &[String] {
        match &self.primary {
            Some(primary) if primary.immediate => &primary.columns,
            _ => &[],
        }
    }

    /// Whether the old images of a row that is not fully told carry all of `key`.
    fn carries(&self, key: &[String]) -> bool {
        let carried: &[String] = match self.identity {
            ReplicaIdentity::Default => self.immediate_key(),
            ReplicaIdentity::Index => &self.identity_columns,
            _ => &[],
        };
        covers(carried, key)
    }

    /// What a publication has to know of it.
    pub(super) fn candidate(
        &self,
        all: &HashMap<u32, Relation>,
        leaves: &[u32],
        publication: &str,
    ) -> Candidate {
        let identity = match self.unsupported(all, leaves) {
            Some(kind) => Err(Refusal::Kind { table: self.name.clone(), kind }),
            None => self.identity(all, leaves).map_err(|reason| self.no_key(reason)),
        };
        let publishing = match (&identity, &self.published_columns) {
            _ if !self.published => Publishing::No,
            (Ok(identity), Some(listed)) if !covers(listed, &identity.key) => {
                let left_out = identity.key.iter().filter(|column| !listed.contains(column)).cloned();
                Publishing::Unlisted(self.unlisted(publication, left_out.collect(), listed.clone()))
            }
            _ => Publishing::Whole,
        };
        let full_identity = self.full_identity(all, leaves);
        Candidate {
            table: self.name.clone(),
            standing: self.standing,
            verdict: identity.map(drop),
            publishing,
            full_identity,
        }
    }

    /// The statements that have old images of it, and of all its leaves, carry every column.
    ///
    /// `None` where they do; and under a column list, with which full images do not go: every update would fail.
    pub(super) fn full_identity(&self, all: &HashMap<u32, Relation>, leaves: &[u32]) -> Option<String> {
        let parts = || std::iter::once(self).chain(leaves.iter().filter_map(|leaf| all.get(leaf)));
        if parts().any(|part| part.column_list) {
            return None;
        }
        let statements: Vec<_> = parts()
            .filter(|part| part.identity != ReplicaIdentity::Full)
            .map(|part| format!("alter table {} replica identity full;", quote_table(&part.name)))
            .collect();
        (!statements.is_empty()).then(|| statements.join("\n"))
    }

    /// The refusal of a table whose key the publication's column list leaves out.
    pub(super) fn unlisted(&self, publication: &str, columns: Vec<String>, listed: Vec<String>) -> Refusal {
        self.no_key(NoKey::ColumnList {
            publication: publication.into(),
            columns,
            listed: listed.into(),
            row_filter: self.row_filter.as_deref().map(Into::into),
        })
    }

    /// The refusal of a table that cannot be told apart.
    pub(super) fn no_key(&self, reason: NoKey) -> Refusal {
        Refusal::NoKey { table: self.name.clone(), reason }
    }
}

fn covers(carried: &[String], key: &[String]) -> bool {
    key.iter().all(|column| carried.contains(column))
}
