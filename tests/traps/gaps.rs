//! Publications that leave changes out for a while.

use serde_json::json;

use super::Live;
use crate::client::Client;
use crate::fixture::{Database, eventually, scenario};
use crate::server::Server;

const NOTES: &str = "create table notes (id int primary key, body text);
                     alter table notes replica identity full;
                     create table others (id int primary key, body text);
                     insert into notes values (1, 'a'), (2, 'b');
                     insert into others values (1, 'a');";

/// A server that looks often, on its own publication of `notes` and `others`.
async fn kept(database: &Database) -> Server {
    database.execute(NOTES).await;
    Server::start_with(database, &[("catalog.refresh_ms", "100")]).await
}

/// The same on a publication of the user's own.
async fn users(database: &Database) -> Server {
    let creation = format!("create publication {} for table notes, others", database.publication());
    database.execute(NOTES).await;
    database.execute(&creation).await;
    Server::start_with(database, &[("catalog.refresh_ms", "100")]).await
}

#[test]
fn what_was_done_to_a_table_while_it_was_not_published_is_told_by_a_resync() {
    scenario(async |test| {
        let database = test.database().await;
        let server = kept(&database).await;
        let publication = database.publication();
        let mut notes = Live::table(&server, "notes").await;
        let mut others = Live::table(&server, "others").await;
        for (back, body) in [("", "x"), ("add table notes", "y"), ("", "z")] {
            let back = if back.is_empty() {
                String::new()
            } else {
                format!("alter publication {publication} {back};")
            };
            database
                .execute(&format!(
                    "begin;
                     alter publication {publication} drop table notes;
                     update notes set body = '{body}' where id = 1;
                     {back}
                     commit;"
                ))
                .await;
            notes.resynced("schema_changed").await;
            assert_eq!(notes.shown(&["id", "body"]), format!("1 {body}, 2 b"));
        }
        // It starts over once.
        notes.forget();
        database.execute("update notes set body = 'c' where id = 2; update others set body = 'c'").await;
        notes.settle(&database).await;
        others.settle(&database).await;
        assert_eq!((notes.shown(&["body"]).as_str(), notes.types()), ("z, c", vec!["changes"]));
        assert_eq!(others.types(), ["changes"], "who is not concerned sees nothing");
    });
}

#[test]
fn what_our_publication_left_out_until_it_was_put_right_is_told_by_a_resync() {
    scenario(async |test| {
        let database = test.database().await;
        let server = kept(&database).await;
        let mut notes = Live::table(&server, "notes").await;
        let mut others = Live::table(&server, "others").await;
        database
            .execute(&format!(
                "begin;
                 alter publication {} set (publish = 'insert');
                 update notes set body = 'x' where id = 1;
                 delete from others;
                 commit;",
                database.publication()
            ))
            .await;
        notes.resynced("schema_changed").await;
        others.resynced("schema_changed").await;
        assert_eq!(notes.shown(&["id", "body"]), "1 x, 2 b");
        assert_eq!(others.count(), 0);
        notes.forget();
        database.execute("update notes set body = 'c' where id = 2").await;
        notes.settle(&database).await;
        assert_eq!((notes.shown(&["body"]).as_str(), notes.types()), ("x, c", vec!["changes"]));
    });
}

#[test]
fn what_a_users_publication_did_not_hold_before_it_was_made_anew_is_told_by_a_resync() {
    scenario(async |test| {
        let database = test.database().await;
        let server = users(&database).await;
        let publication = database.publication();
        let mut notes = Live::table(&server, "notes").await;
        database
            .execute(&format!(
                "begin;
                 alter publication {publication} drop table notes;
                 update notes set body = 'x' where id = 1;
                 drop publication {publication};
                 create publication {publication} for table notes, others;
                 commit;"
            ))
            .await;
        notes.resynced("schema_changed").await;
        assert_eq!(notes.shown(&["id", "body"]), "1 x, 2 b");
    });
}

