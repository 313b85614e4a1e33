use std::time::Instant;

use serde_json::{Value, json};

use super::independent::{different, measures, shown};
use super::work::{BEGINNING, is_counted, work};
use crate::app::house::App;
use crate::client::{Client, Mirror};
use crate::fixture::{Database, eventually, scenario};

/// Measures are kept.
pub(crate) const KEPT: [(&str, &str); 2] = [("analytics.enabled", "true"), ("analytics.interval_ms", "50")];

pub(super) async fn start(database: Database) -> App {
    let app = App::start_with(database, &KEPT).await;
    app.database.execute(BEGINNING).await;
    app
}

pub(super) async fn comes_right(app: &App) {
    eventually("counters are what the tables come to", async || {
        is_counted(&app.database).await.then_some(())
    })
    .await;
    let mut last = Vec::new();
    for _ in 0..300 {
        // The hour may turn between the two.
        last = different(&measures(app).await, &shown(app).await);
        if last.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("measures are not what they come to: {last:#?}");
}

#[test]
fn measures_are_what_an_independent_computation_comes_to() {
    scenario(async |test| {
        let app = start(test.database().await).await;
        let others = [app.database.client().await, app.database.client().await];
        for _ in 0..4 {
            let (a, b, c) = tokio::join!(work(&app.sql, 40), work(&others[0], 40), work(&others[1], 40));
            a.and(b).and(c).expect("valid SQL");
            comes_right(&app).await;
        }
        assert!(app.server.metric("tidegate_kpi_counts_total").await < 1.5, "kept, not counted anew");
    });
}

#[test]
fn what_cannot_be_followed_is_counted_anew() {
    scenario(async |test| {
        let app = start(test.database().await).await;
        work(&app.sql, 60).await.expect("valid SQL");
        comes_right(&app).await;
        app.database.execute("truncate public.activities").await;
        comes_right(&app).await;
        assert!(app.server.metric("tidegate_kpi_counts_total").await > 1.5, "there was no other way");
        // Somebody has laid hands on them, and asks for all of it once more.
        app.database.execute("update app.kpi_counters set count = count + 1").await;
        app.database.execute("update app.kpi_progress set cursor = null").await;
        comes_right(&app).await;
        let app = app.restart_with(&KEPT).await;
        work(&app.sql, 20).await.expect("valid SQL");
        comes_right(&app).await;
    });
}

#[test]
fn a_value_is_told_within_a_second_of_the_commit_that_moved_it() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &[("analytics.enabled", "true")]).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let mut client = app.socket(&ada).await;
        let fields = json!({"table": "public.kpi_values", "where": "kpi = 'open'"});
        let mut mirror = Mirror::new("k", fields);
        client.send(&mirror.request()).await;
        shows(&mut client, &mut mirror, |row| row["value"] == 0.0).await;
        for number in 1..=5 {
            let committed = Instant::now();
            ada.entry(&board, json!({"title": "One more"})).await;
            shows(&mut client, &mut mirror, |row| row["value"] == f64::from(number)).await;
            let took = committed.elapsed();
            assert!(took.as_secs_f64() < 1.0, "{took:?}");
        }
    });
}

#[test]
fn a_measure_that_commands_move_alerts_without_anybody_writing_it() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &KEPT).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let rule =
            json!({"kind": "kpi", "board_id": board, "kpi": "open", "comparison": "above", "threshold": 2});
        ada.put("/v1/alert-rules/00000000-0000-4000-8000-000000000001", rule).await.must(201);
        let told = async || {
            let page = app.fresh(&ada, "/v1/notifications").await.must(200);
            let rows = page["rows"].as_array().expect("rows").clone();
            rows.into_iter().filter(|row| row["kind"] == "kpi").collect::<Vec<_>>()
        };
        for number in 1..=4 {
            ada.entry(&board, json!({"title": number.to_string()})).await;
        }
        let told =
            eventually("it is told", async || Some(told().await).filter(|told| !told.is_empty())).await;
        assert_eq!(told.len(), 1);
        assert_eq!((&told[0]["detail"]["kpi"], &told[0]["board_id"]), (&json!("open"), &json!(board)));
    });
}

