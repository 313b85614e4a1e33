//! Builds every part, starts it, and stops it in order. The only module that knows them all.
//!
//! ```text
//!  core scope:  source ─▶ relay ─▶ journal ─▶ hub     catalog keeper, marker, heartbeat
//!  edge scope:  http ─▶ sessions and their openers
//! ```
//!
//! The edge comes up first, answering `/healthz` and, until changes stream in, `503` to `/readyz`. It goes down first
//! too: clients get what waits for them and a close, then the source confirms its last position and gives the slot up.

mod application;
mod catalog;
mod error;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::audit::Audit;
use crate::auth::Authenticator;
use crate::cache::Cache;
use crate::config::{AllowedOrigins, AuthMode, Backend, Config};
use crate::event::Lsn;
use crate::journal::{Ledger, Status};
use crate::limit::Limits;
use crate::policy::Policies;
use crate::postgres::publication;
use crate::postgres::{Pool, Settings};
use crate::profile::Profiles;
use crate::session::{self, Catalogs, Marker, Services, SnapshotConfig, Snapshots};
use crate::shutdown::{self, Drained, Scope};
use crate::telemetry::{Metrics, metric};
use crate::{http, hub, journal, relay, source};

use catalog::Keeper;
pub use error::Error;

/// Deliveries of the source that wait for the relay: each is at most a chunk, and what one visibility query tells of
/// is what has gathered here.
const DELIVERIES: usize = 64;
/// Wishes for a fresh catalog that wait; one reading answers all.
const REFRESHES: usize = 64;
/// How long the source waits for the relay's last confirmation when it ends.
const LAST_CONFIRMATION: Duration = Duration::from_secs(2);

/// Serves on `http.listen` until `scope` closes.
///
/// # Errors
/// [`Error`]: what kept the server from starting, or what only a change of the configuration mends.
pub async fn run(config: Config, scope: Scope) -> Result<(), Error> {
    let listener = http::listen(config.http.listen).await?;
    run_on(listener, config, scope).await
}

/// Serves on `listener`, for those who have to know its address before, until `scope` closes.
///
/// # Errors
/// As [`run`].
pub async fn run_on(listener: TcpListener, config: Config, scope: Scope) -> Result<(), Error> {
    let tls =
        config.http.tls.files().map(http::Tls::load).transpose().map_err(http::Error::from)?.map(Arc::new);
    let metrics = Metrics::install()?;
    let settings = config.postgres.settings();
    let pool = Pool::new(settings.clone(), config.postgres.pool_size, config.postgres.connect_timeout)?;
    let (core, edge) = (Scope::new(), Scope::new());
    let upkeep = metrics.clone();
    core.spawn("metrics", {
        let core = core.clone();
        async move {
            tokio::select! {
                () = core.closing() => {}
                () = upkeep.keep() => {}
            }
        }
    });
    if let Some(tls) = &tls {
        let reloads = shutdown::reloads().map_err(http::Error::Signal)?;
        edge.spawn("certificate", http::tls::keep(tls.clone(), reloads, edge.clone()));
    }
    let publication = config.postgres.publication();
    let server = Server { config: &config, settings, pool, core: core.clone(), edge: edge.clone(), tls };
    let outcome = Box::pin(server.serve(listener, publication, metrics, &scope)).await;
    stop(&config, &edge, &core).await;
    outcome.and_then(|()| {
        core.casualty().or(edge.casualty()).map_or(Ok(()), |task| Err(Error::Panicked { task }))
    })
}

struct Server<'a> {
    config: &'a Config,
    settings: Settings,
    pool: Pool,
    core: Scope,
    edge: Scope,
    tls: Option<Arc<http::Tls>>,
}