#[test]
fn what_a_schema_of_a_users_publication_held_meanwhile_is_told_by_a_resync() {
    scenario(async |test| {
        let database = test.database().await;
        if database.number("select current_setting('server_version_num')::bigint").await < 150_000 {
            return;
        }
        let publication = database.publication();
        database.execute(NOTES).await;
        database
            .execute(&format!(
                "create schema app;
                 create table app.apart (id int primary key);
                 create publication {publication} for tables in schema public, app"
            ))
            .await;
        let server = Server::start_with(&database, &[("catalog.refresh_ms", "100")]).await;
        let mut notes = Live::table(&server, "notes").await;
        let mut apart = Live::table(&server, "app.apart").await;
        database
            .execute(&format!(
                "begin;
                 alter publication {publication} drop tables in schema public;
                 update notes set body = 'x' where id = 1;
                 alter publication {publication} add tables in schema public;
                 commit;"
            ))
            .await;
        notes.resynced("schema_changed").await;
        assert_eq!(notes.shown(&["id", "body"]), "1 x, 2 b");
        apart.settle(&database).await;
        assert_eq!(apart.types(), Vec::<&str>::new(), "who is not concerned sees nothing");
    });
}

#[test]
fn while_a_users_publication_leaves_changes_out_nobody_is_served() {
    scenario(async |test| {
        test.expect_in_log("the publication leaves changes out");
        let database = test.database().await;
        let server = users(&database).await;
        let publication = database.publication();
        let mut notes = Live::table(&server, "notes").await;
        database.execute(&format!("alter publication {publication} set (publish = 'insert')")).await;
        let error = notes.until_error().await;
        assert_eq!(error["code"], "unknown_table", "{error}");
        assert!(error["message"].as_str().expect("one").contains("it leaves out update, delete"), "{error}");
        let hint = error["hint"].as_str().expect("one").to_owned();
        let error = Live::refused(&server, json!({"table": "others", "snapshot": true})).await;
        assert_eq!(error["code"], "unknown_table", "{error}");

        database
            .execute("update notes set body = 'x' where id = 1; alter table notes add column n int")
            .await;
        database.execute(&hint).await;
        let mut notes = eventually("the tables are there again", async || {
            let mut client = Client::connect(server.address()).await;
            client.subscribe(json!({"id": "it", "table": "notes"})).await;
            let frame = client.next().await.expect("the connection lives");
            if frame["type"] != "subscribed" {
                return None;
            }
            Some(Live::table(&server, "notes").await)
        })
        .await;
        assert_eq!(notes.columns(), ["id", "body", "n"], "definitions are followed again");
        assert_eq!(notes.shown(&["id", "body"]), "1 x, 2 b");
        database.execute("update notes set body = 'c' where id = 2").await;
        notes.settle(&database).await;
        assert_eq!(notes.shown(&["id", "body"]), "1 x, 2 c");
    });
}

#[test]
fn a_table_that_is_locked_when_it_should_be_published_is_published_later() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(NOTES).await;
        // As `vacuum` and `create index concurrently` hold it.
        let busy = database.client().await;
        busy.batch_execute("begin; lock table notes in share update exclusive mode").await.expect("free");
        let server = Server::start_with(&database, &[("catalog.refresh_ms", "100")]).await;
        let mut others = Live::table(&server, "others").await;
        let error = Live::refused(&server, json!({"table": "notes", "snapshot": true})).await;
        assert_eq!(error["code"], "unknown_table", "{error}");
        assert!(test.logged("not published yet"));
        database.execute("update others set body = 'b'").await;
        others.settle(&database).await;
        assert_eq!(others.shown(&["body"]), "b", "all others are served");
        // Nothing in the catalog changes by it.
        busy.batch_execute("commit").await.expect("open");
        let mut notes = eventually("it is published", async || {
            let sql = format!(
                "select count(*) from pg_publication_tables where pubname = '{}' and tablename = 'notes'",
                database.publication()
            );
            (database.number(&sql).await == 1).then_some(())?;
            Some(Live::table(&server, "notes").await)
        })
        .await;
        database.execute("update notes set body = 'c' where id = 2").await;
        notes.settle(&database).await;
        assert_eq!(notes.shown(&["id", "body"]), "1 a, 2 c");
        assert_eq!(others.types(), ["changes"], "who is not concerned sees nothing");
    });
}
