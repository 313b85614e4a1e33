//! Publications that are the user's own.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use super::Live;
use crate::fixture::{Database, scenario};
use crate::server::Server;

async fn is_before(database: &Database, version: i64) -> bool {
    database.number("select current_setting('server_version_num')::bigint").await < version
}

#[test]
fn a_users_column_list_and_row_filter_hold_in_snapshots_and_changes() {
    scenario(async |test| {
        let database = test.database().await;
        if is_before(&database, 150_000).await {
            return;
        }
        database
            .execute(&format!(
                "create table notes (id int primary key, state text, body text, secret text);
                 create table listed (id int primary key, body text, secret text);
                 alter table notes replica identity full;
                 insert into notes values (1, 'open', 'a', 's'), (2, 'closed', 'b', 's');
                 insert into listed values (1, 'a', 's');
                 create publication {} for table notes where (state = 'open'), table listed (id, body);",
                database.publication()
            ))
            .await;
        let server = Server::start(&database).await;
        let mut notes = Live::table(&server, "notes").await;
        let mut listed = Live::table(&server, "listed").await;
        assert_eq!(notes.shown(&["id"]), "1");
        assert_eq!(listed.columns(), ["id", "body"]);
        assert_eq!(listed.shown(&["id", "body", "secret"]), "1 a ?");
        database
            .execute(
                "insert into notes values (3, 'open', 'c', 's'), (4, 'closed', 'd', 's');
                 insert into listed values (2, 'b', 's');",
            )
            .await;
        database.execute("update notes set state = 'open' where id = 2").await;
        database
            .execute("update notes set state = 'closed' where id = 1; update listed set secret = 't'")
            .await;
        notes.settle(&database).await;
        listed.settle(&database).await;
        assert_eq!(notes.shown(&["id"]), "2, 3");
        assert_eq!(listed.shown(&["id", "body", "secret"]), "1 a ?, 2 b ?");
        let error =
            Live::refused(&server, json!({"table": "listed", "where": "secret = 's'", "snapshot": true}))
                .await;
        assert_eq!(error["code"], "unknown_column", "{error}");
        let error =
            Live::refused(&server, json!({"table": "listed", "where": "body = 'a'", "snapshot": true})).await;
        assert_eq!(error["code"], "replica_identity", "{error}");
        assert_eq!(error.get("hint"), None, "full images do not go with a column list");

        database
            .execute(&format!(
                "alter publication {} set table notes where (id > 2), listed (id, secret)",
                database.publication()
            ))
            .await;
        notes.resynced("schema_changed").await;
        listed.resynced("schema_changed").await;
        assert_eq!(notes.shown(&["id"]), "3, 4");
        assert_eq!(listed.shown(&["id", "body", "secret"]), "1 ? t, 2 ? t");
    });
}

#[test]
fn a_table_that_the_users_publication_leaves_out_is_refused_and_added_by_its_owner_alone() {
    scenario(async |test| {
        let database = test.database().await;
        let publication = database.publication();
        database
            .execute(&format!(
                "create table within (id int primary key);
                 create table without (id int primary key);
                 create publication {publication} for table within;"
            ))
            .await;
        let server = Server::start(&database).await;
        let error = Live::refused(&server, json!({"table": "without", "snapshot": true})).await;
        assert_eq!(error["code"], "unknown_table", "{error}");
        assert!(error["hint"].as_str().expect("one").contains("alter publication"), "{error}");
        let members = format!("select count(*) from pg_publication_tables where pubname = '{publication}'");
        assert_eq!(database.number(&members).await, 1, "it is not ours to alter");
        database.execute(&format!("alter publication {publication} add table without")).await;
        let mut without = Live::table(&server, "without").await;
        database.execute("insert into without values (1)").await;
        without.settle(&database).await;
        assert_eq!(without.shown(&["id"]), "1");
    });
}

/// Starts the program on the database, where it must not come up, and gives what it says.
async fn refused_at_start(database: &Database) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .arg("serve")
        .env("TIDEGATE__POSTGRES__URL", database.url())
        .env("TIDEGATE__POSTGRES__SLOT", database.slot())
        .env("TIDEGATE__POSTGRES__PUBLICATION", database.publication())
        .env("TIDEGATE__HTTP__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output =
        timeout(Duration::from_secs(30), command.output()).await.expect("it ends").expect("it starts");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{said}");
    said
}

#[test]
fn a_publication_that_would_make_the_stream_lie_is_refused_at_start() {
    scenario(async |test| {
        let database = test.database().await;
        let publication = database.publication();
        database
            .execute(&format!(
                "create table notes (id int primary key);
                 create publication {publication} for table notes with (publish = 'insert, update');"
            ))
            .await;
        let said = refused_at_start(&database).await;
        assert!(said.contains("delete") && said.contains("truncate"), "{said}");
        assert!(said.contains("alter publication"), "{said}");
        database
            .execute(&format!(
                "drop publication {publication};
                 create table parts (id int primary key) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create publication {publication} for table notes, parts;"
            ))
            .await;
        let said = refused_at_start(&database).await;
        assert!(said.contains("publish_via_partition_root") && said.contains("public.parts"), "{said}");
        let slots =
            format!("select count(*) from pg_replication_slots where slot_name = '{}'", database.slot());
        assert_eq!(database.number(&slots).await, 0, "nothing is left behind");
    });
}
