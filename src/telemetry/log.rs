use std::any::Any;
use std::io::{self, IsTerminal as _};
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

/// What is logged, and how it is written.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which events.
    pub level: Filter,
    /// In which form.
    pub format: Format,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text if stderr is a terminal, JSON otherwise.
    Auto,
    /// A line for people.
    Text,
    /// An object a line, for machines.
    Json,
}

/// Which events are logged.
///
/// Text form: a level, then, separated by commas, levels for single modules: `info,tidegate::source=debug`. The AMQP
/// client says nothing unless it is named: `info,lapin=debug`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Targets);

/// Libraries that log as an error what we handle, and say ourselves.
const LOUD: [&str; 1] = ["lapin"];

/// A text that is not a [`Filter`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` is not a level; write one of off, error, warn, info, debug, trace, then `module=level` if wanted, \
     separated by commas"
)]
pub struct InvalidFilter {
    part: String,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process logs already.
    #[error("logging was set up twice")]
    Twice(#[source] TryInitError),
}

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        // `Targets` takes an unknown word for the name of a module and silences all others.
        let level = |part: &str| match part.trim().to_ascii_lowercase().as_str() {
            "off" => Ok(LevelFilter::OFF),
            "error" => Ok(LevelFilter::ERROR),
            "warn" => Ok(LevelFilter::WARN),
            "info" => Ok(LevelFilter::INFO),
            "debug" => Ok(LevelFilter::DEBUG),
            "trace" => Ok(LevelFilter::TRACE),
            _ => Err(InvalidFilter { part: part.trim().to_owned() }),
        };
        let mut parts = text.split(',');
        let mut targets = Targets::new().with_default(level(parts.next().unwrap_or_default())?);
        for library in LOUD {
            targets = targets.with_target(library, LevelFilter::OFF);
        }
        for part in parts {
            let (module, wanted) =
                part.split_once('=').ok_or_else(|| InvalidFilter { part: part.trim().to_owned() })?;
            targets = targets.with_target(module.trim(), level(wanted)?);
        }
        Ok(Self(targets))
    }
}

/// Sends the events of the whole process to stderr, panics included.
///
/// # Errors
/// If the process logs already.
pub fn init(config: &Config) -> Result<(), Error> {
    let terminal = io::stderr().is_terminal();
    let lines = match (config.format, terminal) {
        (Format::Json, _) | (Format::Auto, false) => json_layer(),
        (Format::Text, _) | (Format::Auto, true) => text_layer(),
    };
    Registry::default().with(lines.with_filter(config.level.0.clone())).try_init().map_err(Error::Twice)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn text_layer() -> Box<dyn Layer<Registry> + Send + Sync> {
    let coloured = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    fmt::layer().with_writer(io::stderr).with_ansi(coloured).log_internal_errors(false).boxed()
}

fn json_layer() -> Box<dyn Layer<Registry> + Send + Sync> {
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(io::stderr)
        // They would go to stderr, which is what cannot be written.
        .log_internal_errors(false)
        .boxed()
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic_text(panic.payload());
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(message, location, "a broken invariant");
}

/// The text that a panic was raised with.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_sets_a_level_for_all_and_others_for_modules() {
        let Filter(targets) = "info, tidegate::hub=trace,hyper=OFF".parse().expect("valid");
        assert!(targets.would_enable("tidegate::source", &Level::INFO));
        assert!(!targets.would_enable("tidegate::source", &Level::DEBUG));
        assert!(targets.would_enable("tidegate::hub::index", &Level::TRACE));
        assert!(!targets.would_enable("hyper", &Level::ERROR));
        assert!(!targets.would_enable("lapin::io_loop", &Level::ERROR));
    }

    #[test]
    fn panics_of_both_kinds_give_their_text() {
        assert_eq!(panic_text(&"plain"), "plain");
        assert_eq!(panic_text(&format!("built {}", 1)), "built 1");
        assert_eq!(panic_text(&1_u8), "a value that is no text");
    }

    #[test]
    fn what_is_no_level_is_refused_by_name() {
        for (text, part) in [
            ("", ""),
            ("inof", "inof"),
            ("info,", ""),
            ("tidegate=info", "tidegate=info"),
            ("info,tidegate", "tidegate"),
            ("info,tidegate=loud", "loud"),
        ] {
            assert_eq!(text.parse::<Filter>(), Err(InvalidFilter { part: part.to_owned() }), "{text}");
        }
    }
}
