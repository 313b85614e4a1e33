use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::Error;

/// Who holds a table, or one of its partitions, locked for writing: by virtual transaction id, which prepared
/// transactions have too.
const WRITERS: &str = "
select root.oid, l.virtualtransaction
  from unnest($1) as root (oid)
 cross join lateral (
         select root.oid
          union
         select tree.relid::oid
           from pg_partition_tree(root.oid) tree
       ) part (oid)
  join pg_locks l
    on l.locktype = 'relation'
   and l.database = (select d.oid from pg_database d where d.datname = current_database())
   and l.relation = part.oid
 where l.granted
   and l.mode = 'RowExclusiveLock'";

/// A transaction that writes to a table.
pub type Writer = String;

/// The transactions that have written to one of these tables, or are about to, and have not ended.
///
/// What they did before a publication took the table in is not in its stream. Asked after that, nobody else can have
/// done such a thing and still be invisible.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn writers(client: &Client, tables: &[u32]) -> Result<HashMap<u32, HashSet<Writer>>, Error> {
    let failed = Error::query("look for transactions that write to a table");
    let rows = client.query_typed(WRITERS, &[(&tables, Type::OID_ARRAY)]).await.map_err(failed)?;
    let mut writers: HashMap<u32, HashSet<Writer>> = HashMap::new();
    for row in &rows {
        let table = row.try_get(0).map_err(failed)?;
        writers.entry(table).or_default().insert(row.try_get(1).map_err(failed)?);
    }
    Ok(writers)
}
