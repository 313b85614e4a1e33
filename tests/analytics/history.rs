//! The history: facts, what is derived from them, and what it comes to over years.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::charts::{expected, must_agree, shown};
use super::work::{BEGINNING, TOLD, told, work};
use crate::app::house::{Api, App};
use crate::commands::{on, outcome};
use crate::fixture::{Database, eventually, scenario};

/// Nothing is due but what a test asks for.
pub(super) const BY_HAND: [(&str, &str); 7] = [
    ("analytics.enabled", "true"),
    ("jobs.measures", ""),
    ("jobs.sample", ""),
    ("jobs.hourly", ""),
    ("jobs.daily", ""),
    ("jobs.check", ""),
    ("jobs.upkeep", ""),
];

pub(super) async fn job(database: &Database, arguments: &[&str]) {
    let (status, told, error) = outcome(on(database, &[&["jobs", "run"], arguments].concat())).await;
    assert_eq!(status, 0, "{arguments:?}: {told}{error}");
}

async fn start(database: Database) -> App {
    let app = App::start_with(database, &BY_HAND).await;
    app.database.execute(BEGINNING).await;
    app.database.execute(TOLD).await;
    app
}

/// All that the history holds, but when it was written.
async fn everything(app: &App) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for table in [
        "dim_boards",
        "dim_users",
        "dim_states",
        "dim_categories",
        "fact_entries",
        "fact_activities",
        "fact_user_actions",
        "fact_spans",
        "rejects",
        "chart_data",
        "touched",
    ] {
        let rows = app.select(&format!("select * from analytics.{table}")).await;
        held.extend(rows.into_iter().map(|mut row| {
            row.as_object_mut().expect("rows are objects").remove("rejected_at");
            format!("{table} {row}")
        }));
    }
    held
}

/// The numbers that a query gives.
async fn numbers(app: &App, sql: &str) -> BTreeSet<i64> {
    let rows = app.select(sql).await;
    rows.iter().map(|row| row["entry_id"].as_i64().expect("a number")).collect()
}

/// Activities that are there and not loaded, or loaded and not there, or with somebody else: but for those with a reason.
const WRONG_ACTIVITIES: &str = "
select count(*)
from (
  select id, board_id, actor_id, at
  from public.activities
  where id not in (select source_id from analytics.rejects where source = 'activities')
) as a
full join (
  select f.activity_id as id, f.board_id, f.actor_id, f.at
  from analytics.fact_activities as f
  where f.board_id in (select id from public.boards)
) as f using (id)
-- The oldest day may have been let go in part by the application.
where coalesce(a.at, f.at)::date > (select min(at)::date from public.activities where isfinite(at))
  and (a.at is distinct from f.at
  or a.actor_id is distinct from f.actor_id
  or a.board_id is distinct from f.board_id)";

/// Days on which flow charts show another number in a state than cards were there, by what is told of each.
const WRONG_FLOW: &str = "
with told as (
  select f.entry_id, greatest(a.at, f.created_at) as at, a.activity_id, a.from_state, a.to_state,
    lag(a.to_state) over (partition by f.entry_id order by a.at, a.activity_id) as before
  from analytics.fact_entries as f
  join analytics.fact_activities as a on a.entry_id = f.entry_id and a.subject = 'entry'
  where a.to_state is not null
),
card as (
  select f.entry_id, f.board_id, f.state, f.created_at,
    case when f.gone then coalesce(
      (select max(at) from analytics.fact_activities as a where a.entry_id = f.entry_id and a.action = 'deleted'),
      (select max(at) from told as t where t.entry_id = f.entry_id and t.to_state <> coalesce(t.before, t.from_state, t.to_state)),
      f.created_at
    ) else 'infinity' end as gone_at
  from analytics.fact_entries as f
),
day as (select generate_series(current_date - 61, current_date, '1 day') + interval '1 day' as ends),
-- Where each was at each day's end: the last word before it, or else where the first one came from.
stood as (
  select c.board_id, d.ends, coalesce(
    (select t.to_state from told as t where t.entry_id = c.entry_id and t.at < d.ends order by t.at desc, t.activity_id desc limit 1),
    (select coalesce(t.from_state, t.to_state) from told as t where t.entry_id = c.entry_id order by t.at, t.activity_id limit 1),
    c.state) as state
  from card as c
  join day as d on d.ends > c.created_at and d.ends <= c.gone_at
),
expected as (select board_id, ends, state, count(*) as count from stood group by 1, 2, 3),
shown as (
  select s.board_id, d.ends, s.series as state,
    (select y from analytics.chart_data c where c.chart = 'flow' and c.board_id = s.board_id and c.series = s.series
       and c.day < d.ends order by c.day desc limit 1) as count
  from (select distinct board_id, series from analytics.chart_data where chart = 'flow') as s
  cross join day as d
)
select count(*)
from expected as e
full join shown as s using (board_id, ends, state)
where coalesce(e.count, 0) <> coalesce(s.count, 0)";

