//! The command line: one file per subcommand.

pub mod check;
pub mod demo;
pub mod jobs;
pub mod migrate;
pub mod rotate;
pub mod serve;
pub mod tail;
pub mod teardown;
pub mod token;
pub mod types;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Layers};
use crate::telemetry::Chain;

/// Makes a PostgreSQL database live: snapshots and every later change, in commit order, over WebSocket and SSE.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// What overrides the configuration's defaults and the environment's variables.
#[derive(Args, Debug)]
struct Settings {
    /// A TOML file of settings; every key with its default is in config/default.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting over all others, as in --set http.listen=127.0.0.1:9000; any number of times.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves your database: ready when /readyz answers 200.
    Serve(serve::Arguments),
    /// Serves a private database with a simulated team at work on it, to look at.
    Demo(demo::Arguments),
    Migrate(migrate::Arguments),
    Rotate(rotate::Arguments),
    Jobs(jobs::Arguments),
    Check(check::Arguments),
    Teardown(teardown::Arguments),
    Tail(Box<tail::Arguments>),
    Token(token::Arguments),
    Types(types::Arguments),
}

/// What ended the command.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("`tidegate {command}` reads no configuration: {flag} has no effect on it")]
    Unconfigured { command: &'static str, flag: &'static str },
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Serve(#[from] serve::Error),
    #[error(transparent)]
    Demo(#[from] demo::Error),
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
    #[error(transparent)]
    Rotate(#[from] rotate::Error),
    #[error(transparent)]
    Jobs(#[from] jobs::Error),
    #[error(transparent)]
    Check(#[from] check::Error),
    #[error(transparent)]
    Teardown(#[from] teardown::Error),
    #[error(transparent)]
    Tail(#[from] tail::Error),
    #[error(transparent)]
    Token(#[from] token::Error),
    #[error(transparent)]
    Types(#[from] types::Error),
}

impl Error {
    /// Whether what the command printed ends with this already.
    fn is_told(&self) -> bool {
        matches!(self, Self::Check(check::Error::Faults(_)) | Self::Teardown(teardown::Error::Left))
    }

    /// 2 where nothing was even begun, as clap has it for the command line itself.
    fn exit_status(&self) -> u8 {
        match self {
            Self::Runtime(_) | Self::Unconfigured { .. } | Self::Config(_) => 2,
            Self::Serve(error) => error.exit_status(),
            Self::Demo(error) => error.exit_status(),
            Self::Migrate(error) => error.exit_status(),
            Self::Rotate(error) => error.exit_status(),
            Self::Jobs(error) => error.exit_status(),
            Self::Check(error) => error.exit_status(),
            Self::Teardown(error) => error.exit_status(),
            Self::Tail(error) => error.exit_status(),
            Self::Token(error) => error.exit_status(),
            Self::Types(error) => error.exit_status(),
        }
    }
}

/// Does what the command line says, and prints what went wrong once, with its whole chain.
pub fn run() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_told() {
                // Without anybody to read it the exit status has to do.
                let _ = writeln!(anstream::stderr(), "tidegate: {}", Chain(&error));
            }
            ExitCode::from(error.exit_status())
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let outcome = runtime.block_on(arguments.command.run(arguments.settings));
    // A name being looked up or a file being read is not waited for.
    runtime.shutdown_background();
    outcome
}

impl Command {
    async fn run(self, settings: Settings) -> Result<(), Error> {
        match self {
            Self::Serve(arguments) => Ok(serve::run(arguments, settings.layers()?).await?),
            Self::Demo(arguments) => Ok(Box::pin(demo::run(arguments, settings.layers()?)).await?),
            Self::Migrate(arguments) => Ok(migrate::run(arguments, settings.layers()?).await?),
            Self::Rotate(arguments) => Ok(rotate::run(arguments, settings.layers()?).await?),
            Self::Jobs(arguments) => Ok(jobs::run(arguments, settings.layers()?).await?),
            Self::Check(arguments) => Ok(Box::pin(check::run(arguments, settings.layers()?)).await?),
            Self::Teardown(arguments) => Ok(teardown::run(arguments, settings.layers()?).await?),
            Self::Token(arguments) => Ok(token::run(arguments, settings.layers()?)?),
            Self::Types(arguments) => Ok(types::run(arguments, settings.layers()?).await?),
            Self::Tail(arguments) => {
                settings.refuse("tail")?;
                Ok(tail::run(*arguments).await?)
            }
        }
    }
}

impl Settings {
    fn layers(self) -> Result<Layers, config::Error> {
        let layers = match self.config {
            Some(path) => Layers::of_process().file(path),
            None => Layers::of_process(),
        };
        self.set.iter().try_fold(layers, |layers, assignment| layers.set(assignment))
    }

    /// For a command that would pass over them in silence.
    fn refuse(&self, command: &'static str) -> Result<(), Error> {
        match (&self.config, &self.set[..]) {
            (None, []) => Ok(()),
            (Some(_), _) => Err(Error::Unconfigured { command, flag: "--config" }),
            (None, _) => Err(Error::Unconfigured { command, flag: "--set" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn settings_may_stand_before_or_after_the_command() {
        for words in [["tidegate", "--set", "a.b=c", "serve"], ["tidegate", "serve", "--set", "a.b=c"]] {
            let arguments = Arguments::try_parse_from(words).expect("valid");
            assert_eq!(arguments.settings.set, ["a.b=c"]);
        }
    }

    #[test]
    fn a_command_without_configuration_says_so() {
        let arguments =
            Arguments::try_parse_from(["tidegate", "tail", "a", "--set", "b.c=d"]).expect("valid");
        let error = arguments.settings.refuse("tail").expect_err("has a setting");
        assert_eq!((error.exit_status(), error.to_string().contains("--set")), (2, true));
    }

    #[test]
    fn a_tail_follows_a_table_or_a_channel_and_not_both() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["tidegate", "tail"], words].concat());
        for words in [
            &["public.entries", "--where", "board_id = $1", "--param", "7", "--columns", "id,title"][..],
            &["public.entries", "--latest", "--interval-ms", "250", "--no-snapshot"],
            &["public.entries", "--order-by", "at desc", "--limit", "50", "--output", "json"],
            &["--channel", "deploys.eu", "--server", "wss://live.example.com"],
        ] {
            assert!(parse(words).is_ok(), "{words:?}: {:?}", parse(words).err());
        }
        for words in [
            &[][..],
            &["public.entries", "--channel", "deploys"],
            &["--channel", "deploys", "--where", "a"],
            &["public.entries", "--interval-ms", "250"],
            &["public.entries", "--param", "7"],
            &["public.entries", "--no-snapshot", "--limit", "5"],
            &["public.entries", "--server", "localhost:8080"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
