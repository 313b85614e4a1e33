//! `tidegate demo`: a database of its own, a team at work on it, and the server in front.
//!
//! ```text
//!  cluster (private PostgreSQL) ◀── migrations, simulator ◀── pace ─┐
//!      └──WAL──▶ tidegate serve ──▶ http://127.0.0.1:8080/         control ◀── page
//!                      ▲ ▲                                          │ │
//!                      │ └── kill, start again ─────────────────────┘ │
//!                      └──── lines that can be cut ───────────────────┘
//! ```
//!
//! With `--login` people log in at a provider of its own (see [`provider`]), and each sees its own boards.
//! With `--rabbitmq` the journal is in a private broker, and two server processes stand in front of the same database
//! (see [`servers`]). The page asks the demo itself through a small service of its own (`control`).
//!
//! All that it starts ends with it: in order on Ctrl-C, SIGTERM or when the terminal closes, and through the
//! cluster's guard when this process is killed. It touches nothing else.

pub mod broker;
pub mod cluster;
mod control;
mod lines;
mod login;
pub mod machine;
pub mod provider;
mod readiness;
pub mod servers;
mod simulator;

use std::future::Future;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_postgres::NoTls;

use super::serve;
use crate::config::{self, Config, Layers};
use crate::postgres::migrate::{self, Schema};
use crate::shutdown::{self, Drained, Scope, Signals};
use crate::telemetry;
use broker::Broker;
use cluster::{Access, Cluster, Options, Place, Shutdown};
use control::{Control, Stage};
use lines::Lines;
pub use simulator::{InvalidRate, Rate};

/// The demo's database.
const DATABASE: &str = "demo";
/// What an error in the configuration calls this command.
const ORIGIN: &str = "tidegate demo";
/// What there is to be seen where nobody logs in.
const INVITATION: &str = "\n  Open the page in two windows: they move together.";

