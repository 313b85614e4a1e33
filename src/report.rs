//! What a look at a server found, line by line, and what mends it.

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// In the order in which to mend them.
    pub findings: Vec<Finding>,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, as in `wal_level`, `public.entries`.
    pub subject: String,
    /// What was found, and what it means.
    pub message: String,
    /// What mends it, if something can be done.
    pub remedy: Option<Remedy>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Good to know.
    Note,
    /// Works, and may hurt one day; or concerns one table only.
    Warning,
    /// The server cannot run like this, or not truthfully.
    Fault,
}

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The SQL statement or shell command, or what to put in its place.
    pub command: String,
    /// Who may do it.
    pub safety: Safety,
}

/// Who may apply a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// `tidegate check --fix` does it.
    Safe,
    /// Only someone who knows the server: it locks, costs, grants, or needs a restart.
    ByHand,
}

impl Report {
    /// Whether the server could not run, or not truthfully.
    pub fn has_faults(&self) -> bool {
        self.count(Severity::Fault) > 0
    }

    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(crate) fn add(&mut self, severity: Severity, subject: impl Into<String>, message: impl Into<String>) {
        self.findings.push(Finding {
            severity,
            subject: subject.into(),
            message: message.into(),
            remedy: None,
        });
    }

    /// Gives the finding added last its remedy.
    pub(crate) fn mend(&mut self, safety: Safety, command: impl Into<String>) {
        if let Some(finding) = self.findings.last_mut() {
            finding.remedy = Some(Remedy { command: command.into(), safety });
        }
    }
}
