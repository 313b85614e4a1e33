use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use super::address::Address;
use super::frame::Refusal;
use super::socket::ConnectError;
use super::view::plain;
use crate::config;

/// Why the subscription ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was no connection to begin with.
    #[error("cannot reach {address}")]
    Unreachable {
        /// The server.
        address: String,
        /// What stood in the way.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not give this subscription.
    #[error("{0}")]
    Refused(String),
    /// The server closed the connection for good.
    #[error("{why}")]
    Closed {
        /// The code and the reason that it gave.
        why: String,
    },
    /// The server said what is not the protocol.
    #[error("the server sent a frame that is not of the protocol")]
    Protocol(#[source] serde_json::Error),
    /// Stdout takes no more.
    #[error("cannot write to stdout")]
    Output(#[source] io::Error),
    /// The token's file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The token's variable cannot be read.
    #[error("cannot read the token in the environment")]
    Environment(#[source] config::Error),
    /// The operating system gives no signals.
    #[error("cannot listen for Ctrl-C")]
    Signals(#[source] io::Error),
}

impl Error {
    /// What the process says with its exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::TokenFile { .. } | Self::Environment(_) | Self::Signals(_) => 2,
            Self::Refused(_) | Self::Closed { .. } | Self::Protocol(_) | Self::Output(_) => 1,
        }
    }

    pub(super) fn unreachable(address: &Address, source: ConnectError) -> Self {
        Self::Unreachable { address: address.to_string(), source: Box::new(source) }
    }

    /// What `refusal` says, with the place in the filter and the SQL that mends it.
    pub(super) fn refused(subject: &str, filter: Option<&str>, refusal: &Refusal) -> Self {
        let mut text = format!("{}: {} ({})", plain(subject), plain(&refusal.message), plain(&refusal.code));
        if let (Some("where"), Some(position), Some(filter)) =
            (refusal.field.as_deref(), refusal.position, filter)
        {
            let filter = plain(filter);
            if (1..=filter.chars().count() + 1).contains(&position) {
                let _ = write!(text, "\n  {filter}\n  {}^", " ".repeat(position - 1));
            }
        }
        if let Some(hint) = &refusal.hint {
            // SQL may have several lines; none may command the terminal.
            for line in hint.lines() {
                let _ = write!(text, "\n  {}", plain(line));
            }
        }
        Self::Refused(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_the_place_and_what_mends_it() {
        let refusal = Refusal {
            code: "unknown_column".into(),
            message: "no column `stauts`".into(),
            field: Some("where".into()),
            position: Some(5),
            hint: Some("alter table a\nreplica identity full".into()),
            retry_after_ms: None,
        };
        assert_eq!(
            Error::refused("public.entries", Some("not stauts"), &refusal).to_string(),
            "public.entries: no column `stauts` (unknown_column)\n  not stauts\n      ^\n  alter table a\n  replica identity full"
        );
        let elsewhere = Refusal { position: Some(99), hint: None, ..refusal };
        assert_eq!(
            Error::refused("t", Some("a"), &elsewhere).to_string(),
            "t: no column `stauts` (unknown_column)"
        );
    }
}
