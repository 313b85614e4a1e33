//! States are called something else, and stay what they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::charts::{FACTS, expected_of_states, must_agree, shown_of_states};
use super::history::{BY_HAND, job};
use crate::app::house::{Api, App};
use crate::fixture::scenario;

/// What is shown of the newest day, by state; those that nothing is in left out.
async fn flow(app: &App, who: &Api, board: &str) -> BTreeMap<String, i64> {
    let chart = app.fresh(who, &format!("/v1/charts/flow?board_id={board}&days=1")).await.must(200);
    let points = chart["points"].as_array().expect("points").iter();
    let point = |point: &Value| {
        #[expect(clippy::cast_possible_truncation, reason = "numbers of cards")]
        let count = point["y"].as_f64().expect("a number") as i64;
        (point["series"].as_str().expect("a name").to_owned(), count)
    };
    points.map(point).filter(|(_, y)| *y != 0).collect()
}

fn counts(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
    of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn a_state_that_is_renamed_or_swapped_keeps_its_cards_and_its_past() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let states = ada.states(&board).await;
        let rename = async |state: usize, name: &str| {
            let path = format!("/v1/workflow-states/{}", states[state]);
            ada.patch(&path, json!({"name": name})).await.must(200);
        };
        let advance = async |entry: &str, state: usize| {
            ada.post(&format!("/v1/entries/{entry}/move"), json!({"state": states[state]})).await.must(200);
        };
        let mut cards = Vec::new();
        for _ in 0..5 {
            cards.push(ada.entry(&board, json!({"title": "One"})).await);
        }
        advance(&cards[0], 1).await;
        advance(&cards[1], 1).await;
        advance(&cards[2], 2).await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(
            flow(&app, &ada, &board).await,
            counts(&[("Backlog", 2), ("In progress", 2), ("Review", 1)])
        );
        // Renamed between a movement and its load.
        advance(&cards[3], 1).await;
        rename(1, "Doing").await;
        job(&app.database, &["hourly"]).await;
        let renamed = counts(&[("Backlog", 1), ("Doing", 3), ("Review", 1)]);
        assert_eq!(flow(&app, &ada, &board).await, renamed);
        for again in [&["daily"][..], &["backfill", "--from", "2020-01-01", "--to", "2100-01-01"]] {
            job(&app.database, again).await;
            assert_eq!(flow(&app, &ada, &board).await, renamed);
        }
        // Swapped, with a movement before and one after that nobody has loaded yet.
        advance(&cards[0], 2).await;
        rename(1, "Other").await;
        rename(2, "Doing").await;
        rename(1, "Review").await;
        advance(&cards[1], 2).await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(flow(&app, &ada, &board).await, counts(&[("Backlog", 1), ("Review", 1), ("Doing", 3)]));
        let chart =
            app.fresh(&ada, &format!("/v1/charts/time_in_state?board_id={board}&days=1")).await.must(200);
        let series: Vec<_> =
            chart["points"].as_array().expect("points").iter().map(|it| &it["series"]).collect();
        assert_eq!(series, ["Backlog", "Review"], "those that cards have left, from left to right");
        must_agree(&expected_of_states(&app, FACTS).await, &shown_of_states(&app).await);
        let stale = "
            select count(*) from analytics.fact_entries as f join analytics.dim_states as s using (state_id)
            where f.state <> s.name";
        assert_eq!(app.database.number(stale).await, 0, "cards are where their states are called so now");
    });
}

#[test]
fn a_movement_that_is_told_by_names_alone_is_of_the_states_that_are_called_so() {
    const TOLD: &str = "
        insert into public.activities (board_id, subject, action, entry_id, detail)
        select board_id, 'entry', 'moved', id, '{\"from\": \"Backlog\", \"to\": \"Review\"}' from public.entries;
        insert into public.activities (board_id, subject, action, entry_id, detail)
        select board_id, 'entry', 'moved', id, '{\"from\": \"Review\", \"to\": \"Elsewhere\", \"to_id\": \"none\"}'
        from public.entries";
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        ada.entry(&board, json!({"title": "One"})).await;
        app.database.execute(TOLD).await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(flow(&app, &ada, &board).await, counts(&[("Elsewhere", 1)]));
        let states = ada.states(&board).await;
        let spans = app.select("select state from analytics.fact_spans order by place").await;
        let spans: Vec<_> = spans.iter().map(|span| &span["state"]).collect();
        assert_eq!(spans, [&json!(states[0]), &json!(states[2]), &json!("Elsewhere")]);
    });
}
