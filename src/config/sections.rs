use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::scalar::{count, flag, list, milliseconds, parsed, path, text};
use crate::audit;
use crate::event::TableName;
use crate::event::envelope::Source as Speaker;
use crate::http::{self, tls};
use crate::journal;
use crate::policy;
use crate::postgres::publication::Patterns;
use crate::profile;
use crate::telemetry;

mod analytics;
mod app;
mod auth;
mod cache;
mod limits;
mod page;
mod postgres;
mod values;

pub use analytics::{Analytics, Export, Jobs};
pub use app::App;
pub use auth::{Auth, AuthMode, Jwt, Login};
pub use cache::{Cache, CacheBackend};
pub use limits::Limits;
pub use page::Page;
pub use postgres::Postgres;
pub use values::{AllowedOrigins, Backend, BrokerUrl, ConnectionString, Hints};
use values::{events, format, forwarding, functions, listen, networks, patterns, queue, table};

/// Everything that can be set, checked.
///
/// The documentation of a key, with its unit and its consequence, is in `config/default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the database is and what is published of it.
    pub postgres: Postgres,
    /// How changed tables are noticed.
    pub catalog: Catalog,
    /// The replication connection.
    pub source: Source,
    /// What is kept for those who return.
    pub journal: Journal,
    /// What services publish.
    pub publish: Publish,
    /// What goes to services.
    pub exchange: Exchange,
    /// Matching and delivery.
    pub hub: Hub,
    /// Reading the rows that there are.
    pub snapshot: Snapshot,
    /// One client's conversation.
    pub session: Session,
    /// The edge.
    pub http: Http,
    /// The page at `/`.
    pub page: Page,
    /// How much one client may ask.
    pub limits: Limits,
    /// Who may connect.
    pub auth: Auth,
    /// Row-level security.
    pub policy: Policy,
    /// Who asked for what.
    pub audit: Audit,
    /// Sessions of browsers, and answers.
    pub cache: Cache,
    /// The reference application.
    pub app: App,
    /// Its measures.
    pub analytics: Analytics,
    /// Work by the clock.
    pub jobs: Jobs,
    /// The history as files.
    pub export: Export,
    /// Log lines.
    #[serde(with = "Telemetry")]
    pub telemetry: telemetry::Config,
    /// The end.
    pub shutdown: Shutdown,
}

/// `[catalog]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Catalog {
    /// How often the catalog is read.
    #[serde(rename = "refresh_ms", deserialize_with = "milliseconds::<100, 3_600_000, _>")]
    pub refresh: Duration,
    /// Whether to make an event trigger where the role may.
    #[serde(deserialize_with = "flag")]
    pub event_trigger: bool,
}

/// `[source]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Source {
    /// How often the slot is moved on while the published tables are quiet.
    #[serde(rename = "heartbeat_ms", deserialize_with = "milliseconds::<100, 3_600_000, _>")]
    pub heartbeat: Duration,
    /// The size of a piece of a transaction; at most [`Hub::transaction_bytes`].
    #[serde(deserialize_with = "count::<4_096, 67_108_864, _>")]
    pub chunk_bytes: usize,
    /// `wal_sender_timeout` of our own connection; at least twice `status_interval`.
    #[serde(rename = "wal_sender_timeout_ms", deserialize_with = "milliseconds::<1_000, 3_600_000, _>")]
    pub wal_sender_timeout: Duration,
    /// How often the confirmed position is reported.
    #[serde(rename = "status_interval_ms", deserialize_with = "milliseconds::<50, 600_000, _>")]
    pub status_interval: Duration,
}

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Journal {
    /// Where it is kept.
    #[serde(deserialize_with = "parsed")]
    pub backend: Backend,
    /// Where the broker is; set if the backend is a stream.
    #[serde(deserialize_with = "parsed")]
    pub url: BrokerUrl,
    /// The stream.
    #[serde(deserialize_with = "queue")]
    pub stream: String,
    /// How long the stream keeps a record.
    #[serde(rename = "retention_age_ms", deserialize_with = "milliseconds::<1_000, 31_536_000_000, _>")]
    pub retention_age: Duration,
    /// How much the stream keeps.
    #[serde(deserialize_with = "count::<1_048_576, 1_125_899_906_842_624, _>")]
    pub retention_bytes: usize,
    /// How far the slot trails what the broker has confirmed.
    #[serde(rename = "confirm_delay_ms", deserialize_with = "milliseconds::<0, 600_000, _>")]
    pub confirm_delay: Duration,
    /// How much of it is held.
    #[serde(deserialize_with = "count::<1_048_576, 1_099_511_627_776, _>")]
    pub memory_bytes: usize,
    /// How much more for the readers of open snapshots.
    #[serde(deserialize_with = "count::<0, 1_099_511_627_776, _>")]
    pub held_bytes: usize,
    /// For how long.
    #[serde(rename = "max_age_ms", deserialize_with = "milliseconds::<1_000, 2_592_000_000, _>")]
    pub max_age: Duration,
}

