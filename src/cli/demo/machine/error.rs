use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why this machine does not carry a private server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Servers are not run as root, and there is nobody else.
    #[error("{server} does not run as root, and there is no user `{users}` to run it as")]
    NoAccount {
        /// The server.
        server: &'static str,
        /// Who could run it.
        users: String,
    },
    /// Another process has its server there.
    #[error("another process runs its server in {}", folder.display())]
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
    /// The account that runs the server cannot reach the folder.
    #[error("user `{user}`, as whom the server runs, cannot write to {}", folder.display())]
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
    /// The server did not get ready, or did not stop, in time.
    #[error("{server} did not {action} within {seconds} s; its log is {}", log.display())]
    TimedOut {
        /// The server.
        server: &'static str,
        /// `start` or `stop`.
        action: &'static str,
        /// How long it had, in seconds.
        seconds: u64,
        /// The server's log.
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
    /// The server has no such process.
    #[error("the server has no process {pid}")]
    NoSuchProcess {
        /// The id that was given.
        pid: i32,
    },
}

impl Error {
    /// For `map_err`: an operation on a file.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err`: a program that did not start.
    pub(crate) fn program(program: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        move |source| Self::Program { program, source }
    }
}
