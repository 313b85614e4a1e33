use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Error;

/// How much of the log an error carries.
const TAIL_BYTES: u64 = 4096;

/// What a server writes on its standard output and error.
#[derive(Clone, Debug)]
pub(crate) struct Log(PathBuf);

impl Log {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, or empties the one that is there.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        options.open(&self.0).map_err(Error::file("open", &self.0))?;
        Ok(())
    }

    /// Its end, for a process to write to.
    pub(crate) fn output(&self) -> Result<Stdio, Error> {
        let log = OpenOptions::new().append(true).open(&self.0).map_err(Error::file("open", &self.0))?;
        Ok(log.into())
    }

    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        fs::metadata(&self.0).map(|log| log.len()).map_err(Error::file("read", &self.0))
    }

    /// The end of what it has gained since it was `before` bytes long.
    pub(crate) fn since(&self, before: u64) -> Result<String, Error> {
        let mut log = File::open(&self.0).map_err(Error::file("open", &self.0))?;
        let length = log.seek(SeekFrom::End(0)).map_err(Error::file("read", &self.0))?;
        log.seek(SeekFrom::Start(before.max(length.saturating_sub(TAIL_BYTES))))
            .map_err(Error::file("read", &self.0))?;
        let mut text = Vec::new();
        log.take(TAIL_BYTES).read_to_end(&mut text).map_err(Error::file("read", &self.0))?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }
}
