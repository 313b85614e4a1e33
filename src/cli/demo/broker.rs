//! A private RabbitMQ broker: made, started, crashed and removed by whoever holds the [`Broker`].
//!
//! ```text
//!  Options ──▶ Binaries (which RabbitMQ) ─┐
//!              Account (never as root) ───┼─▶ epmd ─▶ node ─▶ Address (url)
//!              Folder (ours, or refused) ─┘            ▲
//!                                      Guard: ends both when this process dies
//! ```
//!
//! A broker starts empty, listens on 127.0.0.1 alone, and shares nothing with another one on the machine: its node
//! name, its cookie, its ports and the name server of its Erlang (epmd) are its own, and no file outside its folder is
//! read. Calls block for as long as RabbitMQ takes, which is seconds: from a runtime, go through `spawn_blocking`.

mod address;
mod binaries;
mod control;
mod epmd;
mod error;
mod layout;
mod node;
mod setup;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::machine::{self, Account, Folder};
use layout::Layout;
use node::{Attempt, Processes};

pub use super::machine::Place;
pub use address::Address;
pub use binaries::Binaries;
pub use control::Control;
pub use error::Error;

/// What errors call it.
const SERVER: &str = "RabbitMQ";
/// A start takes 4 to 6 s on two cores; what other processes leave of them can be little.
const START_DEADLINE: Duration = Duration::from_mins(2);
/// How long a port that is taken is left alone.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What broker to make.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where RabbitMQ's programs are; found by itself if absent.
    pub binaries: Option<PathBuf>,
    /// Where the broker lives.
    pub place: Place,
}

/// A private broker. It stops when this is dropped, and also when this process dies.
#[derive(Debug)]
pub struct Broker {
    control: Control,
    folder: Folder,
    running: Option<Processes>,
    started_before: bool,
}

impl Broker {
    /// Makes a broker and starts it; returns when it accepts connections.
    ///
    /// # Errors
    /// [`Error`] names what is missing on this machine, or carries the end of RabbitMQ's log.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let binaries = Binaries::find(options.binaries.as_deref())?;
        let account = Account::for_server(SERVER, &["rabbitmq", "nobody"])?;
        let folder = Folder::claim(&options.place, &account)?;
        let layout = Layout::of(folder.path());
        node::end_stale(&layout)?;
        let address = Address::draw()?;
        setup::init(&layout, &account)?;
        let control = Control::new(binaries, account, layout, address);
        let mut broker = Self { control, folder, running: None, started_before: false };
        broker.resume()?;
        Ok(broker)
    }

    /// Starts the broker again after [`Broker::stop`] or [`Broker::kill`], on the same port and with its data.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.running.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + START_DEADLINE;
        let processes = loop {
            setup::configure(&self.control)?;
            match node::start(&self.control, self.folder.temporary(), deadline)? {
                Attempt::Ready(processes) => break processes,
                Attempt::PortTaken(_) if Instant::now() < deadline => thread::sleep(RETRY_PAUSE),
                Attempt::PortTaken(error) => return Err(error.into()),
            }
            if !self.started_before {
                self.control.draw_ports()?;
            }
        };
        self.running = Some(processes);
        self.started_before = true;
        Ok(())
    }

    /// Stops the broker as an operator does, and waits until it is gone.
    pub fn stop(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(processes) => Ok(processes.stop()?),
            None => Ok(()),
        }
    }

    /// `kill -9` of all its processes, as a crash of the machine would; returns when none is left.
    pub fn kill(&mut self) -> Result<(), Error> {
        match self.running.take() {
            Some(processes) => Ok(processes.kill()?),
            None => Ok(()),
        }
    }

    /// Stops it in its tracks, until [`Broker::unpause`]: its sockets stay open, and nothing is answered.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// Lets a paused broker go on.
    pub fn unpause(&self) -> Result<(), Error> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<(), Error> {
        match &self.running {
            Some(processes) => Ok(processes.signal(signal)?),
            None => Err(Error::NotRunning),
        }
    }

    /// Runs `rabbitmqctl` on it, which takes half a second, and gives what that printed.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, Error> {
        self.control.run(arguments)
    }

    /// Where it listens.
    pub const fn address(&self) -> &Address {
        self.control.address()
    }

    /// The URL of one of its virtual hosts, for the administrator. `/` is there from the start.
    pub fn url(&self, vhost: &str) -> String {
        self.address().url(vhost)
    }

    /// The TCP port on 127.0.0.1; the same for as long as the broker lives.
    pub const fn port(&self) -> u16 {
        self.address().port()
    }

    /// The folder that holds it: not always the one that was asked for, see [`Place::Folder`].
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of its messages and definitions, to be copied or put back while it does not run.
    pub fn data(&self) -> PathBuf {
        self.control.layout().data()
    }

    /// RabbitMQ's log.
    pub fn log(&self) -> PathBuf {
        self.control.layout().log().path().to_owned()
    }

    /// The process id of the Erlang machine, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(Processes::pid)
    }

    /// The process ids of a running broker, the Erlang machine first.
    pub fn pids(&self) -> Vec<i32> {
        self.running.iter().flat_map(|processes| [processes.pid(), processes.epmd()]).collect()
    }

    /// Whether the Erlang machine is there, paused or not.
    pub fn is_running(&self) -> bool {
        self.pid().is_some_and(machine::alive)
    }

    /// Leaves the broker running for others, who find it by [`Control::open`]; whoever claims the folder next stops it.
    pub fn leave_running(mut self) -> Control {
        // Its guard goes; dropping a child neither ends it nor waits for it.
        drop(self.running.take());
        self.folder.keep();
        self.control.clone()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let ended = if self.folder.temporary().is_some() { self.kill() } else { self.stop() };
        if let Err(error) = ended {
            tracing::warn!(%error, folder = %self.folder.path().display(), "the private broker did not stop");
        }
    }
}

#[cfg(test)]
mod tests;
