//! Exports, read back by `DuckDB`.

mod faults;
mod store;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use tokio_postgres::Client;

use super::history::{BY_HAND, job};
use super::work::{BEGINNING, TOLD, told, work};
use crate::app::house::App;
use crate::commands::{on, outcome};
use crate::fixture::{Database, eventually, scenario};

/// A folder for the exports of a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(database: &Database) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{}", database.name()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the build's temporary folder is ours");
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn empty(&self) {
        fs::remove_dir_all(&self.0).expect("ours");
        fs::create_dir_all(&self.0).expect("ours");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// What `script/setup duckdb` has installed.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tidegate/duckdb/bin/python");
    assert!(python.exists(), "DuckDB is not there: run script/setup duckdb");
    python
}

/// The rows of a query, by `DuckDB`.
async fn duckdb(folder: &Path, sql: &str) -> Vec<Value> {
    const READ: &str = "
import duckdb, json, sys
rows = duckdb.sql(sys.argv[1])
for row in rows.fetchall():
    print(json.dumps(dict(zip(rows.columns, row)), default=str))";
    let mut reads = Command::new(python());
    reads.arg("-c").arg(READ).arg(sql).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = reads.output().await.expect("it was found to be there");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a row a line")).collect()
}

/// What both sides are asked: in `$table`'s place each has its own.
const SUMS: [(&str, &str); 9] = [
    ("dim_boards", "count(*) as number, sum(board_id)::bigint as ids, min(name) as first, max(name) as last, count(*) filter (where gone) as gone"),
    ("dim_users", "count(*) as number, min(user_id) as id, min(name) as first, max(name) as last, count(*) filter (where gone) as gone"),
    (
        "dim_states",
        "count(*) as number, sum(state_id * board_id)::bigint as ids, min(name) as first, max(name) as last, max(kind) as kind,
         sum(ordinal)::bigint as ordinals, count(*) filter (where gone) as gone",
    ),
    (
        "dim_categories",
        "count(*) as number, sum(category_id * board_id)::bigint as ids, min(name) as first, max(name) as last,
         count(*) filter (where gone) as gone",
    ),
    (
        "fact_entries",
        "count(*) as number, coalesce(sum(entry_id), 0)::bigint as ids, coalesce(sum(lead_seconds), 0)::bigint as lead,
         coalesce(sum(cycle_seconds), 0)::bigint as cycle, coalesce(sum(category_id), 0)::bigint as categories,
         count(distinct state) as states, count(assignee_id) as assignees, sum(version)::bigint as versions,
         count(*) filter (where on_time) as met, count(*) filter (where gone) as gone, count(distinct created_at) as moments,
         count(*) filter (where due_at < '9999-01-01') as due, count(started_at) as started, count(closed_at) as closed",
    ),
    (
        "fact_activities",
        "count(*) as number, coalesce(sum(activity_id), 0)::bigint as ids, count(actor_id) as actors, count(distinct \"at\") as moments,
         sum(board_id)::bigint as boards, coalesce(sum(entry_id), 0)::bigint as entries, count(distinct subject || '/' || action) as actions,
         count(distinct coalesce(from_state, '') || '/' || coalesce(to_state, '')) as ways",
    ),
    (
        "fact_user_actions",
        "count(*) as number, sum(action_id)::bigint as ids, count(distinct \"at\") as moments, count(distinct user_id) as users,
         count(distinct subject || '/' || action) as actions, coalesce(sum(board_id), 0)::bigint as boards,
         coalesce(sum(entry_id), 0)::bigint as entries",
    ),
    (
        "fact_spans",
        "count(*) as number, coalesce(sum(entry_id * place), 0)::bigint as places, sum(board_id)::bigint as boards,
         count(distinct state) as states, count(distinct entered_at) as moments, count(left_at) as left_at",
    ),
    (
        "kpi_values_day",
        "count(*) as number, sum(board_id)::bigint as boards, count(distinct kpi || '/' || item) as parts, count(distinct \"at\") as moments,
         round(sum(value) * 1000)::bigint as value, round(sum(least))::bigint as least, round(sum(most))::bigint as most, sum(samples)::bigint as samples",
    ),
];

