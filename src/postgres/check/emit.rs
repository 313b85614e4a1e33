use tokio_postgres::Transaction;

use super::super::quote;
use super::{Report, Safety, Severity};

/// Each form of the function (PostgreSQL 17 has one more argument), and who may call it of those who are asked for.
const EMIT: &str = "
select p.oid::regprocedure::text as function,
       pg_get_function_identity_arguments(p.oid) like '%text, %text%' as marks,
       has_function_privilege(p.oid, 'execute') as ours,
       array(select r.rolname::text
               from pg_roles r
              where r.rolname = any($1)
                and has_function_privilege(r.oid, p.oid, 'execute')
              order by 1) as theirs,
       current_user::text as role
  from pg_proc p
 where p.pronamespace = 'pg_catalog'::regnamespace
   and p.proname = 'pg_logical_emit_message'
 order by 1";

const SUBJECT: &str = "pg_logical_emit_message";

/// Whether the server's role may write marks into the log, and which of `roles` may publish on channels by SQL.
pub(super) async fn look(
    transaction: &Transaction<'_>,
    roles: &[String],
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let rows = transaction.query(EMIT, &[&roles]).await?;
    let (mut functions, mut publishers, mut role) = (Vec::new(), Vec::new(), String::new());
    for row in &rows {
        role = quote(row.try_get("role")?);
        let function: String = row.try_get("function")?;
        if row.try_get("marks")? && !row.try_get::<_, bool>("ours")? {
            let message =
                format!("role {role} may not execute {function}: every snapshot needs a mark in the log");
            report.add(Severity::Fault, SUBJECT, message);
            report.mend(Safety::ByHand, format!("grant execute on function {function} to {role};"));
            return Ok(());
        }
        publishers.extend(row.try_get::<_, Vec<String>>("theirs")?);
        functions.push(function);
    }
    publishers.sort_unstable();
    publishers.dedup();
    if publishers.is_empty() {
        report.add(Severity::Fine, SUBJECT, "the server may write marks into the log");
        return Ok(());
    }
    let (publishers, functions) = (publishers.join(", "), functions.join(", "));
    report.add(
        Severity::Warning,
        SUBJECT,
        format!(
            "whoever can run SQL as {publishers} may publish on every channel: `auth.channels` is not asked"
        ),
    );
    report.mend(
        Safety::ByHand,
        format!(
            "revoke execute on function {functions} from public;\n\
             grant execute on function {functions} to {role};"
        ),
    );
    Ok(())
}
