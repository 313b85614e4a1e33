//! Facts and dimensions as Parquet, for warehouses: in a folder, or in an object store.
//!
//! ```text
//!  analytics.* ──by day──▶ <table>/day=2026-11-25/part-<digest>-0000.parquet ──▶ manifest.json: files, rows
//! ```
//!
//! A day whose rows are what the manifest says is left alone; another one is written whole, in files of other names. The
//! manifest names them once they are there, and at a run's end what it does not name is removed. Every file appears at once
//! or not at all. So an export that is killed is made good by the next one, and who reads by the manifest reads what it says.
//!
//! Never here: a transaction that waits for an upload, or more of a day in memory than a file of it.

mod file;
mod manifest;
mod piece;
mod place;
mod run;
mod table;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, parse_url_opts};
use url::Url;

use crate::postgres::{self, Pool};
use place::{Place, store};
use run::Run;

/// Where exports go, and how they get there.
#[derive(Clone)]
pub struct Config {
    /// `file:///var/lib/warehouse`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: Target,
    /// Options of the object store, as in `aws_region` and `eu-central-1`.
    pub options: Vec<(String, String)>,
}

/// A place that exports go to. Its options may hold secrets; it shows itself without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

/// A text that is no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no place for exports ({0}): write file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
)]
pub struct InvalidTarget(String);

/// Why an export broke off: what was written by then stays, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The history could not be read.
    #[error("could not read the history")]
    Postgres(#[from] postgres::Error),
    /// A file could not be put where it belongs, or the manifest not be read.
    #[error("could not {doing} at the export's place")]
    Store {
        /// What.
        doing: &'static str,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// Rows could not be put into the format.
    #[error("could not write Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Somebody else's file is in the manifest's place.
    #[error("`manifest.json` at the export's place is not one of these exports")]
    Manifest(#[source] serde_json::Error),
    /// The history has nothing of a table that days are exported of: it is not the one that was.
    #[error(
        "`{table}` is empty, and {days} of its days are exported: is this the history that was? Nothing more was written. To \
         begin anew, name another place in export.url, or empty that one"
    )]
    Empty {
        /// Whose rows.
        table: &'static str,
        /// How many days.
        days: usize,
    },
    /// Rows of a day came or went each time that its files were written; it stays as it was exported before.
    #[error("all was exported but `{table}` of {day:?}, which changed each time that it was read")]
    Moving {
        /// Whose rows.
        table: &'static str,
        /// Of which day; empty where there are none.
        day: String,
    },
}

/// Writes exports. Cloning shares it.
#[derive(Clone)]
pub struct Export {
    place: Place,
    warehouse: Pool,
    limits: Limits,
}

/// How much goes together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of a row group, which are all that is in memory as text.
    pub group_rows: usize,
    /// Rows of a file, which are read in one transaction.
    pub file_rows: usize,
    /// Bytes behind which a file ends with its group: they are in memory until it is where it belongs.
    pub file_bytes: usize,
    /// Bytes behind which a file goes out in parts, and of each part. Buckets take 5 MiB at least and 10,000 parts at most.
    pub part_bytes: usize,
    /// How long days are written until the manifest names them: writing it for each would write years of days for every
    /// one of them, and who is killed in between writes these once more.
    pub manifest_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            group_rows: 20_000,
            file_rows: 1_000_000,
            file_bytes: 128 << 20,
            part_bytes: 16 << 20,
            manifest_every: Duration::from_secs(30),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let url = Url::parse(text).map_err(|error| InvalidTarget(error.to_string()))?;
        match url.scheme() {
            "file" | "s3" | "gs" | "az" => Ok(Self(url)),
            other => Err(InvalidTarget(format!("`{other}:` is not known"))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("prefix", &self.place.prefix).finish_non_exhaustive()
    }
}

impl Export {
    /// From the history that `warehouse` connects to.
    ///
    /// # Errors
    /// [`Error::Store`] if the options are not those of the place.
    pub fn new(config: &Config, warehouse: Pool) -> Result<Self, Error> {
        // The object stores' HTTP takes the process's own, which nobody else asks for.
        _ = rustls::crypto::ring::default_provider().install_default();
        let options = config.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (at, prefix) = parse_url_opts(&config.url.0, options).map_err(store("begin"))?;
        Ok(Self::at(at.into(), prefix, warehouse))
    }

    /// The same to a place that is open already, below `prefix`.
    pub fn at(store: Arc<dyn ObjectStore>, prefix: Path, warehouse: Pool) -> Self {
        Self { place: Place { store, prefix }, warehouse, limits: Limits::default() }
    }

    /// The same with other limits; the least of each is one.
    #[must_use]
    pub fn with(mut self, limits: Limits) -> Self {
        self.limits = Limits {
            group_rows: limits.group_rows.max(1),
            file_rows: limits.file_rows.max(1),
            file_bytes: limits.file_bytes.max(1),
            part_bytes: limits.part_bytes.max(1),
            manifest_every: limits.manifest_every,
        };
        self
    }

    /// Writes what has changed since the last time; how many rows.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn run(&self) -> Result<u64, Error> {
        Run::begin(self).await?.all().await
    }
}
