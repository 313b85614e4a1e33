//! Events with random ids against many subscriptions with distinct filters, of which one matches: from a decoded change
//! in the journal to a frame that is offered.
//!
//! Cost model: an event costs an append, a lookup of its value in a hash of all filters, one evaluation of the filter
//! that is found, one JSON object, one frame, one entry in an outbox. None of that grows with the number of
//! subscriptions but the distance to memory: a million shapes do not fit the caches, and each event touches another one.
//!
//! Beside it: the same with 1,000 subscriptions, in turns. All of it runs on one thread, so that the time is all that
//! an event costs, not what the slowest of several threads shows.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use support::feed::{Feed, insert, relation, take_all};
use support::measure::{count, median, verdict};
use tidegate::event::{Class, Collation, Column, Kind, Record, Relation, ReplicaIdentity, Table, TableName};
use tidegate::filter;
use tidegate::hub::{self, Attach, Outbox, Projection, ReaderKey, Rows, Selection};
use tidegate::protocol::Delivery;
use tidegate::telemetry::Metrics;

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
const EVENTS: u64 = 50_000;
const ROUNDS: usize = 9;
/// A page of subscriptions is one connection's.
const A_CONNECTION: u64 = 100;
fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let _metrics = Metrics::install().expect("the first in this process");
    let mut subjects = Vec::new();
    for subscriptions in SIZES {
        let mut subject = Subject::new(subscriptions).await;
        // What is new to the allocator and to the caches is not measured.
        subject.round().await;
        subjects.push((subject, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (subject, nanoseconds) in &mut subjects {
            nanoseconds.push(subject.round().await.as_secs_f64() * 1e9 / count(EVENTS));
        }
    }
    let smallest = median(&subjects[0].1);
    for (subject, nanoseconds) in &subjects {
        let (nanoseconds, count) = (median(nanoseconds), subject.subscriptions);
        println!(
            "matching, {count} subscriptions: {nanoseconds:.0} ns an event, {:.2} ×",
            nanoseconds / smallest
        );
    }
    let largest = median(&subjects[SIZES.len() - 1].1);
    println!(
        "matching: the largest is {:.2} × the smallest (reach 3, {}) at {:.2} µs (reach 3, {})",
        largest / smallest,
        verdict(largest <= 3.0 * smallest),
        largest / 1e3,
        verdict(largest < 3_000.0),
    );
}

/// A hub with many subscriptions.
struct Subject {
    subscriptions: u64,
    feed: Feed,
    relation: Arc<Relation>,
    outboxes: Vec<Arc<Outbox>>,
    random: Rng,
    next: u64,
}

impl Subject {
    async fn new(subscriptions: u64) -> Self {
        let table = Arc::new(table());
        let feed = Feed::start(std::slice::from_ref(&table)).await;
        let outboxes = attach(&feed.hub, &table, subscriptions).await;
        let relation = relation(&table);
        Self { subscriptions, feed, relation, outboxes, random: Rng::with_seed(7), next: 1 }
    }

    /// The time from the first append until the hub has offered everything.
    async fn round(&mut self) -> Duration {
        let records: Vec<_> = (0..EVENTS).map(|_| self.record()).collect();
        let took = self.feed.round(records).await;
        assert_eq!(take_all(&self.outboxes), EVENTS, "each event matches one subscription");
        took
    }

    /// One transaction with one row.
    fn record(&mut self) -> Record {
        let board = self.random.u64(..self.subscriptions).to_string();
        let id = self.next.to_string();
        self.next += 1;
        let values = [&*id, &*board, "a title of some length", "open", "1.5"];
        self.feed.record(vec![insert(&self.relation, &values)])
    }
}

async fn attach(hub: &hub::Handle, table: &Arc<Table>, subscriptions: u64) -> Vec<Arc<Outbox>> {
    let projection = Arc::new(Projection::new(table, (0..table.columns.len()).collect()));
    let connections =
        (0..subscriptions.div_ceil(A_CONNECTION)).map(|_| Arc::new(Outbox::new(usize::MAX / 2)));
    let outboxes: Vec<_> = connections.collect();
    let mut boards: Vec<_> = (0..subscriptions).collect();
    // Neighbours in the hub are not neighbours in what they ask for.
    Rng::with_seed(11).shuffle(&mut boards);
    for (number, board) in (0..).zip(boards) {
        let parsed = filter::parse(&format!("board_id = {board}"), &[]).expect("a filter");
        let filter = parsed.bind(table).and_then(|bound| bound.resolve(&[])).expect("its column is there");
        let rows =
            Rows::new(table.clone(), Some(Arc::new(filter)), projection.clone(), Delivery::Every, None);
        let outbox = outboxes[usize::try_from(number / A_CONNECTION).expect("few")].clone();
        let key = ReaderKey(u32::try_from(number % A_CONNECTION).expect("few"));
        let attached = hub.attach(Selection::Rows(rows), outbox, key, hub.here()).await;
        assert!(matches!(attached, Ok(Attach::Live)), "nothing has happened yet");
    }
    outboxes
}

/// `public.entries (id int8 primary key, board_id int8, title text, status text, position float8)`, identity full.
fn table() -> Table {
    let column = |name: &str, oid, type_name: &str, class| Column {
        name: name.into(),
        type_oid: oid,
        kind: Kind { oid, name: type_name.into(), class },
        nullable: false,
        collation: if oid == 25 { Collation::Deterministic } else { Collation::None },
    };
    Table {
        oid: 16_400,
        name: TableName::new("public", "entries"),
        columns: vec![
            column("id", 20, "int8", Class::Int8),
            column("board_id", 20, "int8", Class::Int8),
            column("title", 25, "text", Class::Text),
            column("status", 25, "text", Class::Text),
            column("position", 701, "float8", Class::Float8),
        ],
        key: vec![0],
        identity: ReplicaIdentity::Full,
        row_filter: None,
        storage: 1,
        membership: 1,
    }
}
