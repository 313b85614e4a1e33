use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::Error;
use super::place::Place;

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

impl Manifest {
    pub(super) async fn read(at: &Place) -> Result<Self, Error> {
        let none = Self { tidegate_export: FORM, ..Self::default() };
        let Some(body) = at.read_manifest().await? else { return Ok(none) };
        let manifest: Self = serde_json::from_slice(&body).map_err(Error::Manifest)?;
        // What another form says is written anew.
        Ok(if manifest.tidegate_export == FORM { manifest } else { none })
    }

    pub(super) async fn write(&self, at: &Place) -> Result<(), Error> {
        at.write_manifest(serde_json::to_vec_pretty(self).expect("texts and numbers")).await
    }

    pub(super) fn day(&self, table: &str, day: &str) -> Option<&Day> {
        self.tables.get(table)?.get(day)
    }

    pub(super) fn set(&mut self, table: &str, day: &str, is: Day) {
        self.tables.entry(table.to_owned()).or_default().insert(day.to_owned(), is);
    }

    /// Whether it was there.
    pub(super) fn forget(&mut self, table: &str, day: &str) -> bool {
        self.tables.get_mut(table).is_some_and(|days| days.remove(day).is_some())
    }

    /// The days that are written of a table, but for these.
    pub(super) fn others(&self, table: &str, days: &BTreeSet<&str>) -> Vec<String> {
        let written = self.tables.get(table).into_iter().flat_map(BTreeMap::keys);
        written.filter(|day| !days.contains(&***day)).cloned().collect()
    }

    /// All files that it names, as they lie at a place.
    pub(super) fn files(&self, at: &Place) -> BTreeSet<Path> {
        let days = self
            .tables
            .iter()
            .flat_map(|(table, days)| days.iter().map(move |(name, day)| (table, name, day)));
        days.flat_map(|(table, name, day)| day.files.iter().map(move |file| at.file(table, name, file)))
            .collect()
    }
}
