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

#[test]
fn what_is_shown_by_its_number_is_what_its_list_shows() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "One"})).await;
        ada.post(&format!("/v1/entries/{entry}/comments"), json!({"body": "Look"})).await.must(201);
        ada.post(&format!("/v1/boards/{board}/categories"), json!({"name": "Hull"})).await.must(201);
        let rule = "B0A9C0DE-2F0E-4A54-9D5E-7A1F3C5D7E9B";
        ada.put(&format!("/v1/alert-rules/{rule}"), json!({"kind": "overdue"})).await.must(201);
        let told = "insert into public.notifications (user_id, kind, about) values ('ada', 'test', 'x')";
        app.sql.batch_execute(told).await.expect("the superuser may");
        for (list, rows, one) in [
            (format!("/v1/entries/{entry}/comments"), "rows", "/v1/comments/"),
            (format!("/v1/boards/{board}/categories"), "rows", "/v1/categories/"),
            (format!("/v1/boards/{board}/workflow"), "states", "/v1/workflow-states/"),
            (format!("/v1/boards/{board}/workflow"), "transitions", "/v1/workflow-transitions/"),
            ("/v1/alert-rules".to_owned(), "rows", "/v1/alert-rules/"),
            ("/v1/notifications".to_owned(), "rows", "/v1/notifications/"),
            ("/v1/users".to_owned(), "rows", "/v1/users/"),
        ] {
            let listed = app.fresh(&ada, &list).await.must(200)[rows].clone();
            let listed = listed.as_array().expect("rows");
            assert!(!listed.is_empty(), "{list}");
            for row in listed {
                let path = format!("{one}{}", row["id"].as_str().expect("an id"));
                let shown = app.fresh(&ada, &path).await;
                assert_eq!(shown.must(200), *row, "{path}");
                let version = row["version"].as_i64().map(|version| format!("\"{version}-"));
                let tag = shown.header("etag");
                assert!(version.is_none_or(|version| tag.starts_with(&version)), "{path}: {tag}");
            }
        }
        // The same rule, however its name is written; and what is a command is no row.
        assert_eq!(ada.get(&format!("/v1/alert-rules/{rule}")).await.must(200)["kind"], "overdue");
        let refused = ada.get("/v1/notifications/read").await;
        assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
        for nothing in ["/v1/comments/0", "/v1/comments/9999", "/v1/alert-rules/7", "/v1/users/nobody"] {
            assert_eq!(ada.get(nothing).await.refused(404), "not_found", "{nothing}");
        }
    });
}