/// Runs a private PostgreSQL, a team at work on it, and the live page.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Port of the page and the socket on 127.0.0.1; 0 takes a free one. Else that of `http.listen`.
    #[arg(long)]
    port: Option<u16>,
    /// How many transactions a second the team commits, 0 to 500; the page can set it while it runs.
    #[arg(long, default_value = "3")]
    rate: Rate,
    /// Keeps the journal in a private RabbitMQ, and puts two server processes in front of the database: the page of
    /// one goes on on the other when its own is stopped.
    #[arg(long)]
    rabbitmq: bool,
    /// Where the private cluster lives; emptied at each start. The broker lives beside it, in `FOLDER-broker`.
    #[arg(long, value_name = "FOLDER", default_value = ".tidegate/demo")]
    folder: PathBuf,
    /// Where PostgreSQL's programs are. Else the newest that is installed.
    #[arg(long, value_name = "FOLDER")]
    postgres_bin: Option<PathBuf>,
    /// Where RabbitMQ's programs are. Else where packages put them.
    #[arg(long, value_name = "FOLDER", requires = "rabbitmq")]
    rabbitmq_bin: Option<PathBuf>,
    #[command(flatten)]
    login: login::Flags,
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
    /// There is no RabbitMQ to run.
    #[error("no private RabbitMQ broker")]
    Broker(#[source] broker::Error),
    /// There is no provider to log in at.
    #[error("no OpenID Connect provider")]
    Provider(#[from] provider::Error),
    /// The database itself or its first rows were refused.
    #[error("cannot set up the demo's database")]
    Database(#[from] tokio_postgres::Error),
    /// Its schema was.
    #[error("cannot set up the demo's schema")]
    Schema(#[from] migrate::Error),
    /// The server ended with an error.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// The server processes could not be started.
    #[error(transparent)]
    Servers(#[from] servers::Error),
}

impl Error {
    /// 2 if nothing was started, 1 otherwise.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Log(_)
            | Self::Port(_)
            | Self::Signals(_)
            | Self::Servers(servers::Error::Taken { .. } | servers::Error::Port { .. }) => 2,
            Self::Cluster(_)
            | Self::Broker(_)
            | Self::Provider(_)
            | Self::Database(_)
            | Self::Schema(_)
            | Self::Servers(_) => 1,
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

    fn broker(&self) -> Option<broker::Options> {
        self.rabbitmq.then(|| broker::Options {
            binaries: self.rabbitmq_bin.clone(),
            place: Place::Folder(beside(&self.folder)),
        })
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
    let config = layers.clone().flag(ORIGIN, "postgres.url", anywhere).load()?;
    telemetry::init(&config.telemetry)?;
    let addresses = servers::addresses(config.http.listen, if arguments.rabbitmq { 2 } else { 1 })?;
    let signals = shutdown::signals().map_err(Error::Signals)?;
    let scope = Scope::new();
    close_with_terminal(&scope)?;
    let (mut cluster, broker) = start(&arguments).await?;
    let stands = (&cluster, broker.as_ref());
    let served = Box::pin(serve_team(&arguments, layers, stands, addresses, &scope, signals)).await;
    scope.close();
    let broker_stopped = async {
        let Some(mut broker) = broker else { return Ok(()) };
        say("Stopping RabbitMQ …");
        blocking(move || broker.stop()).await.map_err(Error::Broker)
    };
    say("Stopping PostgreSQL …");
    let cluster_stopped = blocking(move || cluster.stop(Shutdown::Fast));
    let (broker_stopped, cluster_stopped) = tokio::join!(broker_stopped, cluster_stopped);
    served.and(broker_stopped).and(cluster_stopped.map_err(Error::Cluster))
}

/// Starts what the servers stand on; if one of it does not start, the other is stopped again.
async fn start(arguments: &Arguments) -> Result<(Cluster, Option<Broker>), Error> {
    say("Starting a private PostgreSQL cluster …");
    let options = arguments.cluster();
    let cluster = blocking(move || Cluster::start(&options));
    let broker = async {
        let Some(options) = arguments.broker() else { return Ok(None) };
        say("Starting a private RabbitMQ broker …");
        blocking(move || Broker::start(&options)).await.map(Some)
    };
    let (cluster, broker) = tokio::join!(cluster, broker);
    Ok((cluster.map_err(Error::Cluster)?, broker.map_err(Error::Broker)?))
}

async fn serve_team(
    arguments: &Arguments,
    layers: Layers,
    (cluster, broker): (&Cluster, Option<&Broker>),
    addresses: Vec<SocketAddr>,
    scope: &Scope,
    signals: Signals,
) -> Result<(), Error> {
    let url = cluster.url(DATABASE);
    let layers = layers
        .flag(ORIGIN, "postgres.url", url.as_str())
        .flag(ORIGIN, "app.enabled", "true")
        // History is to be looked at within minutes.
        .flag(ORIGIN, "jobs.hourly", "* * * * *");
    let provider = arguments.login.start(&addresses).await?;
    prepare(cluster, &layers.clone().load()?).await?;
    let control = Control::listen().await.map_err(Error::Port)?;
    let layers = provider.iter().fold(layers, login::over);
    let layers = over_page(layers, &control, &addresses);
    let config = layers.clone().load()?;
    let team = scope.child();
    let (pace, paced) = watch::channel(arguments.rate);
    team.spawn("simulator", simulator::run(url.clone(), paced, team.clone()));
    let (handle, reins) = servers::handle();
    let lines = Lines::to(addresses.clone(), &team);
    team.spawn("lines", lines.clone().keep());
    let stage = Stage { pace: Arc::new(pace), servers: handle, lines };
    team.spawn("control", control.run(stage, addresses.clone(), team.clone()));
    let behind = servers::Behind {
        layers,
        addresses,
        database: url,
        broker: broker.map(|broker| broker.url("/")),
        invitation: provider.as_ref().map_or_else(|| INVITATION.to_owned(), login::invitation),
    };
    if let Some(provider) = provider {
        team.spawn("provider", provider.keep(team.clone()));
    }
    let served = servers::until_told(behind, reins, &config, scope, signals).await;
    if let Drained::Abandoned(tasks) = team.drain(config.shutdown.grace).await {
        tracing::warn!(?tasks, "what is beside the server did not stop in time");
    }
    served
}

/// What the servers' pages are told of the demo.
fn over_page(layers: Layers, control: &Control, addresses: &[SocketAddr]) -> Layers {
    let servers: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    layers.flag(ORIGIN, "page.control_url", control.url()).flag(
        ORIGIN,
        "page.servers",
        serde_json::json!(servers).to_string(),
    )
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

async fn prepare(cluster: &Cluster, config: &Config) -> Result<(), Error> {
    connected(&cluster.url("postgres"), async |client| {
        client.batch_execute(&format!("create database {DATABASE}")).await
    })
    .await?;
    for (schema, settings) in
        [(Schema::Application, config.postgres.settings()), (Schema::Analytics, config.warehouse())]
    {
        migrate::run(schema, &settings).await?;
    }
    connected(&cluster.url(DATABASE), async |client| simulator::plant(client).await).await?;
    Ok(())
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

/// To whoever started the demo. A reader who has gone is no reason to stop.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// `.tidegate/demo` → `.tidegate/demo-broker`. Not within: each of the two refuses a folder with foreign files.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push("-broker");
    folder.with_file_name(name)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    let task = tokio::task::spawn_blocking(work);
    async { task.await.expect("neither cluster nor broker panics, and nobody aborts it") }
}