impl Server<'_> {
    async fn serve(
        self,
        listener: TcpListener,
        publication: publication::Config,
        metrics: Metrics,
        scope: &Scope,
    ) -> Result<(), Error> {
        let (config, core, edge) = (self.config, &self.core, &self.edge);
        let (confirmed, confirmations) = watch::channel(Lsn::ZERO);
        let ledger = Ledger::new(confirmed);
        let kept = &config.journal;
        let journal::Parts { writer, follower, journal, status: streaming, publisher, submissions } =
            journal::open(kept.bounds(), kept.backend(config.event_bytes()), ledger.clone(), core);
        let (describe, described) = watch::channel(Arc::default());
        let exchange = config.exchange().map(|exchange| journal::exchange(exchange, described, ledger, core));
        let limits = hub::Config {
            transaction_bytes: config.hub.transaction_bytes,
            frame_bytes: config.session.frame_bytes,
        };
        let marks = self.marks(&journal);
        let hub = hub::start(limits, follower, journal.clone(), marks.clone(), core);
        let (refreshes, wishes) = mpsc::channel(REFRESHES);
        let (keeper, current) =
            Keeper::new(self.pool.clone(), hub.clone(), publication, config.catalog.event_trigger, describe);
        let policies = Policies::new(config.policy(), self.pool.clone(), current.clone());
        self.core.spawn_essential("policies", follow(policies.clone(), hub.clone(), self.core.clone()));
        let cache = Cache::open(config.cache.config(), core)?;
        let auth = Authenticator::start(config.auth.authenticator(), cache.clone(), core).await?;
        let catalogs = Catalogs::new(current.clone(), refreshes);
        let application = self.application(marks, &hub, &policies, &cache)?;
        let commands = application.as_ref().map(|application| application.commands.clone());
        let services = Arc::new(self.services(auth, hub.clone(), catalogs, policies));
        let readiness = streaming.clone();
        let context = http::Context {
            services,
            config: Arc::new(self.edge_config()),
            limits: self.limits(cache),
            audit: Audit::open(&config.audit.settings(), &self.pool, core),
            ready: Arc::new(move || match *readiness.borrow() {
                Status::Streaming => Ok(()),
                Status::Connecting => Err("PostgreSQL's changes do not come in yet".to_owned()),
            }),
            metrics: Arc::new(move || metrics.render()),
            publisher,
            pages: self.pages(application.is_some()).await,
            application,
            tls: self.tls.clone(),
        };
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "listening");
        }
        edge.spawn_essential("http", http::run(listener, context, edge.clone()));
        // The publication comes before the slot: what the slot decodes, it decodes by the catalog of that moment.
        let keeper = tokio::select! {
            biased;
            () = scope.closing() => return Ok(()),
            keeper = keeper.prepare() => keeper?,
        };
        if let Some(commands) = commands {
            self.start_application(commands, &hub, streaming.clone()).await?;
        }
        core.spawn_essential("catalog", keeper.run(wishes, streaming, config.catalog.refresh, core.clone()));
        let heartbeat = relay::heartbeat(self.pool.clone(), journal, config.source.heartbeat, core.clone());
        core.spawn("heartbeat", heartbeat);
        let (deliveries, delivered) = mpsc::channel(DELIVERIES);
        let relay = relay::run(self.pool.clone(), delivered, submissions, (writer, exchange), core.clone());
        core.spawn_essential("relay", relay);
        // What the relay took before the source ends is confirmed yet: so the source goes by the core's closing too.
        let source = source::run(self.source_config(), deliveries, confirmations, core.closing());
        self.until_the_end(source, scope).await
    }

    async fn until_the_end(
        &self,
        source: impl Future<Output = Result<(), source::Error>>,
        scope: &Scope,
    ) -> Result<(), Error> {
        let mut source = std::pin::pin!(source);
        tokio::select! {
            biased;
            // 1. Told to stop: the edge goes down while changes still come in, then the source.
            () = scope.closing() => {
                stop_edge(self.config, &self.edge).await;
                self.core.close();
                source.await.map_err(Error::from)
            }
            // 2. A part that the others are useless without has panicked.
            () = self.core.closing() => Ok(()),
            () = self.edge.closing() => Ok(()),
            // 3. The source cannot go on.
            outcome = &mut source => outcome.map_err(Error::from),
        }
    }

    fn services(
        &self,
        auth: Authenticator,
        hub: hub::Handle,
        catalogs: Catalogs,
        policies: Policies,
    ) -> Services {
        let config = self.config;
        let snapshot = SnapshotConfig {
            concurrent: config.snapshot.concurrent,
            timeout: config.snapshot.timeout,
            chunk_bytes: config.snapshot.chunk_bytes,
        };
        let sessions = session::Config {
            outbox_bytes: config.session.outbox_bytes,
            max_subscriptions: config.session.max_subscriptions,
            max_frame_bytes: config.session.max_frame_bytes,
            heartbeat: config.session.heartbeat,
            idle_timeout: config.session.idle_timeout,
            handshake_timeout: config.session.handshake_timeout,
            latest_min_interval: config.session.latest_min_interval,
            write_timeout: config.session.write_timeout,
            hints: config.shows_hints(),
            snapshot,
        };
        let marker = Marker::start(self.pool.clone(), hub.clone(), &self.core);
        let snapshots =
            Snapshots::new(snapshot, self.pool.clone(), hub.clone(), marker.clone(), self.edge.clone());
        Services {
            config: sessions,
            auth,
            profiles: Profiles::new(config.profile(), self.pool.clone()),
            hub,
            catalogs,
            policies,
            pool: self.pool.clone(),
            snapshots,
            marker,
            scope: self.edge.clone(),
        }
    }

    fn limits(&self, cache: Cache) -> Arc<Limits> {
        let limits = Arc::new(Limits::new(&self.config.limits()));
        self.edge.spawn("limits", limits.clone().keep(self.edge.clone()));
        self.edge.spawn("shared limits", limits.clone().share(cache, self.edge.clone()));
        limits
    }

    fn origins(&self) -> http::Origins {
        let http = &self.config.http;
        match &http.allowed_origins {
            AllowedOrigins::Any => http::Origins::Any,
            AllowedOrigins::Listed(listed) => http::Origins::Listed(listed.clone()),
            AllowedOrigins::OwnAndLoopback => {
                let alone = self.config.auth.mode == AuthMode::None && http.listen.ip().is_loopback();
                if alone { http::Origins::Loopback } else { http::Origins::Own }
            }
        }
    }

    async fn pages(&self, application: bool) -> Arc<http::Pages> {
        Arc::new(http::Pages::open(&self.config.page(), &self.origins(), application).await)
    }

    fn edge_config(&self) -> http::Config {
        let http = &self.config.http;
        http::Config {
            max_connections: http.max_connections,
            handshake_timeout: self.config.session.handshake_timeout,
            write_timeout: self.config.session.write_timeout,
            header_bytes: http.max_header_bytes,
            headers: http.max_headers,
            event_bytes: self.config.event_bytes(),
            publishes: self.config.publish.http,
            origins: self.origins(),
            proxies: http::Proxies { networks: http.trusted_proxies.clone(), header: http.forwarding_header },
        }
    }

    /// How long the source waits for the last confirmation: not at all for one that is held back longer.
    fn closing_grace(&self) -> Duration {
        let journal = &self.config.journal;
        let delayed = journal.backend == Backend::Rabbitmq && !journal.confirm_delay.is_zero();
        if delayed { Duration::ZERO } else { LAST_CONFIRMATION }
    }

    fn source_config(&self) -> source::Config {
        let (postgres, source) = (&self.config.postgres, &self.config.source);
        source::Config {
            chunk_bytes: source.chunk_bytes,
            wal_sender_timeout: source.wal_sender_timeout,
            status_interval: source.status_interval,
            closing_grace: self.closing_grace(),
            ..source::Config::new(self.settings.clone(), &postgres.publication, &postgres.slot)
        }
    }
}

/// Has the hub know what roles may see before anybody goes by it.
async fn follow(policies: Policies, hub: hub::Handle, scope: Scope) {
    let publish = |digests| {
        let hub = hub.clone();
        async move {
            // A hub that has stopped shows nobody anything.
            _ = hub.set_grants(digests).await;
        }
    };
    policies.run(scope, publish).await;
}

/// Lets clients go with their last cursor.
async fn stop_edge(config: &Config, edge: &Scope) {
    edge.close();
    report("clients", edge.drain(config.shutdown.grace).await);
}

async fn stop(config: &Config, edge: &Scope, core: &Scope) {
    stop_edge(config, edge).await;
    core.close();
    report("core", core.drain(config.shutdown.grace).await);
    metrics::gauge!(metric::SOURCE_STREAMING).set(0.0);
}

fn report(part: &str, drained: Drained) {
    if let Drained::Abandoned(stragglers) = drained {
        let tasks: Vec<_> = stragglers.iter().map(ToString::to_string).collect();
        tracing::warn!(part, tasks = %tasks.join(", "), "abandoned at the end of the grace period");
    }
}
