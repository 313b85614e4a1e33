use super::super::topology::{CHANGES, PUBLISH, REJECTED};
use super::super::{Config, Error};
use super::Next;
use super::permissions::{Missing, Permission, quoted};
use super::probe::{Kind, NOT_FOUND, Objection, Probe};
use crate::report::{Report, Safety, Severity};

/// The stream: whether there can be one, whether it is ours, and what the user may do with it.
pub(super) async fn stream(
    probe: &Probe<'_>,
    config: &Config,
    missing: &mut Missing,
    report: &mut Report,
) -> Result<Next, Error> {
    let name = config.stream.as_str();
    let next = match probe.exists(Kind::Queue, name).await? {
        Ok(()) => {
            standing(config, probe.same_stream(config).await?, missing, report);
            Next::GoOn
        }
        Err(objection) if objection.code == NOT_FOUND => {
            absent(name, &probe.fleeting_stream(name).await?, missing, report)
        }
        Err(objection) => {
            report.add(Severity::Fault, "stream", format!("cannot be looked at: {}", objection.text));
            Next::GoOn
        }
    };
    if next == Next::GoOn && probe.read(name).await?.denies(Kind::Queue, name) {
        missing.add(Permission::Read, Kind::Queue, name);
    }
    Ok(next)
}

/// A stream that is there, declared as the server does it.
fn standing(config: &Config, declared: Result<(), Objection>, missing: &mut Missing, report: &mut Report) {
    let (subject, name) = ("stream", config.stream.as_str());
    match declared {
        Ok(()) => report.add(Severity::Fine, subject, format!("`{name}` is there, and as it is configured")),
        Err(objection) if objection.denies(Kind::Queue, name) => {
            missing.add(Permission::Configure, Kind::Queue, name);
            report.add(
                Severity::Note,
                subject,
                format!("`{name}` is there; how it is set is told to those only who may configure it"),
            );
        }
        Err(Objection { text, .. }) => {
            report.add(
                Severity::Fault,
                subject,
                format!(
                    "`{name}` is there, and is something else ({text}): set `journal.retention_bytes` and \
                     `journal.retention_age_ms` as they were, name another `journal.stream`, or delete it; then \
                     every client starts over"
                ),
            );
            report.mend(
                Safety::ByHand,
                format!("rabbitmqctl delete_queue --vhost {} {}", quoted(&config.url.0.vhost), quoted(name)),
            );
        }
    }
}

/// A stream that is not there, and how the broker has refused one that could not be.
fn absent(name: &str, objection: &Objection, missing: &mut Missing, report: &mut Report) -> Next {
    let subject = "stream";
    let text = &objection.text;
    if text.contains("feature flag") {
        report.add(Severity::Fault, subject, format!("streams are not turned on in the broker ({text})"));
        report.mend(Safety::ByHand, "rabbitmqctl enable_feature_flag stream_queue");
        return Next::Stop;
    }
    if objection.denies(Kind::Queue, name) {
        missing.add(Permission::Configure, Kind::Queue, name);
        report.add(Severity::Note, subject, format!("`{name}` is not there yet, and cannot be made"));
    } else if text.contains("invalid property") {
        report.add(
            Severity::Note,
            subject,
            format!("`{name}` is not there yet; the server makes it at start"),
        );
    } else {
        report.add(
            Severity::Fault,
            subject,
            format!("`{name}` is not there, and the broker would not make it: {text}"),
        );
    }
    Next::GoOn
}

/// What is beside the stream: its exchanges, and the queues of what services publish.
pub(super) async fn topology(
    probe: &Probe<'_>,
    missing: &mut Missing,
    report: &mut Report,
) -> Result<(), Error> {
    for (kind, name) in [
        (Kind::Exchange, CHANGES),
        (Kind::Exchange, PUBLISH),
        (Kind::Queue, PUBLISH),
        (Kind::Queue, REJECTED),
    ] {
        object(probe, kind, name, report).await?;
        if probe.configure(kind, name).await?.denies(kind, name) {
            missing.add(Permission::Configure, kind, name);
        }
    }
    if probe.unbind(Kind::Exchange, CHANGES, "").await?.denies(Kind::Exchange, CHANGES) {
        missing.add(Permission::Write, Kind::Exchange, CHANGES);
    }
    // To bind the queue is to write it, and to read the exchange.
    let bound = probe.unbind(Kind::Queue, PUBLISH, PUBLISH).await?;
    if bound.denies(Kind::Queue, PUBLISH) {
        missing.add(Permission::Write, Kind::Queue, PUBLISH);
    }
    if bound.denies(Kind::Exchange, PUBLISH) {
        missing.add(Permission::Read, Kind::Exchange, PUBLISH);
    }
    if probe.read(PUBLISH).await?.denies(Kind::Queue, PUBLISH) {
        missing.add(Permission::Read, Kind::Queue, PUBLISH);
    }
    Ok(())
}

async fn object(probe: &Probe<'_>, kind: Kind, name: &str, report: &mut Report) -> Result<(), Error> {
    let subject = kind.word();
    let found = match probe.exists(kind, name).await? {
        Ok(()) if kind == Kind::Exchange => probe.same_exchange(name).await?,
        found => found,
    };
    match found {
        Ok(()) => report.add(Severity::Fine, subject, format!("`{name}` is there")),
        Err(objection) if objection.code == NOT_FOUND => report.add(
            Severity::Note,
            subject,
            format!("`{name}` is not there yet; the server makes it at start"),
        ),
        // Told of with the other permissions.
        Err(objection) if objection.denies(kind, name) => {
            report.add(Severity::Note, subject, format!("`{name}` is there; how it is set cannot be told"));
        }
        Err(Objection { text, .. }) => report.add(
            Severity::Fault,
            subject,
            format!("`{name}` is there, and is something else ({text}): delete it, if nobody needs it"),
        ),
    }
    Ok(())
}
