//! Jobs: each due time is done once, whatever happens to who does it, and what became of it is told.

use std::time::Duration;

use serde_json::{Value, json};

use super::independent::{queried, shown_queried};
use super::live::{comes_right, start};
use super::work::{BEGINNING, TOLD, told, work};
use crate::app::house::{self, App};
use crate::commands::{on, outcome};
use crate::fixture::{Database, eventually, scenario};
use crate::server::Server;

/// Nothing is due but what a test asks for, and what fails is tried again at once.
const BY_HAND: [(&str, &str); 5] = [
    ("analytics.enabled", "true"),
    ("jobs.measures", ""),
    ("jobs.check", ""),
    ("jobs.upkeep", ""),
    ("jobs.retry_ms", "100"),
];

async fn run(database: &Database, job: &str) -> (i32, String, String) {
    outcome(on(database, &["jobs", "run", job])).await
}

/// What became of runs, the newest first.
async fn history(database: &Database, job: &str) -> Vec<Value> {
    let (status, told, error) = outcome(on(database, &["jobs", "history", job, "--json"])).await;
    assert_eq!(status, 0, "{error}");
    told.lines().map(|line| serde_json::from_str(line).expect("a run a line")).collect()
}

#[test]
fn a_counter_that_is_wrong_is_found_while_others_write_and_all_is_counted_anew() {
    scenario(async |test| {
        test.expect_in_log("a job has failed");
        let app = start(test.database().await).await;
        work(&app.sql, 40).await.expect("valid SQL");
        comes_right(&app).await;
        let other = app.database.client().await;
        let writes = async {
            for _ in 0..10 {
                work(&other, 10).await.expect("valid SQL");
            }
        };
        let checks = async {
            for _ in 0..3 {
                let (status, told, error) = run(&app.database, "check").await;
                assert_eq!(status, 0, "{told}{error}");
            }
        };
        tokio::join!(writes, checks);
        app.database.execute("update app.kpi_counters set count = count + 1 where measure = 'state'").await;
        let (status, _, error) = run(&app.database, "check").await;
        assert_eq!(status, 1, "{error}");
        assert!(error.contains("counters are not what the tables come to; board "), "{error}");
        comes_right(&app).await;
        let (status, told, error) = run(&app.database, "check").await;
        assert_eq!((status, told.contains(" rows")), (0, true), "{told}{error}");
        let (status, told, error) = run(&app.database, "recount").await;
        assert_eq!(status, 0, "{told}{error}");
        assert_eq!(history(&app.database, "check").await.len(), 5);
    });
}

