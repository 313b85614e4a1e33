//! `tidegate check`: what stands in the way of following a database, and of keeping the journal in a broker, line by
//! line, with the SQL or the command that mends it.
//!
//! Exit status: 0 if the server can run; 1 if something stands in its way; 2 if the database could not be looked at.

use std::io::{self, Write};

use anstream::stdout;
use anstyle::{AnsiColor, Style};
use clap::Args;

use crate::config::{self, AuthMode, Config, Layers};
use crate::journal::{self, Backend};
use crate::policy;
use crate::postgres::catalog;
use crate::postgres::check::{self, Fixed, Left};
use crate::postgres::{self, Pool};
use crate::profile;
use crate::report::{Finding, Remedy, Report, Safety, Severity};

/// Says what stands in the way of following your database, line by line, with the exact SQL that mends it; and of keeping the journal in RabbitMQ,
/// if it is kept there.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Do what is safe: make the publication, add tables, bring partitions in line with their roots. Never touches
    /// the server's configuration, and never a table's rows.
    #[arg(long)]
    fix: bool,
    /// Say also what is as it should be, and SQL that is long.
    #[arg(long, short)]
    verbose: bool,
}

/// SQL that is longer, and that `--fix` can run, would bury the other lines.
const SHOWN_LINES: usize = 8;

/// Why the answer is not «all is well».
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The database could not be looked at.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// Nobody reads the answer.
    #[error("cannot write the report")]
    Output(#[source] io::Error),
    /// It was looked at, and these are in the way.
    #[error("{} in the way", things(*.0))]
    Faults(usize),
}

impl Error {
    /// 1 if the database was looked at, 2 if not.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Faults(_) => 1,
            Self::Config(_) | Self::Postgres(_) | Self::Output(_) => 2,
        }
    }
}

/// Looks, mends if asked to, and prints what is left.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let config = layers.load()?;
    let settings = config.postgres.settings();
    let subject = check::Config {
        publication: config.postgres.publication(),
        slot: config.postgres.slot.clone(),
        audit: config.audit.table.clone(),
        roles: config.auth.known_roles(),
    };
    let mut out = Vec::new();
    if arguments.fix {
        let fixed = check::fix(&settings, &subject).await?;
        write_fixed(&mut out, &fixed).map_err(Error::Output)?;
    }
    let report = check::run(&settings, &subject).await?;
    write_report(&mut out, &report, arguments.verbose, &settings.to_string()).map_err(Error::Output)?;
    let mut faults = report.count(Severity::Fault);
    if let Backend::Stream(stream) = config.journal.backend(config.event_bytes()) {
        let report = journal::check(&stream).await;
        write_report(&mut out, &report, arguments.verbose, &stream.url.to_string()).map_err(Error::Output)?;
        faults += report.count(Severity::Fault);
    }
    if config.auth.mode == AuthMode::Jwt {
        let report = policies(&config).await?;
        write_report(&mut out, &report, arguments.verbose, "policies").map_err(Error::Output)?;
        faults += report.count(Severity::Fault);
    }
    if let Some(profile) = config.profile() {
        let pool = Pool::new(settings, 1, config.postgres.connect_timeout)?;
        let report = profile::check(&pool, &profile, &config.auth.roles).await?;
        write_report(&mut out, &report, arguments.verbose, "profiles").map_err(Error::Output)?;
        faults += report.count(Severity::Fault);
    }
    print(&out)?;
    match faults {
        0 => Ok(()),
        faults => Err(Error::Faults(faults)),
    }
}

/// Whether those who come with a token can be served as PostgreSQL would serve them.
async fn policies(config: &Config) -> Result<Report, postgres::Error> {
    let pool = Pool::new(config.postgres.settings(), 1, config.postgres.connect_timeout)?;
    let catalog = catalog::load(pool.get().await?.client_mut(), &config.postgres.publication).await?;
    policy::check(&pool, &config.policy(), &catalog, &config.auth.known_roles()).await
}

