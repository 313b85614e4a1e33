//! Which column tells rows apart, and how much of a row the stream tells of what it was.

use serde_json::json;

use super::Live;
use crate::fixture::scenario;
use crate::server::Server;

#[test]
fn a_table_without_identity_is_never_published_and_its_updates_keep_working() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table keyless (a int, b text);
                 create table deferred (id int primary key deferrable, b text);
                 create table useless (id int primary key, b text);
                 alter table useless replica identity nothing;
                 insert into keyless values (1, 'x');
                 insert into deferred values (1, 'x');
                 insert into useless values (1, 'x');",
            )
            .await;
        let server = Server::start(&database).await;
        database
            .execute(
                "create table later (a int);
                 insert into later values (1);",
            )
            .await;
        for (table, message, hint) in [
            ("keyless", "neither a primary key nor an identity index", "primary key;"),
            ("deferred", "a deferrable primary key", "replica identity using index"),
            ("useless", "its replica identity does not use", "replica identity default;"),
            ("later", "neither a primary key nor an identity index", "primary key;"),
        ] {
            let error = Live::refused(&server, json!({"table": table, "snapshot": true})).await;
            assert_eq!(error["code"], "no_key", "{error}");
            assert!(error["message"].as_str().expect("one").contains(message), "{error}");
            assert!(error["hint"].as_str().expect("one").contains(hint), "{error}");
        }
        database
            .execute(
                "update keyless set b = 'y'; delete from keyless;
                 update deferred set b = 'y'; delete from deferred;
                 update useless set b = 'y'; delete from useless;
                 update later set a = 2; delete from later;",
            )
            .await;
    });
}

#[test]
fn a_table_is_subscribable_once_it_has_a_key_and_refused_once_it_lost_it() {
    scenario(async |test| {
        test.expect_in_log("no longer published");
        let database = test.database().await;
        database.execute("create table notes (id int, body text); insert into notes values (1, 'a')").await;
        let server = Server::start(&database).await;
        let error = Live::refused(&server, json!({"table": "notes", "snapshot": true})).await;
        assert_eq!(error["code"], "no_key", "{error}");
        database.execute("alter table notes add primary key (id)").await;
        let mut notes = Live::table(&server, "notes").await;
        database.execute("update notes set body = 'b'").await;
        notes.settle(&database).await;
        assert_eq!(notes.shown(&["id", "body"]), "1 b");

        database.execute("alter table notes drop constraint notes_pkey").await;
        let error = notes.until_error().await;
        assert_eq!(error["code"], "no_key", "{error}");
        database.execute("update notes set body = 'c'").await;
    });
}

#[test]
fn the_key_is_that_of_the_identity_index_where_one_is_set() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table users (id int primary key, email text not null unique, name text);
                 alter table users replica identity using index users_email_key;
                 insert into users values (1, 'a@x', 'Ann'), (2, 'b@x', 'Bob');",
            )
            .await;
        let server = Server::start(&database).await;
        let mut users = Live::table(&server, "users").await;
        assert_eq!(users.subscribed["key"], json!(["email"]));
        for sql in [
            "update users set id = 7 where id = 1",
            "update users set email = 'c@x' where id = 2",
            "delete from users where id = 7",
        ] {
            database.execute(sql).await;
        }
        users.settle(&database).await;
        assert_eq!(users.shown(&["email", "id"]), "c@x 2");
        let told = users.changes();
        assert_eq!(told[0]["op"], "update");
        assert_eq!(told[0]["row"], json!({"id": 7, "email": "a@x", "name": "Ann"}));
        assert_eq!(told[1], json!({"op": "delete", "key": {"email": "b@x"}}));
        assert_eq!(told[2], json!({"op": "insert", "row": {"id": 2, "email": "c@x", "name": "Bob"}}));
        assert_eq!(told[3], json!({"op": "delete", "key": {"email": "a@x"}}));

        database.execute("alter table users replica identity default").await;
        users.resynced("schema_changed").await;
        assert_eq!(users.subscribed["key"], json!(["id"]));
    });
}

