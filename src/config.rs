//! Files, environment and flags become checked values, once, at the start.
//!
//! ```text
//!  config/default.toml < --config file < TIDEGATE__SECTION__KEY < flags ──▶ Config
//! ```
//!
//! `config/default.toml` is the list of all keys: what is not in it is no key. A value is checked when it is set, by
//! itself, so that an error names the key, the value, and the file and line, variable or flag it came from.
//! This is the only reader of the environment.

mod environment;
mod error;
mod file;
mod layers;
mod rules;
mod scalar;
mod sections;

pub use environment::variable;
pub use error::{Error, Origin, Setting};
pub use layers::{DEFAULTS, Layers};
pub use sections::{
    AllowedOrigins, Analytics, App, Audit, Auth, AuthMode, Backend, BrokerUrl, Cache, CacheBackend, Catalog,
    Config, ConnectionString, Exchange, Export, Hints, Http, Hub, Jobs, Journal, Jwt, Limits, Login, Page,
    Policy, Postgres, Publish, Session, Shutdown, Snapshot, Source, Tls,
};
