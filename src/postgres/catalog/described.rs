use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Client;

use crate::event::envelope::{TypeRow, Types};
use crate::postgres::Error;

/// Types that `initdb` has not made, and with them those that are made of them.
///
/// A true array is one that its element type names as its own.
const TYPES: &str = "
select t.oid,
       t.typname::text,
       case when t.typtype = 'd' then t.typbasetype end,
       t.typtypmod,
       e.oid,
       ascii(e.typdelim::text)
  from pg_type t
  left join pg_type e on e.oid = t.typelem and e.typarray = t.oid
 where t.oid >= 16384";

const KEYS: &str = "
select i.indrelid,
       array_agg(a.attname::text order by k.place)
  from pg_index i
 cross join lateral unnest(i.indkey::smallint[]) with ordinality k (attnum, place)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
 where i.indisprimary
   and i.indrelid >= 16384
 group by i.indrelid";

const OPERATION: &str = "read types and keys";

/// What the stream does not tell of types and keys, for messages to services: types without a fixed oid, and the names
/// of primary keys' columns, by `pg_class.oid`.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn describe(client: &Client) -> Result<(Types, HashMap<u32, Vec<Arc<str>>>), Error> {
    let failed = Error::query(OPERATION);
    let read = futures_util::future::try_join(client.query_typed(TYPES, &[]), client.query_typed(KEYS, &[]));
    let (types, keys) = read.await.map_err(failed)?;
    let types = types.iter().map(|row| {
        let name: &str = row.try_get(1)?;
        let base: Option<u32> = row.try_get(2)?;
        let element: Option<u32> = row.try_get(4)?;
        let delimiter: Option<i32> = row.try_get(5)?;
        let delimiter = delimiter.and_then(|code| u8::try_from(code).ok()).unwrap_or(b',');
        let base = match base {
            Some(base) => Some((base, row.try_get(3)?)),
            None => None,
        };
        let row_of_type =
            TypeRow { name: name.into(), base, element: element.map(|element| (element, delimiter)) };
        Ok((row.try_get(0)?, row_of_type))
    });
    let keys = keys.iter().map(|row| {
        let names: Vec<&str> = row.try_get(1)?;
        Ok((row.try_get(0)?, names.into_iter().map(Arc::from).collect()))
    });
    let both = || {
        Ok::<_, tokio_postgres::Error>((
            types.collect::<Result<Types, _>>()?,
            keys.collect::<Result<_, _>>()?,
        ))
    };
    both().map_err(Error::query(OPERATION))
}