/// Waits until a row is there.
async fn shows(client: &mut Client, mirror: &mut Mirror, wanted: impl Fn(&Value) -> bool) {
    while !mirror.rows().values().any(&wanted) {
        let frame = client.next().await.expect("the socket is open");
        mirror.apply(&frame);
    }
}

#[test]
fn who_may_see_a_measure_is_what_its_definition_says() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &KEPT).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "member").await;
        ben.entry(&board, json!({"title": "One"})).await;
        let kpis = async |who: &crate::app::house::Api| {
            let rows = app.fresh(who, &format!("/v1/kpis?board_id={board}")).await.must(200);
            let names = rows["rows"].as_array().expect("rows").iter().map(|row| row["kpi"].clone());
            names.map(|name| name.as_str().expect("a name").to_owned()).collect::<Vec<_>>()
        };
        let activity = "activity_by_user".to_owned();
        eventually("the admin sees who does what", async || {
            kpis(&ada).await.contains(&activity).then_some(())
        })
        .await;
        assert!(!kpis(&ben).await.contains(&activity));
        assert!(kpis(&ben).await.contains(&"open".to_owned()));
        let mut client = app.socket(&ben).await;
        let mut mirror = Mirror::new("k", json!({"table": "public.kpi_values"}));
        client.send(&mirror.request()).await;
        shows(&mut client, &mut mirror, |row| row["kpi"] == "open").await;
        assert!(!mirror.rows().values().any(|row| row["kpi"] == *activity), "{:?}", mirror.rows());
        app.database
            .execute("update public.kpis set audience = 'members' where name = 'activity_by_user'")
            .await;
        shows(&mut client, &mut mirror, |row| row["kpi"] == *activity).await;
    });
}

#[test]
fn the_end_of_a_load_makes_no_measure_anew() {
    const COUNTED: &str = "select counted_at::text as at from public.kpi_boards order by board_id";
    scenario(async |test| {
        let app = start(test.database().await).await;
        comes_right(&app).await;
        let ada = app.person("ada").await;
        let (ferry, port) = (ada.board("Ferry").await, ada.board("Port").await);
        for board in [&ferry, &port] {
            ada.entry(board, json!({"title": "One"})).await;
        }
        let of = async |board: &str| {
            let sql =
                format!("select counted_at::text as at from public.kpi_boards where board_id = {board}");
            app.select(&sql).await.first().map(|row| row["at"].clone())
        };
        let written = async |board: &str, before: Option<Value>| {
            eventually("it is written", async || of(board).await.filter(|at| Some(at) != before.as_ref()))
                .await
        };
        written(&port, None).await;
        comes_right(&app).await;
        let before = app.select(COUNTED).await;
        let of_port = of(&port).await;
        app.database.execute("update public.kpis set computed_at = now()").await;
        // The keeper has come by it once it has written what comes later.
        ada.entry(&port, json!({"title": "Two"})).await;
        written(&port, of_port).await;
        let after = app.select(COUNTED).await;
        let changed = before.iter().zip(&after).filter(|(one, other)| one != other).count();
        assert_eq!((changed, before.len()), (1, after.len()));
    });
}

#[test]
fn a_board_nobody_has_anything_on_is_charted_with_nothing() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &KEPT).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let chart = async |name: &str| {
            let path = format!("/v1/charts/{name}?board_id={board}&days=7");
            app.fresh(&ada, &path).await.must(200)["points"].clone()
        };
        assert_eq!(chart("states").await.as_array().expect("points").len(), 4);
        assert_eq!(chart("assignees").await, json!([]));
        assert_eq!(chart("throughput").await.as_array().expect("points").len(), 7);
        for (name, y) in [("created", 2), ("activity", 3)] {
            for _ in 0..2 {
                ada.entry(&board, json!({"title": "One"})).await;
            }
            let sum = async || {
                let points = chart(name).await;
                points
                    .as_array()
                    .expect("points")
                    .iter()
                    .map(|point| point["y"].as_i64().expect("a number"))
                    .sum()
            };
            eventually("what is counted is charted", async || {
                let sum: i64 = sum().await;
                (sum >= y).then_some(())
            })
            .await;
        }
    });
}
