//! Relations whose changes the stream does not carry, or not as one would think.

use serde_json::json;

use super::Live;
use crate::fixture::{Database, scenario};
use crate::server::Server;

async fn refused(server: &Server, table: &str, code: &str, message: &str) {
    let error = Live::refused(server, json!({"table": table, "snapshot": true})).await;
    assert_eq!((&error["code"], &error["message"]), (&json!(code), &json!(message)));
}

#[test]
fn what_is_no_table_to_follow_is_refused_by_its_kind() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table plain (id int primary key);
                 create view seen as select * from plain;
                 create materialized view kept as select * from plain;
                 create unlogged table fast (id int primary key);
                 create table parent (id int primary key);
                 create table child (extra int, primary key (id)) inherits (parent);
                 create extension file_fdw;
                 create server files foreign data wrapper file_fdw;
                 create foreign table far (line text) server files options (filename '/dev/null');
                 create extension postgres_fdw;
                 create server elsewhere foreign data wrapper postgres_fdw;
                 create foreign table farther (id int) server elsewhere;",
            )
            .await;
        let server = Server::start(&database).await;
        let holder = database.client().await;
        holder.batch_execute("create temporary table draft (id int primary key)").await.expect("may");
        for (table, kind) in [
            ("seen", "a view"),
            ("kept", "a materialized view"),
            ("fast", "an unlogged table"),
            ("parent", "a table that others inherit from"),
            ("child", "a table that inherits from another"),
            ("far", "a foreign table"),
            ("farther", "a foreign table"),
            ("pg_catalog.pg_class", "a system catalog"),
        ] {
            let name = if table.contains('.') { table.to_owned() } else { format!("public.{table}") };
            let message = format!("{name} is {kind}, which cannot be followed");
            refused(&server, table, "relation_unsupported", &message).await;
        }
        refused(
            &server,
            "pg_temp.draft",
            "relation_unsupported",
            "pg_temp.draft is a temporary table, which cannot be followed",
        )
        .await;
        database
            .execute("update fast set id = 1; insert into child values (1, 2); update child set extra = 3")
            .await;

        database.execute("alter table fast set logged").await;
        let mut fast = Live::table(&server, "fast").await;
        database.execute("insert into fast values (1)").await;
        fast.settle(&database).await;
        assert_eq!(fast.shown(&["id"]), "1");
    });
}

async fn streams_generated(database: &Database) -> bool {
    database.number("select current_setting('server_version_num')::bigint").await >= 180_000
}

#[test]
fn a_stored_generated_column_is_nowhere_where_the_stream_lacks_it() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table prices (id int primary key, net int, gross int generated always as (net * 2) stored);
                 alter table prices replica identity full;
                 insert into prices (id, net) values (1, 5);",
            )
            .await;
        if streams_generated(&database).await {
            return;
        }
        let server = Server::start(&database).await;
        let mut prices = Live::table(&server, "prices").await;
        assert_eq!(prices.columns(), ["id", "net"]);
        database
            .execute("insert into prices (id, net) values (2, 6); update prices set net = 7 where id = 1")
            .await;
        prices.settle(&database).await;
        assert_eq!(prices.shown(&["id", "net", "gross"]), "1 7 ?, 2 6 ?");
        for fields in [
            json!({"table": "prices", "where": "gross = 10", "snapshot": true}),
            json!({"table": "prices", "columns": ["gross"], "snapshot": true}),
            json!({"table": "prices", "snapshot": {"order_by": "gross", "limit": 1}}),
        ] {
            let error = Live::refused(&server, fields).await;
            assert_eq!(error["code"], "unknown_column", "{error}");
        }
    });
}
