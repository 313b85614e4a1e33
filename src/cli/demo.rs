//! `tidegate demo`: a database of its own, a team at work on it, and the server in front.
//!
//! ```text
//!  cluster (private PostgreSQL) ◀── schema, simulator
//!      └──WAL──▶ app::run, as `serve` does ──▶ http://127.0.0.1:8080/
//! ```
//!
//! All that it starts ends with it: in order on Ctrl-C, SIGTERM or when the terminal closes, and through the
//! cluster's guard when this process is killed. It touches nothing else.

pub mod cluster;
mod readiness;
mod schema;
mod simulator;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::NoTls;

use crate::shutdown::{Drained, Scope, signals};
use crate::{app, config};
use cluster::{Access, Cluster, Options, Place, Shutdown};
pub use simulator::{InvalidRate, Rate};

/// The demo's database.
const DATABASE: &str = "demo";

/// What `tidegate demo` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Port of the page and the socket on 127.0.0.1; 0 takes a free one [default: that of `http.listen`]
    #[arg(long)]
    port: Option<u16>,
    /// How many transactions a second the simulated team commits, 0 to 500
    #[arg(long, default_value = "3")]
    rate: Rate,
    /// Where the private PostgreSQL cluster lives; emptied at each start
    #[arg(long, value_name = "PATH", default_value = ".tidegate/demo")]
    folder: PathBuf,
    /// Where PostgreSQL's programs are [default: the newest installed]
    #[arg(long, value_name = "PATH")]
    postgres_bin: Option<PathBuf>,
}

/// Why the demo did not run, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is wrong.
    #[error("the configuration is not usable")]
    Config(#[source] config::Error),
    /// There is no port to listen on.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] io::Error),
    /// Signals cannot be taken.
    #[error("cannot take signals")]
    Signals(#[source] io::Error),
    /// There is no PostgreSQL to run.
    #[error("no private PostgreSQL cluster")]
    Cluster(#[source] cluster::Error),
    /// The schema or its first rows were refused.
    #[error("cannot set up the demo's database")]
    Database(#[source] tokio_postgres::Error),
    /// The server ended with an error.
    #[error("the server ended")]
    Server(#[source] app::Error),
}

/// Runs the demo until it is asked to stop.
///
/// # Errors
/// [`Error`]; whatever was started until then has been stopped.
pub async fn run(args: Args, layers: config::Layers) -> Result<(), Error> {
    let scope = Scope::new();
    stop_on_request(&scope)?;
    let options = Options {
        binaries: args.postgres_bin.clone(),
        place: Place::Folder(args.folder.clone()),
        access: Access::Password,
        settings: Vec::new(),
    }
    .with("max_connections", "50");
    say("Starting a private PostgreSQL cluster …");
    let cluster = blocking(move || Cluster::start(&options)).await.map_err(Error::Cluster)?;
    let served = serve(&args, layers, &cluster, &scope).await;
    scope.close();
    say("Stopping PostgreSQL …");
    let stopped = blocking(move || {
        let mut cluster = cluster;
        cluster.stop(Shutdown::Fast)
    });
    served.and(stopped.await.map_err(Error::Cluster))
}

async fn serve(args: &Args, layers: config::Layers, cluster: &Cluster, scope: &Scope) -> Result<(), Error> {
    prepare(cluster).await.map_err(Error::Database)?;
    let mut layers = layers.flag("demo", "postgres.url", cluster.url(DATABASE));
    if let Some(port) = args.port {
        let port = if port == 0 { free_port().map_err(Error::Port)? } else { port };
        layers = layers.flag("--port", "http.listen", format!("127.0.0.1:{port}"));
    }
    let config = layers.load().map_err(Error::Config)?;
    let grace = config.shutdown.grace;
    let team = scope.child();
    team.spawn("simulator", simulator::run(cluster.url(DATABASE), args.rate, team.clone()));
    team.spawn("greeting", greet(config.http.listen, cluster.url(DATABASE), team.clone()));
    let served = app::run(config, scope.clone()).await.map_err(Error::Server);
    if let Drained::Abandoned(tasks) = team.drain(grace).await {
        tracing::warn!(?tasks, "the simulator did not stop in time");
    }
    served
}

/// Closes `scope` on the first request to stop; on a second one the process ends at once, and the cluster's guard
/// does the rest.
fn stop_on_request(scope: &Scope) -> Result<(), Error> {
    let mut requests = signals().map_err(Error::Signals)?;
    // The terminal was closed.
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    let closing = scope.clone();
    Scope::new().spawn("signals", async move {
        tokio::select! {
            _ = requests.next() => {}
            _ = hangup.recv() => {}
        }
        closing.close();
        requests.next().await;
        std::process::exit(130);
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