/// A card that was done before it was created, as an import writes one.
const BACKWARDS: &str = "
insert into public.entries (board_id, title, state_id, position, created_at, closed_at)
select board_id, 'Backwards', id, 'backwards', now(), now() - interval '1 day'
from public.workflow_states
where kind = 'done'
limit 1";

/// Cards that claim to be of last year, and one of times to come.
const IMPORTED: &str = "
insert into public.entries (board_id, title, state_id, position, created_at, updated_at)
select s.board_id, 'Imported', s.id, 'imported ' || n, now() - interval '1 year',
  case n when 1 then now() + interval '1 year' else now() - interval '1 year' end
from generate_series(1, 5) as n
cross join (select board_id, id from public.workflow_states where kind = 'open' limit 1) as s";

#[test]
fn charts_are_what_an_independent_computation_comes_to_however_late_it_is_told() {
    scenario(async |test| {
        let app = start(test.database().await).await;
        for round in 0..4 {
            if round == 2 {
                app.database.execute(IMPORTED).await;
            }
            work(&app.sql, 40).await.expect("valid SQL");
            told(&app.sql, 60).await.expect("valid SQL");
            // What was taken out by hand, and what nobody tells of, is found by the day.
            job(&app.database, &[if round % 2 == 0 { "hourly" } else { "daily" }]).await;
        }
        app.database.execute(BACKWARDS).await;
        job(&app.database, &["daily"]).await;
        job(&app.database, &["backfill", "--from", "2020-01-01", "--to", "2100-01-01"]).await;
        must_agree(&expected(&app).await, &shown(&app).await);
        assert_eq!(app.database.number(WRONG_ACTIVITIES).await, 0);
        assert_eq!(app.database.number(WRONG_FLOW).await, 0);
        let rejects =
            app.select("select source, reason, count(*) from analytics.rejects group by 1, 2").await;
        println!("{rejects:?}");
        let reasons: BTreeSet<_> =
            rejects.iter().map(|row| row["reason"].as_str().expect("a reason")).collect();
        for reason in ["it is told twice", "it lies in the future", "it was done before it was created"] {
            assert!(reasons.contains(reason), "{rejects:?}");
        }
    });
}

/// Cards that are gone: loaded as such, or named by activities alone.
const GONE: &str = "
            select distinct entry_id from analytics.fact_entries where gone
            union
            select distinct entry_id from analytics.fact_activities
            where entry_id is not null and entry_id not in (select id from public.entries)";

/// Ends the sessions of the server, and gives how many there were.
const CUT: &str = "
select count(*) filter (where pg_terminate_backend(pid))
from pg_stat_activity
where datname = current_database()
  and pid <> pg_backend_pid()
  and application_name = 'tidegate'";

