//! `tidegate demo`: a database of its own, a team at work on it, and the server in front.
//!
//! ```text
//!  cluster (private PostgreSQL) ◀── schema, simulator
//!      └──WAL──▶ app::run, as `serve` does ──▶ http://127.0.0.1:8080/
//! ```
//!
//! All that it starts ends with it: in order on Ctrl-C, SIGTERM or when the terminal closes, and through the
//! cluster's guard when this process is killed. It touches nothing else.

pub mod broker;
pub mod cluster;
pub mod machine;
mod readiness;
mod schema;
mod simulator;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::NoTls;

use super::serve;
use crate::config::{self, Layers};
use crate::shutdown::{self, Drained, Scope, Signals};
use crate::telemetry;
use cluster::{Access, Cluster, Options, Place, Shutdown};
pub use simulator::{InvalidRate, Rate};

/// The demo's database.
const DATABASE: &str = "demo";
/// What an error in the configuration calls this command.
const ORIGIN: &str = "tidegate demo";

/// Runs a private PostgreSQL, a team at work on it, and the live page.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Port of the page and the socket on 127.0.0.1; 0 takes a free one. Else that of `http.listen`.
    #[arg(long)]
    port: Option<u16>,
    /// How many transactions a second the team commits, 0 to 500.
    #[arg(long, default_value = "3")]
    rate: Rate,
    /// Where the private cluster lives; emptied at each start.
    #[arg(long, value_name = "FOLDER", default_value = ".tidegate/demo")]
    folder: PathBuf,
    /// Where PostgreSQL's programs are. Else the newest that is installed.
    #[arg(long, value_name = "FOLDER")]
    postgres_bin: Option<PathBuf>,
}

/// Why the demo did not run, or did not end as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Nothing can be logged.
    #[error(transparent)]
    Log(#[from] telemetry::Error),
    /// There is no port to listen on.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] io::Error),
    /// The operating system gives no signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// There is no PostgreSQL to run.
    #[error("no private PostgreSQL cluster")]
    Cluster(#[source] cluster::Error),
    /// The schema or its first rows were refused.
    #[error("cannot set up the demo's database")]
    Database(#[source] tokio_postgres::Error),
    /// The server ended with an error.
    #[error(transparent)]
    Serve(#[from] serve::Error),
}

impl Error {
    /// 2 if nothing was started, 1 otherwise.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Log(_) | Self::Port(_) | Self::Signals(_) => 2,
            Self::Cluster(_) | Self::Database(_) => 1,
            Self::Serve(error) => error.exit_status(),
        }
    }
}

impl Arguments {
    fn over(&self, layers: Layers) -> Result<Layers, Error> {
        let port = match self.port {
            None => return Ok(layers),
            Some(0) => free_port().map_err(Error::Port)?,
            Some(port) => port,
        };
        Ok(layers.flag("--port", "http.listen", format!("127.0.0.1:{port}")))
    }

    fn cluster(&self) -> Options {
        Options {
            binaries: self.postgres_bin.clone(),
            place: Place::Folder(self.folder.clone()),
            access: Access::Password,
            settings: Vec::new(),
        }
    }
}

/// Runs the demo until it is told to stop.
///
/// # Errors
/// [`Error`]; whatever was started until then has been stopped.
pub async fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let layers = arguments.over(layers)?;
    // What is wrong in the configuration is said before anything is started; the cluster's address comes later.
    let anywhere = format!("postgres://127.0.0.1/{DATABASE}");
    telemetry::init(&layers.clone().flag(ORIGIN, "postgres.url", anywhere).load()?.telemetry)?;
    let signals = shutdown::signals().map_err(Error::Signals)?;
    let scope = Scope::new();
    close_with_terminal(&scope)?;
    say("Starting a private PostgreSQL cluster …");
    let options = arguments.cluster();
    let mut cluster = blocking(move || Cluster::start(&options)).await.map_err(Error::Cluster)?;
    let served = serve_team(&arguments, layers, &cluster, &scope, signals).await;
    scope.close();
    say("Stopping PostgreSQL …");
    let stopped = blocking(move || cluster.stop(Shutdown::Fast)).await.map_err(Error::Cluster);
    served.and(stopped)
}

async fn serve_team(
    arguments: &Arguments,
    layers: Layers,
    cluster: &Cluster,
    scope: &Scope,
    signals: Signals,
) -> Result<(), Error> {
    prepare(cluster).await.map_err(Error::Database)?;
    let url = cluster.url(DATABASE);
    let config = layers.flag(ORIGIN, "postgres.url", url.as_str()).load()?;
    let grace = config.shutdown.grace;
    let team = scope.child();
    team.spawn("simulator", simulator::run(url.clone(), arguments.rate, team.clone()));
    team.spawn("greeting", greet(config.http.listen, url, team.clone()));
    let served = serve::until_told(config, scope.clone(), signals).await;
    if let Drained::Abandoned(tasks) = team.drain(grace).await {
        tracing::warn!(?tasks, "the simulator did not stop in time");
    }
    Ok(served?)
}

/// Has a closed terminal end the demo as Ctrl-C does, and not at once as it would by default.
fn close_with_terminal(scope: &Scope) -> Result<(), Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    let closing = scope.clone();
    scope.child().spawn("hangup", async move {
        tokio::select! {
            _ = hangup.recv() => closing.close(),
            () = closing.closing() => {}
        }
    });
    Ok(())
}

async fn prepare(cluster: &Cluster) -> Result<(), tokio_postgres::Error> {
    connected(&cluster.url("postgres"), async |client| {
        client.batch_execute(&format!("create database {DATABASE}")).await
    })
    .await?;
    connected(&cluster.url(DATABASE), async |client| {
        schema::apply(client).await?;
        simulator::plant(client).await
    })
    .await
}

/// Runs `work` on a connection of its own.
async fn connected<F>(url: &str, work: F) -> Result<(), tokio_postgres::Error>
where
    F: AsyncFnOnce(&mut tokio_postgres::Client) -> Result<(), tokio_postgres::Error>,
{
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::select! {
        done = work(&mut client) => done,
        lost = connection => lost,
    }
}

async fn greet(listen: SocketAddr, database: String, scope: Scope) {
    tokio::select! {
        () = scope.closing() => {}
        () = readiness::wait(listen) => {
            say(&format!(
                "\n  Tidegate is live:  http://{listen}/\n  Its database:      {database}\n\n  \
                 Open the page in two windows. Ctrl-C stops everything.\n"
            ));
        }
    }
}

/// To whoever started the demo. A reader who has gone is no reason to stop.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    let task = tokio::task::spawn_blocking(work);
    async { task.await.expect("a cluster does not panic, and nobody aborts it") }
}
