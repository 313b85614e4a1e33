use tokio_postgres::Transaction;

use super::super::{audit, quote, quote_table};
use super::{Report, Safety, Severity};
use crate::event::TableName;

/// What the role may do to the table, and whether it is published; no row if there is none.
const TABLE: &str = "
select has_table_privilege(c.oid, 'insert') and has_schema_privilege(n.oid, 'usage') as inserts,
       array(select p.name
               from unnest(array['select', 'update', 'delete', 'truncate', 'references', 'trigger']) as p (name)
              where has_table_privilege(c.oid, p.name)) as more,
       pg_has_role(c.relowner, 'usage') as owns,
       exists (select from pg_publication_tables t
                where t.pubname = $3 and t.schemaname = $1 and t.tablename = $2) as published,
       (select rolsuper from pg_roles where rolname = current_user) as super,
       current_user::text as role
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1
   and c.relname = $2
   and c.relkind in ('r', 'p')";

const SUBJECT: &str = "audit table";

/// Whether the audit table can be appended to, and nothing else.
pub(super) async fn look(
    transaction: &Transaction<'_>,
    table: &TableName,
    publication: &str,
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let name = quote_table(table);
    let row = transaction.query_opt(TABLE, &[&&*table.schema, &&*table.name, &publication]).await?;
    let Some(row) = row else {
        report.add(Severity::Fault, SUBJECT, format!("there is no table {name}"));
        report.mend(Safety::ByHand, audit::definition(table));
        return Ok(());
    };
    let role = quote(row.try_get("role")?);
    let more: Vec<String> = row.try_get("more")?;
    if row.try_get("published")? {
        report.add(
            Severity::Warning,
            SUBJECT,
            format!("{name} is published: clients may read who asked for what"),
        );
        report.mend(
            Safety::ByHand,
            "keep it in a schema that postgres.tables does not match, and drop it from the publication"
                .to_owned(),
        );
    }
    if !row.try_get::<_, bool>("inserts")? {
        report.add(Severity::Fault, SUBJECT, format!("role {role} may not insert into {name}"));
        let schema = quote(&table.schema);
        report.mend(
            Safety::ByHand,
            format!("grant usage on schema {schema} to {role};\ngrant insert on {name} to {role};"),
        );
    } else if row.try_get("super")? {
        let message = format!("role {role} is a superuser: it may change what it has written to {name}");
        report.add(Severity::Warning, SUBJECT, message);
    } else if row.try_get("owns")? {
        let message = format!("role {role} owns {name}, and may change what it has written");
        report.add(Severity::Warning, SUBJECT, message);
        report.mend(
            Safety::ByHand,
            format!("alter table {name} owner to …;\ngrant insert on {name} to {role};"),
        );
    } else if more.is_empty() {
        report.add(Severity::Fine, SUBJECT, format!("role {role} may insert into {name}, and nothing else"));
    } else {
        let more = more.join(", ");
        let message = format!("role {role} may do more with {name} than insert: {more}");
        report.add(Severity::Warning, SUBJECT, message);
        report.mend(Safety::ByHand, format!("revoke {more} on {name} from {role};"));
    }
    Ok(())
}
