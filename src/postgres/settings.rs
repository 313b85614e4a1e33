//! Where PostgreSQL is and how to talk to it: a connection text as libpq takes it, checked.
//!
//! Read here once, for ordinary connections and for replication alike. What libpq takes from files and from the
//! environment (`.pgpass`, `PGHOST`, `~/.postgresql`) is not read: only `config` reads the environment.

mod endpoint;
mod error;
mod parameters;
mod security;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, SslNegotiation, TargetSessionAttrs};

use endpoint::endpoints;
pub use endpoint::{Endpoint, Host};
pub use error::Error;
use parameters::Parameters;
use security::tls;
pub use security::{Binding, Negotiation, SslMode, Tls};

use super::nearest::nearest;

/// Settings of every session, replication included, so that the text of a value never depends on the server, its
/// databases or its roles; and so that an expression read from the catalog names everything in full.
pub const PINNED: [(&str, &str); 11] = [
    ("datestyle", "ISO"),
    ("intervalstyle", "iso_8601"),
    ("timezone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("client_encoding", "UTF8"),
    // `regclass` and its like are written without a schema where the path has it.
    ("search_path", "pg_catalog"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    // `x = null` must stay what SQL says it is.
    ("transform_null_equals", "off"),
];

/// Ten seconds reach around the world and are short enough to notice.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed within a minute, not after the two hours that Linux waits by itself.
const KEEPALIVES: &str = "keepalives_idle=30 keepalives_interval=10 keepalives_retries=3 ";
/// Parameters that libpq has and this does not, each with what to do.
const UNSUPPORTED: [(&str, &str); 13] = [
    ("replication", "the replication connection sets it itself"),
    ("client_encoding", "it is always UTF8"),
    ("load_balance_hosts", "one server holds the slot: hosts are tried in the order given"),
    ("service", "write out what the service file says"),
    ("servicefile", "write out what the service file says"),
    ("passfile", "give the password itself"),
    ("sslpassword", "store the key without one, readable by this user only"),
    ("sslcrl", "leave expired trust out of `sslrootcert`"),
    ("sslcrldir", "leave expired trust out of `sslrootcert`"),
    ("require_auth", "use `sslmode=verify-full`: a verified server may ask for what it wants"),
    ("requirepeer", "use `sslmode=verify-full` over TCP"),
    ("krbsrvname", "Kerberos is not spoken here"),
    ("gsslib", "Kerberos is not spoken here"),
];
const KNOWN: [&str; 24] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "connect_timeout",
    "options",
    "application_name",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslsni",
    "channel_binding",
    "target_session_attrs",
    "gssencmode",
];

/// Where PostgreSQL is and how to talk to it.
///
/// `Debug` and `Display` leave the password out.
#[derive(Clone)]
pub struct Settings {
    endpoints: Vec<Endpoint>,
    user: String,
    database: String,
    tls: Tls,
    /// If the text names one.
    connect_timeout: Option<Duration>,
    /// All that is neither place nor TLS, as tokio-postgres reads it.
    config: tokio_postgres::Config,
    /// Whether the text says which of several hosts is meant.
    says_which: bool,
}

impl Settings {
    /// Reads a connection text: a URL or `key=value` pairs, with libpq's names.
    ///
    /// # Errors
    /// [`Error`] names the part at fault and never shows the password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::Form);
        }
        let mut parameters = Parameters::parse(text)?;
        let endpoints = endpoints(&mut parameters)?;
        let mut tls = tls(&mut parameters)?;
        for (key, expected) in [("gssencmode", "disable"), ("sslsni", "1")] {
            match parameters.take(key).as_deref() {
                None | Some("prefer") => {}
                Some(value) if value == expected => {}
                Some(_) => return Err(Error::Unsupported { key: key.into(), reason: "leave it out" }),
            }
        }
        let user_timeout = parameters.take("tcp_user_timeout");
        let fallback_name = parameters.take("fallback_application_name");
        let mut config = rest(&parameters)?;
        if let (None, Some(name)) = (config.get_application_name(), fallback_name) {
            config.application_name(name);
        }
        if let Some(text) = user_timeout {
            // Milliseconds, as in libpq; tokio-postgres would read seconds.
            let millis = text.parse().map_err(|_| Error::Value {
                key: "tcp_user_timeout".into(),
                expected: "a whole number of milliseconds",
            })?;
            config.tcp_user_timeout(Duration::from_millis(millis));
        }
        let says_which = config.get_target_session_attrs() != TargetSessionAttrs::Any;
        if endpoints.len() > 1 && !says_which {
            // Only a primary has the slot; a standby among the hosts is one to pass over.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        tls.negotiation = match config.get_ssl_negotiation() {
            SslNegotiation::Direct => Negotiation::Direct,
            _ => Negotiation::Postgres,
        };
        if tls.negotiation == Negotiation::Direct && matches!(tls.mode, SslMode::Disable | SslMode::Prefer) {
            let expected = "`postgres` unless `sslmode` is `require` or stricter";
            return Err(Error::Value { key: "sslnegotiation".into(), expected });
        }
        tls.channel_binding = match config.get_channel_binding() {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Require => Binding::Require,
            _ => Binding::Prefer,
        };
        let user = match config.get_user() {
            Some(user) => user.to_owned(),
            None => whoami::username().map_err(|_| Error::NoUser)?,
        };
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        let connect_timeout = config.get_connect_timeout().copied();
        config.user(&user).dbname(&database);
        Ok(Self { endpoints, user, database, tls, connect_timeout, config, says_which }
            .with_default_connect_timeout(CONNECT_TIMEOUT))
    }

    /// The servers that may be the one, in the order in which to try them. Never empty.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The role to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Its password.
    pub fn password(&self) -> Option<&[u8]> {
        self.config.get_password()
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The same settings for another database of the same server.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        let mut settings = self.clone();
        database.clone_into(&mut settings.database);
        settings.config.dbname(database);
        settings
    }

    /// What is demanded of the server.
    pub fn ssl_mode(&self) -> SslMode {
        self.tls.mode
    }

    /// How TLS is used.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How long one address of a server may take to answer: connecting, TLS and logging in together.
    pub fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }

    /// The same settings with `timeout` for one address to answer, unless the text says how long.
    #[must_use]
    pub fn with_default_connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout(self.connect_timeout.unwrap_or(timeout));
        self
    }

    /// The same settings for a server that follows another: of several the first that takes no writes, unless the text says
    /// which.
    #[must_use]
    pub fn of_a_standby(mut self) -> Self {
        if self.endpoints.len() > 1 && !self.says_which {
            self.config.target_session_attrs(TargetSessionAttrs::ReadOnly);
        }
        self
    }

    /// What the session shall be called in `pg_stat_activity`, if the text says so.
    pub fn application_name(&self) -> Option<&str> {
        self.config.get_application_name()
    }

    /// The text's own command-line options for the session, if any.
    pub fn options(&self) -> Option<&str> {
        self.config.get_options()
    }

    /// Whether a server that refuses writes is to be passed over.
    pub fn wants_primary(&self) -> bool {
        self.config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
    }

    /// The startup parameter `options`: the text's own, then [`PINNED`], then `more`; the last of one name counts.
    pub fn startup_options(&self, more: &[(&str, &str)]) -> String {
        let mut options = self.options().map(|own| format!("{own} ")).unwrap_or_default();
        for (name, value) in PINNED.iter().chain(more) {
            let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
            options.push_str("-c ");
            options.push_str(name);
            options.push('=');
            options.push_str(&value);
            options.push(' ');
        }
        options.truncate(options.trim_end().len());
        options
    }

    /// What tokio-postgres needs to reach one of the endpoints by a [`Line`](super::line::Line); without `options`.
    pub(super) fn for_endpoint(&self, endpoint: &Endpoint) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        let mode = match &endpoint.host {
            Host::Tcp(name) => {
                config.host(name);
                tokio_postgres::config::SslMode::Require
            }
            // As in libpq: no TLS over a Unix socket, whatever the mode.
            Host::Unix(folder) => {
                config.host_path(folder);
                tokio_postgres::config::SslMode::Disable
            }
        };
        if let Some(address) = endpoint.address {
            config.hostaddr(address);
        }
        // Whether to ask for TLS, and how, is the line's to decide.
        config.port(endpoint.port).ssl_mode(mode).ssl_negotiation(SslNegotiation::Direct);
        config
    }
}

