use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::machine::{
    Error, Guard, Watch, alive, descendants, poll_until, serves, signal, write_private,
};
use super::control::Control;
use super::epmd::Epmd;
use super::layout::Layout;
use super::{SERVER, START_DEADLINE};

/// A graceful stop takes a second, and longer where queues have much to write.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How long a broker that accepted a connection may take to greet.
const GREETING_DEADLINE: Duration = Duration::from_secs(2);
/// What a client of AMQP 0-9-1 says first. See <https://www.rabbitmq.com/amqp-0-9-1-protocol>.
const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// A frame's kind, channel and size stand before its payload.
const FRAME_HEADER_BYTES: usize = 7;
/// A greeting says who the broker is in half a kilobyte.
const MAX_GREETING_BYTES: usize = 64 << 10;

/// The processes of a running broker, our children.
#[derive(Debug)]
pub(super) struct Processes {
    // Dropped before they are stopped: a guard never outlives what it would signal.
    guard: Option<Guard>,
    node: Node,
    epmd: Epmd,
}

/// The Erlang machine; what it started itself is below it.
#[derive(Debug)]
struct Node {
    child: Child,
    /// How long the log was before it.
    log_before: u64,
    layout: Layout,
}

/// How a start went.
#[must_use]
pub(super) enum Attempt {
    Ready(Processes),
    /// Another process took one of the ports between our look and the broker's, or the dead broker's last process has
    /// not gone yet.
    PortTaken(Error),
}

enum Outcome {
    Ready,
    Ended(Error),
}

/// Starts a broker with its name server; returns when it accepts connections. If our process dies meanwhile or later,
/// both end, and `remove` goes with them.
pub(super) fn start(control: &Control, remove: Option<&Path>, deadline: Instant) -> Result<Attempt, Error> {
    if let Err(error) = control.address().ports.check() {
        return Ok(Attempt::PortTaken(error));
    }
    let epmd = Epmd::start(control)?;
    let node = match Node::spawn(control) {
        Ok(node) => node,
        Err(error) => {
            epmd.end();
            return Err(error);
        }
    };
    let mut processes = Processes { guard: None, node, epmd };
    match processes.become_ready(control, remove, deadline) {
        Ok(Outcome::Ready) => Ok(Attempt::Ready(processes)),
        Ok(Outcome::Ended(error)) => {
            processes.kill()?;
            if passes_with_time(&error) { Ok(Attempt::PortTaken(error)) } else { Err(error) }
        }
        Err(error) => {
            // Better gone than half started; the error is the first one either way.
            let _ = processes.kill();
            Err(error)
        }
    }
}

/// Whether what the broker said at its end is about another process that is going to be out of the way.
fn passes_with_time(error: &Error) -> bool {
    let reasons = ["eaddrinuse", "in use"];
    matches!(error, Error::Exited { output, .. } if reasons.iter().any(|reason| output.contains(reason)))
}

impl Node {
    fn spawn(control: &Control) -> Result<Self, Error> {
        let log = control.layout().log();
        let log_before = log.bytes()?;
        let mut command = control.server();
        command.stdout(log.output()?).stderr(log.output()?);
        let child = command.spawn().map_err(Error::program("rabbitmq-server"))?;
        Ok(Self { child, log_before, layout: control.layout().clone() })
    }

    fn wait_until_ready(&mut self, control: &Control, deadline: Instant) -> Result<Outcome, Error> {
        let (name, port) = (control.address().short_name(), control.address().port());
        let outcome = poll_until(deadline, || {
            if greets(port, name) {
                return Ok(Some(Outcome::Ready));
            }
            let Some(status) = self.try_wait()? else { return Ok(None) };
            let output = self.layout.log().since(self.log_before)?;
            Ok(Some(Outcome::Ended(Error::Exited { program: "rabbitmq-server", status, output })))
        })?;
        outcome.ok_or_else(|| self.timed_out("start", START_DEADLINE))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are positive numbers of 32 bits")
    }

    fn try_wait(&mut self) -> Result<Option<std::process::ExitStatus>, Error> {
        self.child.try_wait().map_err(Error::file("wait for the server of", self.layout.folder()))
    }

    fn ended_before(&mut self, deadline: Instant) -> Result<bool, Error> {
        Ok(poll_until(deadline, || self.try_wait())?.is_some())
    }

