//! Measures and their history over a year of work: a million cards, ten million activities, a thousand boards.
//!
//! Cost model: a change of a card costs the relay nothing; beside it one task reads the journal, takes eight columns out of
//! each image, adds to a map, and writes the map's sums five times a second at most. A load costs by the rows that are new
//! and by the boards that they are of. A series is a range of one index.
//!
//! `cargo bench --bench analytics -- 100000` takes a tenth of it.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::database::{Database, connect};
use support::measure::{count, median, verdict};
use support::server::Server;
use support::wrk::{REPORT, SECRET, token, wrk};
use tidegate::analytics::jobs::History;
use tidegate::postgres::migrate::Schema;
use tidegate::postgres::{Pool, Settings, migrate};
use tokio_postgres::Client;

const ENTRIES: u64 = 1_000_000;
const BOARDS: u64 = 1_000;
const ROUNDS: usize = 5;
/// Rows that are moved while the stream stands still.
const MOVED: u64 = 100_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let wanted = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let entries: u64 = wanted.unwrap_or(ENTRIES);
    let database = Database::start().await;
    let url = make(&database, "year").await;
    let client = connect(&url).await;
    let began = Instant::now();
    generate(&client, entries).await;
    println!("analytics, a year of {entries} cards: generated in {:.0} s", began.elapsed().as_secs_f64());
    history(&url, &client, entries).await;
    series(&url, &client).await;
    upkeep(&database).await;
}

/// A database with the application's schema.
async fn make(database: &Database, name: &str) -> String {
    let postgres = connect(&database.cluster.url("postgres")).await;
    postgres.batch_execute(&format!("create database {name}")).await.expect("a fresh cluster");
    let url = database.cluster.url(name);
    let settings = Settings::parse(&url).expect("the cluster's own");
    for schema in [Schema::Application, Schema::Analytics] {
        migrate::run(schema, &settings).await.expect("a fresh database");
    }
    url
}

/// A year of work: each card goes from the first state through two others to the last, most of them to the end.
async fn generate(client: &Client, entries: u64) {
    let boards = BOARDS.min(entries / 100);
    let sql = format!(
        "set session_replication_role = replica;
         insert into public.users (id, name, hue, told_at)
         select case n when 1 then 'ada' else 'person ' || n end, 'Person', n, 'infinity' from generate_series(1, 50) n;
         insert into public.boards (name) select 'Board' from generate_series(1, {boards});
         insert into public.board_members (board_id, user_id, role) select id, 'ada', 'admin' from public.boards;
         select app.plant_workflow(id) from public.boards;
         insert into public.entries (board_id, title, state_id, position, assignee_id, due_at, created_at, updated_at, started_at, closed_at)
         select b, 'Card', (b - 1) * 4 + case when n % 20 = 0 then 1 + n / 20 % 3 else 4 end, 'M' || lpad(n::text, 9, '0') || '1',
           'person ' || (2 + n % 49), at + interval '6 days', at, at + interval '5 days', at + interval '1 day',
           case when n % 20 <> 0 then at + interval '5 days' end
         from (
           select n, 1 + n % {boards} as b, now() - interval '371 days' + n * interval '365 days' / {entries} as at
           from generate_series(1, {entries}) as n
         ) as cards;
         insert into public.activities (board_id, at, actor_id, subject, action, entry_id, detail)
         select e.board_id, e.created_at + s.at, 'person ' || (2 + e.id % 49), 'entry', s.action, e.id, s.detail::jsonb
         from public.entries as e
         cross join (values
           (interval '0', 'created', '{{}}'),
           ('1 hour', 'assigned', '{{}}'),
           ('1 day', 'moved', '{{\"from\":\"Backlog\",\"to\":\"In progress\"}}'),
           ('2 days', 'commented', '{{}}'),
           ('2 days 1 hour', 'edited', '{{}}'),
           ('2 days 2 hours', 'commented', '{{}}'),
           ('3 days', 'moved', '{{\"from\":\"In progress\",\"to\":\"Review\"}}'),
           ('4 days', 'commented', '{{}}'),
           ('4 days 1 hour', 'edited', '{{}}'),
           ('5 days', 'closed', '{{\"from\":\"Review\",\"to\":\"Done\"}}')
         ) as s (at, action, detail);
         set session_replication_role = origin;
         analyze"
    );
    client.batch_execute(&sql).await.expect("the schema takes it");
}

