//! What is not quite as the document has it is refused, and named.

use hyper::Method;
use serde_json::json;

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
        for tag in ["1", "\"01\"", "\"+1\"", "\"1", "\"0\"", "\"99999999999\"", "\"1\", \"2\""] {
            let answer = ada.ask(Method::PATCH, &path, change(), &[("if-match", tag)]).await;
            assert_eq!(answer.refused(400), "bad_request", "{tag}");
        }
        for key in ["", "two words"] {
            let answer = ada.ask(Method::PATCH, &path, change(), &[("idempotency-key", key)]).await;
            assert_eq!(answer.refused(422), "invalid_input", "{key:?}");
        }
        for (tag, version) in [("\"1\"", 2), ("W/\"2\"", 3), ("*", 4)] {
            let answer = ada.ask(Method::PATCH, &path, change(), &[("if-match", tag)]).await;
            assert_eq!(answer.must(200)["row"]["version"], version, "{tag}");
        }
    });
}
