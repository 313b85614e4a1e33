use tokio_postgres::Transaction;

use super::super::publication::{Found, Owner};
use super::super::quote;
use super::{Report, Safety, Severity};

/// Amazon's hosts give the right to replicate by membership in a role of theirs.
const ROLE: &str = "
select r.rolname,
       current_database() as database,
       r.rolsuper,
       r.rolreplication or r.rolsuper
         or exists (select from pg_roles h
                     where h.rolname = 'rds_replication' and pg_has_role(r.oid, h.oid, 'member')) as replicates,
       has_database_privilege(current_database(), 'create') as creates
  from pg_roles r
 where r.rolname = current_user";

/// What the role may do.
pub(super) async fn look(
    transaction: &Transaction<'_>,
    found: Option<&Found>,
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let row = transaction.query_typed_one(ROLE, &[]).await?;
    let role = quote(row.try_get("rolname")?);
    let database = quote(row.try_get("database")?);
    if row.try_get("replicates")? {
        report.add(Severity::Fine, "replication", format!("role {role} may replicate"));
    } else {
        report.add(Severity::Fault, "replication", format!("role {role} may not replicate"));
        report.mend(Safety::ByHand, format!("alter role {role} replication;"));
    }
    let creates: bool = row.try_get("creates")?;
    match found.map(|found| found.owner) {
        None if !creates => {
            report.add(
                Severity::Fault,
                "privileges",
                format!(
                    "there is no publication yet, and role {role} may not create one in database {database}"
                ),
            );
            report.mend(Safety::ByHand, format!("grant create on database {database} to {role};"));
        }
        None | Some(Owner::Ours | Owner::User) => {}
    }
    Ok(())
}