/// `[publish]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Publish {
    /// Whether they may do so by HTTP.
    #[serde(deserialize_with = "flag")]
    pub http: bool,
    /// The largest event; [`Config::event_bytes`] decides.
    #[serde(deserialize_with = "count::<1_024, 16_777_216, _>")]
    pub max_bytes: usize,
}

/// `[exchange]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Exchange {
    /// Whether anything does.
    #[serde(deserialize_with = "flag")]
    pub enabled: bool,
    /// Of which tables, as patterns; at least one.
    #[serde(deserialize_with = "patterns")]
    pub tables: Patterns,
    /// What the messages call this server.
    #[serde(deserialize_with = "queue")]
    pub name: String,
}

/// `[hub]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Hub {
    /// The largest transaction that is delivered; at most [`Journal::memory_bytes`].
    #[serde(deserialize_with = "count::<65_536, 17_179_869_184, _>")]
    pub transaction_bytes: usize,
}

/// `[snapshot]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Snapshot {
    /// How many are open at once.
    #[serde(deserialize_with = "count::<1, 1_000, _>")]
    pub concurrent: usize,
    /// How long one may take.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds::<1_000, 86_400_000, _>")]
    pub timeout: Duration,
    /// How much is read ahead and sent in one frame; at most [`Session::outbox_bytes`].
    #[serde(deserialize_with = "count::<1_024, 16_777_216, _>")]
    pub chunk_bytes: usize,
}

/// `[session]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Session {
    /// How much may wait for one client.
    #[serde(deserialize_with = "count::<16_384, 1_073_741_824, _>")]
    pub outbox_bytes: usize,
    /// Subscriptions on one connection.
    #[serde(deserialize_with = "count::<1, 100_000, _>")]
    pub max_subscriptions: usize,
    /// The largest frame from a client.
    #[serde(deserialize_with = "count::<1_024, 67_108_864, _>")]
    pub max_frame_bytes: usize,
    /// The largest frame to a client; at most `outbox_bytes`.
    #[serde(deserialize_with = "count::<1_024, 67_108_864, _>")]
    pub frame_bytes: usize,
    /// How often a silent connection is pinged; less than `idle_timeout`.
    #[serde(rename = "heartbeat_ms", deserialize_with = "milliseconds::<100, 600_000, _>")]
    pub heartbeat: Duration,
    /// How long a client may be silent.
    #[serde(rename = "idle_timeout_ms", deserialize_with = "milliseconds::<200, 3_600_000, _>")]
    pub idle_timeout: Duration,
    /// For the upgrade and for the first frame where a token is needed.
    #[serde(rename = "handshake_timeout_ms", deserialize_with = "milliseconds::<100, 600_000, _>")]
    pub handshake_timeout: Duration,
    /// Frames a second that a client may send over time.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub frames_per_second: usize,
    /// Frames that a client may send at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub frames_burst: usize,
    /// The shortest interval of a `latest` subscription.
    #[serde(rename = "latest_min_interval_ms", deserialize_with = "milliseconds::<1, 60_000, _>")]
    pub latest_min_interval: Duration,
    /// How long a client may take no byte of what waits for it.
    #[serde(rename = "write_timeout_ms", deserialize_with = "milliseconds::<100, 3_600_000, _>")]
    pub write_timeout: Duration,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Http {
    /// Where to listen.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Connections at once.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub max_connections: usize,
    /// Connections at once from one address.
    #[serde(deserialize_with = "count::<1, 1_000_000, _>")]
    pub max_connections_per_address: usize,
    /// The head of a request.
    #[serde(deserialize_with = "count::<8_192, 1_048_576, _>")]
    pub max_header_bytes: usize,
    /// Header fields of a request.
    #[serde(deserialize_with = "count::<16, 1_000, _>")]
    pub max_headers: usize,
    /// Whose word on a client's address is believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// How they give it.
    #[serde(deserialize_with = "forwarding")]
    pub forwarding_header: http::Header,
    /// Whose pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// Whether errors carry the SQL that mends them; [`Config::shows_hints`] decides.
    pub hints: Hints,
    /// TLS on the listener.
    pub tls: Tls,
}

/// `[http.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate and those between it and a root; none for no TLS.
    #[serde(deserialize_with = "path")]
    pub certificate_file: Option<PathBuf>,
    /// Its key; set if and only if there is a certificate.
    #[serde(deserialize_with = "path")]
    pub key_file: Option<PathBuf>,
}

/// `[policy]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    /// How often grants, policies and memberships are looked at.
    #[serde(rename = "refresh_ms", deserialize_with = "milliseconds::<100, 3_600_000, _>")]
    pub refresh: Duration,
    /// Where functions in policies look for names.
    #[serde(deserialize_with = "text")]
    pub search_path: String,
    /// Functions of the identity alone.
    #[serde(deserialize_with = "functions")]
    pub identity_functions: Vec<String>,
}

