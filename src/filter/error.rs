use std::fmt;
use std::sync::Arc;

/// Why a filter or an order was refused.
///
/// The message names the thing at fault and how to mend it; it is for whoever wrote the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    position: Option<usize>,
}

/// The kinds of refusal; each is an error code of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The table has no such column.
    UnknownColumn,
    /// The text is not one expression of PostgreSQL's grammar.
    Syntax,
    /// PostgreSQL may well accept it, but its result cannot be reproduced exactly here.
    Unsupported,
    /// PostgreSQL would refuse it too: a value or an operator that does not fit the type.
    Type,
}

impl ErrorKind {
    /// The protocol's error code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownColumn => "unknown_column",
            Self::Syntax => "filter_syntax",
            Self::Unsupported => "filter_unsupported",
            Self::Type => "filter_type",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Error {
    pub(super) fn new(kind: ErrorKind, position: Option<usize>, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), position }
    }

    pub(super) fn syntax(position: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, position.into(), message)
    }

    pub(super) fn unsupported(position: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, position.into(), message)
    }

    pub(super) fn mistyped(position: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Type, position.into(), message)
    }

    /// What kind of refusal it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where in the text, in characters counted from 1; `None` if no place is to blame.
    pub const fn position(&self) -> Option<usize> {
        self.position
    }
}

/// Why a filter could not be decided on one row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The image leaves out a large value that did not change, and the answer depends on it.
    #[error("the row's image does not carry column `{column}`")]
    Missing {
        /// The column.
        column: Arc<str>,
    },
    /// The value is not of the form in which PostgreSQL writes its type.
    #[error("the value of column `{column}` cannot be read as its type")]
    Unreadable {
        /// The column.
        column: Arc<str>,
    },
    /// An enum label that was added after the table was described, in a comparison by order.
    #[error("column `{column}` holds an enum label whose place in the order is not known")]
    UnknownLabel {
        /// The column.
        column: Arc<str>,
    },
    /// Deciding would take longer than one row may.
    #[error("the value of column `{column}` is too large to be searched by this filter")]
    TooCostly {
        /// The column.
        column: Arc<str>,
    },
}