#[test]
fn a_measure_of_ones_own_is_read_when_it_is_due_and_a_wrong_one_is_named() {
    const OWN: &str = "
        insert into kpis (name, title, unit, refresh, query) values
          ('mine', 'Mine', 'number', '0 0 1 1 *', 'select id as board_id, '''' as item, 42.0 as value from public.boards'),
          ('a_slow_one', 'Slow', 'number', '* * * * *',
            'select id as board_id, ''x'' as item, 1.0 as value from public.boards cross join pg_sleep(60)'),
          ('wrong', 'Wrong', 'number', '* * * * *', 'select nothing')";
    scenario(async |test| {
        test.expect_in_log("a job has failed");
        let settings = [&BY_HAND[..], &[("jobs.measure_timeout_ms", "1000")]].concat();
        let app = App::start_with(test.database().await, &settings).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        for due in ["2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
            ada.entry(&board, json!({"title": "One", "due_at": due})).await;
        }
        let value = async |kpi: &str| {
            let sql =
                format!("select coalesce((select value::bigint from kpi_values where kpi = '{kpi}'), -1)");
            app.database.number(&sql).await
        };
        let (status, _, error) = run(&app.database, "measures").await;
        assert_eq!(status, 0, "{error}");
        assert_eq!((value("overdue").await, value("transitions_failed").await), (1, 0));
        app.database.execute(OWN).await;
        let (status, _, error) = run(&app.database, "measures").await;
        assert_eq!(status, 1);
        assert!(error.contains("`wrong`") && error.contains("nothing"), "{error}");
        assert!(error.contains("`a_slow_one`"), "{error}");
        assert_eq!(value("mine").await, 42, "the others are measured all the same");
        let failed = async || {
            let runs = history(&app.database, "measures").await;
            let failed = runs.iter().filter(|run| run["status"] == "failed").count();
            (failed == 4).then_some(runs)
        };
        let runs = eventually("it is tried three times more", failed).await;
        assert_eq!(runs[0]["attempt"], 4, "{runs:?}");
    });
}

#[test]
fn measures_that_queries_give_are_what_an_independent_computation_comes_to() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        app.database.execute(BEGINNING).await;
        app.database.execute(TOLD).await;
        for _ in 0..3 {
            work(&app.sql, 40).await.expect("valid SQL");
            told(&app.sql, 60).await.expect("valid SQL");
            app.database.execute("delete from app.kpi_queries").await;
            let (status, _, error) = run(&app.database, "measures").await;
            assert_eq!(status, 0, "{error}");
            let (expected, shown) = (queried(&app).await, shown_queried(&app).await);
            assert!(expected.keys().any(|(_, kpi, _)| kpi == "time_in_state"), "{expected:?}");
            let wrong: Vec<_> = expected
                .keys()
                .chain(shown.keys())
                .filter(|key| match (expected.get(*key), shown.get(*key)) {
                    // A card may have become late between the two.
                    (Some(expected), Some(shown)) => (expected - shown).abs() > 1.0,
                    _ => true,
                })
                .map(|key| (key, expected.get(key), shown.get(key)))
                .collect();
            assert!(wrong.is_empty(), "{wrong:?}");
        }
    });
}

#[test]
fn a_movement_that_was_refused_is_counted_whoever_asked_for_it_and_however() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "viewer").await;
        let entry = ada.entry(&board, json!({"title": "One"})).await;
        let path = format!("/v1/entries/{entry}/transitions/reopen");
        // No way there; by a viewer; in a batch. What is refused for another reason is no movement that was.
        ada.post(&path, json!({})).await.refused(409);
        ben.post(&path, json!({})).await.refused(403);
        let fine =
            json!({"method": "PATCH", "path": format!("/v1/entries/{entry}"), "body": {"title": "Two"}});
        let batch = json!({"commands": [fine, {"method": "POST", "path": path}]});
        ada.post("/v1/batch", batch).await.refused(409);
        ben.post(&format!("/v1/entries/{entry}/comments"), json!({"body": "No"})).await.refused(403);
        let noted = "select count(*) from app.user_actions where action = 'refused'";
        eventually("it is written", async || (app.database.number(noted).await == 3).then_some(())).await;
        let (status, _, error) = run(&app.database, "measures").await;
        assert_eq!(status, 0, "{error}");
        let value = "select value::bigint from kpi_values where kpi = 'transitions_failed'";
        assert_eq!(app.database.number(value).await, 3);
    });
}

#[test]
fn a_run_that_goes_on_is_in_the_way_of_the_next_and_a_dead_one_is_not() {
    const SLOW: &str = "
        insert into kpis (name, title, unit, refresh, query) values
          ('slow', 'Slow', 'number', '* * * * *', 'select id as board_id, '''' as item, 1.0 as value from public.boards, pg_sleep(6)')";
    scenario(async |test| {
        test.expect_in_log("a run was refused");
        let mut app = App::start_with(test.database().await, &BY_HAND).await;
        app.person("ada").await.board("Ferry").await;
        app.database.execute(SLOW).await;
        let second = async {
            let begun = async || {
                let runs = history(&app.database, "measures").await;
                runs.iter().any(|run| run["status"] == "running").then_some(())
            };
            eventually("the first has begun", begun).await;
            run(&app.database, "measures").await
        };
        let (first, second) = tokio::join!(run(&app.database, "measures"), second);
        assert_eq!(first.0, 0, "{first:?}");
        assert_eq!(second.0, 1, "{second:?}");
        assert!(second.2.contains("refused: another run of it had not ended"), "{second:?}");

        // Due again; and its server goes in the middle of it.
        app.database.execute("update app.kpi_queries set measured_at = now() - interval '5 minutes'").await;
        let asked = outcome(on(&app.database, &["jobs", "run", "measures", "--wait", "0"])).await;
        assert_eq!(asked.0, 0, "{asked:?}");
        let begun =
            async || (history(&app.database, "measures").await[0]["status"] == "running").then_some(());
        eventually("it has begun", begun).await;
        app.server.stop().await;
        assert_eq!(history(&app.database, "measures").await[0]["status"], "running");
        let app = app.restart_with(&BY_HAND).await;
        // Whoever looks next at the job, for whatever reason, finds the dead one.
        let (status, _, error) = run(&app.database, "measures").await;
        let runs = history(&app.database, "measures").await;
        let dead = runs.iter().filter(|run| run["error"] == "its process has ended").count();
        assert_eq!(dead, 1, "{status} {error} {runs:?}");
    });
}

