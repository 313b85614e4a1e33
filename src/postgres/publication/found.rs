use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use crate::event::TableName;

use super::super::{Error as PostgresError, quote};
use super::{Error, Fault, MARK, OPERATION, OPERATIONS};

const LOOK: &str = "
select p.pubinsert,
       p.pubupdate,
       p.pubdelete,
       p.pubtruncate,
       p.pubviaroot,
       not p.puballtables and coalesce(starts_with(obj_description(p.oid, 'pg_publication'), $2), false) as ours,
       pg_has_role(p.pubowner, 'usage') as alterable,
       pg_get_userbyid(p.pubowner)::text as owned_by
  from pg_publication p
 where p.pubname = $1";

/// A partitioned table that the publication holds, be it by one of its partitions.
const PARTITIONED: &str = "
select n.nspname, c.relname
  from pg_publication_tables p
  join pg_namespace pn on pn.nspname = p.schemaname
  join pg_class pc on pc.relnamespace = pn.oid and pc.relname = p.tablename
  join pg_class c on c.oid = coalesce(pg_partition_root(pc.oid), pc.oid)
  join pg_namespace n on n.oid = c.relnamespace
 where p.pubname = $1
   and c.relkind = 'p'
 union
select n.nspname, c.relname
  from pg_publication_rel r
  join pg_publication p on p.oid = r.prpubid
  join pg_class c on c.oid = r.prrelid
  join pg_namespace n on n.oid = c.relnamespace
 where p.pubname = $1
   and c.relkind = 'p'
 order by 1, 2
 limit 1";

/// A publication that exists.
pub(in crate::postgres) struct Found {
    pub(in crate::postgres) owner: Owner,
    /// The role that it belongs to, if ours may not alter it.
    pub(in crate::postgres) foreign: Option<String>,
    /// Operations that it leaves out.
    missing: Vec<&'static str>,
    partitions: Partitions,
}

/// Who made a publication. One of all tables is the user's own whatever its comment: no table of it can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Owner {
    Ours,
    User,
}

/// Under whose name a partition's changes are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partitions {
    ByRoot,
    ByThemselves,
}

impl Found {
    pub(in crate::postgres) async fn look(
        transaction: &Transaction<'_>,
        publication: &str,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let rows = transaction.query_typed(LOOK, &[(&publication, Type::TEXT), (&MARK, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut missing = Vec::new();
        for (column, operation) in
            ["pubinsert", "pubupdate", "pubdelete", "pubtruncate"].into_iter().zip(OPERATIONS.split(", "))
        {
            if !row.try_get(column)? {
                missing.push(operation);
            }
        }
        Ok(Some(Self {
            owner: if row.try_get("ours")? { Owner::Ours } else { Owner::User },
            foreign: if row.try_get("alterable")? { None } else { Some(row.try_get("owned_by")?) },
            missing,
            partitions: if row.try_get("pubviaroot")? {
                Partitions::ByRoot
            } else {
                Partitions::ByThemselves
            },
        }))
    }

    /// Whether nobody has changed what [`super::creation`] made.
    pub(in crate::postgres) fn is_as_made(&self) -> bool {
        self.missing.is_empty() && self.partitions == Partitions::ByRoot
    }

    /// Whether it is ours, and either right or ours to put right.
    pub(in crate::postgres) fn is_kept(&self) -> bool {
        self.owner == Owner::Ours && (self.is_as_made() || self.foreign.is_none())
    }

    /// What is wrong with it, if it is to be followed as it is.
    pub(in crate::postgres) async fn faults(
        &self,
        transaction: &Transaction<'_>,
        publication: &str,
    ) -> Result<Vec<Fault>, tokio_postgres::Error> {
        let mut faults = Vec::new();
        let name = quote(publication);
        if !self.missing.is_empty() {
            let sql = format!("alter publication {name} set (publish = '{OPERATIONS}');");
            faults.push(Fault::Operations { missing: self.missing.clone(), sql });
        }
        if self.partitions == Partitions::ByThemselves {
            let rows = transaction.query_typed(PARTITIONED, &[(&publication, Type::TEXT)]).await?;
            for row in &rows {
                let table = TableName::new(row.try_get(0)?, row.try_get(1)?);
                let sql = format!("alter publication {name} set (publish_via_partition_root = true);");
                faults.push(Fault::PartitionRoot { table, sql });
            }
        }
        Ok(faults)
    }

    /// Refuses it if anything is wrong with it.
    pub(super) async fn check(&self, transaction: &Transaction<'_>, publication: &str) -> Result<(), Error> {
        let failed = PostgresError::query(OPERATION);
        let faults = self.faults(transaction, publication).await.map_err(failed)?;
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Unusable { publication: publication.to_owned(), faults })
        }
    }
}