async fn select(sql: &Client, query: &str) -> Vec<Value> {
    let rows = sql.query(&format!("select to_jsonb(q)::text from ({query}) as q"), &[]).await;
    let rows = rows.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    rows.iter().map(|row| serde_json::from_str(row.get(0)).expect("PostgreSQL writes JSON")).collect()
}

async fn must_agree(sql: &Client, folder: &Path) {
    for (table, sums) in SUMS {
        let here = select(sql, &format!("select {sums} from analytics.{table}")).await;
        assert_ne!(here[0]["number"], 0, "{table} is not put to the test");
        let there = duckdb(folder, &format!("select {sums} from read_parquet('{table}/**/*.parquet')")).await;
        assert_eq!(here, there, "{table}");
    }
    // By day, and each by its own folder.
    let by_day = "select activity_id % 7 as part, \"at\"::date::varchar as day, count(*) as number from";
    let here = select(sql, &format!("{by_day} analytics.fact_activities group by 1, 2 order by 2, 1")).await;
    let there = duckdb(
        folder,
        &format!(
            "set timezone = 'UTC'; {} read_parquet('fact_activities/*/*.parquet', hive_partitioning = true) group by 1, 2 order by 2, 1",
            by_day.replace("\"at\"::date::varchar", "day::varchar")
        ),
    )
    .await;
    assert_eq!(here, there);
}

fn files(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is there") {
            let entry = entry.expect("readable");
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path(), entry.metadata().expect("readable").modified().expect("known")));
            }
        }
    }
    found.sort();
    found
}

/// Rows of what nobody does in `work`.
const OTHERS: &str = "
select analytics.prepare(name, '2026-01-01', '2026-01-31')
from unnest(array['fact_user_actions', 'kpi_values_day']) as name;
insert into analytics.fact_user_actions (action_id, at, user_id, action, subject, board_id)
select 1000000 + n, '2026-01-10'::timestamptz + n * interval '5 hours', 'person ' || n % 3, 'entered', 'board', n from generate_series(1, 30) as n
on conflict do nothing;
insert into analytics.kpi_values_day (board_id, kpi, item, at, value, least, most, samples)
select n, 'open', '', '2026-01-10'::timestamptz + n * interval '1 day', n / 3.0, n, n + 1, n from generate_series(1, 15) as n
on conflict do nothing";

