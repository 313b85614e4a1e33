//! What happens while a command goes on: each test holds another transaction open until the command waits for it.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::house::{Answer, App};
use crate::fixture::{eventually, scenario};

/// Asks while a transaction that has run `sql` is open, and ends that once the command waits for it.
async fn meanwhile(app: &App, sql: &str, command: impl Future<Output = Answer>) -> Answer {
    const WAITS: &str = "
        select count(*)
        from pg_stat_activity
        where datname = current_database()
          and wait_event_type = 'Lock'";
    let other = app.database.client().await;
    other.batch_execute(&format!("begin; {sql}")).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let ends = async {
        eventually("the command waits", async || (app.database.number(WAITS).await > 0).then_some(())).await;
        other.batch_execute("commit").await.expect("it is open");
    };
    join(command, ends).await.0
}

#[test]
fn nobody_answers_for_an_entry_who_leaves_while_they_are_assigned() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "member").await;
        let entry = ada.entry(&board, json!({"title": "One"})).await;
        let path = format!("/v1/entries/{entry}");

        let leaves = "delete from board_members where user_id = 'ben'";
        let refused = meanwhile(&app, leaves, ada.patch(&path, json!({"assignee_id": "ben"}))).await;
        assert_eq!(refused.refused(422), "invalid_input");
        assert_eq!(refused.json()["errors"][0]["field"], "assignee_id");

        ada.admit(&board, "ben", "member").await;
        let assigned = "update entries set assignee_id = 'ben'";
        let member = format!("/v1/boards/{board}/members/ben");
        meanwhile(&app, assigned, ben.delete(&member)).await.must(200);
        let row = app.fresh(&ada, &path).await.must(200);
        assert_eq!((&row["assignee_id"], &row["version"]), (&Value::Null, &json!(3)));
    });
}

#[test]
fn what_is_deleted_while_something_comes_to_it_is_not_found_and_no_error_of_the_server() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "One"})).await;
        let gone = format!("delete from entries where id = {entry}");
        let comments = format!("/v1/entries/{entry}/comments");
        let answer = meanwhile(&app, &gone, ada.post(&comments, json!({"body": "Late"}))).await;
        assert_eq!(answer.refused(404), "not_found");

        let states = ada.states(&board).await;
        let gone = format!("delete from workflow_states where id = {}", states[2]);
        let late = json!({"title": "Late", "state_id": states[2]});
        let answer = meanwhile(&app, &gone, ada.post(&format!("/v1/boards/{board}/entries"), late)).await;
        assert_eq!(answer.refused(409), "in_use");

        let gone = format!("delete from boards where id = {board}");
        let names = json!({"commands": [
            {"method": "POST", "path": "/v1/boards", "body": {"name": "Port"}},
            {"method": "POST", "path": format!("/v1/boards/{board}/categories"), "body": {"name": "Late"}},
        ]});
        let answer = meanwhile(&app, &gone, ada.post("/v1/batch", names)).await;
        assert_eq!(answer.refused(404), "not_found");
        assert_eq!(answer.json()["index"], 1);
        assert_eq!(app.database.number("select count(*) from boards").await, 0);
    });
}

#[test]
fn twenty_that_move_to_one_place_at_once_all_come_there_each_to_a_place_of_its_own() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let states = ada.states(&board).await;
        let first = ada.entry(&board, json!({"title": "First", "state_id": states[1]})).await;
        let mut moves = Vec::new();
        for number in 0..20 {
            let entry = ada.entry(&board, json!({"title": format!("{number}")})).await;
            let (api, first, state) = (ada.apart(), first.clone(), states[1].clone());
            let body = json!({"state": state, "after": first});
            moves.push(async move { api.post(&format!("/v1/entries/{entry}/move"), body).await });
        }
        for answer in join_all(moves).await {
            answer.must(200);
        }
        let places = format!(
            "select count(distinct position) filter (where position > (select position from entries where id = {first}))
             from entries
             where state_id = {}",
            states[1]
        );
        assert_eq!(app.database.number(&places).await, 20);
        assert_eq!(app.database.number("select count(*) from activities where action = 'moved'").await, 20);
    });
}