/// Nothing is due but what is asked for.
fn settings(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let own = [
        ("app.enabled", "true"),
        ("app.pool_size", "32"),
        ("auth.mode", "jwt"),
        ("auth.jwt.secret", SECRET),
        ("auth.roles", r#"["app_user"]"#),
        ("limits.requests_per_second", "0"),
        ("limits.bytes_per_second", "0"),
        ("cache.kpis_ms", "0"),
        ("jobs.measures", ""),
        ("jobs.sample", ""),
        ("jobs.hourly", ""),
        ("jobs.daily", ""),
        ("jobs.check", ""),
        ("jobs.upkeep", ""),
        ("source.status_interval_ms", "50"),
        ("source.wal_sender_timeout_ms", "3600000"),
    ];
    own.iter().chain(more).copied().collect()
}

/// The first load of all, and one a day later; and a comparison of all counters.
async fn history(url: &str, client: &Client, entries: u64) {
    let server = Server::start_with(url, &settings(&[])).await;
    let began = Instant::now();
    until(client, "select cursor is not null from app.kpi_progress").await;
    println!("analytics, all measures counted anew: {:.1} s", began.elapsed().as_secs_f64());
    println!("analytics, first load of all: {:.1} s", job(url, "daily").await);
    // What autovacuum would do by itself, which is off here.
    client.batch_execute("vacuum analyze").await.expect("ours");
    let day = entries / 365;
    let sql = format!(
        "set session_replication_role = replica;
         insert into public.entries (board_id, title, state_id, position, created_at)
         select 1 + n % (select count(*) from public.boards), 'New', (n % (select count(*) from public.boards)) * 4 + 1,
           'N' || lpad(n::text, 9, '0') || '1', now() - random() * interval '1 day'
         from generate_series(1, {day}) as n;
         insert into public.activities (board_id, at, actor_id, subject, action, entry_id)
         select board_id, now() - random() * interval '1 day', 'ada', 'entry', 'edited', id
         from public.entries as e
         cross join generate_series(1, 8)
         where e.title = 'New';
         -- As many go to the next state, and as many to the last.
         with moved as (
           update public.entries
           set state_id = state_id + 1, started_at = now(), updated_at = now(), version = version + 1
           where title = 'New'
           returning id, board_id, state_id
         )
         insert into public.activities (board_id, actor_id, subject, action, entry_id, detail)
         select board_id, 'ada', 'entry', 'moved', id,
           jsonb_build_object('from', 'Backlog', 'to', 'In progress', 'from_id', state_id - 1, 'to_id', state_id)
         from moved;
         with closed as (
           update public.entries
           set state_id = (state_id + 3) / 4 * 4, closed_at = now(), updated_at = now(), version = version + 1
           where id in (select id from public.entries where closed_at is null and title = 'Card' order by id desc limit {day})
           returning id, board_id, state_id
         )
         insert into public.activities (board_id, actor_id, subject, action, entry_id, detail)
         select board_id, 'ada', 'entry', 'closed', id,
           jsonb_build_object('from', 'Backlog', 'to', 'Done', 'from_id', state_id - 3, 'to_id', state_id)
         from closed;
         insert into app.user_actions (at, user_id, action, subject, board_id)
         select now() - random() * interval '1 day', 'ada', 'viewed', 'board', 1 from generate_series(1, 10 * {day});
         set session_replication_role = origin"
    );
    client.batch_execute(&sql).await.expect("the schema takes it");
    let took = job(url, "daily").await;
    println!("analytics, load of a day: {took:.1} s (reach 10, {})", verdict(took < 10.0));
    println!("analytics, load of an hour without news: {:.2} s", job(url, "hourly").await);
    println!("analytics, all counters compared with the tables: {:.1} s", job(url, "check").await);
    server.stop().await;
}

/// How long a job takes, in seconds.
async fn job(url: &str, name: &str) -> f64 {
    let settings = Settings::parse(url).expect("the cluster's own");
    let history = History::new(Pool::new(settings, 1, Duration::from_secs(10)).expect("a pool"));
    let id = history.request(name, &serde_json::json!({})).await.expect("it is up");
    loop {
        let run = history.run(&id).await.expect("it is up").expect("it was asked for");
        match run.status.as_str() {
            "waiting" | "running" => tokio::time::sleep(Duration::from_millis(100)).await,
            "succeeded" => return run.seconds.expect("it began"),
            _ => panic!("{run:?}"),
        }
    }
}

async fn until(client: &Client, sql: &str) {
    while !client.query_one(sql, &[]).await.expect("it is up").get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A year of a measure by the day, uncached, of any of a thousand boards, twelve measures each.
async fn series(url: &str, client: &Client) {
    let sql = "
        select analytics.prepare('kpi_values_day', now() - interval '370 days', now());
        insert into analytics.kpi_values_day
        select b.id, k.name, '', date_trunc('day', now()) - n * interval '1 day', n, n, n, 1
        from public.boards as b
        cross join public.kpis as k
        cross join generate_series(0, 365) as n";
    client.batch_execute(sql).await.expect("the schema takes it");
    client.batch_execute("vacuum analyze analytics.kpi_values_day").await.expect("ours");
    let boards = client.query_one("select count(*) from public.boards", &[]).await.expect("it is up");
    let boards: i64 = boards.get(0);
    let server = Server::start_with(url, &settings(&[("analytics.interval_ms", "60000")])).await;
    until(client, "select cursor is not null from app.kpi_progress").await;
    let script = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("series.lua");
    let lua = format!(
        r#"
wrk.headers["authorization"] = "Bearer {}"
local kpis = {{"open", "throughput", "lead_time_p50", "sla_attainment"}}
request = function()
  return wrk.format(nil, "/v1/kpis/" .. kpis[math.random(4)] .. "/series?resolution=day&board_id=" .. math.random({boards}))
end
{REPORT}"#,
        token()
    );
    fs::write(&script, lua).expect("the folder is writable");
    let address = format!("http://{}", server.address);
    // As many as there are processors: what waits for one is not what it takes.
    wrk(&script, 2, &address);
    let turn = wrk(&script, 2, &address);
    println!(
        "analytics, a year by the day, uncached: {:.0} requests/s over 2 connections, p99 {:.1} ms (reach 20, {})",
        turn.per_second,
        turn.p99_ms,
        verdict(turn.p99_ms < 20.0),
    );
    server.stop().await;
}

/// What is written while the stream stands still comes through at once: with measures kept, and without, in turns.
async fn upkeep(database: &Database) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let urls = [make(database, "kept").await, make(database, "without").await];
    let mut servers = Vec::new();
    for (url, kept) in urls.iter().zip(["true", "false"]) {
        generate(&connect(url).await, 20_000).await;
        let more = [("analytics.enabled", kept), ("postgres.slot", kept), ("postgres.publication", kept)];
        servers.push(Server::start_with(url, &settings(&more)).await);
    }
    until(&connect(&urls[0]).await, "select cursor is not null from app.kpi_progress").await;
    for _ in 0..ROUNDS {
        for (url, slot, rates) in [(&urls[0], "true", &mut with), (&urls[1], "false", &mut without)] {
            rates.push(through(url, slot).await);
        }
    }
    let (kept, left) = (median(&with), median(&without));
    println!(
        "analytics, rows through the relay: {kept:.0}/s with measures kept, {left:.0}/s without: {:.2} × (reach 0.9, {})",
        kept / left,
        verdict(kept >= 0.9 * left),
    );
    for server in servers {
        server.stop().await;
    }
}

/// Rows a second from the walsender to what is confirmed.
async fn through(url: &str, slot: &str) -> f64 {
    const PID: &str = "select active_pid from pg_replication_slots where slot_name = $1";
    const END: &str = "select pg_current_wal_lsn()::text";
    let client = connect(url).await;
    let sender: i32 = client.query_one(PID, &[&slot]).await.expect("it streams").get(0);
    let sender = Pid::from_raw(sender).expect("a process");
    kill_process(sender, Signal::STOP).expect("ours");
    for part in 0..MOVED / 1_000 {
        // Each to another of its board's states.
        let sql = format!(
            "update public.entries set state_id = (state_id - 1) / 4 * 4 + state_id % 4 + 1
             where id > {} and id <= {}",
            part % 20 * 1_000,
            (part % 20 + 1) * 1_000
        );
        client.batch_execute(&sql).await.expect("the schema takes it");
    }
    let end: String = client.query_one(END, &[]).await.expect("it is up").get(0);
    let began = Instant::now();
    kill_process(sender, Signal::CONT).expect("ours");
    let passed =
        format!("select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = '{slot}'");
    until(&client, &passed).await;
    count(MOVED) / began.elapsed().as_secs_f64()
}