#[test]
fn a_filter_that_the_old_image_cannot_answer_is_refused_also_in_mid_stream() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table cards (id int primary key, board int, title text);
                 alter table cards replica identity full;
                 insert into cards values (1, 7, 'a'), (2, 8, 'b');",
            )
            .await;
        let server = Server::start(&database).await;
        let mut board = Live::filtered(&server, "cards", "board = 7").await;
        let mut by_key = Live::filtered(&server, "cards", "id = 1").await;
        database.execute("update cards set board = 7 where id = 2").await;
        board.settle(&database).await;
        assert_eq!(board.shown(&["id"]), "1, 2");

        database
            .execute(
                "alter table cards replica identity default;
                 update cards set board = 9 where id = 1;",
            )
            .await;
        let error = board.until_error().await;
        assert_eq!(error["code"], "replica_identity", "{error}");
        assert_eq!(error["hint"], r#"alter table "public"."cards" replica identity full;"#);
        by_key.resynced("schema_changed").await;
        by_key.settle(&database).await;
        assert_eq!(by_key.shown(&["id", "board"]), "1 9");
        let error =
            Live::refused(&server, json!({"table": "cards", "where": "board = 7", "snapshot": true})).await;
        assert_eq!(error["code"], "replica_identity", "{error}");

        database.execute("alter table cards replica identity full").await;
        by_key.resynced("schema_changed").await;
        let board = Live::filtered(&server, "cards", "board = 7").await;
        assert_eq!(board.shown(&["id"]), "2");
    });
}

/// A value that PostgreSQL keeps out of line: random, so that it does not compress.
const LARGE: &str = "(select string_agg(md5(random()::text), '') from generate_series(1, 500))";

#[test]
fn a_large_value_that_did_not_change_is_filled_in_or_named() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(&format!(
                "create table told (id int primary key, n int, body text);
                 create table untold (id int primary key, n int, body text);
                 alter table told replica identity full;
                 insert into told values (1, 0, {LARGE});
                 insert into untold select * from told;"
            ))
            .await;
        let server = Server::start(&database).await;
        let mut told = Live::table(&server, "told").await;
        let mut untold = Live::table(&server, "untold").await;
        let body = told.shown(&["body"]);
        assert_eq!(body.len(), 16_000);
        database.execute("update told set n = 1; update untold set n = 1").await;
        told.settle(&database).await;
        untold.settle(&database).await;
        let change = &told.changes()[0];
        assert_eq!(change["row"]["body"], body.as_str());
        assert_eq!(change["changed"], json!(["n"]));
        assert_eq!(change.get("unchanged"), None);
        let change = &untold.changes()[0];
        assert_eq!(change["row"], json!({"id": 1, "n": 1}));
        assert_eq!(change["unchanged"], json!(["body"]));
        assert_eq!(change.get("changed"), None);
        assert_eq!(told.shown(&["n", "body"]), untold.shown(&["n", "body"]));
    });
}

#[test]
fn an_insert_never_lacks_a_large_value() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(&format!(
                "create table told (id int primary key, n int, body text);
                 create table untold (id int primary key, n int, body text);
                 alter table told replica identity full;
                 insert into told values (1, 0, {LARGE});
                 insert into untold select * from told;"
            ))
            .await;
        let server = Server::start(&database).await;
        let mut told = Live::table(&server, "told").await;
        let mut entered = Live::filtered(&server, "told", "n = 1").await;
        let mut untold = Live::table(&server, "untold").await;
        let mut slim =
            Live::open(&server, json!({"table": "untold", "columns": ["n"], "snapshot": true})).await;
        let body = told.shown(&["body"]);
        database.execute("update told set id = 2, n = 1; update untold set id = 2").await;
        told.settle(&database).await;
        assert_eq!(told.shown(&["id", "body"]), format!("2 {body}"));
        entered.settle(&database).await;
        assert_eq!(entered.shown(&["id", "body"]), format!("2 {body}"));
        untold.resynced("schema_changed").await;
        assert_eq!(untold.shown(&["id", "body"]), format!("2 {body}"));
        slim.settle(&database).await;
        assert_eq!((slim.shown(&["id"]).as_str(), slim.types()), ("2", vec!["changes"]), "it needs no body");
    });
}
