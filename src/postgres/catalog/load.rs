use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use crate::event::{Collation, Column, RowFilter, Table};

use super::super::Error;
use super::kinds::{Kinds, TYPES};
use super::relation::{Candidate, Identity, LEAVES, RELATIONS, Relation};
use super::{Catalog, Entry, Fnv, NoKey, Refusal};

/// From this release on, a publication can carry stored generated columns.
const PUBLISHES_GENERATED: i32 = 180_000;

/// The columns of the given tables, in their own order, with how their text is compared.
///
/// A database's or collation's locale counts as bytewise only where it is `C` in order and in character class; the
/// columns that name a provider and its locale are not in every release. And only where the bytes that the server
/// compares are in the order of ours, which are UTF-8: in UTF8 itself, and in LATIN1, whose bytes are the code points.
const COLUMNS: &str = "
select a.attrelid,
       a.attname,
       a.atttypid,
       a.attnotnull,
       a.attgenerated::text,
       case when a.attcollation = 0 then 'none'
            when not co.collisdeterministic then 'nondeterministic'
            when not db.alike then 'deterministic'
            when co.collprovider = 'c' and co.collcollate in ('C', 'POSIX') and co.collctype in ('C', 'POSIX')
              or co.collprovider = 'b' and to_jsonb(co) ->> 'colllocale' = 'C'
              or co.collprovider = 'd' and db.bytewise then 'bytes'
            else 'deterministic'
       end as collation
  from pg_attribute a
  left join pg_collation co on co.oid = a.attcollation
 cross join (
         select case coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
                     when 'c' then d.datcollate in ('C', 'POSIX') and d.datctype in ('C', 'POSIX')
                     when 'b' then to_jsonb(d) ->> 'datlocale' = 'C'
                     else false
                end as bytewise,
                pg_encoding_to_char(d.encoding) in ('UTF8', 'LATIN1') as alike
           from pg_database d
          where d.datname = current_database()
       ) db
 where a.attrelid = any($1)
   and a.attnum > 0
   and not a.attisdropped
 order by a.attrelid, a.attnum";

const OPERATION: &str = "read the catalog";

/// Reads the catalog as of one moment: every relation, and of those in `publication` how to follow them.
///
/// A publication that does not exist publishes nothing.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn load(client: &mut Client, publication: &str) -> Result<Catalog, Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(Error::query(OPERATION))?;
    let catalog = read(&transaction, publication).await.map_err(Error::query(OPERATION))?;
    transaction.commit().await.map_err(Error::query(OPERATION))?;
    Ok(catalog)
}

async fn read(transaction: &Transaction<'_>, publication: &str) -> Result<Catalog, tokio_postgres::Error> {
    let Survey { relations, leaves, version } = survey(transaction, publication).await?;
    let mut catalog = Catalog::default();
    let mut followed = HashMap::new();
    for relation in relations.values() {
        let leaves = leaves.get(&relation.oid).map_or(&[][..], Vec::as_slice);
        match judge(relation, &relations, leaves, publication) {
            Err(refusal) => {
                catalog.insert(relation.oid, relation.name.clone(), Entry::Refused(refusal));
            }
            Ok(identity) => {
                followed.insert(relation.oid, (identity, relation.storage(&relations, leaves)));
            }
        }
    }
    let oids: Vec<u32> = followed.keys().copied().collect();
    let (columns, types) = futures_util::future::try_join(
        transaction.query_typed(COLUMNS, &[(&oids, Type::OID_ARRAY)]),
        transaction.query_typed(TYPES, &[(&oids, Type::OID_ARRAY)]),
    )
    .await?;
    let kinds = Kinds::read(&types)?;
    let mut columns_of: HashMap<u32, Vec<&Row>> = HashMap::new();
    for row in &columns {
        columns_of.entry(row.try_get("attrelid")?).or_default().push(row);
    }
    for (oid, (identity, storage)) in followed {
        let relation = &relations[&oid];
        let rows = columns_of.remove(&oid).unwrap_or_default();
        let columns = published_columns(relation, &rows, &kinds, version)?;
        let mut hasher = Fnv::default();
        storage.hash(&mut hasher);
        for column in &columns {
            kinds.hash_inside(column.type_oid, &mut hasher);
        }
        let storage = hasher.finish();
        let entry = match assemble(relation, identity, storage, columns, publication) {
            Ok(table) => Entry::Table(table.into()),
            Err(refusal) => Entry::Refused(refusal),
        };
        catalog.insert(oid, relation.name.clone(), entry);
    }
    Ok(catalog)
}

