//! A real OpenID Connect provider to develop with: `web/provider`, in a Node.js of its own.
//!
//! ```text
//!  Options ──▶ node provider.js ── issuer http://127.0.0.1:PORT ──▶ Provider
//!                    ▲
//!              Guard: ends it when this process dies
//! ```
//!
//! It has people without passwords, and so it listens on 127.0.0.1 alone. It starts without any session, and with new
//! keys.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::machine::{self, Guard, Watch};
use crate::shutdown::Scope;

/// What the provider knows the page as.
pub const CLIENT: &str = "tidegate-demo";
/// For whom its access tokens are.
pub const AUDIENCE: &str = "urn:tidegate:demo";

const MODULE: &str = "provider.js";
/// What npm writes last when it installs.
const INSTALLED: &str = "node_modules/.package-lock.json";
/// What its first line begins with.
const READY: &str = "issuer ";
/// It listens within a second or two; a machine that is busy takes longer.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// It ends at once.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What provider to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is: `web/provider` of a checkout.
    pub folder: PathBuf,
    /// Where it listens on 127.0.0.1; 0 takes a free port.
    pub port: u16,
    /// Whose pages may log people in, as in `http://127.0.0.1:8080`.
    pub origins: Vec<String>,
    /// A file of people; its own if absent. Read at each use.
    pub people: Option<PathBuf>,
    /// How long an access token holds, in whole seconds.
    pub access_token: Duration,
}

/// A provider that runs. It ends when this is dropped, and also when this process dies.
#[derive(Debug)]
pub struct Provider {
    // Dropped before the process can be: a guard never outlives what it would signal.
    _guard: Guard,
    child: Child,
    /// Held open: a program without a reader ends at its next line.
    _lines: Lines<BufReader<ChildStdout>>,
    issuer: String,
}

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This is no checkout.
    #[error("there is no provider in {}: name its folder, `web/provider` of a checkout", folder.display())]
    Absent {
        /// Where it should be.
        folder: PathBuf,
    },
    /// What it is made of was not installed.
    #[error("the provider's packages are missing: run `npm ci` in {}", folder.display())]
    NotInstalled {
        /// Where it is.
        folder: PathBuf,
    },
    /// There is no Node.js.
    #[error("cannot run `node`: Node.js 18.3 or later is needed (`script/setup provider` installs it)")]
    Start(#[source] io::Error),
    /// Nothing ends it if this process is killed.
    #[error("cannot watch over the provider")]
    Guard(#[source] machine::Error),
    /// It wrote something unreadable.
    #[error("cannot read what the provider says")]
    Output(#[source] io::Error),
    /// It ended before it listened.
    #[error("the provider ended before it was ready ({0}); what it wrote says why")]
    Unready(ExitStatus),
    /// It did not listen in time.
    #[error("the provider was not ready within {} s", START_DEADLINE.as_secs())]
    TimedOut,
}

impl Provider {
    /// Starts one; returns when it listens.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let folder = installed(&options.folder)?;
        let mut command = Command::new("node");
        command.arg(MODULE).current_dir(folder).args(["--client", CLIENT, "--audience", AUDIENCE]);
        command.args(["--port", &options.port.to_string()]);
        command.args(["--access-token-seconds", &options.access_token.as_secs().to_string()]);
        for origin in &options.origins {
            command.args(["--origin", origin]);
        }
        if let Some(people) = &options.people {
            command.arg("--people").arg(people);
        }
        // A group of its own: a Ctrl-C in the terminal reaches us alone, and we stop it when nobody asks it any more.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Error::Start)?;
        let pid = child.id().and_then(|pid| pid.try_into().ok()).expect("nobody has waited for it");
        let guard = Guard::watch(&Watch { server: pid, signal: "TERM", companion: None, remove: None });
        let guard = guard.map_err(Error::Guard)?;
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let issuer = timeout(START_DEADLINE, issuer(&mut lines)).await.map_err(|_| Error::TimedOut)??;
        match issuer {
            Some(issuer) => Ok(Self { _guard: guard, child, _lines: lines, issuer }),
            None => Err(Error::Unready(child.wait().await.map_err(Error::Output)?)),
        }
    }

    /// What it calls itself, as in `http://127.0.0.1:9000`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Stops it when `scope` closes; says so if it ends before.
    pub(super) async fn keep(mut self, scope: Scope) {
        tokio::select! {
            biased;
            // 1. Shutdown.
            () = scope.closing() => self.stop().await,
            // 2. Its own end.
            status = self.child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::warn!(status, "the provider is gone: nobody can log in any more");
            }
        }
    }

    /// Stops it, and waits until it is gone.
    pub async fn stop(mut self) {
        let pid = self.child.id().and_then(|pid| pid.try_into().ok());
        if let Some(pid) = pid
            && let Err(error) = machine::signal(pid, rustix::process::Signal::TERM)
        {
            tracing::warn!(%error, pid, "the provider cannot be told to stop");
        }
        if timeout(STOP_DEADLINE, self.child.wait()).await.is_err() {
            // It can have ended just now.
            let _ = self.child.kill().await;
        }
    }
}

/// The folder, if everything is in it.
fn installed(folder: &Path) -> Result<&Path, Error> {
    if !folder.join(MODULE).is_file() {
        return Err(Error::Absent { folder: folder.to_owned() });
    }
    if !folder.join(INSTALLED).is_file() {
        return Err(Error::NotInstalled { folder: folder.to_owned() });
    }
    Ok(folder)
}

/// What it calls itself; `None` if it ends before it says so.
async fn issuer(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<String>, Error> {
    while let Some(line) = lines.next_line().await.map_err(Error::Output)? {
        if let Some(issuer) = line.strip_prefix(READY) {
            return Ok(Some(issuer.to_owned()));
        }
    }
    Ok(None)
}
