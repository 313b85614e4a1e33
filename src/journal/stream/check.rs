//! What stands in the way of keeping the journal in a broker.
//!
//! Changes nothing and leaves nothing behind: what cannot be read is asked for in a way that is refused, and how it is
//! refused tells (see [`probe::Probe`]). The broker notes these refusals in its log.

mod greeting;
mod objects;
mod permissions;
mod probe;
mod refusal;

use std::time::Duration;

use lapin::Connection;
use tokio::time::timeout;

use super::{Config, Error, broker};
use crate::report::{Report, Safety, Severity};
use permissions::{Missing, Permission};
use probe::{Kind, Probe, Taking};

/// How the exchange without a name, through which queues are written, is called where permissions are given.
const DEFAULT_EXCHANGE: &str = "amq.default";
/// A connection that an alarm blocks is not closed in order.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Whether the rest is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Next {
    GoOn,
    Stop,
}

/// Looks at the broker. That it cannot be looked at is a fault among the others.
pub async fn check(config: &Config) -> Report {
    let mut report = Report::default();
    match broker::connect(&config.url, "check").await {
        Ok(connection) => {
            if let Err(error) = look(&connection, config, &mut report).await {
                refusal::tell(&error, config, &mut report);
            }
            let closed = timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await;
            // It ends with the process at the latest.
            drop(closed);
        }
        Err(error) => refusal::tell(&error, config, &mut report),
    }
    report
}

async fn look(connection: &Connection, config: &Config, report: &mut Report) -> Result<(), Error> {
    if greeting::look(&config.url, report).await == Next::Stop {
        return Ok(());
    }
    let probe = Probe::new(connection);
    let mut missing = Missing::default();
    if objects::stream(&probe, config, &mut missing, report).await? == Next::Stop {
        return Ok(());
    }
    objects::topology(&probe, &mut missing, report).await?;
    // Last, since a connection that is blocked answers nothing more.
    let taking = probe.publish().await?;
    if let Taking::Objection(objection) = &taking
        && objection.denies(Kind::Exchange, DEFAULT_EXCHANGE)
    {
        missing.add(Permission::Write, Kind::Exchange, DEFAULT_EXCHANGE);
    }
    missing.tell(config, report);
    alarms(&taking, report);
    report.add(
        Severity::Note,
        "not tried",
        "whether the stream stores a message, which every process would read; permissions on topics; and whether \
         memory and disk are large enough for what is to be kept",
    );
    Ok(())
}

/// Whether the broker is short of something.
fn alarms(taking: &Taking, report: &mut Report) {
    let subject = "alarms";
    match taking {
        Taking::Taken => report.add(Severity::Fine, subject, "none: the broker takes messages"),
        Taking::Blocked(reason) => {
            let message = match reason.as_deref() {
                Some(reason) => format!(
                    "the broker refuses messages for want of disk or memory: {reason}. The journal waits, and \
                     PostgreSQL keeps its log, until there is enough again"
                ),
                None => "the broker does not confirm a message, and does not say why".to_owned(),
            };
            report.add(Severity::Fault, subject, message);
            report.mend(Safety::ByHand, "rabbitmq-diagnostics alarms");
        }
        Taking::Objection(objection) => report.add(
            Severity::Note,
            subject,
            format!("cannot be told, since no message may be sent ({})", objection.text),
        ),
    }
}
