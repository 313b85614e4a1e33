use std::collections::HashMap;

use tokio_postgres::{Client, Row, Transaction};

use crate::event::TableName;

use super::super::catalog::{Candidate, LeafIdentity, NoKey, Publishing, Refusal, Standing, candidates};
use super::super::publication::{self, Deferred, Found, Owner, Ownership};
use super::super::{quote, quote_table};
use super::{Config, Fixed, Left, Report, Safety, Severity};

/// What concerns a table beyond its key: who may read it, and which columns its old images carry. Partitions too.
const RIGHTS: &str = "
select n.nspname,
       c.relname,
       c.relreplident::text as identity,
       root.nspname as root_schema,
       root.relname as root_name,
       root.identity as root_identity,
       pg_get_userbyid(c.relowner)::text as owner,
       current_user::text as role,
       has_schema_privilege(n.oid, 'usage') as may_look,
       has_table_privilege(c.oid, 'select') as may_read,
       row_security_active(c.oid) as hidden,
       exists (select from pg_publication_rel r
                where to_jsonb(r) ->> 'prattrs' is not null
                  and (r.prrelid = c.oid
                       or r.prrelid in (select pg_partition_ancestors(c.oid)))) as column_list
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join lateral (
         select rn.nspname, r.relname, r.relreplident::text as identity
           from pg_class r
           join pg_namespace rn on rn.oid = r.relnamespace
          where c.relispartition and r.oid = pg_partition_root(c.oid)
       ) root on true
 where c.relkind in ('r', 'p')
   and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'
 order by n.nspname, c.relname";

/// The publication and every table that it should hold.
pub(super) async fn look(
    transaction: &Transaction<'_>,
    config: &Config,
    found: Option<&Found>,
    candidates: &[Candidate],
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    publication(transaction, config, found, report).await?;
    let rows = transaction.query_typed(RIGHTS, &[]).await?;
    let rights: HashMap<TableName, &Row> =
        rows.iter().map(|row| Ok((name(row)?, row))).collect::<Result<_, tokio_postgres::Error>>()?;
    let mut followed = 0;
    for candidate in candidates {
        let wanted = match found {
            Some(found) if found.owner == Owner::User => {
                candidate.publishing != Publishing::No || candidate.standing == Standing::Member
            }
            _ => config.publication.tables.matches(&candidate.table),
        };
        match (&candidate.verdict, &candidate.publishing) {
            _ if !wanted => {}
            (Err(refusal), _) | (Ok(()), Publishing::Unlisted(refusal)) => refused(refusal, config, report),
            (Ok(()), _) => {
                followed += 1;
                let Some(row) = rights.get(&candidate.table) else { continue };
                table(candidate, config, found, row, report)?;
            }
        }
    }
    for row in &rows {
        let root = root(row)?;
        if root.is_some_and(|root| config.publication.tables.matches(&root)) {
            partition(row, report)?;
        }
    }
    if followed == 0 {
        let name = &config.publication.publication;
        let message = match found {
            Some(found) if found.owner == Owner::User => {
                format!("none can be followed of what publication `{name}` publishes")
            }
            _ => {
                let patterns = &config.publication.tables;
                format!("none can be followed of what `postgres.tables` names: {patterns}")
            }
        };
        report.add(Severity::Warning, "tables", message);
    }
    Ok(())
}

async fn publication(
    transaction: &Transaction<'_>,
    config: &Config,
    found: Option<&Found>,
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let name = &config.publication.publication;
    match found {
        None => {
            report.add(
                Severity::Note,
                "publication",
                format!("`{name}` is not there yet; the server makes it at start"),
            );
            report.mend(Safety::Safe, publication::creation(name));
        }
        Some(found) if found.is_kept() => {
            report.add(Severity::Fine, "publication", format!("`{name}` is kept by Tidegate"));
        }
        Some(found) => {
            let faults = found.faults(transaction, name).await?;
            for fault in &faults {
                report.add(Severity::Fault, "publication", format!("`{name}` cannot be followed: {fault}"));
                report.mend(Safety::ByHand, fault.sql());
            }
            if faults.is_empty() {
                report.add(
                    Severity::Fine,
                    "publication",
                    format!("`{name}` is not ours to alter, and is left as it is"),
                );
            }
        }
    }
    Ok(())
}

