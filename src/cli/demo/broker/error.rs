use std::path::PathBuf;

use super::super::machine;

/// Why there is no private broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// RabbitMQ is not installed, or not where it was said to be.
    #[error(
        "no RabbitMQ programs (`rabbitmq-server`, `rabbitmqctl`) in {looked_in}; on Debian: `apt-get install rabbitmq-server`"
    )]
    NoBinaries {
        /// Where they were looked for.
        looked_in: String,
    },
    /// A process that is not there can be neither paused nor continued.
    #[error("the broker does not run")]
    NotRunning,
    /// No broker was left running in the folder.
    #[error("no broker was left running in {}", folder.display())]
    NoneLeft {
        /// The folder.
        folder: PathBuf,
    },
    /// The machine does not carry it, or it did not start or stop.
    #[error(transparent)]
    Machine(#[from] machine::Error),
}
