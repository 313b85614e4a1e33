use std::path::{Path, PathBuf};

use super::super::machine::{self, Account, Error, Log, Place, make_private, remove};
use super::postmaster;

/// The folder of a cluster: its data, its log, and its Unix socket.
#[derive(Debug)]
pub(super) struct Folder {
    claimed: machine::Folder,
    sockets: Option<PathBuf>,
    log: Log,
}

/// `sun_path` holds 108 bytes on Linux and 104 on macOS; `/.s.PGSQL.65535` comes after the folder.
const SOCKET_FOLDER_BYTES: usize = 104 - 17;

impl Folder {
    /// Claims the folder, ends what an earlier owner left running there, and removes its data.
    pub(super) fn claim(place: &Place, account: &Account) -> Result<Self, Error> {
        let claimed = machine::Folder::claim(place, account)?;
        let sockets = sockets(claimed.path());
        let log = Log::at(claimed.path().join("postgres.log"));
        let folder = Self { claimed, sockets, log };
        postmaster::end_stale(&folder.data(), folder.log.path())?;
        remove(&folder.data())?;
        folder.log.clear()?;
        if let Some(sockets) = &folder.sockets {
            remove(sockets)?;
            make_private(sockets, account)?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.claimed.path()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn sockets(&self) -> Option<PathBuf> {
        self.sockets.clone()
    }

    /// Its path, if it goes when its owner goes.
    pub(super) fn temporary(&self) -> Option<&Path> {
        self.claimed.temporary()
    }

    /// Has it stay when this is dropped.
    pub(super) fn keep(&mut self) {
        self.claimed.keep();
    }
}

fn sockets(path: &Path) -> Option<PathBuf> {
    let sockets = path.join("sockets");
    (sockets.as_os_str().len() <= SOCKET_FOLDER_BYTES).then_some(sockets)
}
