use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};

use tokio_postgres::Row;

use crate::event::{ReplicaIdentity, TableName};

use super::refusal::LeafIdentity;
use super::{Fnv, NoKey, Refusal, RelationKind};

/// Every relation outside of PostgreSQL's own schemas that a name could stand for, and whether it is published.
///
/// `to_jsonb` reads what only later releases have: `attnames` and `rowfilter` are there from 15 on.
pub(super) const RELATIONS: &str = "
select c.oid,
       n.nspname,
       c.relname,
       c.relkind::text,
       c.relpersistence::text,
       c.relispartition,
       c.relreplident::text,
       exists (select from pg_inherits i where i.inhparent = c.oid) as has_children,
       exists (select from pg_inherits i where i.inhrelid = c.oid) as has_parent,
       pg_relation_filenode(c.oid) as filenode,
       case when c.relispartition then pg_partition_root(c.oid)::oid end as root,
       primary_key.indimmediate as primary_immediate,
       primary_key.columns as primary_columns,
       coalesce(identity.columns, '{}') as identity_columns,
       (select ic.relname
          from pg_index i
          join pg_class ic on ic.oid = i.indexrelid
         where i.indrelid = c.oid
           and i.indisunique
           and i.indimmediate
           and i.indisvalid
           and i.indpred is null
           and not exists (select
                             from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
                             left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                            where k.place <= i.indnkeyatts
                              and a.attnotnull is not true)
         order by i.indnkeyatts, ic.relname
         limit 1) as usable_index,
       pg_has_role(c.relowner, 'usage') as owned,
       exists (select
                 from pg_publication_rel member
                 join pg_publication of on of.oid = member.prpubid
                where member.prrelid = c.oid and of.pubname = $1) as member,
       p.tablename is not null as published,
       case when to_jsonb(p) ? 'attnames'
            then array(select jsonb_array_elements_text(to_jsonb(p) -> 'attnames'))
       end as published_columns,
       to_jsonb(p) ->> 'rowfilter' as row_filter
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join lateral (
         select i.indimmediate,
                array(select a.attname
                        from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
                        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                       where k.place <= i.indnkeyatts
                       order by k.place) as columns
           from pg_index i
          where i.indrelid = c.oid and i.indisprimary and i.indisvalid
       ) primary_key on true
  left join lateral (
         select array(select a.attname
                        from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
                        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                       where k.place <= i.indnkeyatts
                       order by k.place) as columns
           from pg_index i
          where i.indrelid = c.oid and i.indisreplident and i.indisvalid
       ) identity on true
  left join pg_publication_tables p
         on p.pubname = $1 and p.schemaname = n.nspname and p.tablename = c.relname
 where c.relkind in ('r', 'p', 'v', 'm', 'f')
   and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'";

/// The leaves of every partitioned table that is nobody's partition.
pub(super) const LEAVES: &str = "
select c.oid, leaf.relid::oid
  from pg_class c
 cross join lateral pg_partition_tree(c.oid) leaf
 where c.relkind = 'p'
   and not c.relispartition
   and leaf.isleaf
   and leaf.relid <> c.oid
 order by c.oid, leaf.relid::oid";

/// One row of [`RELATIONS`].
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) name: TableName,
    kind: String,
    persistence: String,
    family: Family,
    identity: ReplicaIdentity,
    filenode: Option<u32>,
    primary: Option<PrimaryKey>,
    identity_columns: Vec<String>,
    /// A unique index over columns that are never null.
    usable_index: Option<String>,
    owned: bool,
    /// Whether the publication names it.
    member: bool,
    /// Whether the publication publishes it: by its name, its schema's, or with all.
    pub(super) published: bool,
    /// `None` before PostgreSQL 15, which publishes all.
    pub(super) published_columns: Option<Vec<String>>,
    pub(super) row_filter: Option<String>,
}

struct PrimaryKey {
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
            primary: match row.try_get("primary_columns")? {
                None => None,
                Some(columns) => Some(PrimaryKey { columns, immediate: row.try_get("primary_immediate")? }),
            },
            identity_columns: row.try_get("identity_columns")?,
            usable_index: row.try_get("usable_index")?,
            owned: row.try_get("owned")?,
            member: row.try_get("member")?,
            published: row.try_get("published")?,
            published_columns: row.try_get("published_columns")?,
            row_filter: row.try_get("row_filter")?,
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
            _ if full => ReplicaIdentity::Full,
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
            (None, _) => Err(NoKey::Missing { index: self.usable_index.clone() }),
            (Some(primary), _) if !primary.immediate => {
                let (columns, index) = (primary.columns.clone(), self.usable_index.clone());
                Err(NoKey::Deferrable { columns, index })
            }
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

    /// The storage of it and of all its leaves, and which leaves there are.
    pub(super) fn storage(&self, all: &HashMap<u32, Relation>, leaves: &[u32]) -> u64 {
        let mut hasher = Fnv::default();
        self.filenode.hash(&mut hasher);
        for leaf in leaves {
            (leaf, all.get(leaf).and_then(|leaf| leaf.filenode)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What a publication has to know of it.
    pub(super) fn candidate(&self, all: &HashMap<u32, Relation>, leaves: &[u32]) -> Candidate {
        let standing = match (self.member, self.owned) {
            (true, _) => Standing::Member,
            (false, true) => Standing::Owned,
            (false, false) => Standing::Foreign,
        };
        let verdict = match self.unsupported(all, leaves) {
            Some(kind) => Err(Refusal::Kind { table: self.name.clone(), kind }),
            None => self.identity(all, leaves).map(drop).map_err(|reason| self.no_key(reason)),
        };
        Candidate { table: self.name.clone(), standing, verdict }
    }

    /// The refusal of a table that cannot be told apart.
    pub(super) fn no_key(&self, reason: NoKey) -> Refusal {
        Refusal::NoKey { table: self.name.clone(), reason }
    }
}

fn covers(carried: &[String], key: &[String]) -> bool {
    key.iter().all(|column| carried.contains(column))
}