    fn stop(&mut self) -> Result<(), Error> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        signal(self.pid(), Signal::TERM)?;
        // It may be paused.
        signal(self.pid(), Signal::CONT)?;
        if self.ended_before(Instant::now() + STOP_DEADLINE)? {
            return Ok(());
        }
        self.kill()
    }

    fn kill(&mut self) -> Result<(), Error> {
        // Once it is waited for, its id may be another's.
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        let family = kill_family(self.pid())?;
        let deadline = Instant::now() + STOP_DEADLINE;
        if self.ended_before(deadline)? && all_gone_before(deadline, &family)? {
            return Ok(());
        }
        Err(self.timed_out("stop", STOP_DEADLINE))
    }

    fn timed_out(&self, action: &'static str, deadline: Duration) -> Error {
        let (seconds, log) = (deadline.as_secs(), self.layout.log().path().to_owned());
        Error::TimedOut { server: SERVER, action, seconds, log }
    }
}

impl Processes {
    /// The Erlang machine's process id.
    pub(super) fn pid(&self) -> i32 {
        self.node.pid()
    }

    pub(super) fn epmd(&self) -> i32 {
        self.epmd.pid()
    }

    pub(super) fn signal(&self, what: Signal) -> Result<(), Error> {
        signal(self.pid(), what)
    }

    fn become_ready(
        &mut self,
        control: &Control,
        remove: Option<&Path>,
        deadline: Instant,
    ) -> Result<Outcome, Error> {
        self.guard = Some(Guard::watch(&Watch {
            server: self.pid(),
            // What is removed need not be put in order.
            signal: if remove.is_some() { "KILL" } else { "TERM" },
            companion: Some(self.epmd()),
            remove,
        })?);
        let ids = format!("{} {}\n", self.pid(), self.epmd());
        write_private(&control.layout().processes(), &ids, control.account())?;
        self.node.wait_until_ready(control, deadline)
    }

    pub(super) fn stop(mut self) -> Result<(), Error> {
        drop(self.guard.take());
        let stopped = self.node.stop();
        self.epmd.end();
        stopped
    }

    pub(super) fn kill(mut self) -> Result<(), Error> {
        drop(self.guard.take());
        let killed = self.node.kill();
        self.epmd.end();
        killed
    }

    /// Has the guard believe that our process died.
    #[cfg(test)]
    pub(super) fn lose_guard(&mut self) {
        self.guard.as_mut().expect("running").lose();
    }

    #[cfg(test)]
    pub(super) fn ended(&mut self) -> Result<bool, Error> {
        let node = self.node.ended_before(Instant::now())?;
        Ok(node && !alive(self.epmd()))
    }
}

/// Kills a process and all below it; says which these were.
fn kill_family(pid: i32) -> Result<Vec<i32>, Error> {
    // Stopped first, it neither starts another child nor takes notice of those that end: no id is used again before
    // all are hit.
    signal(pid, Signal::STOP)?;
    let family = descendants(pid);
    for pid in family.iter().chain([&pid]) {
        signal(*pid, Signal::KILL)?;
    }
    Ok(family)
}

fn all_gone_before(deadline: Instant, pids: &[i32]) -> Result<bool, Error> {
    let gone = poll_until(deadline, || Ok::<_, Error>((!pids.iter().any(|pid| alive(*pid))).then_some(())))?;
    Ok(gone.is_some())
}

/// Kills the broker that somebody else left running in the folder, if one does: its data is about to be removed.
pub(super) fn end_stale(layout: &Layout) -> Result<(), Error> {
    let Ok(text) = fs::read_to_string(layout.processes()) else { return Ok(()) };
    for pid in text.split_whitespace().filter_map(|word| word.parse().ok()) {
        if !serves(pid, layout.folder()) {
            continue;
        }
        tracing::info!(pid, folder = %layout.folder().display(), "ending a broker that an earlier run left behind");
        let mut family = kill_family(pid)?;
        family.push(pid);
        if !all_gone_before(Instant::now() + STOP_DEADLINE, &family)? {
            let (seconds, log) = (STOP_DEADLINE.as_secs(), layout.log().path().to_owned());
            return Err(Error::TimedOut { server: SERVER, action: "stop", seconds, log });
        }
    }
    Ok(())
}

/// Whether the broker of this name answers at the port: another server may have it, and ours be about to find out.
fn greets(port: u16, name: &str) -> bool {
    greeting(port).is_ok_and(|text| text.windows(name.len()).any(|window| window == name.as_bytes()))
}

/// The broker's first frame, `Connection.Start`, in which it says who it is.
fn greeting(port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(GREETING_DEADLINE))?;
    stream.write_all(PROTOCOL_HEADER)?;
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header)?;
    let [_, _, _, size @ ..] = header;
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    let mut payload = vec![0; size.min(MAX_GREETING_BYTES)];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}
