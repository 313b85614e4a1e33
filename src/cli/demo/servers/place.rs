use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Process, Standing};

/// Where one server is, or will be again.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    state: State,
    restarts: u32,
}

enum State {
    Running(Box<Process>),
    Resting(Instant),
}

/// What happens to a server.
pub(super) enum Event {
    /// Its process ended.
    Ended(ExitStatus),
    /// It may be started again.
    Rested,
}

impl Place {
    pub(super) fn of(process: Process) -> Self {
        Self { address: process.address(), state: State::Running(Box::new(process)), restarts: 0 }
    }

    /// Its process, while that runs, or has ended and nobody has been told yet.
    pub(super) fn pid(&self) -> Option<i32> {
        match &self.state {
            State::Running(process) => Some(process.pid()),
            State::Resting(_) => None,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let pid = self.pid();
        Standing { address: self.address, alive: pid.is_some(), pid, restarts: self.restarts }
    }

    /// Waits for what happens next to it. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        match &mut self.state {
            State::Running(process) => Event::Ended(process.ended().await),
            State::Resting(until) => {
                sleep_until(*until).await;
                Event::Rested
            }
        }
    }

    pub(super) fn rest(&mut self, pause: Duration) {
        self.state = State::Resting(Instant::now() + pause);
    }

    pub(super) fn run(&mut self, process: Process) {
        self.state = State::Running(Box::new(process));
        self.restarts += 1;
    }

    pub(super) fn kill(&mut self) {
        if let State::Running(process) = &mut self.state {
            process.kill();
        }
    }

    pub(super) fn tell_to_stop(&self) {
        if let State::Running(process) = &self.state {
            process.tell_to_stop();
        }
    }
}