/// A table that can be followed, if the role may.
fn table(
    candidate: &Candidate,
    config: &Config,
    found: Option<&Found>,
    row: &Row,
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let table = &candidate.table;
    let (subject, sql_name) = (table.to_string(), quote_table(table));
    let role = quote(row.try_get("role")?);
    let before = report.findings.len();
    match candidate.standing {
        _ if found.is_some_and(|found| found.owner == Owner::User) => {}
        Standing::Foreign => {
            let belongs = match found.and_then(|found| found.foreign.as_ref()) {
                Some(owner) => format!("the publication belongs to `{owner}`"),
                None => format!("it belongs to `{}`", row.try_get::<_, &str>("owner")?),
            };
            report.add(
                Severity::Warning,
                &subject,
                format!(
                    "is not published, and role {role} may not: {belongs}. A superuser may, by \
                     `tidegate check --fix` or with"
                ),
            );
            report.mend(Safety::ByHand, addition(config, &sql_name));
        }
        Standing::Owned => {
            report.add(Severity::Note, &subject, "is not published yet; the server adds it");
            report.mend(Safety::Safe, addition(config, &sql_name));
        }
        Standing::Member => {}
    }
    if !row.try_get("may_look")? {
        report.add(Severity::Fault, &subject, format!("role {role} may not look into its schema"));
        report.mend(Safety::ByHand, format!("grant usage on schema {} to {role};", quote(&table.schema)));
    }
    if !row.try_get("may_read")? {
        report.add(
            Severity::Fault,
            &subject,
            format!("role {role} may not read it: there would be no snapshots"),
        );
        report.mend(Safety::ByHand, format!("grant select on {sql_name} to {role};"));
    } else if row.try_get("hidden")? {
        report.add(
            Severity::Fault,
            &subject,
            format!(
                "a row-level policy hides rows from role {role} that the stream shows: snapshots are refused"
            ),
        );
        report.mend(Safety::ByHand, format!("alter role {role} bypassrls;"));
    }
    let (full, list) = (row.try_get::<_, &str>("identity")? == "f", row.try_get("column_list")?);
    if full && list {
        report.add(
            Severity::Fault,
            &subject,
            "its updates and deletes fail: replica identity full does not go with a column list",
        );
        report.mend(Safety::ByHand, format!("alter table {sql_name} replica identity default;"));
    } else if !full {
        report.add(
            Severity::Note,
            &subject,
            "its old images carry the key only: a filter on any other column needs all",
        );
        if let Some(sql) = &candidate.full_identity {
            report.mend(Safety::ByHand, sql);
        }
    }
    if report.findings.len() == before {
        report.add(Severity::Fine, subject, "can be followed, filters on every column included");
    }
    Ok(())
}

fn addition(config: &Config, table: &str) -> String {
    format!("alter publication {} add table {table};", quote(&config.publication.publication))
}

/// A table that cannot be followed.
fn refused(refusal: &Refusal, config: &Config, report: &mut Report) {
    let severity = match refusal {
        Refusal::NoKey { .. } => Severity::Warning,
        _ if config.publication.tables.names(refusal.table()) => Severity::Warning,
        _ => return,
    };
    let message = match refusal {
        Refusal::NoKey { reason, .. } => reason.to_string(),
        other => other.to_string(),
    };
    report.add(severity, refusal.table().to_string(), message);
    if let Some(sql) = refusal.sql() {
        let safety = match refusal {
            Refusal::NoKey { reason: NoKey::Leaf { mend: LeafIdentity::Default, .. }, .. } => Safety::Safe,
            _ => Safety::ByHand,
        };
        report.mend(safety, sql);
    }
}

/// A partition whose old images carry less than its root promises.
fn partition(row: &Row, report: &mut Report) -> Result<(), tokio_postgres::Error> {
    if let Some(sql) = full_as_its_root(row)? {
        report.add(
            Severity::Warning,
            name(row)?.to_string(),
            "its replica identity is less than its root's, which is full: the root counts as the weakest partition",
        );
        report.mend(Safety::Safe, sql);
    }
    Ok(())
}

/// What gives a partition the full identity of its root; `None` where it has it, or must not, since there is a column
/// list.
fn full_as_its_root(row: &Row) -> Result<Option<String>, tokio_postgres::Error> {
    let weaker = row.try_get::<_, Option<&str>>("root_identity")? == Some("f")
        && row.try_get::<_, &str>("identity")? != "f"
        && !row.try_get::<_, bool>("column_list")?;
    Ok(if weaker {
        Some(format!("alter table {} replica identity full;", quote_table(&name(row)?)))
    } else {
        None
    })
}

/// The statements that bring partitions in line with their roots.
pub(super) async fn leaf_identities(
    client: &mut Client,
    config: &Config,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let mut statements = Vec::new();
    for candidate in candidates(&transaction, &config.publication.publication).await? {
        if let Err(Refusal::NoKey { reason: reason @ NoKey::Leaf { mend: LeafIdentity::Default, .. }, table }) =
            candidate.verdict
            && config.publication.tables.matches(&table)
        {
            statements.extend(Refusal::NoKey { table, reason }.sql());
        }
    }
    for row in &transaction.query_typed(RIGHTS, &[]).await? {
        if root(row)?.is_some_and(|root| config.publication.tables.matches(&root)) {
            statements.extend(full_as_its_root(row)?);
        }
    }
    transaction.commit().await?;
    Ok(statements)
}

/// Tells what keeping the publication did, as the statements that it ran.
pub(super) fn tell(name: &str, report: &publication::Report, fixed: &mut Fixed) {
    if report.ownership == Ownership::Created {
        fixed.done.push(publication::creation(name));
    }
    let statement =
        |verb, table| format!("alter publication {} {verb} table {};", quote(name), quote_table(table));
    fixed.done.extend(report.added.iter().map(|table| statement("add", table)));
    fixed.done.extend(report.dropped.iter().map(|table| statement("drop", table)));
    for Deferred { table, reason } in &report.deferred {
        fixed.left.push(Left { sql: statement("add", table), reason: reason.clone() });
    }
}

fn name(row: &Row) -> Result<TableName, tokio_postgres::Error> {
    Ok(TableName::new(row.try_get("nspname")?, row.try_get("relname")?))
}

fn root(row: &Row) -> Result<Option<TableName>, tokio_postgres::Error> {
    let (schema, name): (Option<&str>, Option<&str>) =
        (row.try_get("root_schema")?, row.try_get("root_name")?);
    Ok(schema.zip(name).map(|(schema, name)| TableName::new(schema, name)))
}
