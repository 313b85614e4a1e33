use std::fmt;
use std::io;
use std::path::PathBuf;

use toml::Value;

use super::environment;

/// Keys whose values are never printed.
const SECRET: &[&str] = &[
    "app.contact_keys",
    "postgres.replica_urls",
    "auth.jwt.secret",
    "cache.url",
    "journal.url",
    "postgres.url",
];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, as embedded.
    Default,
    /// A line of the file given with `--config`.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line, or a command that sets the key itself.
    Flag(String),
}

impl Origin {
    /// How `key` is written there.
    fn spelling(&self, key: &str) -> String {
        match self {
            Self::Variable(_) => {
                format!("{}{}", environment::PREFIX, key.to_ascii_uppercase().replace('.', "__"))
            }
            Self::Default | Self::File { .. } | Self::Flag(_) => key.to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One key with its value and where that came from. Shows as `key = value (origin)`, a secret without its value.
#[derive(Clone, Debug)]
pub struct Setting {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, origin } = self;
        if SECRET.contains(&key.as_str()) {
            write!(f, "`{key}` = (not shown) ({origin})")
        } else {
            write!(f, "`{key}` = {value} ({origin})")
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file given with `--config` cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not TOML. The line itself is not shown: it may hold a password.
    #[error("{}:{line}: not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected there.
        message: String,
    },
    /// A variable's value is not UTF-8.
    #[error("the value of {variable} is not UTF-8")]
    NotUnicode {
        /// The variable.
        variable: String,
    },
    /// A `--set` without `=`.
    #[error("`--set {given}`: expected section.key=value, as in --set http.listen=127.0.0.1:9000")]
    MalformedFlag {
        /// What was given, up to where a value would begin.
        given: String,
    },
    /// There is no such key. Its value is not shown: it may be a mistyped secret.
    #[error("{origin}: there is no key `{}`{}", origin.spelling(key), suggestion(origin, nearest.as_deref()))]
    UnknownKey {
        /// The key, as `section.key`.
        key: String,
        /// Where it was set.
        origin: Origin,
        /// The key that was meant, perhaps.
        nearest: Option<String>,
    },
    /// The key cannot have this value.
    #[error("{setting}: {reason}")]
    BadValue {
        /// The key, its value, and where it was set.
        setting: Box<Setting>,
        /// What it must be.
        reason: String,
    },
    /// Two values do not go together.
    #[error("{setting} must be {relation} {other}")]
    Conflict {
        /// The value that breaks the rule.
        setting: Box<Setting>,
        /// How it must relate to the other.
        relation: &'static str,
        /// The value that it must respect.
        other: Box<Setting>,
    },
    /// Two values are of use only together.
    #[error("{set} is of no use without `{missing}`")]
    Half {
        /// The value that is set.
        set: Box<Setting>,
        /// The key that is not.
        missing: &'static str,
    },
    /// Everyone could connect from everywhere.
    #[error(
        "{listen} is not a loopback address, and {mode} lets everyone in: listen on 127.0.0.1, \
         or set auth.allow_insecure = true if whoever reaches the port may read every published table"
    )]
    Exposed {
        /// The address.
        listen: Box<Setting>,
        /// The mode of authentication.
        mode: Box<Setting>,
    },
    /// A value asks for another one, or rules it out.
    #[error("{setting} {needs}")]
    Incomplete {
        /// The value.
        setting: Box<Setting>,
        /// What has to be done about it.
        needs: String,
    },
    /// Nobody said where the database is.
    #[error(
        "`postgres.url` is not set: where is the database? \
         TIDEGATE__POSTGRES__URL=postgres://user@host/database, --url, or url in [postgres] of a --config file"
    )]
    NoDatabase,
    /// Nobody said where the broker is.
    #[error(
        "`journal.url` is not set, and `journal.backend` or `exchange.enabled` asks for RabbitMQ: where is it? \
         TIDEGATE__JOURNAL__URL=amqp://user:password@host:5672/vhost, or url in [journal] of a --config file"
    )]
    NoBroker,
}

fn suggestion(origin: &Origin, nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{}`?", origin.spelling(nearest)),
        None => "; all keys are in config/default.toml".to_owned(),
    }
}
