//! `tidegate serve`: the server on the user's own database.

use std::io;

use clap::Args;

use crate::app;
use crate::config::{self, Config, Layers};
use crate::http;
use crate::shutdown::{self, Scope, Signals};
use crate::telemetry;

/// Flags with names of their own; every key of the configuration can be given with --set.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Where the database is: postgres.url. A password is safer in `TIDEGATE__POSTGRES__URL`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Address and port to listen on: http.listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Why the server does not run any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Nothing can be logged.
    #[error(transparent)]
    Log(#[from] telemetry::Error),
    /// The operating system gives no signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The server could not start, or could not go on.
    #[error(transparent)]
    App(#[from] app::Error),
    /// A second request to stop came before the first was carried out.
    #[error("stopped at once by a second {0}; clients may not have had their last cursor")]
    Forced(shutdown::Signal),
}

impl Error {
    /// 2 if the server never started to run, 1 otherwise.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Log(_)
            | Self::Signals(_)
            | Self::App(app::Error::Http(http::Error::Tls(_))) => 2,
            Self::App(_) | Self::Forced(_) => 1,
        }
    }
}

impl Arguments {
    fn over(self, layers: Layers) -> Layers {
        let flags = [("--url", "postgres.url", self.url), ("--listen", "http.listen", self.listen)];
        flags.into_iter().fold(layers, |layers, (flag, key, value)| match value {
            Some(value) => layers.flag(flag, key, value),
            None => layers,
        })
    }
}

/// Serves until told to stop.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let config = arguments.over(layers).load()?;
    telemetry::init(&config.telemetry)?;
    let signals = shutdown::signals().map_err(Error::Signals)?;
    until_told(config, Scope::new(), signals).await
}

/// Runs the server in `scope`, with as many open files as it may have, until it ends: on the first signal in good
/// order, on the second at once.
///
/// # Errors
/// [`Error::App`] and [`Error::Forced`].
pub async fn until_told(config: Config, scope: Scope, mut signals: Signals) -> Result<(), Error> {
    match telemetry::raise_open_file_limit() {
        Ok(limit) => tracing::info!(limit, "open files are limited to"),
        Err(error) => {
            tracing::warn!(error = %telemetry::Chain(&error), "the limit of open files stays as it is");
        }
    }
    let mut app = Box::pin(app::run(config, scope.clone()));
    loop {
        tokio::select! {
            biased;
            // 1. The end of the server.
            outcome = &mut app => return Ok(outcome?),
            // 2. A request to stop.
            signal = signals.next() => {
                if scope.is_closing() {
                    return Err(Error::Forced(signal));
                }
                tracing::info!(%signal, "shutting down");
                scope.close();
            }
        }
    }
}
