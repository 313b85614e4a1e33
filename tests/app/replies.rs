//! What is answered to a command: the row, its version, and the transaction that comes round on the stream.

use serde_json::json;

use super::house::App;
use crate::client::Mirror;
use crate::fixture::scenario;

#[test]
fn a_reply_names_the_transaction_and_the_position_that_come_round_on_the_stream() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let mut client = app.socket(&ada).await;
        let fields = json!({"table": "public.entries", "where": "board_id = $1", "params": [board]});
        let mut entries = Mirror::new("entries", fields);
        client.send(&entries.request()).await;
        while !entries.is_live() {
            entries.apply(&client.next().await.expect("it lives"));
        }
        let answer = ada.post(&format!("/v1/boards/{board}/entries"), json!({"title": "One"})).await;
        let reply = answer.must(201);
        assert_eq!(answer.header("tidegate-tx"), reply["tx"]);
        assert_eq!(answer.header("etag"), "\"1\"");
        let told = client.expect("changes").await;
        assert_eq!(told["tx"]["id"], reply["tx"]);
        assert_eq!(told["changes"][0]["row"], reply["row"], "values are written alike");
        // No subscription shows what comes next: `await` tells all the same.
        let answer = ada.put("/v1/me/preferences", json!({"preferences": {"dark": true}})).await;
        answer.must(201);
        let lsn = answer.header("tidegate-lsn").parse().expect("a position");
        client.await_lsn(lsn, |frame| panic!("{frame}")).await;
        let read = ada.get("/v1/me/preferences").await.must(200);
        assert_eq!(read["preferences"], json!({"dark": true}));
    });
}

#[test]
fn a_stale_version_is_answered_with_the_row_as_it_is_and_changes_nothing() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "One"})).await;
        let path = format!("/v1/entries/{entry}");
        let second = ada.patch(&path, json!({"title": "Two", "version": 1})).await.must(200);
        assert_eq!(second["row"]["version"], 2);
        let stale = ada.patch(&path, json!({"title": "Three", "version": 1})).await;
        assert_eq!(stale.refused(412), "stale_version");
        assert_eq!(stale.json()["current"], second["row"]);
        let headers = [("if-match", "\"1\"")];
        for (method, path, body) in [
            ("PATCH", path.clone(), Some(json!({"title": "Three"}))),
            ("DELETE", path.clone(), None),
            ("POST", format!("{path}/move"), Some(json!({}))),
            ("POST", format!("{path}/transitions/start"), Some(json!({}))),
        ] {
            let method = method.parse().expect("a method");
            let answer = ada.ask(method, &path, body, &headers).await;
            assert_eq!(answer.refused(412), "stale_version", "{path}");
        }
        let both = ada.ask(hyper::Method::PATCH, &path, Some(json!({"version": 2})), &headers).await;
        assert_eq!(both.refused(422), "invalid_input");
        assert_eq!(ada.get(&path).await.must(200), second["row"]);
    });
}
