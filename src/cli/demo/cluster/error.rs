use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no private cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL is not installed, or not where it was said to be.
    #[error(
        "no PostgreSQL server programs (`initdb`, `postgres`) in {looked_in}; on Debian: `apt-get install postgresql`"
    )]
    NoBinaries {
        /// Where they were looked for.
        looked_in: String,
    },
    /// Logical replication as Tidegate needs it came with PostgreSQL 14.
    #[error("PostgreSQL {version} in {} is too old: 14 or later is needed", folder.display())]
    TooOld {
        /// The version found.
        version: u32,
        /// Where.
        folder: PathBuf,
    },
    /// PostgreSQL refuses to run as root, and there is nobody else.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")]
    NoAccount,
    /// Another process has its cluster there.
    #[error("another process runs its cluster in {}", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder holds something that this program did not put there, and nothing is removed but what it did.
    #[error("{} holds files that Tidegate did not make, and would be emptied; name another folder", folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// The account that runs PostgreSQL cannot reach the folder.
    #[error("user `{user}`, as whom PostgreSQL runs, cannot write to {}", folder.display())]
    Unreachable {
        /// The folder.
        folder: PathBuf,
        /// The account.
        user: String,
    },
    /// A file or folder could not be made, read, written or removed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program did not start.
    #[error("cannot run {}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("`{program}` ended with {status}: {output}")]
    Exited {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// The cluster did not get ready, or did not stop, in time.
    #[error("PostgreSQL did not {action} within {seconds} s; its log is {}", log.display())]
    TimedOut {
        /// `start` or `stop`.
        action: &'static str,
        /// How long it had, in seconds.
        seconds: u64,
        /// PostgreSQL's log.
        log: PathBuf,
    },
    /// A signal could not be sent.
    #[error("cannot signal process {pid}")]
    Signal {
        /// The process.
        pid: i32,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The cluster has no such server process.
    #[error("the cluster has no server process {pid}")]
    NoSuchProcess {
        /// The id that was given.
        pid: i32,
    },
}

impl Error {
    /// For `map_err`: an operation on a file.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
