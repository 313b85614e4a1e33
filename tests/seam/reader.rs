use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::event::Lsn;
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::load::Sum;
use crate::client::{Client, Closed, Mirror, Told};
use crate::fixture::Database;

/// A client with several subscriptions, whose network is bad.
pub(crate) struct Reader {
    servers: Vec<SocketAddr>,
    url: String,
    followed: Vec<Followed>,
    /// Another connection to PostgreSQL: what it shows is what anybody can read.
    observer: Option<tokio_postgres::Client>,
    subscribes: usize,
    looked_up: usize,
}

struct Followed {
    mirror: Mirror,
    table: &'static str,
    /// The filter as PostgreSQL takes it.
    condition: &'static str,
    columns: &'static [&'static str],
}

const ALL: &[&str] = &["id", "board", "version", "place", "note", "body"];
const FEW: &[&str] = &["id", "version", "board"];

/// Table, filter as subscribed, its parameters, the same filter without, columns.
type Choice = (&'static str, &'static str, &'static [i32], &'static str, &'static [&'static str]);

const CHOICES: [Choice; 8] = [
    ("cards", "", &[], "true", ALL),
    ("cards", "board = $1", &[1], "board = 1", ALL),
    ("cards", "board in (1, $1) and place < 60", &[2], "board in (1, 2) and place < 60", ALL),
    ("cards", "note is null or board <> 3", &[], "note is null or board <> 3", FEW),
    ("cards", "place between $1 and $2", &[20, 40], "place between 20 and 40", ALL),
    ("ticks", "", &[], "true", ALL),
    ("ticks", "id < 100", &[], "id < 100", ALL),
    ("ticks", "", &[], "true", FEW),
];

impl Reader {
    pub(crate) fn new(servers: &[SocketAddr], url: String, number: u64) -> Self {
        let count = CHOICES.len();
        let first = usize::try_from(number).expect("small");
        let followed =
            (first..first + 3).map(|index| Followed::new(&CHOICES[index % count], index)).collect();
        Self { servers: servers.to_vec(), url, followed, observer: None, subscribes: 0, looked_up: 0 }
    }

