use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};

use super::Error;
use super::table::Table;

/// Where an export's files are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
}

/// Parts of a file that are on their way at once: enough to fill a line to a bucket.
const PARTS: usize = 4;

pub(super) fn store(doing: &'static str) -> impl Fn(object_store::Error) -> Error {
    move |source| Error::Store { doing, source }
}

impl Place {
    /// Where a file of a day is.
    pub(super) fn file(&self, table: &str, day: &str, name: &str) -> Path {
        let folder = self.folder(table);
        let folder = if day.is_empty() { folder } else { folder.join(format!("day={day}")) };
        folder.join(name)
    }

    fn folder(&self, table: &str) -> Path {
        self.prefix.clone().join(table)
    }

    fn manifest(&self) -> Path {
        self.prefix.clone().join("manifest.json")
    }

    /// What the manifest says, if there is one.
    pub(super) async fn read_manifest(&self) -> Result<Option<Bytes>, Error> {
        let doing = store("read the manifest");
        match self.store.get(&self.manifest()).await {
            Ok(found) => found.bytes().await.map(Some).map_err(doing),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(doing(error)),
        }
    }

    pub(super) async fn write_manifest(&self, body: Vec<u8>) -> Result<(), Error> {
        self.store.put(&self.manifest(), body.into()).await.map_err(store("write the manifest")).map(drop)
    }

    /// Puts a file where it belongs, in parts if it is larger than one. It appears at once or not at all.
    pub(super) async fn put(&self, at: &Path, body: PutPayload, part_bytes: usize) -> Result<(), Error> {
        let doing = store("put a file");
        if body.content_length() <= part_bytes {
            return self.store.put(at, body).await.map_err(doing).map(drop);
        }
        let upload = self.store.put_multipart(at).await.map_err(&doing)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part_bytes);
        for block in body {
            if let Err(error) = upload.wait_for_capacity(PARTS).await {
                // What was refused is told, whatever comes of clearing up behind it.
                _ = upload.abort().await;
                return Err(doing(error));
            }
            upload.put(block);
        }
        upload.finish().await.map_err(doing).map(drop)
    }

    /// The files of a table, of whichever export. What somebody else has put beside them is not looked at.
    pub(super) async fn list(&self, table: &Table) -> Result<Vec<Path>, Error> {
        let folder = self.folder(table.name);
        let is_ours = |file: &Path| {
            let name = match file.prefix_match(&folder).map(Iterator::collect::<Vec<_>>).as_deref() {
                Some([name]) => name.as_ref().to_owned(),
                Some([day, name]) if day.as_ref().starts_with("day=") => name.as_ref().to_owned(),
                _ => return false,
            };
            name.starts_with("part-") && name.ends_with(".parquet")
        };
        let found = self.store.list(Some(&folder)).map_ok(|file| file.location);
        let found: Vec<Path> = found.try_collect().await.map_err(store("list files"))?;
        Ok(found.into_iter().filter(is_ours).collect())
    }

    /// Removes files; one that is gone already is no error.
    pub(super) async fn remove(&self, files: Vec<Path>) -> Result<(), Error> {
        let mut removed = self.store.delete_stream(stream::iter(files).map(Ok).boxed());
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(store("remove a file")(error)),
            }
        }
        Ok(())
    }
}