/// Writes to stdout, without colours where it does not take them; a reader that has gone has read enough.
pub(super) fn print(text: &[u8]) -> Result<(), Error> {
    let mut out = stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(Error::Output),
    }
}

fn write_fixed(out: &mut impl Write, fixed: &Fixed) -> io::Result<()> {
    let bold = Style::new().bold();
    for sql in &fixed.done {
        writeln!(out, "{bold}did{bold:#}      {}", indented(sql))?;
    }
    for Left { sql, reason } in &fixed.left {
        writeln!(out, "{bold}did not{bold:#}  {} -- {reason}", indented(sql))?;
    }
    Ok(())
}

fn write_report(out: &mut impl Write, report: &Report, verbose: bool, place: &str) -> io::Result<()> {
    let shown = |finding: &&Finding| verbose || finding.severity > Severity::Fine;
    for finding in report.findings.iter().filter(shown) {
        let (word, style) = label(finding.severity);
        writeln!(out, "{style}{word}{style:#} {}: {}", finding.subject, finding.message)?;
        if let Some(remedy) = &finding.remedy {
            write_remedy(out, remedy, verbose)?;
        }
    }
    let left = [(Severity::Fault, "in the way"), (Severity::Warning, "to mind")];
    let left: Vec<String> = left
        .into_iter()
        .map(|(severity, what)| (report.count(severity), what))
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", things(count)))
        .collect();
    let verdict = if left.is_empty() { "nothing stands in the way".to_owned() } else { left.join(", ") };
    writeln!(out, "{place}: {verdict}")
}

fn write_remedy(out: &mut impl Write, remedy: &Remedy, verbose: bool) -> io::Result<()> {
    let dimmed = Style::new().dimmed();
    let long = remedy.command.lines().count() > SHOWN_LINES;
    match remedy.safety {
        Safety::Safe if long && !verbose => {
            writeln!(
                out,
                "         {dimmed}tidegate check --fix (its SQL: tidegate check --verbose){dimmed:#}"
            )
        }
        Safety::Safe => {
            writeln!(
                out,
                "         {} {dimmed}-- or: tidegate check --fix{dimmed:#}",
                indented(&remedy.command)
            )
        }
        Safety::ByHand => writeln!(out, "         {}", indented(&remedy.command)),
    }
}

/// Nine columns wide with the blank behind it.
fn label(severity: Severity) -> (&'static str, Style) {
    match severity {
        Severity::Fine => ("ok      ", AnsiColor::Green.on_default()),
        Severity::Note => ("note    ", AnsiColor::Cyan.on_default()),
        Severity::Warning => ("warning ", AnsiColor::Yellow.on_default()),
        Severity::Fault => ("fault   ", AnsiColor::Red.on_default().bold()),
    }
}

fn indented(sql: &str) -> String {
    sql.replace('\n', "\n         ")
}

fn things(count: usize) -> String {
    match count {
        1 => "1 thing".into(),
        count => format!("{count} things"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_line_by_line_with_the_sql_below() {
        let finding = |severity, subject: &str, remedy| Finding {
            severity,
            subject: subject.into(),
            message: "is so".into(),
            remedy,
        };
        let sql = |sql: &str, safety| Some(Remedy { command: sql.into(), safety });
        let report = Report {
            findings: vec![
                finding(Severity::Fine, "version", None),
                finding(Severity::Fault, "wal_level", sql("alter\nsystem;", Safety::ByHand)),
                finding(Severity::Note, "publication", sql("create;", Safety::Safe)),
            ],
        };
        let text = |verbose| {
            let mut out = Vec::new();
            write_report(&mut out, &report, verbose, "me@here/db").expect("memory takes it");
            anstream::adapter::strip_str(std::str::from_utf8(&out).expect("UTF-8")).to_string()
        };
        assert_eq!(
            text(false),
            "fault    wal_level: is so\n         alter\n         system;\n\
             note     publication: is so\n         create; -- or: tidegate check --fix\n\
             me@here/db: 1 thing in the way\n"
        );
        assert!(text(true).starts_with("ok       version: is so\n"));
    }
}