#[test]
fn a_load_that_is_killed_and_run_again_comes_to_the_same_tables() {
    scenario(async |test| {
        test.expect_in_log("a job has failed");
        test.expect_in_log("no stream from PostgreSQL");
        let mut app = start(test.database().await).await;
        work(&app.sql, 120).await.expect("valid SQL");
        told(&app.sql, 300).await.expect("valid SQL");
        let mut killed = 0;
        for _ in 0..12 {
            let asked = outcome(on(&app.database, &["jobs", "run", "hourly", "--wait", "0"])).await;
            assert_eq!(asked.0, 0, "{asked:?}");
            let running = "select count(*) from app.job_runs where job = 'hourly' and status = 'running'";
            // Somewhere in the middle of it: all of its sessions are cut, which is what PostgreSQL sees of a process that is
            // killed.
            let begun = tokio::time::Instant::now();
            while app.database.number(running).await == 0 && begun.elapsed().as_secs() < 5 {}
            tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..40))).await;
            killed += app.database.number(CUT).await;
            app.server.stop().await;
            app = app.restart_with(&BY_HAND).await;
            told(&app.sql, 5).await.expect("valid SQL");
        }
        println!("{killed} sessions were cut");
        assert!(killed > 12);
        job(&app.database, &["daily"]).await;
        let kept = everything(&app).await;
        let gone_before = numbers(&app, "select entry_id from analytics.fact_entries where gone").await;
        job(&app.database, &["daily"]).await;
        assert_eq!(everything(&app).await, kept, "a run more changes nothing");
        app.database
            .execute(
                "truncate analytics.fact_entries, analytics.fact_activities, analytics.fact_user_actions,
                   analytics.fact_spans, analytics.rejects, analytics.chart_data, analytics.touched,
                   analytics.watermarks, analytics.dim_boards, analytics.dim_users, analytics.dim_states,
                   analytics.dim_categories",
            )
            .await;
        job(&app.database, &["daily"]).await;
        let anew = everything(&app).await;
        // Cards and boards that are gone left facts behind, which nobody can load any more; and what only they had a part in.
        let gone: BTreeSet<i64> = gone_before.union(&numbers(&app, GONE).await).copied().collect();
        let is_gone = |row: &Value| {
            row["gone"] == true || row["entry_id"].as_i64().is_some_and(|entry| gone.contains(&entry))
        };
        let compared = |held: &BTreeSet<String>| -> BTreeSet<String> {
            let rows = held.iter().filter(|row| {
                let (table, row) = row.split_once(' ').expect("a table and a row");
                let row: Value = serde_json::from_str(row).expect("JSON");
                let by_all = ["flow", "time_in_state"].iter().any(|chart| row["chart"] == **chart);
                table != "fact_user_actions" && !by_all && !is_gone(&row)
            });
            rows.cloned().collect()
        };
        let differs: Vec<_> = compared(&kept).symmetric_difference(&compared(&anew)).cloned().collect();
        assert!(differs.is_empty(), "{differs:#?}");
    });
}

#[test]
fn values_are_rolled_up_and_retention_drops_exactly_what_is_too_old() {
    const RAW: &str = "
        select analytics.prepare('kpi_values_raw', now() - interval '70 days', now());
        insert into analytics.kpi_values_raw
        select 1, kpi, '', date_trunc('minute', now() - n * interval '37 minutes'), n % 17, n % 17, n % 17, 1
        from generate_series(0, 2700) as n
        cross join (values ('open'), ('overdue'), ('throughput')) as k (kpi)";
    const WRONG: &str = "
        with expected as (
          select kpi, date_trunc('day', at) as at,
            (array_agg(value order by at desc))[1] as value,
            min(value) as least, max(value) as most, count(*) as samples
          from analytics.kpi_values_raw
          group by kpi, date_trunc('day', at)
        )
        select count(*)
        from expected as e
        full join analytics.kpi_values_day as d using (kpi, at)
        where abs(e.value - d.value) > 1e-9 or e.least <> d.least or e.most <> d.most or e.samples <> d.samples
          or e.value is null or d.value is null";
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        app.database.execute(RAW).await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(app.database.number(WRONG).await, 0);
        let days = app.database.number("select count(*) from analytics.kpi_values_day").await;
        assert_eq!(
            app.database.number("select sum(samples)::bigint from analytics.kpi_values_month").await,
            3 * 2701
        );
        job(&app.database, &["upkeep"]).await;
        let old = "select count(*) from analytics.kpi_values_raw where at < date_trunc('day', now() - interval '30 days')";
        assert_eq!(app.database.number(old).await, 0);
        let young = "
            select count(*) from generate_series(0, 2700) as n
            where date_trunc('minute', now() - n * interval '37 minutes') >= date_trunc('day', now() - interval '30 days')";
        let (kept, expected) = (
            app.database.number("select count(*) from analytics.kpi_values_raw").await,
            app.database.number(young).await,
        );
        assert!((kept - expected * 3).abs() <= 3, "{kept} are kept of {expected} for each of three");
        // What was rolled up stays, also where a range is loaded once more that is no longer there.
        job(&app.database, &["backfill", "--from", "2020-01-01", "--to", "2100-01-01"]).await;
        assert_eq!(app.database.number("select count(*) from analytics.kpi_values_day").await, days);
    });
}

