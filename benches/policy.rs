//! Subscribers of distinct identities, all to the same table, each of whom a policy by membership shows the rows of one
//! board: from a decoded change in the journal to a frame that is offered.
//!
//! Cost model: what an identity sees is a filter with the contents of its sets in it, so a change costs what it costs
//! without policies: one look-up of its board among all that anybody sees, one evaluation, one frame. Those who do not
//! see the row cost nothing. A change of a membership is one look-up among all guards, and a start over for those whose it
//! is. PostgreSQL is asked once for each subscription, and never for a change.
//!
//! Beside it: the same subscribers without policies, each with a filter by its board, in turns, on one thread.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::json;
use support::database::Database;
use support::feed::{Feed, insert, relation, take_all};
use support::measure::{count, median, verdict};
use tidegate::event::{Record, Relation, Table, TableName};
use tidegate::filter;
use tidegate::hub::{self, Attach, Outbox, Projection, ReaderKey, Rows, Selection};
use tidegate::policy::{Config, Digests, Policies};
use tidegate::postgres::catalog::{self, Catalog, Found};
use tidegate::postgres::{Impersonation, Pool, Settings};
use tidegate::protocol::Delivery;
use tidegate::shutdown::Scope;
use tidegate::telemetry::Metrics;
use tokio::sync::watch;
use tokio_postgres::Client;

const SIZES: [u64; 2] = [1_000, 10_000];
const EVENTS: u64 = 20_000;
const ROUNDS: usize = 9;
const SCHEMA: &str = "
    create role member nologin;
    create table public.members (board_id bigint, user_id text, primary key (board_id, user_id));
    alter table public.members replica identity full;
    insert into public.members select n, n::text from generate_series(0, 9999) n;
    create index on public.members (user_id);
    analyze public.members;
    alter table public.entries enable row level security;
    create policy boards on public.entries for select to member using (board_id in (
        select board_id from public.members
         where user_id = current_setting('request.jwt.claims', true)::json ->> 'sub'));
    grant select on public.entries, public.members to member;
    create publication bench for all tables;
";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let _metrics = Metrics::install().expect("the first in this process");
    let database = Database::start().await;
    let client = database.client().await;
    client.batch_execute(SCHEMA).await.expect("a fresh database");
    let settings = Settings::parse(&database.url()).expect("the cluster's own");
    let pool = Pool::new(settings, 4, Duration::from_secs(10)).expect("no TLS is asked for");
    let catalog = catalog::load(pool.get().await.expect("it is up").client_mut(), "bench").await;
    let catalog = Arc::new(catalog.expect("readable"));
    let mut subjects = Vec::new();
    for subscribers in SIZES {
        for policies in [false, true] {
            let mut subject = Subject::new(subscribers, policies, &catalog, &pool).await;
            // What is new to the allocator and to the caches is not measured.
            subject.round().await;
            subjects.push((subject, Vec::new()));
        }
    }
    let before = questions(&client).await;
    for _ in 0..ROUNDS {
        for (subject, nanoseconds) in &mut subjects {
            nanoseconds.push(subject.round().await.as_secs_f64() * 1e9 / count(EVENTS));
        }
    }
    // The first of the two questions is one.
    let asked = questions(&client).await - before - 1;
    let costs: Vec<f64> = subjects.iter().map(|(_, nanoseconds)| median(nanoseconds)).collect();
    for (index, subscribers) in SIZES.iter().enumerate() {
        let (without, with) = (costs[2 * index], costs[2 * index + 1]);
        println!(
            "policy, {subscribers} identities: {with:.0} ns a change, {:.0} changes/s; without policies {without:.0} ns: \
             {:.2} × (reach 2, {})",
            1e9 / with,
            with / without,
            verdict(with <= 2.0 * without),
        );
    }
    println!(
        "policy: ten times as many identities that do not see a row cost {:.2} × a change; PostgreSQL was asked {asked} times \
         for {} changes",
        costs[3] / costs[1],
        EVENTS * ROUNDS as u64 * 2,
    );
    for (subject, _) in &mut subjects {
        subject.revoke().await;
    }
}

/// Transactions that the database has seen, this one not yet among them. A session tells of its own after a second.
async fn questions(client: &Client) -> i64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
    client.query_one(sql, &[]).await.expect("it is up").get(0)
}

/// A hub with many subscribers.
struct Subject {
    subscribers: u64,
    policies: bool,
    feed: Feed,
    entries: Arc<Relation>,
    members: Arc<Relation>,
    outboxes: Vec<Arc<Outbox>>,
    random: Rng,
    next: u64,
    _scope: Scope,
}

