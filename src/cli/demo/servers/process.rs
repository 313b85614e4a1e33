use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};

use super::super::machine::{self, Guard, Watch};
use super::{Behind, Error};

/// What an error in the configuration calls what is set here.
const ORIGIN: &str = "tidegate demo";

/// A `tidegate serve` of ours. It is killed when this is dropped.
pub(super) struct Process {
    // Dropped before the process can be: a guard never outlives what it would signal.
    _guard: Guard,
    child: Child,
    address: SocketAddr,
    pid: i32,
}

impl Process {
    pub(super) fn start(behind: &Behind, address: SocketAddr) -> Result<Self, Error> {
        let mut layers = behind.layers.clone().flag(ORIGIN, "http.listen", address.to_string());
        if let Some(broker) = &behind.broker {
            layers = layers.flag(ORIGIN, "journal.backend", "rabbitmq").flag(ORIGIN, "journal.url", broker);
        }
        let (file, variables) = layers.for_child();
        let start = |source| Error::Start { address, source };
        let mut command = Command::new(std::env::current_exe().map_err(start)?);
        command.arg("serve").envs(variables).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        let child = command.spawn().map_err(start)?;
        let pid = child.id().and_then(|pid| pid.try_into().ok()).expect("nobody has waited for it");
        let guard = Guard::watch(&Watch { server: pid, signal: "TERM", companion: None, remove: None });
        Ok(Self { _guard: guard.map_err(Error::Guard)?, child, address, pid })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end. Cancel safe.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("it is our child, and nobody else waits for it")
    }

    pub(super) fn kill(&mut self) {
        // It can have ended just now.
        let _ = self.child.start_kill();
    }

    pub(super) fn tell_to_stop(&self) {
        if let Err(error) = machine::signal(self.pid, rustix::process::Signal::TERM) {
            tracing::warn!(%error, pid = self.pid, "a server cannot be told to stop");
        }
    }
}
