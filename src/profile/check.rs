use super::Config;
use crate::postgres::profile::{find, grant};
use crate::postgres::{self, Pool};
use crate::report::{Report, Safety, Severity};

/// Says whether there is such a function, and which of `roles` may call it.
///
/// # Errors
/// If it could not look: the server is away.
pub async fn check(pool: &Pool, config: &Config, roles: &[String]) -> Result<Report, postgres::Error> {
    let function = &config.function;
    let subject = format!("function {function}");
    let mut report = Report::default();
    let found = find(pool, function, roles).await?;
    if !found.plain {
        let message = match found.others {
            0 => "there is none, and so nobody is let in",
            _ => "takes arguments, and is called without any: so nobody is let in",
        };
        report.add(Severity::Fault, subject, message);
        report.mend(
            Safety::ByHand,
            format!(
                "create function {}() returns void language sql security definer begin atomic … end;",
                function.quoted()
            ),
        );
        return Ok(report);
    }
    for (role, allowed) in found.allowed {
        if allowed {
            report.add(Severity::Fine, subject.clone(), format!("role `{role}` may execute it"));
        } else {
            let message = format!("role `{role}` may not execute it, and so nobody can come as it");
            report.add(Severity::Fault, subject.clone(), message);
            report.mend(Safety::ByHand, grant(function, &role));
        }
    }
    Ok(report)
}
