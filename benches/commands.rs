//! Commands and reads of the application, over HTTP, by `wrk` with 32 connections; beside the movement's own SQL by
//! `pgbench` with 32 clients on the same server, in turns.
//!
//! Cost model: a movement is five exchanges with PostgreSQL (begin as the caller; lock; neighbours; update; activity;
//! commit and position), which is what `pgbench` is given too; on top of it come HTTP, the token, the body's shape, and the
//! row as JSON. A cached read is a hash of what is asked and of who asks, a look-up of what the journal has told, and one
//! write. Each machine has `wrk`, server and PostgreSQL on the same processors: what one takes the others lack.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::database::{Database, connect};
use support::measure::{median, verdict};
use support::server::Server;
use support::wrk::{REPORT, SECONDS, SECRET, Turn, token, wrk};
use tidegate::cli::demo::cluster::Binaries;
use tidegate::command::Commands;
use tidegate::postgres::migrate::Schema;
use tidegate::postgres::{Settings, migrate};

const NAME: &str = "application";
const ROUNDS: usize = 5;
const CONNECTIONS: u32 = 32;
/// 500 in each of four states.
const ENTRIES: u32 = 2_000;

/// Ada's board, with entries whose places are in the order of their ids.
const PLANT: &str = "
insert into public.users (id, name, hue, told_at) values ('ada', 'Ada', 1, 'infinity');
insert into public.boards (name, created_by) values ('Ferry', 'ada');
select app.plant_workflow(1);
insert into public.entries (board_id, title, body, state_id, position, created_by)
select 1, 'Card ' || n, repeat('x', 100), n % 4 + 1, 'M' || lpad(n::text, 6, '0') || '1', 'ada'
from generate_series(1, 2000) as n
order by n;
vacuum analyze;
";

/// What is read, from the smallest answer to the one that PostgreSQL has most work with.
const READS: [(&str, &str); 3] = [
    ("one entry", "/v1/entries/7"),
    ("50 entries", "/v1/boards/1/entries?limit=50"),
    ("a chart", "/v1/charts/throughput?board_id=1"),
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let database = Database::start().await;
    let postgres = connect(&database.cluster.url("postgres")).await;
    postgres.batch_execute(&format!("create database {NAME}")).await.expect("a fresh cluster");
    let url = database.cluster.url(NAME);
    migrate::run(Schema::Application, &Settings::parse(&url).expect("the cluster's own"))
        .await
        .expect("a fresh database");
    for sql in PLANT.split_inclusive(';') {
        connect(&url).await.batch_execute(sql).await.expect("the schema takes it");
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let movement = folder.join("move.lua");
    let script = folder.join("pgbench.sql");
    fs::write(&movement, lua_move()).expect("the folder is writable");
    fs::write(&script, pgbench_script()).expect("the folder is writable");
    let server = Server::start_with(&url, &settings("60000")).await;
    let uncached = Server::start_with(&url, &settings_apart("0")).await;
    let moves = |server: &Server| wrk(&movement, CONNECTIONS, &format!("http://{}", server.address));
    // What is new to everybody is not measured.
    moves(&server);
    pgbench(&script, &url);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(moves(&server));
        theirs.push(pgbench(&script, &url));
    }
    let rate = |turns: &[Turn]| median(&turns.iter().map(|turn| turn.per_second).collect::<Vec<_>>());
    let p99 = |turns: &[Turn]| median(&turns.iter().map(|turn| turn.p99_ms).collect::<Vec<_>>());
    let (own, beside) = (rate(&ours), median(&theirs));
    println!(
        "commands, move: {own:.0} requests/s, p99 {:.1} ms; pgbench {beside:.0}/s: {:.2} × (reach 0.7, {})",
        p99(&ours),
        own / beside,
        verdict(own >= 0.7 * beside),
    );
    for (name, path) in READS {
        let script = folder.join("read.lua");
        fs::write(&script, lua_read(path)).expect("the folder is writable");
        let (mut kept, mut made) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (turns, server) in [(&mut kept, &server), (&mut made, &uncached)] {
                turns.push(wrk(&script, CONNECTIONS, &format!("http://{}", server.address)));
            }
        }
        let (hits, misses) = (rate(&kept), rate(&made));
        println!(
            "commands, cached read of {name}: {hits:.0} requests/s, p99 {:.1} ms; uncached {misses:.0}/s, p99 {:.1} ms: \
             {:.1} × (reach 20, {})",
            p99(&kept),
            p99(&made),
            hits / misses,
            verdict(hits >= 20.0 * misses),
        );
    }
    uncached.stop().await;
    server.stop().await;
}