#[test]
fn a_series_is_for_those_who_see_the_board_and_newer_with_every_load() {
    const YEAR: &str = "
        select analytics.prepare('kpi_values_hour', now() - interval '370 days', now());
        insert into analytics.kpi_values_hour
        select b.id, k.name, '', date_trunc('hour', now()) - n * interval '1 hour', n % 24, n % 24, n % 24, 1
        from public.boards as b
        cross join (values ('open'), ('activity_by_user')) as k (name)
        cross join generate_series(0, 8760) as n";
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        let (ada, ben, cleo) = (app.person("ada").await, app.person("ben").await, app.person("cleo").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "member").await;
        ada.entry(&board, json!({"title": "One"})).await;
        app.database.execute(YEAR).await;
        eventually("its measures are there", async || {
            (app.database.number("select count(*) from kpi_values where kpi = 'activity_by_user'").await > 0)
                .then_some(())
        })
        .await;
        let path =
            |kpi: &str, more: &str| format!("/v1/kpis/{kpi}/series?board_id={board}&resolution=hour{more}");
        let points = |answer: &Value| answer["series"][0]["points"].as_array().map_or(0, Vec::len);
        let month = app.fresh(&ben, &path("open", "")).await.must(200);
        assert_eq!((&month["kpi"], &month["unit"]), (&json!("open"), &json!("cards")));
        assert!((720..=722).contains(&points(&month)), "{} points", points(&month));
        let year = app.fresh(&ben, &path("open", "&from=2000-01-01T00:00:00Z")).await.must(200);
        assert!((8_760..=8_762).contains(&points(&year)), "{} points", points(&year));
        let none = app.fresh(&ben, &path("open", "&from=2001-01-01T00:00:00Z&to=2002-01-01T00:00:00Z")).await;
        assert_eq!(none.must(200)["series"], json!([]));
        assert_eq!(app.fresh(&cleo, &path("open", "")).await.refused(404), "not_found");
        assert_eq!(app.fresh(&ben, &path("activity_by_user", "")).await.refused(404), "not_found");
        assert!(points(&app.fresh(&ada, &path("activity_by_user", "")).await.must(200)) > 700);
        assert_eq!(app.fresh(&ada, &path("nothing", "")).await.refused(404), "not_found");
        assert_eq!(app.fresh(&ada, &path("open", "&from=yesterdayish")).await.refused(422), "invalid_input");

        let tag = async |who: &Api| who.get(&path("open", "")).await.header("etag").to_owned();
        let before = tag(&ben).await;
        assert_eq!(tag(&ben).await, before);
        app.database
            .execute("update analytics.kpi_values_hour set value = 99 where at > now() - interval '2 hours' and kpi = 'open'")
            .await;
        job(&app.database, &["hourly"]).await;
        eventually("what was loaded is read", async || (tag(&ben).await != before).then_some(())).await;
        for (chart, status) in [("flow", 200), ("lead_time", 200), ("sla", 200)] {
            app.fresh(&ben, &format!("/v1/charts/{chart}?board_id={board}&days=30")).await.must(status);
            assert_eq!(app.fresh(&cleo, &format!("/v1/charts/{chart}?board_id={board}")).await.status, 404);
        }
        let flow = app.fresh(&ben, &format!("/v1/charts/flow?board_id={board}&days=3")).await.must(200);
        assert_eq!(flow["points"].as_array().expect("points").last().expect("today")["y"], 1.0);
    });
}

#[test]
fn the_history_may_be_in_a_database_of_its_own() {
    scenario(async |test| {
        let (database, other) = (test.database().await, test.database().await);
        let url = other.url();
        let migrated = outcome({
            let mut command = on(&database, &["migrate"]);
            command.env("TIDEGATE__ANALYTICS__URL", &url);
            command
        })
        .await;
        assert!(migrated.0 == 0 && migrated.1.ends_with("applied analytics/0001_facts\n"), "{migrated:?}");
        assert_eq!(other.number("select count(*) from pg_namespace where nspname = 'app'").await, 0);
        let settings = [&BY_HAND[..], &[("analytics.url", &*url)]].concat();
        let app = App::start_with(database, &settings).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        ada.entry(&board, json!({"title": "One"})).await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(other.number("select count(*) from analytics.fact_entries").await, 1);
        assert!(other.number("select count(*) from analytics.fact_activities").await >= 2);
        let flow = app.fresh(&ada, &format!("/v1/charts/flow?board_id={board}&days=3")).await.must(200);
        assert_eq!(flow["points"][0]["series"], "Backlog");
    });
}
