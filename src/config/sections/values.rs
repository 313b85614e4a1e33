use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Value;

use super::{list, text};
use crate::audit;
use crate::event::TableName;
use crate::http;
use crate::journal;
use crate::postgres::publication::Patterns;
use crate::postgres::{Settings, settings};
use crate::telemetry;

/// Where the database is, as libpq reads it: a URL or key=value pairs. May hold a password, so it never shows itself.
#[derive(Clone)]
pub struct ConnectionString {
    text: String,
    /// What it says; nothing if it was never set.
    settings: Option<Settings>,
}

impl ConnectionString {
    /// The text, password included.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What it says; `None` if it was never set.
    pub const fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionString(not shown)")
    }
}

impl FromStr for ConnectionString {
    type Err = settings::Error;

    fn from_str(text: &str) -> Result<Self, settings::Error> {
        let is_set = !text.trim().is_empty();
        let settings = is_set.then(|| Settings::parse(text)).transpose()?;
        Ok(Self { text: text.to_owned(), settings })
    }
}

/// Where RabbitMQ is. May hold a password, and shows itself without.
#[derive(Clone, Debug)]
pub struct BrokerUrl(Option<journal::Url>);

impl BrokerUrl {
    /// The URI; `None` if it was never set.
    pub const fn get(&self) -> Option<&journal::Url> {
        self.0.as_ref()
    }
}

impl FromStr for BrokerUrl {
    type Err = journal::InvalidUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() { Ok(Self(None)) } else { text.parse().map(|url| Self(Some(url))) }
    }
}

/// Where the journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In this process.
    Memory,
    /// In a RabbitMQ stream.
    Rabbitmq,
}

impl FromStr for Backend {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "memory" => Ok(Self::Memory),
            "rabbitmq" => Ok(Self::Rabbitmq),
            _ => Err("must be memory or rabbitmq"),
        }
    }
}

/// Whether errors carry the SQL that mends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    /// Only without authentication on loopback.
    Auto,
    /// Always.
    Shown,
    /// Never.
    Hidden,
}

impl<'de> Deserialize<'de> for Hints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_bool(), value.as_str()) {
            (Some(true), _) | (_, Some("true")) => Ok(Self::Shown),
            (Some(false), _) | (_, Some("false")) => Ok(Self::Hidden),
            (_, Some("auto")) => Ok(Self::Auto),
            _ => Err(D::Error::custom("must be true, false or auto")),
        }
    }
}

/// Whose pages may connect from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Pages of this server's own origin and of loopback.
    OwnAndLoopback,
    /// Pages of these origins, each `scheme://host[:port]` in lower case.
    Listed(Vec<String>),
    /// Any page.
    Any,
}

impl<'de> Deserialize<'de> for AllowedOrigins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let origins = list(deserializer)?;
        if origins.is_empty() {
            return Ok(Self::OwnAndLoopback);
        }
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self::Any);
        }
        let checked = origins.into_iter().map(|origin| {
            is_origin(&origin).then(|| origin.to_ascii_lowercase()).ok_or_else(|| {
                D::Error::custom(format_args!(
                    "`{origin}` is no origin: write scheme://host or scheme://host:port, without a path, or `*`"
                ))
            })
        });
        checked.collect::<Result<_, _>>().map(Self::Listed)
    }
}

/// See <https://www.rfc-editor.org/rfc/rfc6454#section-6.2>.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let scheme_holds = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse::<u16>().is_ok()),
        _ => (host, true),
    };
    let name_holds =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c));
    scheme_holds && port && name_holds
}

/// PostgreSQL cuts longer names off.
const NAME_BYTES: usize = 63;

pub(super) fn publication<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = text(deserializer)?;
    if (1..=NAME_BYTES).contains(&name.len()) && !name.contains('\0') {
        Ok(name)
    } else {
        Err(D::Error::custom(format_args!("must be a name of 1 to {NAME_BYTES} bytes")))
    }
}

