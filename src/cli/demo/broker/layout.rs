use std::path::{Path, PathBuf};

use super::super::machine::Log;

/// Where things are in a broker's folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    folder: PathBuf,
    log: Log,
}

impl Layout {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), log: Log::at(folder.join("rabbitmq.log")) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    /// Everything that lasts: messages, definitions, and which of RabbitMQ's features are in use.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The node's own folder, whose name RabbitMQ would otherwise make of the node's.
    pub(super) fn node(&self) -> PathBuf {
        self.data().join("node")
    }

    /// The secret by which an Erlang node lets another one in; read from the home folder.
    pub(super) fn cookie(&self) -> PathBuf {
        self.folder.join(".erlang.cookie")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("rabbitmq.conf")
    }

    pub(super) fn plugins(&self) -> PathBuf {
        self.folder.join("enabled_plugins")
    }

    /// A file that is never there: for what would otherwise be read from the machine's own configuration.
    pub(super) fn nothing(&self) -> PathBuf {
        self.folder.join("none")
    }

    /// The broker's [`Address`](super::Address), for other processes.
    pub(super) fn address(&self) -> PathBuf {
        self.folder.join("address")
    }

    /// The ids of its processes, for whoever claims the folder next.
    pub(super) fn processes(&self) -> PathBuf {
        self.folder.join("processes")
    }
}
