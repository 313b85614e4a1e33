//! `tidegate teardown`: takes slot, publication and event trigger out of the database.
//!
//! Exit status: 0 if nothing of ours is left; 1 if something had to be left; 2 if the database could not be reached.

use clap::Args;

use crate::config::{self, Layers};
use crate::postgres;
use crate::postgres::event_trigger::Removed;
use crate::postgres::publication::Dropped;
use crate::postgres::teardown::{self, Report, Slot};

use super::check;

/// Drops the replication slot, the publication and the event trigger: an abandoned slot fills the disk. A slot that a
/// server still reads or that is for another plugin, and a publication of your own, are left.
#[derive(Args, Debug)]
pub struct Arguments {}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The conversation went wrong.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// What was done could not be said.
    #[error(transparent)]
    Output(#[from] check::Error),
    /// The slot is in use, or another database's or consumer's; or the rest is another role's.
    #[error("not everything could be taken out")]
    Left,
}

impl Error {
    /// 1 if the database was reached, 2 if not.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Config(_) | Self::Postgres(_) | Self::Output(_) => 2,
        }
    }
}

/// Takes everything out, and says what it did.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(_: Arguments, layers: Layers) -> Result<(), Error> {
    let config = layers.load()?;
    let settings = config.postgres.settings();
    let (publication, slot) = (&config.postgres.publication, &config.postgres.slot);
    let report = teardown::run(&settings, publication, slot).await?;
    check::print(told(&report, publication, slot).as_bytes())?;
    if is_left(&report) { Err(Error::Left) } else { Ok(()) }
}

/// Whether something of ours is there yet that ought not to be.
fn is_left(report: &Report) -> bool {
    let foreign = report.rest.is_some_and(|rest| {
        rest.publication == Dropped::NotAllowed || rest.event_trigger == Removed::NotAllowed
    });
    foreign || matches!(report.slot, Slot::InUse { .. } | Slot::Elsewhere { .. } | Slot::Foreign { .. })
}

fn told(report: &Report, publication: &str, slot: &str) -> String {
    let mut lines = vec![match &report.slot {
        Slot::Dropped => format!("dropped the replication slot `{slot}`"),
        Slot::Absent => format!("there is no replication slot `{slot}`"),
        Slot::InUse { pid, application, address } => format!(
            "left the replication slot `{slot}`: process {pid} reads it for `{application}` at {address}; \
             stop that first"
        ),
        Slot::Elsewhere { database: Some(database) } => {
            format!("left the replication slot `{slot}`: it belongs to database `{database}`")
        }
        Slot::Elsewhere { database: None } => {
            format!("left the replication slot `{slot}`: it is a physical one")
        }
        Slot::Foreign { plugin } => format!(
            "left the replication slot `{slot}`: it is for the plugin `{plugin}`, not `pgoutput`, and so not ours"
        ),
    }];
    if let Some(rest) = &report.rest {
        lines.push(match rest.publication {
            Dropped::Dropped => format!("dropped the publication `{publication}`"),
            Dropped::Absent => format!("there is no publication `{publication}`"),
            Dropped::Users => format!("left the publication `{publication}`: it is your own"),
            Dropped::NotAllowed => {
                format!("left the publication `{publication}`: this role may not drop it; its owner may")
            }
        });
        lines.push(match rest.event_trigger {
            Removed::Removed => "dropped the event trigger".into(),
            Removed::Absent => "there is no event trigger".into(),
            Removed::Shared => "left the event trigger: another publication of Tidegate's uses it".into(),
            Removed::NotAllowed => "left the event trigger: this role may not drop it; its owner may".into(),
        });
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use crate::postgres::teardown::Rest;

    use super::*;

    #[test]
    fn it_says_who_holds_the_slot_and_what_became_of_the_rest() {
        let slot = Slot::InUse { pid: 7, application: "tidegate".into(), address: "10.0.0.1".into() };
        let text = told(&Report { slot, rest: None }, "p", "s");
        assert_eq!(
            text,
            "left the replication slot `s`: process 7 reads it for `tidegate` at 10.0.0.1; stop that first\n"
        );
        let rest = Rest { publication: Dropped::Users, event_trigger: Removed::Removed };
        let text = told(&Report { slot: Slot::Dropped, rest: Some(rest) }, "p", "s");
        assert_eq!(
            text,
            "dropped the replication slot `s`\nleft the publication `p`: it is your own\ndropped the event trigger\n"
        );
    }
}
