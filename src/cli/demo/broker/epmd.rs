use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use super::super::machine::{Error, poll_until};
use super::SERVER;
use super::control::Control;

const PROGRAM: &str = "epmd";
/// It listens within milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

/// The name server of the broker's Erlang. Without one of its own, the broker would start or use the machine's.
#[derive(Debug)]
pub(super) struct Epmd {
    child: Child,
}

impl Epmd {
    /// Starts it; returns when it listens.
    pub(super) fn start(control: &Control) -> Result<Self, Error> {
        let log = control.layout().log();
        let before = log.bytes()?;
        let mut command = control.epmd();
        command.stdout(log.output()?).stderr(log.output()?);
        let child = command.spawn().map_err(Error::program(PROGRAM))?;
        let mut epmd = Self { child };
        let port = control.address().ports.epmd;
        let listens = poll_until(Instant::now() + DEADLINE, || {
            if let Some(status) = epmd.child.try_wait().map_err(Error::file("wait for", PROGRAM))? {
                return Err(Error::Exited { program: PROGRAM, status, output: log.since(before)? });
            }
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
        })?;
        if listens.is_some() {
            return Ok(epmd);
        }
        epmd.end();
        let (seconds, log) = (DEADLINE.as_secs(), log.path().to_owned());
        Err(Error::TimedOut { server: SERVER, action: "start", seconds, log })
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are positive numbers of 32 bits")
    }

    pub(super) fn end(mut self) {
        // Neither can fail: it is our child, and nobody else waits for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
