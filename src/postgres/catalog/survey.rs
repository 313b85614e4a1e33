use std::collections::HashMap;
use std::hash::Hash as _;

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::Fnv;
use super::relation::{Candidate, Relation};

/// Every relation outside of PostgreSQL's own schemas that a name could stand for, and whether it is published.
///
/// `to_jsonb` reads what only later releases have: `attnames`, `rowfilter` and `prattrs` are there from 15 on. A column
/// list is any publication's, since none goes with full images: the table's own, or that of one it is a partition of.
const RELATIONS: &str = "
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
       (select array_agg(a.attname order by k.place)
          from pg_partitioned_table pt
         cross join unnest(pt.partattrs::int2[]) with ordinality as k (attnum, place)
          left join pg_attribute a on a.attrelid = pt.partrelid and a.attnum = k.attnum
         where pt.partrelid = c.oid) as partition_columns,
       primary_key.name as primary_name,
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
       pg_has_role(c.relowner, 'usage') and coalesce(membership.alterable, true) as owned,
       coalesce(membership.named, false) as member,
       membership.version as membership,
       p.tablename is not null as published,
       case when to_jsonb(p) ? 'attnames'
            then array(select jsonb_array_elements_text(to_jsonb(p) -> 'attnames'))
       end as published_columns,
       to_jsonb(p) ->> 'rowfilter' as row_filter,
       exists (select from pg_publication_rel r
                where to_jsonb(r) ->> 'prattrs' is not null
                  and (r.prrelid = c.oid
                       or r.prrelid in (select pg_partition_ancestors(c.oid)))) as column_list
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join lateral (
         select ic.relname as name,
                i.indimmediate,
                array(select a.attname
                        from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
                        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                       where k.place <= i.indnkeyatts
                       order by k.place) as columns
           from pg_index i
           join pg_class ic on ic.oid = i.indexrelid
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
  left join lateral (
         select pg_has_role(of.pubowner, 'usage') as alterable,
                r.oid is not null as named,
                concat_ws(' ', of.oid, of.xmin, r.oid, r.xmin) as version
           from pg_publication of
           left join pg_publication_rel r on r.prpubid = of.oid and r.prrelid = c.oid
          where of.pubname = $1
       ) membership on true
  left join pg_publication_tables p
         on p.pubname = $1 and p.schemaname = n.nspname and p.tablename = c.relname
 where c.relkind in ('r', 'p', 'v', 'm', 'f')
   and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'";

/// All below every partitioned table that is nobody's partition, and which transaction attached each to its parent.
const PARTITIONS: &str = "
select c.oid, node.relid::oid, node.isleaf, i.xmin::text as attached
  from pg_class c
 cross join lateral pg_partition_tree(c.oid) node
  join pg_inherits i on i.inhrelid = node.relid and i.inhparent = node.parentrelid
 where c.relkind = 'p'
   and not c.relispartition
 order by c.oid, node.relid::oid";

/// All relations, by oid, and what hangs together.
pub(super) struct Survey {
    pub(super) relations: HashMap<u32, Relation>,
    /// Of each partitioned root.
    partitions: HashMap<u32, Partitions>,
    /// `server_version_num`.
    pub(super) version: i32,
}

#[derive(Default)]
struct Partitions {
    leaves: Vec<u32>,
    /// A partition that was detached and attached again is the same to all but this: what was done to it meanwhile is
    /// in the stream under its own name, or not at all.
    attachments: Fnv,
}

impl Survey {
    pub(super) async fn of(
        transaction: &Transaction<'_>,
        publication: &str,
    ) -> Result<Self, tokio_postgres::Error> {
        // Polled together, the statements travel together.
        let (relations, nodes, version) = futures_util::future::try_join3(
            transaction.query_typed(RELATIONS, &[(&publication, Type::TEXT)]),
            transaction.query_typed(PARTITIONS, &[]),
            transaction.query_typed("select current_setting('server_version_num')::int4", &[]),
        )
        .await?;
        let relations = relations
            .iter()
            .map(|row| Relation::read(row).map(|relation| (relation.oid, relation)))
            .collect::<Result<_, _>>()?;
        let mut partitions: HashMap<u32, Partitions> = HashMap::new();
        for row in &nodes {
            let of = partitions.entry(row.try_get(0)?).or_default();
            let (node, attached): (u32, &str) = (row.try_get(1)?, row.try_get(3)?);
            (node, attached).hash(&mut of.attachments);
            if row.try_get(2)? {
                of.leaves.push(node);
            }
        }
        let version = version.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(Self { relations, partitions, version })
    }

    /// The leaves of a partitioned root, by oid.
    pub(super) fn leaves(&self, oid: u32) -> &[u32] {
        self.partitions.get(&oid).map_or(&[], |partitions| &partitions.leaves)
    }

    /// Takes in which leaves `relation` has, since when, and the storage of each.
    ///
    /// Of a table without leaves the storage tells nothing: it is another one after a `truncate`, which the stream tells
    /// of, and after a `vacuum full` and the like, which change no row. A leaf's `truncate` is in no stream.
    pub(super) fn hash_storage(&self, relation: &Relation, hasher: &mut Fnv) {
        if let Some(partitions) = self.partitions.get(&relation.oid) {
            partitions.attachments.hash(hasher);
            for leaf in &partitions.leaves {
                (leaf, self.relations.get(leaf).and_then(|leaf| leaf.filenode)).hash(hasher);
            }
        }
    }
}

/// Every relation as a candidate for `publication`, by name.
pub(in crate::postgres) async fn candidates(
    transaction: &Transaction<'_>,
    publication: &str,
) -> Result<Vec<Candidate>, tokio_postgres::Error> {
    let survey = Survey::of(transaction, publication).await?;
    let mut candidates: Vec<_> = survey
        .relations
        .values()
        .map(|relation| relation.candidate(&survey.relations, survey.leaves(relation.oid), publication))
        .collect();
    candidates.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(candidates)
}
