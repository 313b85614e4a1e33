use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::machine::{Account, Error, alive, children, free_port, poll_until, serves, signal};
use super::Shutdown;
use super::binaries::Binaries;
use super::folder::Folder;

/// Long enough for crash recovery on a slow disk, short enough to be noticed.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// A fast shutdown waits for its walsenders to have sent everything to readers who may not read.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// What errors call it.
const SERVER: &str = "PostgreSQL";

/// What it takes to start the server.
pub(super) struct Launch<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) account: &'a Account,
    pub(super) folder: &'a Folder,
    /// The port of the last start, so that URLs stay true; any free one at the first.
    pub(super) port: Option<u16>,
}

/// The first process of a running cluster, our child.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    log: PathBuf,
}

enum Outcome {
    Ready,
    /// Another process took the port between our look and the server's, or the dead server's last process has not
    /// gone yet.
    TryAgain(String),
}

impl Launch<'_> {
    pub(super) fn run(&self) -> Result<(Postmaster, u16), Error> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let port = match self.port {
                Some(port) => port,
                None => free_port()?,
            };
            let before = self.folder.log().bytes()?;
            let mut postmaster = self.spawn(port)?;
            match self.wait_until_ready(&mut postmaster, before, deadline)? {
                Outcome::Ready => return Ok((postmaster, port)),
                Outcome::TryAgain(_) if Instant::now() < deadline => {}
                Outcome::TryAgain(output) => {
                    let status = postmaster.child.wait().map_err(Error::file("wait for", &postmaster.log))?;
                    return Err(Error::Exited { program: "postgres", status, output });
                }
            }
        }
    }

    fn spawn(&self, port: u16) -> Result<Postmaster, Error> {
        let log = self.folder.log();
        let mut command = self.binaries.command("postgres");
        command.arg("-D").arg(self.folder.data()).arg("-p").arg(port.to_string());
        command.stdin(Stdio::null()).stdout(log.output()?).stderr(log.output()?);
        // Its own group: a Ctrl-C in the terminal is for us, and we stop the server when we are through with it.
        command.process_group(0);
        self.account.apply(&mut command);
        let program = self.binaries.folder().join("postgres");
        let child = command.spawn().map_err(Error::program(program))?;
        Ok(Postmaster { child, log: log.path().to_owned() })
    }

    fn wait_until_ready(
        &self,
        postmaster: &mut Postmaster,
        before: u64,
        deadline: Instant,
    ) -> Result<Outcome, Error> {
        let pid_file = self.folder.data().join("postmaster.pid");
        let outcome = poll_until(deadline, || {
            if PidFile::read(&pid_file).is_some_and(|file| file.pid == postmaster.pid() && file.ready) {
                return Ok(Some(Outcome::Ready));
            }
            let Some(status) = postmaster.child.try_wait().map_err(Error::file("wait for", &pid_file))?
            else {
                return Ok(None);
            };
            let output = self.folder.log().since(before)?;
            if passes_with_time(&output) {
                return Ok(Some(Outcome::TryAgain(output)));
            }
            Err(Error::Exited { program: "postgres", status, output })
        })?;
        outcome.ok_or_else(|| {
            // Better gone than half started; the error is the deadline's either way.
            let _ = postmaster.kill();
            Error::TimedOut {
                server: SERVER,
                action: "start",
                seconds: START_DEADLINE.as_secs(),
                log: self.folder.log().path().to_owned(),
            }
        })
    }
}

/// Whether what the server said at its end is about another process that is going to be out of the way.
fn passes_with_time(output: &str) -> bool {
    ["Address already in use", "is still in use", "lock file \"postmaster.pid\" already exists"]
        .iter()
        .any(|reason| output.contains(reason))
}

impl Postmaster {
    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are positive numbers of 32 bits")
    }

    pub(super) fn reload(&self) -> Result<(), Error> {
        signal(self.pid(), Signal::HUP)
    }

    pub(super) fn signal_child(&self, pid: i32, what: Signal) -> Result<(), Error> {
        if !children(self.pid()).contains(&pid) {
            return Err(Error::NoSuchProcess { pid });
        }
        signal(pid, what)
    }

    pub(super) fn stop(&mut self, how: Shutdown) -> Result<(), Error> {
        let signals: &[Signal] = match how {
            Shutdown::Fast => &[Signal::INT, Signal::QUIT],
            Shutdown::Immediate => &[Signal::QUIT],
        };
        for what in signals {
            signal(self.pid(), *what)?;
            if self.ended_before(Instant::now() + STOP_DEADLINE)? {
                return Ok(());
            }
        }
        self.kill()
    }

    fn ended_before(&mut self, deadline: Instant) -> Result<bool, Error> {
        let ended = poll_until(deadline, || {
            self.child.try_wait().map_err(Error::file("wait for the server of", &self.log))
        })?;
        Ok(ended.is_some())
    }

    pub(super) fn kill(&mut self) -> Result<(), Error> {
        // Stopped first, it neither starts another child nor takes notice of those that end: no id is used again
        // before all are hit.
        signal(self.pid(), Signal::STOP)?;
        let children = children(self.pid());
        for pid in &children {
            signal(*pid, Signal::KILL)?;
        }
        signal(self.pid(), Signal::KILL)?;
        let deadline = Instant::now() + STOP_DEADLINE;
        let gone = self.ended_before(deadline)?
            && poll_until(deadline, || {
                Ok::<_, Error>((!children.iter().any(|pid| alive(*pid))).then_some(()))
            })?
            .is_some();
        if gone {
            return Ok(());
        }
        Err(too_slow_to_stop(&self.log))
    }

    #[cfg(test)]
    pub(super) fn ended(&mut self) -> Result<bool, Error> {
        self.ended_before(Instant::now())
    }
}

/// Ends the server that somebody else left running in `data`, if one does.
pub(super) fn end_stale(data: &Path, log: &Path) -> Result<(), Error> {
    let Some(PidFile { pid, .. }) = PidFile::read(&data.join("postmaster.pid")) else { return Ok(()) };
    for what in [Signal::INT, Signal::QUIT, Signal::KILL] {
        if !serves(pid, data) {
            return Ok(());
        }
        tracing::info!(pid, data = %data.display(), "ending a server that an earlier run left behind");
        signal(pid, what)?;
        let deadline = Instant::now() + STOP_DEADLINE;
        if poll_until(deadline, || Ok::<_, Error>((!alive(pid)).then_some(())))?.is_some() {
            return Ok(());
        }
    }
    Err(too_slow_to_stop(log))
}

fn too_slow_to_stop(log: &Path) -> Error {
    let (seconds, log) = (STOP_DEADLINE.as_secs(), log.to_owned());
    Error::TimedOut { server: SERVER, action: "stop", seconds, log }
}

/// What a server writes about itself: the first line is its process id, the eighth how far it is.
struct PidFile {
    pid: i32,
    ready: bool,
}

impl PidFile {
    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        let ready = text.lines().nth(7).is_some_and(|status| matches!(status.trim(), "ready" | "standby"));
        Some(Self { pid, ready })
    }
}