    /// Subscribes, reads for a while, is cut off, and comes back, until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let Some(mut client) = self.connect().await else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            // Some are gone before the first row, some stay.
            let stays = Duration::from_millis([5, 50, 300, 1_000][fastrand::usize(..4)]);
            self.follow(&mut client, Instant::now() + stays.mul_f64(fastrand::f64() * 2.0)).await;
            match fastrand::u32(..4) {
                0 => drop(client),
                _ => client.cut(),
            }
            self.followed.iter_mut().for_each(|followed| followed.mirror.cut());
        }
        self
    }

    /// Comes back a last time and reads everything up to `last`.
    pub(crate) async fn come_to_rest(mut self, last: Lsn) -> Self {
        let mut client = loop {
            match self.connect().await {
                Some(client) => break client,
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        client.send(&json!({"type": "await", "lsn": last.to_string()})).await;
        loop {
            let frame = client.next().await.unwrap_or_else(|closed| panic!("closed at rest: {closed:?}"));
            if frame["type"] == "reached" {
                break;
            }
            self.take(&frame).await;
        }
        for followed in &self.followed {
            assert!(followed.mirror.is_live(), "`reached` came before the rows");
        }
        self
    }

    /// Fails the test unless every subscription holds what PostgreSQL holds.
    pub(crate) async fn compare(&self, database: &Database) {
        for followed in &self.followed {
            let expected = followed.rows_of(database).await;
            let held = followed.mirror.rows();
            let (table, condition) = (followed.table, followed.condition);
            let missing: Vec<_> = expected.iter().filter(|(key, row)| held.get(*key) != Some(row)).collect();
            let strange: Vec<_> = held.iter().filter(|(key, _)| !expected.contains_key(*key)).collect();
            assert!(
                missing.is_empty() && strange.is_empty(),
                "{table} where {condition}: PostgreSQL has {missing:?}, the reader {strange:?}"
            );
        }
    }

    pub(crate) fn add_to(&self, sum: &mut Sum) {
        sum.subscribes += self.subscribes;
        sum.looked_up += self.looked_up;
        for Followed { mirror, .. } in &self.followed {
            sum.transactions += mirror.transactions;
            sum.snapshots += mirror.snapshots;
            sum.resumes += mirror.resumes;
            sum.refusals += mirror.refusals;
            for (reason, count) in &mirror.resyncs {
                *sum.resyncs.entry(reason.clone()).or_default() += count;
            }
        }
    }

    /// Connects and subscribes; `None` while the server is away.
    async fn connect(&mut self) -> Option<Client> {
        let mut client =
            Client::try_connect(self.servers[fastrand::usize(..self.servers.len())]).await.ok()?;
        for followed in &mut self.followed {
            if fastrand::u32(..3) == 0 {
                followed.mirror.forget_cursor();
            }
            client.send(&followed.mirror.request()).await;
            self.subscribes += 1;
        }
        Some(client)
    }

    async fn follow(&mut self, client: &mut Client, until: Instant) {
        while Instant::now() < until {
            match client.next_within(until.saturating_duration_since(Instant::now())).await {
                Some(Ok(frame)) => self.take(&frame).await,
                // The server goes away, now and then, or the connection does.
                Some(Err(Closed { code: None | Some(1001), .. })) | None => return,
                Some(Err(closed)) => panic!("closed: {closed:?}"),
            }
        }
    }

    async fn take(&mut self, frame: &Value) {
        for index in 0..self.followed.len() {
            if let Some(told) = self.followed[index].mirror.apply(frame)
                && fastrand::u32(..4) == 0
            {
                self.look_up(self.followed[index].table, &told).await;
            }
        }
    }

    /// Whoever is told of a change can read it.
    async fn look_up(&mut self, table: &'static str, told: &Told) {
        if self.observer.as_ref().is_none_or(tokio_postgres::Client::is_closed) {
            self.observer = observe(&self.url).await;
        }
        let Some(observer) = &self.observer else { return };
        for change in &told.changes {
            let number =
                |value: &Value| value.as_str().expect("a number as text").parse::<i64>().expect("digits");
            let id = number(&change.key["id"]);
            let (sql, version, expected) = match (&change.before, &change.after) {
                (before, Some(after)) => {
                    let version = number(&after["version"]);
                    let later = before.as_ref().is_none_or(|before| number(&before["version"]) < version);
                    assert!(later, "{table} {id}: {after} after {before:?}");
                    (
                        "select exists (select from history where name = $1 and id = $2 and version = $3)",
                        version,
                        true,
                    )
                }
                (Some(before), None) => (
                    "select exists (select from (select 'cards' as name, id, version from cards
                                    union all
                                    select 'ticks', id, version from ticks) it
                                    where name = $1 and id = $2 and version = $3)",
                    number(&before["version"]),
                    false,
                ),
                (None, None) => continue,
            };
            let Ok(row) = observer.query_one(sql, &[&table, &id, &version]).await else { return };
            let what = if expected { "is not there" } else { "is still there" };
            assert_eq!(
                row.get::<_, bool>(0),
                expected,
                "{table} {id} version {version}, told at {}, {what}",
                told.lsn
            );
            self.looked_up += 1;
            if fastrand::u32(..3) == 0 {
                return;
            }
        }
    }
}

impl Followed {
    fn new((table, filter, params, condition, columns): &Choice, number: usize) -> Self {
        let mut fields = json!({"table": format!("public.{table}"), "columns": columns});
        if !filter.is_empty() {
            fields["where"] = json!(filter);
            fields["params"] = json!(params);
        }
        Self { mirror: Mirror::new(&format!("s{number}"), fields), table, condition, columns }
    }

    /// The rows as PostgreSQL has them, written as the protocol does, by key.
    async fn rows_of(&self, database: &Database) -> BTreeMap<String, Value> {
        let fields = self.columns.iter().map(|name| match *name {
            "id" | "version" => format!("'{name}', {name}::text"),
            _ => format!("'{name}', {name}"),
        });
        let fields: Vec<_> = fields.collect();
        let sql = format!(
            "select json_build_object({})::text from {} where {}",
            fields.join(", "),
            self.table,
            self.condition
        );
        let rows = database.client().await.query(&sql, &[]).await.expect("the filter is SQL");
        let keyed = rows.iter().map(|row| {
            let row: Value = serde_json::from_str(row.get(0)).expect("PostgreSQL writes JSON");
            (json!({"id": row["id"]}).to_string(), row)
        });
        keyed.collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
async fn observe(url: &str) -> Option<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(async move {
        // A server that crashes is part of the story.
        let _ = connection.await;
    });
    Some(client)
}