/// All relations, by oid, and what hangs together.
struct Survey {
    relations: HashMap<u32, Relation>,
    /// Of each partitioned root.
    leaves: HashMap<u32, Vec<u32>>,
    /// `server_version_num`.
    version: i32,
}

async fn survey(transaction: &Transaction<'_>, publication: &str) -> Result<Survey, tokio_postgres::Error> {
    // Polled together, the statements travel together.
    let (relations, leaf_rows, version) = futures_util::future::try_join3(
        transaction.query_typed(RELATIONS, &[(&publication, Type::TEXT)]),
        transaction.query_typed(LEAVES, &[]),
        transaction.query_typed("select current_setting('server_version_num')::int4", &[]),
    )
    .await?;
    let relations = relations
        .iter()
        .map(|row| Relation::read(row).map(|relation| (relation.oid, relation)))
        .collect::<Result<_, _>>()?;
    let mut leaves: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in &leaf_rows {
        leaves.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    let version = version.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(Survey { relations, leaves, version })
}

/// Every relation as a candidate for `publication`, by name.
pub(in crate::postgres) async fn candidates(
    transaction: &Transaction<'_>,
    publication: &str,
) -> Result<Vec<Candidate>, tokio_postgres::Error> {
    let Survey { relations, leaves, .. } = survey(transaction, publication).await?;
    let mut candidates: Vec<_> = relations
        .values()
        .map(|relation| {
            let leaves = leaves.get(&relation.oid).map_or(&[][..], Vec::as_slice);
            relation.candidate(&relations, leaves)
        })
        .collect();
    candidates.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(candidates)
}

/// The rules that need no columns: kind, key and identity, publication.
fn judge(
    relation: &Relation,
    relations: &HashMap<u32, Relation>,
    leaves: &[u32],
    publication: &str,
) -> Result<Identity, Refusal> {
    if let Some(kind) = relation.unsupported(relations, leaves) {
        return Err(Refusal::Kind { table: relation.name.clone(), kind });
    }
    let identity = relation.identity(relations, leaves).map_err(|reason| relation.no_key(reason))?;
    if !relation.published {
        let publication = publication.to_owned();
        return Err(Refusal::NotPublished { table: relation.name.clone(), publication });
    }
    Ok(identity)
}

fn published_columns(
    relation: &Relation,
    rows: &[&Row],
    kinds: &Kinds,
    version: i32,
) -> Result<Vec<Column>, tokio_postgres::Error> {
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let name: &str = row.try_get("attname")?;
        let listed =
            relation.published_columns.as_ref().is_none_or(|list| list.iter().any(|item| item == name));
        let carried = match row.try_get("attgenerated")? {
            "" => true,
            // Stored ones travel where the publication says so; virtual ones are in no log.
            "s" => version >= PUBLISHES_GENERATED,
            _ => false,
        };
        if !listed || !carried {
            continue;
        }
        let type_oid = row.try_get("atttypid")?;
        let not_null: bool = row.try_get("attnotnull")?;
        columns.push(Column {
            name: name.into(),
            kind: kinds.resolve(type_oid),
            type_oid,
            nullable: !not_null,
            collation: match row.try_get("collation")? {
                "none" => Collation::None,
                "bytes" => Collation::Bytes,
                "nondeterministic" => Collation::Nondeterministic,
                _ => Collation::Deterministic,
            },
        });
    }
    Ok(columns)
}

fn assemble(
    relation: &Relation,
    identity: Identity,
    storage: u64,
    columns: Vec<Column>,
    publication: &str,
) -> Result<Table, Refusal> {
    let place = |name: &String| columns.iter().position(|column| *column.name == **name);
    let (mut key, mut left_out) = (Vec::new(), Vec::new());
    for name in identity.key {
        match place(&name) {
            Some(index) => key.push(index),
            None => left_out.push(name),
        }
    }
    if !left_out.is_empty() {
        let publication = publication.to_owned();
        let listed = columns.iter().map(|column| column.name.to_string()).collect();
        return Err(relation.no_key(NoKey::ColumnList { publication, columns: left_out, listed }));
    }
    Ok(Table {
        oid: relation.oid,
        name: relation.name.clone(),
        columns,
        key,
        identity: identity.identity,
        row_filter: relation.row_filter.as_deref().map(|filter| RowFilter(filter.into())),
        storage,
    })
}
