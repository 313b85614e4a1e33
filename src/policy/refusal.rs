use std::fmt;

/// Why a policy cannot be followed exactly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The policy, as in `pg_policy.polname`, and its table.
    policy: Option<(String, String)>,
    /// The part of it, as PostgreSQL writes it.
    part: String,
    reason: String,
    /// The SQL that mends it, if any does.
    sql: Option<String>,
}

/// The most of a part that is shown, in characters.
const SHOWN: usize = 200;

impl Refusal {
    /// `part` of a policy, and what is the matter with it, as in `is not supported`.
    pub(super) fn part(part: &str, reason: &str) -> Self {
        let part = match part.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &part[..end]),
            None => part.to_owned(),
        };
        Self { policy: None, part, reason: reason.to_owned(), sql: None }
    }

    /// The same, with the SQL that mends it.
    pub(super) fn mended_by(self, sql: Option<String>) -> Self {
        Self { sql, ..self }
    }

    /// The same, of this policy.
    pub(super) fn of(self, policy: &str, table: impl fmt::Display) -> Self {
        Self { policy: self.policy.or_else(|| Some((policy.to_owned(), table.to_string()))), ..self }
    }

    /// The SQL that mends it, if any does.
    pub fn sql(&self) -> Option<&str> {
        self.sql.as_deref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((policy, table)) = &self.policy {
            write!(f, "policy `{policy}` of {table}: ")?;
        }
        if !self.part.is_empty() {
            write!(f, "`{}` ", self.part.replace("\"«row»\".", "").replace("«row».", ""))?;
        }
        f.write_str(&self.reason)
    }
}
