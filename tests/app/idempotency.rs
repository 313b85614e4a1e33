//! A command that comes again under its key is answered as it was answered first.

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};

use super::house::{Answer, Api, App};
use crate::fixture::scenario;

const REPLAYED: &str = "idempotency-replayed";

async fn post(api: &Api, path: &str, body: &Value, key: &str) -> Answer {
    api.ask(Method::POST, path, Some(body.clone()), &[("idempotency-key", key)]).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.get(REPLAYED).is_some_and(|value| value == "true")
}

/// What the answer says, without the position: that one is as of the repeat.
fn said(answer: &Answer) -> (u16, Value, String) {
    (answer.status, answer.json(), answer.header("tidegate-tx").to_owned())
}

/// All answers are the same, and all but one say that they are repeats.
fn are_one(answers: &[Answer]) {
    let first = said(&answers[0]);
    assert!(answers.iter().all(|answer| said(answer) == first), "{answers:?}");
    let tags = answers.iter().map(|answer| answer.headers.get("etag"));
    assert!(tags.clone().all(|tag| tag == answers[0].headers.get("etag")), "{answers:?}");
    let replayed = answers.iter().filter(|answer| is_replayed(answer)).count();
    assert_eq!(replayed, answers.len() - 1);
}

#[test]
fn of_twenty_that_come_at_once_under_one_key_one_is_carried_out() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let path = format!("/v1/boards/{board}/entries");
        let body = json!({"title": "One"});
        let asked = (0..20).map(|_| {
            let (api, path, body) = (ada.apart(), &path, &body);
            async move { post(&api, path, body, "k1").await }
        });
        let answers = join_all(asked).await;
        assert_eq!(answers[0].status, 201);
        are_one(&answers);
        assert_eq!(app.database.number("select count(*) from entries").await, 1);
        let told = "select count(*) from activities where subject = 'entry'";
        assert_eq!(app.database.number(told).await, 1);
        // Also long after, and to another connection.
        let again = post(&ada.apart(), &path, &body, "k1").await;
        assert_eq!(said(&again), said(&answers[0]));
        assert!(is_replayed(&again));
    });
}

#[test]
fn a_key_is_one_requests_and_one_persons() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "member").await;
        let path = format!("/v1/boards/{board}/entries");
        let body = json!({"title": "One"});
        let first = post(&ada, &path, &body, "k").await;
        let entry = first.must(201)["row"]["id"].as_str().expect("an id").to_owned();
        let before = app.everything().await;
        let others = [
            (path.clone(), json!({"title": "Two"})),
            (format!("/v1/boards/{board}/categories"), json!({"name": "One"})),
        ];
        for (path, body) in &others {
            assert_eq!(post(&ada, path, body, "k").await.refused(422), "key_reused", "{path} {body}");
        }
        let versioned = [("idempotency-key", "k"), ("if-match", "\"1\"")];
        let entry_path = format!("/v1/entries/{entry}");
        let changed = ada.ask(Method::PATCH, &entry_path, Some(body.clone()), &versioned).await;
        assert_eq!(changed.refused(422), "key_reused");
        assert_eq!(app.everything().await, before);

        let bens = post(&ben, &path, &body, "k").await;
        assert!(!is_replayed(&bens));
        assert_ne!(bens.must(201)["row"]["id"], json!(entry));
        assert_eq!(said(&post(&ada, &path, &body, "k").await), said(&first));
        let long = "k".repeat(256);
        assert_eq!(post(&ada, &path, &body, &long).await.refused(422), "invalid_input");
    });
}

#[test]
fn a_refusal_leaves_the_key_free() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "viewer").await;
        let path = format!("/v1/boards/{board}/entries");
        let body = json!({"title": "One"});
        assert_eq!(post(&ben, &path, &body, "k").await.refused(403), "forbidden");
        assert_eq!(post(&ben, &path, &json!({"title": ""}), "k").await.refused(422), "invalid_input");
        assert_eq!(app.database.number("select count(*) from app.idempotency_keys").await, 0);
        ada.admit(&board, "ben", "member").await;
        let done = post(&ben, &path, &body, "k").await;
        assert!(done.status == 201 && !is_replayed(&done), "{done:?}");

        // Of those who come at once and are refused, too, none is in another's way.
        let state = ada.states(&board).await[1].clone();
        ada.patch(&format!("/v1/workflow-states/{state}"), json!({"wip_limit": 1})).await.must(200);
        let full = json!({"title": "Two", "state_id": state});
        ada.post(&path, full.clone()).await.must(201);
        let asked = (0..20).map(|_| {
            let (api, path, full) = (ada.apart(), &path, &full);
            async move { post(&api, path, full, "full").await }
        });
        let answers = join_all(asked).await;
        assert!(answers.iter().all(|answer| answer.refused(409) == "wip_limit"), "{answers:?}");
        ada.patch(&format!("/v1/workflow-states/{state}"), json!({"wip_limit": null})).await.must(200);
        assert_eq!(post(&ada, &path, &full, "full").await.status, 201);
    });
}

#[test]
fn a_batch_and_a_deletion_are_carried_out_once_under_their_keys() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let path = format!("/v1/boards/{board}/entries");
        let commands = [
            json!({"method": "POST", "path": path, "body": {"title": "One"}}),
            json!({"method": "POST", "path": path, "body": {"title": "Two"}}),
            json!({"method": "PATCH", "path": format!("/v1/boards/{board}"), "body": {"name": "Port"}, "if_match": 1}),
        ];
        let batch = json!({"commands": commands});
        let asked = (0..20).map(|_| {
            let (api, batch) = (ada.apart(), &batch);
            async move { post(&api, "/v1/batch", batch, "b").await }
        });
        let answers = join_all(asked).await;
        let results = answers[0].must(200)["results"].clone();
        assert_eq!(results.as_array().map(Vec::len), Some(3), "{results}");
        assert_eq!(results[2]["row"]["version"], 2);
        are_one(&answers);
        assert_eq!(app.database.number("select count(*) from entries").await, 2);

        let entry = results[0]["row"]["id"].as_str().expect("an id");
        let path = format!("/v1/entries/{entry}");
        let key = [("idempotency-key", "d")];
        let first = ada.ask(Method::DELETE, &path, None, &key).await;
        let again = ada.ask(Method::DELETE, &path, None, &key).await;
        assert_eq!(first.must(200), again.must(200));
        assert!(is_replayed(&again) && !is_replayed(&first));
        assert_eq!(ada.delete(&path).await.status, 404);
    });
}