#[test]
fn duckdb_reads_back_what_was_exported_and_only_days_that_changed_are_written_again() {
    scenario(async |test| {
        let database = test.database().await;
        let folder = Folder::new(&database);
        let url = format!("file://{}", folder.path().display());
        let settings = [&BY_HAND[..], &[("export.url", &*url), ("jobs.export", "")]].concat();
        let app = App::start_with(database, &settings).await;
        app.database.execute(BEGINNING).await;
        app.database.execute(TOLD).await;
        work(&app.sql, 80).await.expect("valid SQL");
        told(&app.sql, 150).await.expect("valid SQL");
        job(&app.database, &["daily"]).await;
        app.database.execute(OTHERS).await;
        job(&app.database, &["export"]).await;
        must_agree(&app.sql, folder.path()).await;
        let before = files(folder.path());
        job(&app.database, &["export"]).await;
        assert_eq!(files(folder.path()), before, "nothing has changed, and nothing is written");

        // What comes today is written to today's folder, and what is gone from a day is gone there.
        app.database
            .execute(
                "insert into public.activities (board_id, subject, action) select id, 'board', 'edited' from public.boards;
                 delete from public.activities where at::date = (select min(at::date) from public.activities where isfinite(at));",
            )
            .await;
        job(&app.database, &["backfill", "--from", "2020-01-01", "--to", "2100-01-01"]).await;
        app.database.execute(OTHERS).await;
        job(&app.database, &["export"]).await;
        must_agree(&app.sql, folder.path()).await;
        let after = files(folder.path());
        let same = after.iter().filter(|file| before.contains(file)).count();
        assert!(same > after.len() / 3, "{same} of {} files were left alone", after.len());

        // Killed once it has begun, and run again.
        folder.empty();
        let mut app = app;
        let mut asked = crate::commands::on(&app.database, &["jobs", "run", "export", "--wait", "0"]);
        assert!(asked.status().await.expect("it runs").success());
        eventually("it has begun", async || (!files(folder.path()).is_empty()).then_some(())).await;
        app.server.stop().await;
        app = app.restart_with(&settings).await;
        job(&app.database, &["export"]).await;
        must_agree(&app.sql, folder.path()).await;
        let manifest = fs::read_to_string(folder.path().join("manifest.json")).expect("it is there");
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        let written: u64 = manifest["tables"]["fact_activities"]
            .as_object()
            .expect("days")
            .values()
            .map(|day| day["rows"].as_u64().expect("a number"))
            .sum();
        let rows = app.database.number("select count(*) from analytics.fact_activities").await;
        assert_eq!(i64::try_from(written).expect("few"), rows, "the manifest says what is there");
    });
}

#[test]
fn what_retention_lets_go_stays_exported_and_another_history_takes_nothing_away() {
    const OLD: &str = "
        insert into public.activities (board_id, subject, action, at)
        select id, 'board', 'changed', now() - days * interval '1 day'
        from public.boards
        cross join (values (0), (200)) as told (days)";
    scenario(async |test| {
        test.expect_in_log("a job has failed");
        let database = test.database().await;
        let folder = Folder::new(&database);
        let url = format!("file://{}", folder.path().display());
        let own = [("export.url", &*url), ("jobs.export", ""), ("analytics.fact_days", "32")];
        let app = App::start_with(database, &[&BY_HAND[..], &own].concat()).await;
        app.database.execute(BEGINNING).await;
        app.database.execute(TOLD).await;
        told(&app.sql, 20).await.expect("valid SQL");
        app.database.execute(OLD).await;
        job(&app.database, &["daily"]).await;
        job(&app.database, &["export"]).await;
        let count = async || {
            duckdb(folder.path(), "select count(*) as n from read_parquet('fact_activities/**/*.parquet')")
                .await
        };
        let (all, facts) = (count().await, "select count(*) from analytics.fact_activities");
        let before = app.database.number(facts).await;
        job(&app.database, &["upkeep"]).await;
        assert!(app.database.number(facts).await < before, "old parts have gone");
        job(&app.database, &["export"]).await;
        assert_eq!(count().await, all);
        let there = files(folder.path());
        app.database.execute("truncate analytics.fact_activities").await;
        let (status, _, error) = outcome(on(&app.database, &["jobs", "run", "export"])).await;
        assert!(status == 1 && error.contains("`fact_activities` is empty"), "{error}");
        assert_eq!(files(folder.path()), there);
    });
}

#[test]
fn a_place_that_cannot_be_written_fails_the_run_with_a_word() {
    scenario(async |test| {
        test.expect_in_log("a job has failed");
        let settings = [
            &BY_HAND[..],
            &[("export.url", "file:///proc/nowhere"), ("jobs.export", ""), ("jobs.retries", "0")],
        ]
        .concat();
        let app = App::start_with(test.database().await, &settings).await;
        app.person("ada").await;
        job(&app.database, &["hourly"]).await;
        let asked =
            crate::commands::outcome(crate::commands::on(&app.database, &["jobs", "run", "export"])).await;
        assert!(asked.0 == 1 && asked.2.contains("could not put a file at the export's place"), "{asked:?}");
    });
}
