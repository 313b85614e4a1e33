use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{Account, Error, Place};

/// A folder that is ours alone for as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lifetime: Lifetime,
    // The kernel lets go of it when this process ends, however it ends.
    lock: File,
}

#[derive(Debug, PartialEq, Eq)]
enum Lifetime {
    Kept,
    Temporary,
}

/// Says that what lies beside it was made here and may be removed.
const MARKER: &str = "made-by-tidegate";
/// Where root's servers live when their folder is closed to the account that runs them.
const OPEN_TO_SERVERS: &str = "/var/lib/tidegate";

impl Folder {
    pub(crate) fn claim(place: &Place, account: &Account) -> Result<Self, Error> {
        let (path, lifetime) = match place {
            Place::Folder(path) => (reachable(path, account)?, Lifetime::Kept),
            Place::Temporary => (temporary(account)?, Lifetime::Temporary),
        };
        let lock = lock(&path)?;
        Ok(Self { path, lifetime, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its path, if it goes when its owner goes.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        (self.lifetime == Lifetime::Temporary).then_some(&*self.path)
    }

    /// Has it stay when this is dropped.
    pub(crate) fn keep(&mut self) {
        self.lifetime = Lifetime::Kept;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Temporary
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(%error, "a temporary folder stays behind");
        }
        // Closing is not enough: a child that another thread is about to start still holds it open.
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Removes a folder, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes a folder that nobody but `account` can enter.
pub(crate) fn make_private(path: &Path, account: &Account) -> Result<(), Error> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(Error::file("make", path))?;
    account.own(path)
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = path.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .map_err(Error::file("open", &file))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy { folder: path.to_owned() }),
        Err(errno) => Err(Error::file("lock", file)(errno.into())),
    }
}

fn temporary(account: &Account) -> Result<PathBuf, Error> {
    let mut tried = PathBuf::new();
    for parent in [std::env::temp_dir(), PathBuf::from("/tmp")] {
        let path = parent.join(format!("tidegate-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        fs::create_dir(&path).map_err(Error::file("make", &path))?;
        account.own(&path)?;
        if account.reaches(&path) {
            return path.canonicalize().map_err(Error::file("find", &path));
        }
        remove(&path)?;
        tried = path;
    }
    Err(Error::Unreachable { folder: tried, user: account.name().to_owned() })
}

/// Makes the folder, and for root, where the server's account cannot get there, another one that says whose it is.
fn reachable(path: &Path, account: &Account) -> Result<PathBuf, Error> {
    let path = adopt(path, account)?;
    if account.reaches(&path) {
        return Ok(path);
    }
    if matches!(account, Account::Ours) {
        return Err(Error::Unreachable { folder: path, user: account.name().to_owned() });
    }
    let name = path.to_string_lossy().trim_matches('/').replace('/', "-");
    let elsewhere = adopt(&Path::new(OPEN_TO_SERVERS).join(name), account)?;
    if account.reaches(&elsewhere) {
        tracing::info!(
            asked = %path.display(),
            folder = %elsewhere.display(),
            "the folder is closed to the server's account; using another"
        );
        return Ok(elsewhere);
    }
    Err(Error::Unreachable { folder: elsewhere, user: account.name().to_owned() })
}

/// Makes `path` ours: new, empty, or one that an earlier run made.
fn adopt(path: &Path, account: &Account) -> Result<PathBuf, Error> {
    fs::create_dir_all(path).map_err(Error::file("make", path))?;
    let path = path.canonicalize().map_err(Error::file("find", path))?;
    let marker = path.join(MARKER);
    if !marker.exists() {
        let mut entries = fs::read_dir(&path).map_err(Error::file("read", &path))?;
        if entries.next().is_some() {
            return Err(Error::NotOurs { folder: path });
        }
        fs::write(&marker, "The next run of Tidegate removes what is in this folder.\n")
            .map_err(Error::file("write", &marker))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(Error::file("change the mode of", &path))?;
        account.own(&path)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> PathBuf {
        temporary(&Account::Ours).expect("a writable temporary folder")
    }

    #[test]
    fn a_folder_with_foreign_files_is_refused_and_left_alone() {
        let path = scratch();
        fs::write(path.join("thesis.txt"), "years of work").expect("writable");
        let refused = Folder::claim(&Place::Folder(path.clone()), &Account::Ours);
        assert!(matches!(refused, Err(Error::NotOurs { .. })), "{refused:?}");
        assert!(path.join("thesis.txt").exists());
        remove(&path).expect("ours");
    }

    #[test]
    fn a_folder_serves_one_at_a_time() {
        let path = scratch();
        let place = Place::Folder(path.clone());
        let first = Folder::claim(&place, &Account::Ours).expect("free");
        assert!(matches!(Folder::claim(&place, &Account::Ours), Err(Error::Busy { .. })));
        drop(first);
        drop(Folder::claim(&place, &Account::Ours).expect("free again"));
        remove(&path).expect("ours");
    }
}
