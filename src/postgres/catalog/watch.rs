use tokio_postgres::Client;

use super::super::Error;
use super::{Catalog, load};

/// One text that changes whenever a row of the catalogs that [`load()`] reads does.
///
/// A row version is told by its place and its transaction. What changes in place (statistics, freezing) leaves both
/// as they are and means nothing here. Rows below 16384 are PostgreSQL's own and never change.
const STAMP: &str = "
select concat_ws(' ',
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_class where oid >= 16384),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_attribute where attrelid >= 16384 and attnum > 0),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_index where indrelid >= 16384),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_inherits),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_type where oid >= 16384),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_enum),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_namespace),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_publication),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_publication_rel)
       )";

/// `STAMP` for what is there from PostgreSQL 15 on: schemas as members of a publication.
const STAMP_SCHEMAS: &str = "
select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
  from pg_publication_namespace";

const OPERATION: &str = "ask whether the catalog changed";

/// Reads the catalog when it has changed, and otherwise only asks.
#[derive(Debug)]
pub struct Watch {
    publication: String,
    /// What the catalogs' stamp was before they were last read.
    stamp: Option<String>,
}

impl Watch {
    /// Watches the tables of `publication`.
    pub fn new(publication: &str) -> Self {
        Self { publication: publication.to_owned(), stamp: None }
    }

    /// The catalog, if it may have changed since the last call that gave one.
    ///
    /// May give an equal one: an index was made, say. Cancel safe: what was not given is given the next time.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn poll(&mut self, client: &mut Client) -> Result<Option<Catalog>, Error> {
        // Asked before the catalog is read: what changes in between is noticed the next time.
        let stamp = stamp(client).await.map_err(Error::query(OPERATION))?;
        if self.stamp.as_ref() == Some(&stamp) {
            return Ok(None);
        }
        let catalog = load(client, &self.publication).await?;
        self.stamp = Some(stamp);
        Ok(Some(catalog))
    }

    /// Has the next [`Watch::poll`] read the catalog whatever its stamp.
    pub fn expire(&mut self) {
        self.stamp = None;
    }
}

async fn stamp(client: &Client) -> Result<String, tokio_postgres::Error> {
    let exists = "select to_regclass('pg_catalog.pg_publication_namespace') is not null";
    let (stamps, newer) =
        futures_util::future::try_join(client.query_typed(STAMP, &[]), client.query_typed(exists, &[]))
            .await?;
    let mut stamp: String = stamps.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
    if newer.first().map_or(Ok(false), |row| row.try_get(0))? {
        for row in client.query_typed(STAMP_SCHEMAS, &[]).await? {
            stamp.push(' ');
            stamp.push_str(row.try_get(0)?);
        }
    }
    Ok(stamp)
}
