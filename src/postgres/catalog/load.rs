use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use crate::event::{Collation, Column, RowFilter, Table};

use super::super::Error;
use super::kinds::{Kinds, TYPES};
use super::relation::{Identity, Relation};
use super::survey::Survey;
use super::{Catalog, Entry, Fnv, Refusal};

/// From this release on, a publication can carry stored generated columns.
const PUBLISHES_GENERATED: i32 = 180_000;
/// From this release on, a publication can name whole schemas.
const PUBLISHES_SCHEMAS: i32 = 150_000;

/// The columns of the given tables, in their own order, with how their text is compared.
///
/// A database's or collation's locale counts as bytewise only where it is `C` in order and in character class; the
/// columns that name a provider and its locale are not in every release. And only where the bytes that the server
/// compares are in the order of ours, which are UTF-8: in UTF8 itself, and in LATIN1, whose bytes are the code points.
const COLUMNS: &str = "
select a.attrelid,
       a.attnum,
       a.xmin::text as version,
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

/// The schemas that the publication names, and since when.
const SCHEMAS: &str = "
select n.nspname, concat_ws(' ', of.oid, of.xmin) as version
  from pg_publication_namespace of
  join pg_namespace n on n.oid = of.pnnspid
  join pg_publication p on p.oid = of.pnpubid
 where p.pubname = $1";

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
    let survey = Survey::of(transaction, publication).await?;
    let relations = &survey.relations;
    let mut catalog = Catalog::default();
    let mut followed = HashMap::new();
    for relation in relations.values() {
        let leaves = survey.leaves(relation.oid);
        match judge(relation, relations, leaves, publication) {
            Err(refusal) => catalog.insert(relation.oid, relation.name.clone(), Entry::Refused(refusal)),
            Ok(identity) => {
                if let Some(sql) = relation.full_identity(relations, leaves) {
                    catalog.full_identities.insert(relation.oid, sql);
                }
                followed.insert(relation.oid, identity);
            }
        }
    }
    let oids: Vec<u32> = followed.keys().copied().collect();
    let (columns, types, schemas) = futures_util::future::try_join3(
        transaction.query_typed(COLUMNS, &[(&oids, Type::OID_ARRAY)]),
        transaction.query_typed(TYPES, &[(&oids, Type::OID_ARRAY)]),
        async {
            if survey.version < PUBLISHES_SCHEMAS {
                return Ok(Vec::new());
            }
            transaction.query_typed(SCHEMAS, &[(&publication, Type::TEXT)]).await
        },
    )
    .await?;
    let kinds = Kinds::read(&types)?;
    let mut columns_of: HashMap<u32, Vec<&Row>> = HashMap::new();
    for row in &columns {
        columns_of.entry(row.try_get("attrelid")?).or_default().push(row);
    }
    let mut schema_memberships: HashMap<&str, &str> = HashMap::new();
    for row in &schemas {
        schema_memberships.insert(row.try_get("nspname")?, row.try_get("version")?);
    }
    for (oid, identity) in followed {
        let relation = &relations[&oid];
        let rows = columns_of.remove(&oid).unwrap_or_default();
        let mut storage = Fnv::default();
        survey.hash_storage(relation, &mut storage);
        let columns = published_columns(relation, &rows, &kinds, survey.version, &mut storage)?;
        let mut membership = Fnv::default();
        (&relation.membership, schema_memberships.get(&*relation.name.schema)).hash(&mut membership);
        let marks = Marks { storage: storage.finish(), membership: membership.finish() };
        let entry = match assemble(relation, identity, marks, columns, publication) {
            Ok(table) => Entry::Table(table.into()),
            Err(refusal) => Entry::Refused(refusal),
        };
        catalog.insert(oid, relation.name.clone(), entry);
    }
    Ok(catalog)
}

/// See [`Table`].
#[derive(Clone, Copy)]
struct Marks {
    storage: u64,
    membership: u64,
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

/// Takes the place of each column among all that the table ever had into `storage`: one that was dropped and added again
/// under its name and type has another, and other values. And since when it is what it is: `alter column … type … using`
/// writes other values under the same type.
fn published_columns(
    relation: &Relation,
    rows: &[&Row],
    kinds: &Kinds,
    version: i32,
    storage: &mut Fnv,
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
        row.try_get::<_, i16>("attnum")?.hash(storage);
        row.try_get::<_, &str>("version")?.hash(storage);
        kinds.hash_inside(type_oid, storage);
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
    marks: Marks,
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
        let listed = columns.iter().map(|column| column.name.to_string()).collect();
        return Err(relation.unlisted(publication, left_out, listed));
    }
    Ok(Table {
        oid: relation.oid,
        name: relation.name.clone(),
        columns,
        key,
        identity: identity.identity,
        row_filter: relation.row_filter.as_deref().map(|filter| RowFilter(filter.into())),
        storage: marks.storage,
        membership: marks.membership,
    })
}