/// AMQP's short strings; names that begin with `amq.` are the broker's own.
///
/// See <https://www.rabbitmq.com/docs/queues#names>.
pub(super) fn queue<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const MOST_BYTES: usize = 255;
    let name = text(deserializer)?;
    if (1..=MOST_BYTES).contains(&name.len()) && !name.starts_with("amq.") {
        Ok(name)
    } else {
        Err(D::Error::custom(format_args!(
            "must be a name of 1 to {MOST_BYTES} bytes that does not begin with amq."
        )))
    }
}

/// See <https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION>.
pub(super) fn slot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = text(deserializer)?;
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && (1..=NAME_BYTES).contains(&name.len()) {
        Ok(name)
    } else {
        Err(D::Error::custom(format_args!(
            "must be 1 to {NAME_BYTES} lower-case letters, digits and underscores: PostgreSQL's rule for slots"
        )))
    }
}

pub(super) fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Patterns, D::Error> {
    let patterns = list(deserializer)?;
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern.trim().is_empty()) {
        return Err(D::Error::custom(
            "must name at least one table or pattern, as in [\"public.*\"], and none empty",
        ));
    }
    Patterns::parse(patterns.iter().map(String::as_str)).map_err(D::Error::custom)
}

pub(super) fn functions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = list(deserializer)?;
    let is_name = |name: &String| {
        name.split_once('.').is_some_and(|(schema, name)| !schema.is_empty() && !name.is_empty())
    };
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names),
        Some(name) => Err(D::Error::custom(format_args!(
            "must be names with their schemas, as in [\"auth.tenant\"], and `{name}` is none"
        ))),
    }
}

pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    text(deserializer)?
        .parse()
        .map_err(|_| D::Error::custom("must be an address and a port, as in 127.0.0.1:8080 or [::1]:8080"))
}

pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: String| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map_err(|_| {
            D::Error::custom(format_args!(
                "`{text}` is no network: write it as in 10.0.0.0/8, 2001:db8::/32 or 127.0.0.1"
            ))
        })
    };
    list(deserializer)?.into_iter().map(network).collect()
}

pub(super) fn forwarding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<http::Header, D::Error> {
    match text(deserializer)?.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(http::Header::XForwardedFor),
        "forwarded" => Ok(http::Header::Forwarded),
        _ => Err(D::Error::custom("must be x-forwarded-for or forwarded")),
    }
}

pub(super) fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<audit::Events, D::Error> {
    match text(deserializer)?.as_str() {
        "all" => Ok(audit::Events::All),
        "denied" => Ok(audit::Events::Denied),
        "none" => Ok(audit::Events::None),
        _ => Err(D::Error::custom("must be all, denied or none")),
    }
}

/// A table by both its names; `None` for an empty text.
pub(super) fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TableName>, D::Error> {
    let text = text(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let table = TableName::parse(&text).filter(|_| text.contains('.'));
    table.map(Some).ok_or_else(|| D::Error::custom("must be a table as schema.table"))
}

pub(super) fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<telemetry::Format, D::Error> {
    match text(deserializer)?.as_str() {
        "auto" => Ok(telemetry::Format::Auto),
        "text" => Ok(telemetry::Format::Text),
        "json" => Ok(telemetry::Format::Json),
        _ => Err(D::Error::custom("must be text, json or auto")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for text in ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080", "http://[::1]"]
        {
            assert!(is_origin(text), "{text}");
        }
        for text in [
            "",
            "*.example.com",
            "app.example.com",
            "https://",
            "https://a/",
            "https://a:x",
            "https://u@a",
            "://a",
        ] {
            assert!(!is_origin(text), "{text}");
        }
    }

    #[test]
    fn a_connection_string_does_not_show_itself() {
        let url: ConnectionString = "postgres://u:hunter2@h/d".parse().expect("valid");
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(url.expose(), "postgres://u:hunter2@h/d");
    }
}