/// [`PINNED`] as statements, for a server (a pooler, mostly) that refuses them as `options`.
pub fn pinned_statements() -> String {
    PINNED.map(|(name, value)| format!("set {name} = '{value}';")).join("\n")
}

/// [`PINNED`] for the present transaction: where a pooler may have handed us another's session.
pub(super) fn pinned_locally() -> String {
    PINNED.map(|(name, value)| format!("set local {name} = '{value}';")).join("\n")
}

/// Whether libpq has a parameter `key`.
fn is_known(key: &str) -> bool {
    KNOWN.contains(&key) || UNSUPPORTED.iter().any(|(name, _)| *name == key)
}

/// What is neither place nor TLS: tokio-postgres reads it, one by one first, so that an error names its parameter.
fn rest(parameters: &Parameters) -> Result<tokio_postgres::Config, Error> {
    let mut text = KEEPALIVES.to_owned();
    for (key, value) in parameters.rest() {
        if let Some((_, reason)) = UNSUPPORTED.iter().find(|(name, _)| *name == key) {
            return Err(Error::Unsupported { key: key.into(), reason });
        }
        if !KNOWN.contains(&key) {
            return Err(Error::Unknown { key: key.into(), nearest: nearest(key, KNOWN) });
        }
        let (key, value) = match (key, value) {
            ("keepalives_count", value) => ("keepalives_retries", value),
            ("target_session_attrs", "primary") => (key, "read-write"),
            ("target_session_attrs", "standby") => (key, "read-only"),
            other => other,
        };
        let pair = format!("{key}='{}' ", value.replace('\\', "\\\\").replace('\'', "\\'"));
        if pair.parse::<tokio_postgres::Config>().is_err() {
            let expected = match key {
                "target_session_attrs" => "`any`, `read-write`, `primary`, `read-only` or `standby`",
                "channel_binding" => "`disable`, `prefer` or `require`",
                "sslnegotiation" => "`postgres` or `direct`",
                _ => "a whole number",
            };
            return Err(Error::Value { key: key.into(), expected });
        }
        text.push_str(&pair);
    }
    text.parse().map_err(|_| Error::Form)
}

impl FromStr for Settings {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// `user@host:5432/database`, for people.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.user)?;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            write!(f, "{}{endpoint}", if index == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.database)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoints", &self.endpoints)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
