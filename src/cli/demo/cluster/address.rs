use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Where a private cluster listens, and the superuser's way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    port: Option<u16>,
    sockets: Option<PathBuf>,
    password: Option<String>,
}

/// The cluster's superuser.
pub(super) const USER: &str = "postgres";

impl Address {
    pub(super) const fn new(sockets: Option<PathBuf>, password: Option<String>) -> Self {
        Self { port: None, sockets, password }
    }

    /// The address of a cluster on 127.0.0.1 that trusts every local process.
    pub const fn trusted(port: u16) -> Self {
        Self { port: Some(port), sockets: None, password: None }
    }

    /// The TCP port on 127.0.0.1; absent before the first start.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    pub(super) const fn set_port(&mut self, port: u16) {
        self.port = Some(port);
    }

    /// The folder of its Unix socket; absent where the path would be too long for one.
    pub fn sockets(&self) -> Option<&Path> {
        self.sockets.as_deref()
    }

    /// The URL of one of its databases, for the superuser, over TCP.
    pub fn url(&self, database: &str) -> String {
        let port = self.port.unwrap_or_default();
        let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
        match &self.password {
            Some(password) => format!("postgres://{USER}:{password}@127.0.0.1:{port}/{database}"),
            None => format!("postgres://{USER}@127.0.0.1:{port}/{database}"),
        }
    }
}