impl Subject {
    async fn new(subscribers: u64, policies: bool, catalog: &Arc<Catalog>, pool: &Pool) -> Self {
        let entries = table(catalog, "entries");
        let members = table(catalog, "members");
        let feed = Feed::start(&[entries.clone(), members.clone()]).await;
        let scope = Scope::new();
        let outboxes: Vec<_> = (0..subscribers).map(|_| Arc::new(Outbox::new(usize::MAX / 2))).collect();
        let projection = Arc::new(Projection::new(&entries, (0..entries.columns.len()).collect()));
        let (current, catalogs) = watch::channel(Some(catalog.clone()));
        let config = Config {
            refresh: Duration::from_hours(1),
            search_path: "public".into(),
            identity_functions: Vec::new(),
            publication: "bench".into(),
        };
        let worked_out = Policies::new(config, pool.clone(), catalogs);
        if policies {
            let hub = feed.hub.clone();
            let publish = move |digests: Digests| {
                let hub = hub.clone();
                async move { hub.set_grants(digests).await.expect("the hub runs") }
            };
            scope.spawn("policies", worked_out.clone().run(scope.clone(), publish));
        }
        let started = Instant::now();
        for (number, outbox) in outboxes.iter().enumerate() {
            let (filter, visibility) = if policies {
                let claims = json!({"sub": number.to_string()}).to_string();
                let who = Impersonation { role: "member".into(), claims: claims.into() };
                let visibility = worked_out.visibility(&who, &entries, None).await.expect("it is followed");
                (None, Some(Arc::new(visibility)))
            } else {
                let parsed = filter::parse(&format!("board_id = {number}"), &[]).expect("a filter");
                let filter =
                    parsed.bind(&entries).and_then(|bound| bound.resolve(&[])).expect("its column is there");
                (Some(Arc::new(filter)), None)
            };
            let rows = Rows::new(entries.clone(), filter, projection.clone(), Delivery::Every, visibility);
            attach(&feed.hub, rows, outbox).await;
        }
        if policies {
            let each = started.elapsed() / u32::try_from(subscribers).expect("few");
            println!("policy, {subscribers} identities: worked out in {each:?} each, one after another");
        }
        drop(current);
        Self {
            subscribers,
            policies,
            feed,
            entries: relation(&entries),
            members: relation(&members),
            outboxes,
            random: Rng::with_seed(7),
            next: 1,
            _scope: scope,
        }
    }

    async fn round(&mut self) -> Duration {
        let records: Vec<_> = (0..EVENTS).map(|_| self.record()).collect();
        let took = self.feed.round(records).await;
        assert_eq!(take_all(&self.outboxes), EVENTS, "each change is seen by one");
        took
    }

    /// One transaction with one row.
    fn record(&mut self) -> Record {
        let board = self.random.u64(..self.subscribers).to_string();
        let id = self.next.to_string();
        self.next += 1;
        let values =
            [&*id, &*board, "a title of some length", "a body", "open", "1.5", "2026-01-01 00:00:00+00"];
        self.feed.record(vec![insert(&self.entries, &values)])
    }

    /// What a change of memberships costs, and that it reaches one.
    async fn revoke(&mut self) {
        if !self.policies {
            return;
        }
        let changes = self.subscribers / 2;
        let record = |number: u64| {
            let (board, user) = ((number + 1).to_string(), number.to_string());
            self.feed.record(vec![insert(&self.members, &[&board, &user])])
        };
        let records: Vec<_> = (0..changes).map(record).collect();
        let took = self.feed.round(records).await;
        let told: usize = self
            .outboxes
            .iter()
            .map(|outbox| {
                let mut batch = hub::Batch::default();
                outbox.take(&mut batch);
                batch.notes.iter().filter(|(_, note)| matches!(note, hub::Note::Fell(_))).count()
            })
            .sum();
        assert_eq!(told as u64, changes, "each concerns one identity");
        println!(
            "policy, {} identities: {:.0} ns a change of a membership, each of which has one start over",
            self.subscribers,
            took.as_secs_f64() * 1e9 / count(changes),
        );
    }
}

async fn attach(hub: &hub::Handle, rows: Rows, outbox: &Arc<Outbox>) {
    let attached = hub.attach(Selection::Rows(rows), outbox.clone(), ReaderKey(0), hub.here()).await;
    assert!(matches!(attached, Ok(Attach::Live)), "nothing has happened yet: {attached:?}");
}

fn table(catalog: &Catalog, name: &str) -> Arc<Table> {
    match catalog.find(&TableName::new("public", name)) {
        Found::Table(table) => table.clone(),
        other => panic!("{name}: {other:?}"),
    }
}
