//! A private PostgreSQL cluster: made, started, crashed and removed by whoever holds the [`Cluster`].
//!
//! ```text
//!  Options ──▶ Binaries (which PostgreSQL) ─┐
//!              Account (never as root) ─────┼─▶ initdb ─▶ postmaster ─▶ Address (url)
//!              Folder (ours, or refused) ───┘                 ▲
//!                                          Guard: ends it when this process dies
//! ```
//!
//! A cluster starts empty: what an earlier run left in the folder is stopped and removed, and nothing is removed
//! that this module did not make. Calls block for as long as PostgreSQL takes: from a runtime, go through
//! `spawn_blocking`.

mod address;
mod binaries;
mod error;
mod folder;
mod postmaster;
mod setup;

use std::path::{Path, PathBuf};

use super::machine::{self, Account, Guard, Watch};
use folder::Folder;
use postmaster::{Launch, Postmaster};

pub use super::machine::Place;
pub use address::Address;
pub use binaries::Binaries;
pub use error::Error;

/// What cluster to make.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where PostgreSQL's programs are; found by itself if absent.
    pub binaries: Option<PathBuf>,
    /// Where the cluster lives.
    pub place: Place,
    /// Who may connect over TCP.
    pub access: Access,
    /// Lines of `postgresql.conf`, beside those that make it a private cluster.
    pub settings: Vec<(String, String)>,
}

/// Who may connect over TCP. Over the Unix socket, whose folder is the server account's own, nobody is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Every local process: for tests.
    #[default]
    Trust,
    /// Who knows the password in the URL: on a machine with other users, a superuser for everybody is a way in.
    Password,
}

/// How a cluster stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends every session, writes a checkpoint.
    Fast,
    /// Ends at once; the next start recovers from the log.
    Immediate,
}

/// A private cluster. It stops when this is dropped, and also when this process dies.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    account: Account,
    folder: Folder,
    address: Address,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    // Dropped before its process is stopped: a guard never outlives what it would signal.
    guard: Guard,
    postmaster: Postmaster,
}

impl Options {
    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}

impl Cluster {
    /// Makes a cluster and starts it; returns when it accepts connections.
    ///
    /// # Errors
    /// [`Error`] names what is missing on this machine, or carries the end of PostgreSQL's log.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let binaries = Binaries::find(options.binaries.as_deref())?;
        let account = Account::for_server("PostgreSQL", &["postgres", "nobody"])?;
        let folder = Folder::claim(&options.place, &account)?;
        let password = setup::init(&binaries, &account, &folder, options.access)?;
        setup::configure(&folder, &options.settings)?;
        let mut cluster = Self {
            binaries,
            account,
            address: Address::new(folder.sockets(), password),
            folder,
            running: None,
        };
        cluster.resume()?;
        Ok(cluster)
    }

    /// Starts the cluster again after [`Cluster::stop`] or [`Cluster::kill`], on the same port.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.running.is_some() {
            return Ok(());
        }
        let launch = Launch {
            binaries: &self.binaries,
            account: &self.account,
            folder: &self.folder,
            port: self.address.port(),
        };
        let (postmaster, port) = launch.run()?;
        self.address.set_port(port);
        let guard = Guard::watch(&Watch {
            server: postmaster.pid(),
            signal: "INT",
            companion: None,
            remove: self.folder.temporary(),
        })?;
        self.running = Some(Running { guard, postmaster });
        Ok(())
    }

    /// Stops the cluster and waits until it is gone.
    pub fn stop(&mut self, how: Shutdown) -> Result<(), Error> {
        match self.running.take() {
            Some(Running { guard, mut postmaster }) => {
                drop(guard);
                Ok(postmaster.stop(how)?)
            }
            None => Ok(()),
        }
    }

    /// Stops the cluster and starts it again.
    pub fn restart(&mut self, how: Shutdown) -> Result<(), Error> {
        self.stop(how)?;
        self.resume()
    }

    /// `kill -9` of the postmaster and of all its children at one moment, as a crash of the machine would; returns
    /// when none is left.
    pub fn kill(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(Running { guard, mut postmaster }) => {
                drop(guard);
                Ok(postmaster.kill()?)
            }
            None => Ok(()),
        }
    }

    /// `kill -9` of one server process, by the id that `pg_stat_activity` gives: PostgreSQL restarts all others.
    pub fn kill_backend(&self, pid: i32) -> Result<(), Error> {
        self.signal_backend(pid, rustix::process::Signal::KILL)
    }

    /// Stops one server process in its tracks, until [`Cluster::thaw_backend`].
    pub fn freeze_backend(&self, pid: i32) -> Result<(), Error> {
        self.signal_backend(pid, rustix::process::Signal::STOP)
    }

    /// Lets a frozen server process go on.
    pub fn thaw_backend(&self, pid: i32) -> Result<(), Error> {
        self.signal_backend(pid, rustix::process::Signal::CONT)
    }

    fn signal_backend(&self, pid: i32, signal: rustix::process::Signal) -> Result<(), Error> {
        match &self.running {
            Some(running) => Ok(running.postmaster.signal_child(pid, signal)?),
            None => Err(machine::Error::NoSuchProcess { pid }.into()),
        }
    }

    /// Writes other settings and has PostgreSQL read them; those that need it take effect at the next start.
    pub fn reconfigure(&self, settings: &[(String, String)]) -> Result<(), Error> {
        setup::configure(&self.folder, settings)?;
        match &self.running {
            Some(running) => Ok(running.postmaster.reload()?),
            None => Ok(()),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        self.address.url(database)
    }

    /// PostgreSQL's major version.
    pub const fn version(&self) -> u32 {
        self.binaries.version()
    }

    /// The folder that holds it: not always the one that was asked for, see [`Place::Folder`].
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// PostgreSQL's log.
    pub fn log(&self) -> PathBuf {
        self.folder.log().path().to_owned()
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.postmaster.pid())
    }

    /// Leaves the cluster running for others, who learn its address from here; whoever claims the folder next
    /// stops it.
    pub fn leave_running(mut self) -> Address {
        if let Some(Running { guard, postmaster }) = self.running.take() {
            drop(guard);
            // Dropping a child neither ends it nor waits for it.
            drop(postmaster);
        }
        self.folder.keep();
        self.address.clone()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let how = if self.folder.temporary().is_some() { Shutdown::Immediate } else { Shutdown::Fast };
        if let Err(error) = self.stop(how) {
            tracing::warn!(%error, folder = %self.folder.path().display(), "the private cluster did not stop");
        }
    }
}

#[cfg(test)]
mod tests;