#[test]
fn what_was_missed_is_made_up_for_by_one_run() {
    scenario(async |test| {
        let database = test.database().await;
        house::migrate(&database).await;
        // Known for three days and due each hour, but there was no server.
        database
            .execute("insert into app.jobs (name, known_since) values ('upkeep', now() - interval '3 days')")
            .await;
        let app = App::start_with(database, &[("analytics.enabled", "true"), ("jobs.measures", "")]).await;
        let done = async || {
            let runs = history(&app.database, "upkeep").await;
            (runs.first()?["status"] == "succeeded").then_some(runs)
        };
        let runs = eventually("it is done", done).await;
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert!((70..=72).contains(&runs[0]["missed"].as_u64().expect("a number")), "{runs:?}");
    });
}

#[test]
fn of_two_processes_one_does_what_is_due() {
    scenario(async |test| {
        let (database, vhost) = (test.database().await, test.vhost().await);
        house::migrate(&database).await;
        database
            .execute(
                "insert into app.jobs (name, known_since) values ('upkeep', now() - interval '10 minutes')",
            )
            .await;
        let url = vhost.url();
        let stream = [
            ("journal.backend", "rabbitmq"),
            ("journal.url", &*url),
            ("analytics.enabled", "true"),
            ("jobs.upkeep", "* * * * *"),
        ];
        let settings = house::settings(&stream);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let servers =
            [Server::start_with(&database, &settings).await, Server::start_with(&database, &settings).await];
        let runs = "select count(*) from app.job_runs where job = 'upkeep' and status = 'succeeded'";
        // Now, and when the minute turns.
        let until = tokio::time::Instant::now() + Duration::from_secs(70);
        while database.number(runs).await < 2 {
            assert!(tokio::time::Instant::now() < until, "it is due each minute");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Of both: they share a recorder.
        let done = servers[0].metric("tidegate_job_runs_total{job=\"upkeep\",status=\"succeeded\"}").await;
        let due =
            database.number("select count(distinct due_at) from app.job_runs where job = 'upkeep'").await;
        assert_eq!(format!("{done:.0}"), due.to_string(), "each due time was done once");
    });
}

#[test]
fn jobs_are_listed_and_what_is_none_is_refused_with_their_names() {
    scenario(async |test| {
        let database = test.database().await;
        house::migrate(&database).await;
        let (status, told, error) = outcome(on(&database, &["jobs", "list"])).await;
        assert_eq!(status, 0, "{error}");
        assert!(told.contains("check ") && told.contains("30 3 * * *, next at 20"), "{told}");
        let (status, _, error) = run(&database, "dance").await;
        assert!(status == 2 && error.contains("no job `dance`: it is one of measures, sample"), "{error}");
        let asked = outcome(on(&database, &["jobs", "run", "upkeep", "--wait", "1"])).await;
        assert!(asked.0 == 1 && asked.2.contains("no server has begun run 1 of `upkeep`"), "{asked:?}");
    });
}
