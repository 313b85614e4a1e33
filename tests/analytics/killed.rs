//! Loads in processes that are killed.

use std::process::Stdio;

use tokio::process::Child;

use super::anew::must_be_as_loaded_from_nothing;
use super::history::{BY_HAND, job};
use super::work::{BEGINNING, TOLD, told, work};
use crate::app::house::{KEY, migrate};
use crate::commands::{on, outcome};
use crate::fixture::{Database, eventually, scenario};

/// A server as a process, that runs jobs.
fn serve(database: &Database) -> Child {
    let mut command = on(database, &["serve"]);
    let own = [
        ("app.enabled", "true"),
        ("app.contact_keys", KEY),
        ("auth.mode", "none"),
        ("http.listen", "127.0.0.1:0"),
        ("jobs.retry_ms", "100"),
    ];
    for (key, value) in own.iter().chain(&BY_HAND) {
        command.env(format!("TIDEGATE__{}", key.to_ascii_uppercase().replace('.', "__")), value);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
}

/// Statements of the server that a lock is in the way of.
const HELD: &str = "
    select count(*)
    from pg_stat_activity
    where datname = current_database()
      and application_name = 'tidegate'
      and wait_event_type = 'Lock'
      and wait_event = 'relation'";

const STREAMS: &str = "
    select count(*) from pg_replication_slots where database = current_database() and active";

#[test]
fn a_load_whose_process_is_killed_at_any_table_comes_to_what_a_load_from_nothing_does() {
    scenario(async |test| {
        let database = test.database().await;
        migrate(&database).await;
        for sql in [BEGINNING, TOLD] {
            database.execute(sql).await;
        }
        let client = database.client().await;
        // Before the first load: what is taken out by hand later, of days long gone, only a backfill finds.
        work(&client, 120).await.expect("valid SQL");
        let mut server = serve(&database);
        for (round, table) in [
            "dim_states",
            "fact_entries",
            "fact_activities",
            "rejects",
            "touched",
            "fact_spans",
            "chart_data",
            "kpi_values_hour",
            "watermarks",
        ]
        .iter()
        .enumerate()
        {
            told(&client, 40).await.expect("valid SQL");
            let due = ["hourly", "daily"][round % 2];
            // Slots wait for transactions that run, as the one below.
            eventually("it streams", async || (database.number(STREAMS).await > 0).then_some(())).await;
            let lock = database.client().await;
            lock.batch_execute(&format!("begin; lock table analytics.{table} in access exclusive mode"))
                .await
                .expect("the superuser may");
            let asked = outcome(on(&database, &["jobs", "run", due, "--wait", "0"])).await;
            assert_eq!(asked.0, 0, "{asked:?}");
            eventually("it is in the middle of it", async || (database.number(HELD).await > 0).then_some(()))
                .await;
            server.kill().await.expect("ours");
            lock.batch_execute("commit").await.expect("it held");
            server = serve(&database);
            let unfinished = "select count(*) from app.job_runs where status in ('waiting', 'running')";
            eventually("it is done again", async || (database.number(unfinished).await == 0).then_some(()))
                .await;
        }
        let dead = "select count(*) from app.job_runs where error = 'its process has ended'";
        assert_eq!(database.number(dead).await, 9);
        let failed =
            "select count(*) from app.job_runs where status = 'failed' and error <> 'its process has ended'";
        assert_eq!(database.number(failed).await, 0);
        job(&database, &["daily"]).await;
        must_be_as_loaded_from_nothing(&database).await;
        server.kill().await.expect("ours");
    });
}
