//! The history: facts, what is derived from them, and what it comes to over years.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::anew::must_be_as_loaded_from_nothing;
use super::charts::{FACTS, expected, expected_of_states, must_agree, shown, shown_of_states};
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

pub(super) async fn start(database: Database) -> App {
    start_with(database, &[]).await
}

pub(super) async fn start_with(database: Database, more: &[(&str, &str)]) -> App {
    let app = App::start_with(database, &[&BY_HAND[..], more].concat()).await;
    app.database.execute(BEGINNING).await;
    app.database.execute(TOLD).await;
    app
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
        must_agree(&expected_of_states(&app, FACTS).await, &shown_of_states(&app).await);
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

#[test]
fn days_are_those_of_utc_wherever_the_database_is() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(&format!("alter database {} set timezone = 'America/St_Johns'", database.name()))
            .await;
        let app = start(database).await;
        app.sql.batch_execute("set timezone = 'UTC'").await.expect("anybody may");
        for name in ["hourly", "sample", "daily", "upkeep"] {
            work(&app.sql, 60).await.expect("valid SQL");
            told(&app.sql, 60).await.expect("valid SQL");
            job(&app.database, &[name]).await;
        }
        job(&app.database, &["daily"]).await;
        must_agree(&expected(&app).await, &shown(&app).await);
        must_agree(&expected_of_states(&app, FACTS).await, &shown_of_states(&app).await);
        let hours = "
            select count(*) from analytics.kpi_values_day as d
            where d.at <> date_trunc('day', d.at, 'UTC')";
        assert_eq!(app.database.number(hours).await, 0);
    });
}

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
        must_be_as_loaded_from_nothing(&app.database).await;
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
