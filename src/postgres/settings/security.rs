use std::path::{Path, PathBuf};

use super::{Error, Parameters};

/// How TLS is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What is demanded of the server.
    pub mode: SslMode,
    /// Whom to trust; `None` for the operating system's roots where a mode verifies at all.
    pub roots: Option<PathBuf>,
    /// The client's own certificate and key, in PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How the TLS handshake is asked for.
    pub negotiation: Negotiation,
    /// Whether the password exchange must be bound to the TLS channel.
    pub channel_binding: Binding,
}

/// What is demanded of the server, as libpq's `sslmode`.
///
/// See <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it (`allow` too).
    Prefer,
    /// TLS, with whomever.
    Require,
    /// TLS with a server that a trusted authority signed.
    VerifyCa,
    /// TLS with a server that a trusted authority signed for this very name.
    VerifyFull,
}

/// How the TLS handshake is asked for, as libpq's `sslnegotiation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiation {
    /// By PostgreSQL's own request first.
    Postgres,
    /// At once, with ALPN `postgresql` (PostgreSQL 17).
    Direct,
}

/// Whether the password exchange is bound to the TLS channel, as libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Never.
    Disable,
    /// Where the server offers it.
    Prefer,
    /// Always: any other exchange is refused.
    Require,
}

/// Takes what is said of TLS out of `parameters`.
pub(super) fn tls(parameters: &mut Parameters) -> Result<Tls, Error> {
    let mode = match (parameters.take("sslmode").as_deref(), parameters.take("ssl").as_deref()) {
        (Some("disable"), _) => SslMode::Disable,
        (Some("require"), _) | (None, Some("true")) => SslMode::Require,
        (Some("allow" | "prefer"), _) | (None, None) => SslMode::Prefer,
        (Some("verify-ca"), _) => SslMode::VerifyCa,
        (Some("verify-full"), _) => SslMode::VerifyFull,
        (Some(_), _) => {
            let expected = "one of `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`";
            return Err(Error::Value { key: "sslmode".into(), expected });
        }
        (None, Some(_)) => return Err(Error::Value { key: "ssl".into(), expected: "`true`" }),
    };
    let path = |text: Option<String>| text.filter(|text| !text.is_empty()).map(PathBuf::from);
    let (mode, roots) = match path(parameters.take("sslrootcert")) {
        // `system` demands the strictest mode, or it would trust anyone with a certificate of any name.
        Some(roots) if roots == Path::new("system") => (SslMode::VerifyFull, None),
        // As in libpq: whoever names an authority wants it asked.
        Some(roots) if mode == SslMode::Require => (SslMode::VerifyCa, Some(roots)),
        roots => (mode, roots),
    };
    let certificate = match (path(parameters.take("sslcert")), path(parameters.take("sslkey"))) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, _) => return Err(Error::NoValue { key: "sslcert".into() }),
        (_, None) => return Err(Error::NoValue { key: "sslkey".into() }),
    };
    Ok(Tls { mode, roots, certificate, negotiation: Negotiation::Postgres, channel_binding: Binding::Prefer })
}
