use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};

use super::{Error, store};

/// What an export has written: by table and day. A table without days has one, whose name is empty.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Of this form.
    tidegate_export: u32,
    tables: BTreeMap<String, BTreeMap<String, Day>>,
}

/// What is written of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Day {
    /// Of its rows: others have another one.
    pub(super) digest: String,
    pub(super) rows: u64,
    /// Their names.
    pub(super) files: Vec<String>,
}

const FORM: u32 = 1;

fn place(prefix: &Path) -> Path {
    prefix.clone().join("manifest.json")
}

impl Manifest {
    pub(super) async fn read(at: &dyn ObjectStore, prefix: &Path) -> Result<Self, Error> {
        let doing = store("read the manifest");
        let body = match at.get(&place(prefix)).await {
            Ok(found) => found.bytes().await.map_err(doing)?,
            Err(object_store::Error::NotFound { .. }) => {
                return Ok(Self { tidegate_export: FORM, ..Self::default() });
            }
            Err(error) => return Err(doing(error)),
        };
        let manifest: Self = serde_json::from_slice(&body).map_err(Error::Manifest)?;
        // What another form says is written anew.
        Ok(if manifest.tidegate_export == FORM {
            manifest
        } else {
            Self { tidegate_export: FORM, ..Self::default() }
        })
    }

    pub(super) async fn write(&self, at: &dyn ObjectStore, prefix: &Path) -> Result<(), Error> {
        let body = serde_json::to_vec_pretty(self).expect("texts and numbers");
        at.put(&place(prefix), body.into()).await.map_err(store("write the manifest")).map(drop)
    }

    pub(super) fn day(&self, table: &str, day: &str) -> Option<&Day> {
        self.tables.get(table)?.get(day)
    }

    pub(super) fn set(&mut self, table: &str, day: &str, is: Day) {
        self.tables.entry(table.to_owned()).or_default().insert(day.to_owned(), is);
    }

    pub(super) fn forget(&mut self, table: &str, day: &str) {
        if let Some(days) = self.tables.get_mut(table) {
            days.remove(day);
        }
    }

    /// The days that are written of a table, but for these.
    pub(super) fn others(&self, table: &str, days: &[String]) -> Vec<String> {
        let written = self.tables.get(table).into_iter().flat_map(BTreeMap::keys);
        written.filter(|day| !days.contains(day)).cloned().collect()
    }
}
