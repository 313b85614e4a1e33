//! `tidegate tail`: a subscription in the terminal.
//!
//! ```text
//!  Selection ──subscribe──▶ socket ──ServerFrame──▶ State ──Line──▶ View ──▶ stdout
//!                             ▲                       │
//!                             └── cursor and shape ◀──┘ on every return, by the table of close codes
//! ```
//!
//! A client like any other: it speaks the wire protocol and knows nothing of the server's insides. What it says
//! about itself (lost, back again) goes to stderr; stdout has the data alone.

mod address;
mod backoff;
mod conversation;
mod error;
mod frame;
mod request;
mod rows;
mod socket;
mod state;
mod token;
mod view;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::shutdown;
use crate::telemetry::Chain;

use address::Address;
use backoff::{Backoff, Return};
use conversation::{Client, End};
use request::Selection;
use state::State;
use token::Token;
use view::{Output, View};

pub use error::Error;

/// Follows a table's rows or a channel's events.
///
/// Piped, it writes JSON lines: one object each, told apart by `op`.
#[derive(Args, Debug)]
#[command(after_long_help = JSON_LINES)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The server.
    #[arg(long, value_name = "ADDRESS", default_value = "ws://127.0.0.1:8080")]
    server: Address,
    /// A file that holds the token; without it, the variable `TIDEGATE_TOKEN`, if set.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How to show what comes.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

const JSON_LINES: &str = "\
JSON lines, one object each (values as the wire protocol encodes them):
  {\"op\":\"row\",\"row\":{…}}                      a row of the snapshot
  {\"op\":\"live\",\"rows\":12}                     the snapshot is complete: changes follow
  {\"op\":\"insert\",\"row\":{…},…}                 a row came into view
  {\"op\":\"update\",\"row\":{…},\"old\":{…},…}       it changed; `old` where it is known, and
                                             `unchanged` names columns whose value nobody sent
  {\"op\":\"delete\",\"key\":{…},\"old\":{…},…}       it went out of view
  {\"op\":\"truncate\",\"lsn\":\"…\"}                 all rows are gone
  {\"op\":\"event\",\"event\":{…}}                  an event on the channel
  {\"op\":\"resync\",\"reason\":\"…\"}                forget all rows: a new snapshot follows
Changes carry `lsn`, `tx` and `committed_at` of their transaction (not with --latest).

Exit status: 0 after Ctrl-C or when the reader of stdout has gone, 1 if the subscription was refused,
2 if the server could not be reached at first. A connection lost later is opened again.";

/// Follows until it is told to stop.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(arguments: Arguments) -> Result<(), Error> {
    let mut signals = shutdown::signals().map_err(Error::Signals)?;
    let token = Token::new(arguments.token_file)?;
    let mut tail = Tail {
        client: Client {
            selection: arguments.selection,
            state: State::default(),
            view: View::new(arguments.output),
            token,
        },
        address: arguments.server,
        backoff: Backoff::default(),
        reached: false,
    };
    let outcome = tokio::select! {
        biased;
        // 1. Ctrl-C is how it ends.
        _ = signals.next() => Ok(()),
        // 2. The subscription, across connections.
        error = tail.follow() => Err(error),
    };
    match outcome {
        // The reader has what it wanted: `| head`.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

struct Tail {
    client: Client,
    address: Address,
    backoff: Backoff,
    /// Whether there ever was a connection: until then a failure is the user's to mend.
    reached: bool,
}

impl Tail {
    /// Returns again and again, until it is of no use.
    async fn follow(&mut self) -> Error {
        loop {
            let end = match self.visit().await {
                Ok(end) => end,
                Err(error) => return error,
            };
            if end.lived >= backoff::LIVE {
                self.backoff.reset();
            }
            let wait = match end.then {
                // Elsewhere at once, but not in a circle: a server that always goes away is waited for.
                Return::AtOnce if end.subscribed => Duration::ZERO,
                Return::AtOnce => self.wait(Duration::ZERO),
                Return::AfterWait(least) => self.wait(least),
                Return::WithNewToken => match self.client.token.renew() {
                    Ok(true) => self.wait(Duration::ZERO),
                    Ok(false) => return Error::Closed { why: end.why },
                    Err(error) => return error,
                },
                Return::Never => return Error::Closed { why: end.why },
            };
            say(&format!("{}; again in {:.1} s", end.why, wait.as_secs_f64()));
            tokio::time::sleep(wait).await;
        }
    }

    async fn visit(&mut self) -> Result<End, Error> {
        match socket::connect(&self.address, self.client.token.get()).await {
            Ok(socket) => {
                if self.reached {
                    say("connected again");
                }
                self.reached = true;
                self.client.converse(socket).await
            }
            Err(source) if !self.reached => Err(Error::unreachable(&self.address, source)),
            Err(error) => Ok(End::lost(format!("cannot reach {}: {}", self.address, Chain(&error)))),
        }
    }

    fn wait(&mut self, least: Duration) -> Duration {
        self.backoff.next(least, fastrand::f64())
    }
}

/// A word about the connection, for people: on stderr, and lost where nobody reads that.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(anstream::stderr(), "tidegate: {}", view::plain(text));
}