/// `[audit]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Audit {
    /// Which events are told.
    #[serde(deserialize_with = "events")]
    pub events: audit::Events,
    /// The table that they are appended to; `None` for the log alone.
    #[serde(deserialize_with = "table")]
    pub table: Option<TableName>,
    /// Events that may wait for the table.
    #[serde(deserialize_with = "count::<100, 10_000_000, _>")]
    pub queue_events: usize,
    /// How long an event waits for others.
    #[serde(rename = "interval_ms", deserialize_with = "milliseconds::<1, 60_000, _>")]
    pub interval: Duration,
}

/// `[telemetry]`
#[derive(Deserialize)]
#[serde(remote = "telemetry::Config", deny_unknown_fields)]
struct Telemetry {
    #[serde(deserialize_with = "parsed")]
    level: telemetry::Filter,
    #[serde(deserialize_with = "format")]
    format: telemetry::Format,
}

/// `[shutdown]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Shutdown {
    /// How long clients and queues are given to drain.
    #[serde(rename = "grace_ms", deserialize_with = "milliseconds::<0, 600_000, _>")]
    pub grace: Duration,
}

impl Journal {
    /// Bounds of what a process holds.
    pub const fn bounds(&self) -> journal::Bounds {
        let Self { memory_bytes, held_bytes, max_age, .. } = *self;
        journal::Bounds { memory_bytes, held_bytes, max_age, block_bytes: journal::BLOCK_BYTES }
    }

    /// Where it is kept.
    pub fn backend(&self, event_bytes: usize) -> journal::Backend {
        match self.backend {
            Backend::Memory => journal::Backend::Memory,
            Backend::Rabbitmq => journal::Backend::Stream(Box::new(self.stream(event_bytes))),
        }
    }

    /// The stream.
    pub fn stream(&self, event_bytes: usize) -> journal::StreamConfig {
        journal::StreamConfig {
            url: self.url.get().expect("a configuration without one is refused").clone(),
            stream: self.stream.clone(),
            max_age: self.retention_age,
            max_bytes: self.retention_bytes as u64,
            confirm_delay: self.confirm_delay,
            window_bytes: self.memory_bytes,
            event_bytes,
        }
    }
}

impl Audit {
    /// What is told, and where.
    pub fn settings(&self) -> audit::Config {
        let Self { events, table, queue_events, interval } = self.clone();
        audit::Config { events, table, queue: queue_events, interval }
    }
}

impl Tls {
    /// The files; `None` for no TLS.
    pub fn files(&self) -> Option<tls::Files> {
        let (certificate, key) = self.certificate_file.clone().zip(self.key_file.clone())?;
        Some(tls::Files { certificate, key })
    }
}

impl Config {
    /// The largest event that is taken, in bytes: one that the hub counts as a large transaction would have every listener
    /// of its channel start over, and miss it.
    pub fn event_bytes(&self) -> usize {
        self.publish.max_bytes.min(self.hub.transaction_bytes / 2)
    }

    /// The page at `/`, and how it logs in.
    pub fn page(&self) -> http::Page {
        let Page { folder, servers, control_url } = self.page.clone();
        http::Page { folder, login: self.auth.login(), servers, control: control_url }
    }

    /// How policies are followed.
    pub fn policy(&self) -> policy::Config {
        let Policy { refresh, search_path, identity_functions } = &self.policy;
        policy::Config {
            refresh: *refresh,
            search_path: search_path.clone(),
            identity_functions: identity_functions.clone(),
            publication: self.postgres.publication.clone(),
        }
    }

    /// What is told of who comes, if tokens are looked at and a function is named.
    pub fn profile(&self) -> Option<profile::Config> {
        let function = self.auth.profile_function.clone().filter(|_| self.auth.mode == AuthMode::Jwt)?;
        Some(profile::Config { function, search_path: self.policy.search_path.clone() })
    }

    /// What goes to services, if anything does.
    pub fn exchange(&self) -> Option<journal::ExchangeConfig> {
        let Exchange { enabled, tables, name } = &self.exchange;
        enabled.then(|| journal::ExchangeConfig {
            url: self.journal.url.get().expect("a configuration without one is refused").clone(),
            tables: tables.clone(),
            source: Speaker { name: name.clone(), database: self.postgres.settings().database().to_owned() },
        })
    }

    /// Whether errors carry the SQL that mends them. Without authentication on loopback the client is whoever owns
    /// the database; anybody else learns nothing about its structure unless the configuration says so.
    pub fn shows_hints(&self) -> bool {
        match self.http.hints {
            Hints::Shown => true,
            Hints::Hidden => false,
            Hints::Auto => self.auth.mode == AuthMode::None && self.http.listen.ip().is_loopback(),
        }
    }
}
