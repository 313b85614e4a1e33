use std::collections::BTreeSet;
use std::time::Instant;

use object_store::path::Path;

use super::manifest::{Day, Manifest};
use super::piece::{Piece, digests, retired_before};
use super::table::{TABLES, Table};
use super::{Error, Export};

/// An export that is under way.
///
/// Files come before the manifest that names them, and go behind the one that does not: so at every moment those that it
/// names are there, wherever a run is cut off. What is left of such a run is found by the next one, which lists what is
/// there.
pub(super) struct Run<'a> {
    export: &'a Export,
    manifest: Manifest,
    /// Whether it says something that is not written.
    is_changed: bool,
    written_at: Instant,
    /// Files that are there, named or not.
    present: BTreeSet<Path>,
    /// A day that did not stand still.
    moving: Option<(&'static str, String)>,
}

/// So often a day of several files is begun, if its rows change between them.
const ATTEMPTS: usize = 3;

impl<'a> Run<'a> {
    pub(super) async fn begin(export: &'a Export) -> Result<Self, Error> {
        let manifest = Manifest::read(&export.place).await?;
        let mut present = BTreeSet::new();
        for table in &TABLES {
            present.extend(export.place.list(table).await?);
        }
        let written_at = Instant::now();
        Ok(Self { export, manifest, is_changed: false, written_at, present, moving: None })
    }

    /// Writes what has changed, and removes what is no longer named; how many rows.
    pub(super) async fn all(mut self) -> Result<u64, Error> {
        let mut rows = 0;
        for table in &TABLES {
            rows += self.table(table).await?;
        }
        self.write_manifest().await?;
        let named = self.manifest.files(&self.export.place);
        self.export.place.remove(self.present.difference(&named).cloned().collect()).await?;
        match self.moving {
            Some((table, day)) => Err(Error::Moving { table, day }),
            None => Ok(rows),
        }
    }

    async fn table(&mut self, table: &'static Table) -> Result<u64, Error> {
        let days = digests(&self.export.warehouse, table).await?;
        let mut rows = 0;
        for (day, digest) in &days {
            if !self.is_written(table, day, digest) {
                rows += self.day(table, day).await?;
            }
        }
        let days: BTreeSet<_> = days.iter().map(|(day, _)| &**day).collect();
        let mut gone = self.manifest.others(table.name, &days);
        if let Some(retired_before) = retired_before(&self.export.warehouse, table).await? {
            // What the history has let go is what it was exported for.
            gone.retain(|day| **day >= *retired_before);
        }
        if days.is_empty() && !gone.is_empty() {
            return Err(Error::Empty { table: table.name, days: gone.len() });
        }
        for day in gone {
            self.is_changed |= self.manifest.forget(table.name, &day);
        }
        Ok(rows)
    }

    /// Whether these rows are what the manifest says, and its files are where they belong: two exports at once, or a
    /// careless hand, may have removed them.
    fn is_written(&self, table: &Table, day: &str, digest: &str) -> bool {
        let place = &self.export.place;
        self.manifest.day(table.name, day).is_some_and(|known| {
            let mut files = known.files.iter().map(|file| place.file(table.name, day, file));
            known.digest == digest && files.all(|file| self.present.contains(&file))
        })
    }

    /// Writes a day; how many rows.
    async fn day(&mut self, table: &'static Table, day: &str) -> Result<u64, Error> {
        for _ in 0..ATTEMPTS {
            let Some(written) = self.attempt(table, day).await? else { continue };
            let rows = written.rows;
            if rows > 0 {
                self.manifest.set(table.name, day, written);
                self.is_changed = true;
            } else {
                self.is_changed |= self.manifest.forget(table.name, day);
            }
            if self.written_at.elapsed() >= self.export.limits.manifest_every {
                self.write_manifest().await?;
            }
            return Ok(rows);
        }
        self.moving = Some((table.name, day.to_owned()));
        Ok(0)
    }

    /// Writes a day's files, a transaction each, which ends before its file goes out; `None` if the day's rows changed
    /// between two of them.
    async fn attempt(&mut self, table: &'static Table, day: &str) -> Result<Option<Day>, Error> {
        let Export { place, warehouse, limits } = self.export;
        let mut written: Option<Day> = None;
        let mut behind = Some(String::new());
        while let Some(key) = behind {
            let piece = Piece::read(warehouse, table, day, &key, limits).await?;
            let digest = piece.digest;
            let so_far =
                written.get_or_insert_with(|| Day { digest: digest.clone(), rows: 0, files: Vec::new() });
            if so_far.digest != digest {
                return Ok(None);
            }
            if piece.rows > 0 {
                // Of other rows it has another name: a file that the manifest names stays what it says.
                let name = format!("part-{digest}-{:04}.parquet", so_far.files.len());
                let file = place.file(table.name, day, &name);
                place.put(&file, piece.body, limits.part_bytes).await?;
                self.present.insert(file);
                so_far.rows += piece.rows;
                so_far.files.push(name);
            }
            behind = piece.behind;
        }
        Ok(written)
    }

    async fn write_manifest(&mut self) -> Result<(), Error> {
        if self.is_changed {
            self.manifest.write(&self.export.place).await?;
            self.is_changed = false;
            self.written_at = Instant::now();
        }
        Ok(())
    }
}
