use super::compile::{Answers, check_types, question, typed};
use super::library::Library;
use super::plan::{Judged, Planner};
use super::scene::{Rights, Scene};
use super::{Config, Error};
use crate::event::Table;
use crate::postgres::catalog::{Catalog, Entry};
use crate::postgres::policy::{PolicyText, accesses, types};
use crate::postgres::{self, Pool, Recovery, quote};
use crate::report::{Report, Safety, Severity};
use crate::telemetry::Chain;

/// Says of every policy that binds one of `roles` whether it is followed, and of every role whether it can be taken on.
///
/// # Errors
/// If it could not look: the server is away.
pub async fn check(
    pool: &Pool,
    config: &Config,
    catalog: &Catalog,
    roles: &[String],
) -> Result<Report, postgres::Error> {
    let mut report = Report::default();
    let tables: Vec<&Table> = catalog
        .entries()
        .filter_map(|(_, entry)| match entry {
            Entry::Table(table) => Some(&**table),
            Entry::Refused(_) => None,
        })
        .collect();
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    for role in roles {
        let accesses = accesses(pool.get().await?.client_mut(), role, &oids).await;
        match accesses {
            Ok(accesses) => {
                let rights = Rights::new(accesses);
                let library = Library::of(pool, config, catalog, &rights).await?;
                let scene = Scene::new(config, catalog, &rights);
                for table in &tables {
                    of_table(pool, config, role, &scene, &library, table, &mut report).await?;
                }
            }
            Err(error) if error.recovery() == Recovery::Retry => return Err(error),
            Err(error) => {
                report.add(
                    Severity::Fault,
                    format!("role {role}"),
                    format!("cannot be taken on, and so nobody can come as it: {}", Chain(&error)),
                );
                report.mend(
                    Safety::ByHand,
                    format!("grant {} to current_user; -- or: create role", quote(role)),
                );
            }
        }
    }
    Ok(report)
}

async fn of_table(
    pool: &Pool,
    config: &Config,
    role: &str,
    scene: &Scene<'_>,
    library: &Library,
    table: &Table,
    report: &mut Report,
) -> Result<(), postgres::Error> {
    let Some(access) = scene.access(table.oid) else { return Ok(()) };
    let subject = table.name.to_string();
    if !access.usage || access.columns.is_empty() {
        report.add(Severity::Fine, subject, format!("role `{role}` may not read it"));
        return Ok(());
    }
    if !access.row_security {
        report.add(Severity::Fine, subject, format!("role `{role}` sees every row: no policy binds it"));
        return Ok(());
    }
    if access.policies.is_empty() {
        report.add(
            Severity::Note,
            subject.clone(),
            format!("role `{role}` sees no row: no policy shows it any"),
        );
    }
    for policy in &access.policies {
        match of_policy(pool, config, role, scene, library, table, policy).await {
            Ok(()) => {
                let told = format!("policy `{}` is followed for role `{role}`", policy.name);
                report.add(Severity::Fine, subject.clone(), told);
            }
            Err(Error::Postgres(error)) => return Err(error),
            Err(error) => {
                report.add(
                    Severity::Warning,
                    subject.clone(),
                    format!("role `{role}` cannot subscribe: {error}"),
                );
                if let Error::Unsupported(refusal) = &error
                    && let Some(sql) = refusal.sql()
                {
                    report.mend(Safety::ByHand, sql);
                }
            }
        }
    }
    Ok(())
}

/// Whether a policy is followed, whoever comes.
async fn of_policy(
    pool: &Pool,
    config: &Config,
    role: &str,
    scene: &Scene<'_>,
    library: &Library,
    table: &Table,
    policy: &PolicyText,
) -> Result<(), Error> {
    let mut planner = Planner::new(scene, library);
    let Some(reduced) = planner.policy(table, policy).map_err(Error::Unsupported)? else { return Ok(()) };
    let mut plan = planner.plan;
    plan.judged = Some(Judged { permissive: vec![(policy.name.clone(), reduced)], restrictive: Vec::new() });
    let types = types(pool, role, &config.search_path, &typed(&plan)).await?;
    let types =
        types.map_err(|refused| Error::Raised { message: refused.message, forbidden: refused.forbidden })?;
    check_types(&plan, &types, &table.name).map_err(Error::Unsupported)?;
    // Nobody has come: every answer is NULL, every set empty.
    let nothing = vec![None; plan.sets.len()];
    let values = vec![None; question(&plan, &nothing).columns.len()];
    let answers = Answers { plan: &plan, types: &types, values };
    let sets = vec![Vec::new(); plan.sets.len()];
    answers.policy(pool, table, &sets).await?;
    answers.guards(pool, &nothing).await.map(drop)
}
