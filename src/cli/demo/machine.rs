//! What a private server needs of this machine, whichever server it is: an account, a folder, a port, a log, and a
//! guard that ends it when this process dies.

mod account;
mod error;
mod folder;
mod guard;
mod log;
mod port;
mod process;
mod secret;

use std::path::PathBuf;

pub use error::Error;

pub(crate) use account::Account;
pub(crate) use folder::{Folder, make_private, remove};
pub(crate) use guard::{Guard, Watch};
pub(crate) use log::Log;
pub(crate) use port::free_port;
pub(crate) use process::{alive, children, descendants, poll_until, serves, signal};
pub(crate) use secret::{generate_secret, write_private};

/// Where a private server lives.
#[derive(Clone, Debug, Default)]
pub enum Place {
    /// In a folder of its own under the system's temporary one, removed with the server.
    #[default]
    Temporary,
    /// In this folder, which is made if it is not there, emptied at the next start, and used by one at a time.
    Folder(PathBuf),
}