fn settings(rows_ms: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("app.enabled", "true"),
        ("analytics.enabled", "false"),
        ("app.pool_size", "32"),
        ("cache.rows_ms", rows_ms),
        ("cache.charts_ms", rows_ms),
        ("auth.mode", "jwt"),
        ("auth.jwt.secret", SECRET),
        ("auth.roles", r#"["app_user"]"#),
        ("auth.profile_function", "app.sync_profile"),
        ("limits.requests_per_second", "0"),
        ("limits.bytes_per_second", "0"),
    ]
}

/// Those of a second server on the same database.
fn settings_apart(rows_ms: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut settings = settings(rows_ms);
    settings.extend([("postgres.slot", "apart"), ("postgres.publication", "apart")]);
    settings
}

/// A card goes behind another of its state.
fn lua_move() -> String {
    format!(
        r#"
wrk.method = "POST"
wrk.headers["authorization"] = "Bearer {}"
wrk.headers["content-type"] = "application/json"
request = function()
  local id = math.random({ENTRIES})
  local after = (id % 4) + 4 * math.random(1, {ENTRIES} / 4 - 1)
  return wrk.format(nil, "/v1/entries/" .. id .. "/move", nil, '{{"after":"' .. after .. '"}}')
end
{REPORT}"#,
        token()
    )
}

fn lua_read(path: &str) -> String {
    format!(
        r#"
wrk.headers["authorization"] = "Bearer {}"
wrk.path = "{path}"
{REPORT}"#,
        token()
    )
}

/// The same statements as the server sends for it, begun and ended alike.
fn pgbench_script() -> String {
    let [locked, neighbours, moved, record] = Commands::movement();
    let with = |sql: &str, values: &[&str]| {
        // From the last: `$1` is the beginning of `$10`.
        (0..values.len())
            .rev()
            .fold(sql.trim().to_owned(), |sql, index| sql.replace(&format!("${}", index + 1), values[index]))
    };
    let statements = [
        with(locked, &[":entry"]),
        with(neighbours, &[":state", ":entry", ":after", ":nothing::bigint"]),
        with(moved, &[":entry", ":state", "'M' || :place || '1'", "'f'", "null", "null", "null"]),
        with(record, &["1", "'ada'", "'entry'", "'moved'", ":entry", "'{\"title\": \"Card\"}'"]),
    ];
    let claims = r#"{"role":"app_user","sub":"ada"}"#;
    format!(
        "\\set entry random(1, {ENTRIES})\n\\set state :entry % 4 + 1\n\\set after (:entry % 4) + 4 * random(1, {ENTRIES} / 4 - 1)\n\
         \\set place random(100000000, 999999999)\n\\set nothing 0\n\
         \\startpipeline\nbegin isolation level read committed, read write;\nset local statement_timeout = 5000;\n\
         set local client_min_messages = error;\n\
         select set_config('row_security', 'on', true), set_config('request.jwt.claims', '{claims}', true), \
         set_config('search_path', 'public', true), set_config('role', 'app_user', true);\n\
         select pg_current_xact_id()::xid::text;\n\\endpipeline\n{};\n\
         \\startpipeline\ncommit;\nselect pg_current_wal_lsn()::text;\n\\endpipeline\n",
        statements.map(|sql| sql.split_whitespace().collect::<Vec<_>>().join(" ")).join(";\n"),
    )
}

/// Transactions a second.
fn pgbench(script: &Path, url: &str) -> f64 {
    let binaries = Binaries::find(None).expect("PostgreSQL is installed");
    let run = binaries
        .command("pgbench")
        .args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2"])
        .args(["--client", &CONNECTIONS.to_string(), "--time", &SECONDS.to_string(), "--file"])
        .arg(script)
        .arg(url)
        .output()
        .expect("pgbench comes with PostgreSQL");
    let told = String::from_utf8_lossy(&run.stdout);
    let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{told}{}", String::from_utf8_lossy(&run.stderr)))
}
