use std::fmt;
use std::io;

use tokio::signal::unix::{self, SignalKind};

/// A request to stop that came from outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: from the service manager.
    Terminate,
    /// `SIGINT`: Ctrl-C.
    Interrupt,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// The requests to stop, as they come.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

/// Takes `SIGTERM` and `SIGINT` over from the operating system: from here on neither ends the process by itself.
///
/// # Errors
/// If the handlers cannot be installed.
///
/// # Panics
/// Outside of a tokio runtime with I/O.
pub fn signals() -> io::Result<Signals> {
    Ok(Signals {
        terminate: unix::signal(SignalKind::terminate())?,
        interrupt: unix::signal(SignalKind::interrupt())?,
    })
}

impl Signals {
    /// Waits for the next request to stop. The first asks for an orderly end, a second one for an immediate one.
    /// Cancel safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            else => std::future::pending().await,
        }
    }
}

/// The requests to read files again, as they come.
#[derive(Debug)]
pub struct Reloads(unix::Signal);

/// Takes `SIGHUP` over from the operating system: from here on it does not end the process.
///
/// # Errors
/// If the handler cannot be installed.
///
/// # Panics
/// Outside of a tokio runtime with I/O.
pub fn reloads() -> io::Result<Reloads> {
    unix::signal(SignalKind::hangup()).map(Reloads)
}

impl Reloads {
    /// Waits for the next request. Cancel safe.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
