//! Facts and dimensions as Parquet, for warehouses: in a folder, or in an object store.
//!
//! ```text
//!  analytics.* ──by day──▶ <table>/day=2026-11-25/part-<digest>-0000.parquet ──▶ manifest.json: files, rows
//! ```
//!
//! A day whose rows are what the manifest says is left alone; another one is written whole, in files of other names, then
//! said in the manifest, and then the files that it no longer names are removed. Every file appears at once or not at all.
//! So an export that is killed goes on where it stood, and who reads by the manifest reads what it says.

mod file;
mod manifest;
mod table;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, parse_url_opts};
use tokio::task::spawn_blocking;
use url::Url;

use crate::postgres::{self, Access, Begun, Fields, Pool, Work};
use manifest::{Day, Manifest};
use table::{TABLES, Table};

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
}

/// Writes exports. Cloning shares it.
#[derive(Clone)]
pub struct Export {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    warehouse: Pool,
}

const TIMEOUT: Duration = Duration::from_hours(6);
/// Rows that are read at once: a group of a file.
const GROUP: usize = 50_000;
/// Groups in a file: what is in memory at once.
const GROUPS: usize = 10;

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
        f.debug_struct("Export").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn store(doing: &'static str) -> impl Fn(object_store::Error) -> Error {
    move |source| Error::Store { doing, source }
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
        let (store, prefix) = parse_url_opts(&config.url.0, options).map_err(store("begin"))?;
        Ok(Self { store: store.into(), prefix, warehouse })
    }

    /// Writes what has changed since the last time; how many rows.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn run(&self) -> Result<u64, Error> {
        let mut manifest = Manifest::read(&*self.store, &self.prefix).await?;
        let mut written = 0;
        for table in &TABLES {
            written += self.table(table, &mut manifest).await?;
        }
        Ok(written)
    }

    async fn table(&self, table: &'static Table, manifest: &mut Manifest) -> Result<u64, Error> {
        let Begun { work, .. } =
            Work::begin(&self.warehouse, None, "pg_catalog", Access::Read, TIMEOUT).await?;
        let mut written = 0;
        let mut days = Vec::new();
        for row in work.rows(table.digests(), &[]).await? {
            let text = |place| row.text(place).unwrap_or_default().to_owned();
            let (day, digest) = (text(0), text(1));
            days.push(day.clone());
            if manifest.day(table.name, &day).is_some_and(|known| known.digest == digest) {
                continue;
            }
            let (rows, files) = self.day(table, &day, &digest, &work).await?;
            manifest.set(table.name, &day, Day { digest, rows, files });
            manifest.write(&*self.store, &self.prefix).await?;
            self.keep(table, &day, manifest).await?;
            written += rows;
        }
        for day in manifest.others(table.name, &days) {
            manifest.forget(table.name, &day);
            manifest.write(&*self.store, &self.prefix).await?;
            self.keep(table, &day, manifest).await?;
        }
        work.end().await?;
        Ok(written)
    }

    /// Writes a day's files; how many rows, and the files' names.
    async fn day(
        &self,
        table: &'static Table,
        day: &str,
        digest: &str,
        work: &Work,
    ) -> Result<(u64, Vec<String>), Error> {
        let (mut rows, mut files) = (0, Vec::new());
        let mut after = String::new();
        let mut is_done = false;
        while !is_done {
            let mut groups: Vec<Vec<Fields>> = Vec::new();
            while groups.len() < GROUPS && !is_done {
                let group = work.rows(table.rows(), &[Some(day), Some(&after)]).await?;
                is_done = group.len() < GROUP;
                if let Some(last) = group.last() {
                    last.text(table.columns.len()).unwrap_or_default().clone_into(&mut after);
                    rows += group.len() as u64;
                    groups.push(group);
                }
            }
            if groups.is_empty() && !files.is_empty() {
                break;
            }
            let body =
                spawn_blocking(move || file::encode(table, &groups)).await.expect("it does not panic")?;
            // Of other rows it has another name: what the manifest names is what it says.
            let name = format!("part-{digest}-{:04}.parquet", files.len());
            let place = self.folder(table, day).join(name.as_str());
            self.store.put(&place, body.into()).await.map_err(store("put a file"))?;
            files.push(name);
        }
        Ok((rows, files))
    }

    /// Removes the files of a day that the manifest does not name.
    async fn keep(&self, table: &Table, day: &str, manifest: &Manifest) -> Result<(), Error> {
        let folder = self.folder(table, day);
        let found: Vec<_> =
            self.store.list(Some(&folder)).try_collect().await.map_err(store("list files"))?;
        let kept = manifest.day(table.name, day).map_or(&[][..], |day| &day.files);
        for file in found {
            let is_kept = file.location.filename().is_some_and(|name| kept.iter().any(|kept| kept == name));
            if !is_kept {
                self.store.delete(&file.location).await.map_err(store("remove a file"))?;
            }
        }
        Ok(())
    }

    fn folder(&self, table: &Table, day: &str) -> Path {
        let path = self.prefix.clone().join(table.name);
        if day.is_empty() { path } else { path.join(format!("day={day}")) }
    }
}
