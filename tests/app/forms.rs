//! What is not quite as the document has it is refused, and named.

use hyper::Method;
use serde_json::{Value, json};

use super::house::App;
use crate::fixture::scenario;

#[test]
fn what_cannot_be_is_the_requests_fault_and_not_the_servers() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let workflow = ada.get(&format!("/v1/boards/{board}/workflow")).await.must(200);
        let states = &workflow["states"];
        let way = json!({"name": "hop", "from_state_id": states[0]["id"], "to_state_id": states[1]["id"]});
        let second = ada.post(&format!("/v1/boards/{board}/workflow/transitions"), way).await;
        assert_eq!(second.refused(409), "name_taken");
        // Moments of a time zone, a day or a year that are none, or that RFC 3339 has no text for in UTC.
        for moment in [
            "0931-12-31T.852:384.33-24:59",
            "2026-02-30T00:00:00Z",
            "9999-12-31T23:59:59-12:00",
            "2026-01-01T1Z",
        ] {
            let new = json!({"title": "One", "due_at": moment});
            let answer = ada.post(&format!("/v1/boards/{board}/entries"), new).await;
            assert_eq!(answer.must(422)["errors"][0]["field"], "due_at", "{moment}");
        }
        for query in ["until=0931-12-31T.852:384.33-24:59", "until=2026-02-30T00:00:00Z"] {
            let answer = ada.get(&format!("/v1/activities?{query}")).await;
            assert_eq!(answer.must(422)["errors"][0]["field"], "until", "{query}");
        }
        for query in ["limit=%2B5", "limit=05", "limit=5&limit=6"] {
            let answer = ada.get(&format!("/v1/activities?{query}")).await;
            assert_eq!(answer.must(422)["errors"][0]["field"], "limit", "{query}");
        }
    });
}

#[test]
fn versions_and_keys_are_read_as_they_are_written() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let path = format!("/v1/boards/{}", ada.board("Ferry").await);
        let change = || Some(json!({"description": "Across"}));
        let other = |words: &str| Some(json!({"description": words}));
        for tag in ["1", "\"01\"", "\"+1\"", "\"1", "\"0\"", "\"99999999999\"", "\"1\", \"2\""] {
            let answer = ada.ask(Method::PATCH, &path, change(), &[("if-match", tag)]).await;
            assert_eq!(answer.refused(400), "bad_request", "{tag}");
        }
        for key in ["", "two words"] {
            let answer = ada.ask(Method::PATCH, &path, change(), &[("idempotency-key", key)]).await;
            assert_eq!(answer.refused(422), "invalid_input", "{key:?}");
        }
        for (tag, version) in [("\"1\"", 2), ("W/\"2\"", 3), ("*", 4)] {
            let answer = ada.ask(Method::PATCH, &path, other(tag), &[("if-match", tag)]).await;
            assert_eq!(answer.must(200)["row"]["version"], version, "{tag}");
        }
    });
}

#[test]
fn what_says_nothing_changes_nothing_and_what_has_no_version_takes_none() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let category =
            ada.post(&format!("/v1/boards/{board}/categories"), json!({"name": "Hull"})).await.must(201);
        let workflow = ada.get(&format!("/v1/boards/{board}/workflow")).await.must(200);
        let entry = ada.entry(&board, json!({"title": "One"})).await;
        let before = app.everything().await;
        let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
        for (path, row) in [
            (format!("/v1/boards/{board}"), "board"),
            (format!("/v1/categories/{}", id(&category["row"])), "category"),
            (format!("/v1/workflow-states/{}", id(&workflow["states"][0])), "state"),
            (format!("/v1/workflow-transitions/{}", id(&workflow["transitions"][0])), "transition"),
            (format!("/v1/entries/{entry}"), "entry"),
            ("/v1/me".to_owned(), "person"),
            ("/v1/me/contact".to_owned(), "contact"),
        ] {
            ada.patch(&path, json!({})).await.must(200);
            assert_eq!(app.everything().await, before, "{row}");
        }
        let stale = ada
            .ask(Method::PATCH, &format!("/v1/boards/{board}"), Some(json!({})), &[("if-match", "\"9\"")])
            .await;
        assert_eq!(stale.refused(412), "stale_version");

        let role = Some(json!({"role": "viewer"}));
        app.person("ben").await;
        let path = format!("/v1/boards/{board}/members/ben");
        let answer = ada.ask(Method::PUT, &path, role.clone(), &[("if-match", "\"1\"")]).await;
        assert_eq!(answer.refused(400), "bad_request");
        let part = json!({"method": "PUT", "path": path, "body": role, "if_match": 1});
        let batch = ada.post("/v1/batch", json!({"commands": [part]})).await;
        assert!(batch.must(422)["errors"].to_string().contains("if_match"), "{batch:?}");
        ada.ask(Method::PUT, &path, role, &[("if-match", "*")]).await.must(201);

        let answer = ada.patch(&format!("/v1/entries/{entry}?title=Two"), json!({})).await;
        assert_eq!(answer.must(422)["errors"][0]["field"], "title");
    });
}

#[test]
fn no_text_that_postgresql_does_not_hold_gets_as_far() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        for (path, status) in [
            (format!("/v1/kpis/%00/series?board_id={board}"), 404),
            (format!("/v1/kpis/open/series?board_id={board}&item=%00"), 422),
            (format!("/v1/kpis/open/series?board_id={board}&from=%00"), 422),
            (format!("/v1/kpis/open/series?board_id={board}&to=%00"), 422),
            (format!("/v1/charts/%00?board_id={board}"), 404),
            ("/v1/activities?action=%00".to_owned(), 422),
        ] {
            assert_eq!(ada.get(&path).await.status, status, "{path}");
        }
    });
}

#[test]
fn a_batch_whose_rows_come_to_more_than_a_reply_may_hold_is_refused_whole() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "One", "body": "x".repeat(100_000)})).await;
        let rename = |number: usize| json!({"method": "PATCH", "path": format!("/v1/entries/{entry}"), "body": {"title": format!("{number}")}});
        let batch = |commands: usize| json!({"commands": (0..commands).map(rename).collect::<Vec<_>>()});
        assert_eq!(ada.post("/v1/batch", batch(100)).await.refused(413), "too_large");
        let kept = ada.get(&format!("/v1/entries/{entry}")).await.must(200);
        assert_eq!(kept["title"], "One", "{kept}");
        ada.post("/v1/batch", batch(50)).await.must(200);
    });
}
