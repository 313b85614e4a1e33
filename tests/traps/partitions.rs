//! Partitioned tables: one table to subscribers, many to PostgreSQL.

use serde_json::json;

use super::Live;
use crate::fixture::{Database, scenario};
use crate::server::Server;

const EVENTS: &str = "
    create table events (id int, region text, note text, body text, primary key (id, region))
      partition by list (region);
    create table events_eu partition of events for values in ('eu') partition by range (id);
    create table events_eu_1 partition of events_eu for values from (0) to (100);
    create table events_us partition of events for values in ('us');
    create table apart (id int, region text, note text, body text, primary key (id, region));
    insert into events values (1, 'eu', 'a'), (2, 'us', 'b');
    insert into apart values (3, 'asia', 'c');";

const FULL: &str = "
    alter table events replica identity full;
    alter table events_eu replica identity full;
    alter table events_eu_1 replica identity full;
    alter table events_us replica identity full;
    alter table apart replica identity full;";

/// A table of the user's, in several partitions, and its server.
async fn events(database: &Database) -> Server {
    database.execute(EVENTS).await;
    Server::start_with(database, &[("catalog.refresh_ms", "100")]).await
}

#[test]
fn partitions_come_under_the_name_of_their_root_and_are_refused_by_their_own() {
    scenario(async |test| {
        let database = test.database().await;
        let server = events(&database).await;
        let mut events = Live::table(&server, "events").await;
        database
            .execute(
                "insert into events values (3, 'eu', 'c');
                 insert into events_us values (4, 'us', 'd');
                 update events_us set note = 'e' where id = 2;
                 delete from events_eu_1 where id = 1;",
            )
            .await;
        events.settle(&database).await;
        assert_eq!(events.shown(&["id", "region", "note"]), "2 us e, 3 eu c, 4 us d");
        for leaf in ["events_eu_1", "events_us", "events_eu"] {
            let error = Live::refused(&server, json!({"table": leaf, "snapshot": true})).await;
            assert_eq!(error["code"], "relation_unsupported", "{error}");
            let message = format!("public.{leaf} is a partition of public.events: subscribe to that");
            assert_eq!(error["message"], message.as_str());
        }
    });
}

#[test]
fn a_move_across_partitions_under_one_key_is_an_update() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table jobs (id int, state text, body text) partition by list (state);
                 create table jobs_open partition of jobs for values in ('open');
                 create table jobs_done partition of jobs for values in ('done');
                 alter table jobs_open alter id set not null;
                 alter table jobs_done alter id set not null;
                 alter table jobs alter id set not null;
                 create table moved (id int, region text, n int, body text, primary key (id, region))
                   partition by list (region);
                 create table moved_a partition of moved for values in ('a');
                 create table moved_b partition of moved for values in ('b');
                 create table ranged (id int primary key, body text, n int) partition by range (id);
                 create table ranged_1 partition of ranged for values from (0) to (10);
                 create table ranged_2 partition of ranged for values from (10) to (20);
                 insert into moved select 1, 'a', 0, string_agg(md5(i::text), '') from generate_series(1, 500) i;
                 insert into ranged select 1, string_agg(md5(i::text), ''), 0 from generate_series(1, 500) i;",
            )
            .await;
        let server = Server::start(&database).await;
        let error = Live::refused(&server, json!({"table": "jobs", "snapshot": true})).await;
        assert_eq!(error["code"], "no_key", "a key of one partition is none of the whole");
        // Every unique key of a partitioned table holds the partition's columns: a move changes it.
        let mut moved = Live::table(&server, "moved").await;
        let body = moved.shown(&["body"]);
        database.execute("update moved set region = 'b', n = 1").await;
        moved.settle(&database).await;
        assert_eq!(moved.shown(&["id", "region", "n"]), "1 b 1");
        assert_eq!(moved.shown(&["body"]), body, "with its large value");
        let mut ranged = Live::table(&server, "ranged").await;
        database.execute("update ranged set id = 11").await;
        ranged.settle(&database).await;
        assert_eq!(ranged.shown(&["id"]), "11");
        // There and back again in one transaction: the same key.
        ranged.forget();
        database.execute("begin; update ranged set id = 1, n = 5; update ranged set id = 11; commit").await;
        ranged.settle(&database).await;
        let changes = ranged.changes();
        assert_eq!((changes.len(), &changes[0]["op"]), (1, &json!("update")), "{changes:?}");
        assert_eq!(ranged.shown(&["id", "n"]), "11 5");
    });
}

#[test]
fn a_move_across_partitions_by_an_expression_is_an_update() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table cards (id int not null, board int not null, title text, body text)
                   partition by list (board);
                 create table cards_1 partition of cards for values in (1);
                 create table cards_2 partition of cards for values in (2);
                 alter table cards add primary key (id, board);
                 alter table cards replica identity full;
                 alter table cards_1 replica identity full;
                 alter table cards_2 replica identity full;
                 insert into cards select i, 1, 'a', string_agg(md5(j::text), '')
                   from generate_series(1, 2) i, generate_series(1, 300) j group by i;",
            )
            .await;
        let server = Server::start(&database).await;
        let mut all = Live::table(&server, "cards").await;
        let mut second = Live::filtered(&server, "cards", "board = 2").await;
        database.execute("update cards set board = 2 where id = 1").await;
        all.settle(&database).await;
        second.settle(&database).await;
        assert_eq!(all.shown(&["id", "board"]), "1 2, 2 1");
        assert_eq!(second.shown(&["id", "board"]), "1 2");
        let ops: Vec<_> = all.changes().iter().map(|change| change["op"].clone()).collect();
        assert_eq!(ops, ["delete", "insert"], "the partition's column is part of the key");
    });
}

#[test]
fn one_leaf_without_full_identity_decides_for_the_whole() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(EVENTS).await;
        database.execute(FULL).await;
        database
            .execute(
                "alter table events_eu_1 replica identity default;
                 update events set body = (select string_agg(md5(i::text), '') from generate_series(1, 500) i);",
            )
            .await;
        let server = Server::start(&database).await;
        let error =
            Live::refused(&server, json!({"table": "events", "where": "note = 'a'", "snapshot": true})).await;
        assert_eq!(error["code"], "replica_identity", "{error}");
        assert_eq!(error["hint"], r#"alter table "public"."events_eu_1" replica identity full;"#);
        let mut events = Live::table(&server, "events").await;
        let bodies = events.shown(&["body"]);
        database.execute("update events set note = 'x'").await;
        events.settle(&database).await;
        assert_eq!(events.shown(&["id", "note"]), "1 x, 2 x");
        assert_eq!(events.shown(&["body"]), bodies, "large values are kept in every leaf");
        for change in events.changes() {
            assert_eq!(change.get("changed"), None, "an old image of one leaf lacks columns: {change}");
        }

        database.execute("alter table events_eu_1 replica identity full").await;
        events.resynced("schema_changed").await;
        let mut filtered = Live::filtered(&server, "events", "note = 'x'").await;
        database.execute("update events set note = 'y' where id = 1").await;
        filtered.settle(&database).await;
        assert_eq!(filtered.shown(&["id", "note"]), "2 x");
    });
}

#[test]
fn a_root_without_full_identity_decides_for_its_leaves() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(EVENTS).await;
        database.execute(FULL).await;
        database.execute("alter table events replica identity default").await;
        let server = Server::start(&database).await;
        let error =
            Live::refused(&server, json!({"table": "events", "where": "body is null", "snapshot": true}))
                .await;
        assert_eq!(error["code"], "replica_identity", "{error}");
        assert_eq!(error["hint"], r#"alter table "public"."events" replica identity full;"#);
        let mut events = Live::table(&server, "events").await;
        database.execute("update events set body = 'x' where id = 1; delete from events where id = 2").await;
        events.settle(&database).await;
        assert_eq!(events.shown(&["id", "body"]), "1 x");
        assert_eq!(events.changes()[0].get("changed"), None, "the stream tells of the key only");

        database.execute(error["hint"].as_str().expect("one")).await;
        events.resynced("schema_changed").await;
        let mut bare = Live::filtered(&server, "events", "body is null").await;
        database.execute("update events set body = null").await;
        bare.settle(&database).await;
        assert_eq!(bare.shown(&["id"]), "1");
        database.execute("update events set body = 'y'").await;
        bare.settle(&database).await;
        assert_eq!(bare.count(), 0);
    });
}

#[test]
fn what_was_done_to_a_partition_while_it_was_away_is_told_by_a_resync() {
    scenario(async |test| {
        let database = test.database().await;
        let server = events(&database).await;
        let mut events = Live::table(&server, "events").await;
        let mut apart = Live::table(&server, "apart").await;
        database
            .execute(
                "begin;
                 alter table events detach partition events_us;
                 update events_us set note = 'x';
                 alter table events attach partition events_us for values in ('us');
                 commit;",
            )
            .await;
        events.resynced("schema_changed").await;
        assert_eq!(events.shown(&["id", "note"]), "1 a, 2 x");
        database
            .execute(
                "begin;
                 alter table events detach partition events_eu;
                 update events_eu_1 set note = 'y';
                 alter table events attach partition events_eu for values in ('eu');
                 commit;",
            )
            .await;
        events.resynced("schema_changed").await;
        assert_eq!(events.shown(&["id", "note"]), "1 y, 2 x");
        apart.settle(&database).await;
        assert_eq!(apart.types(), Vec::<&str>::new(), "who is not concerned sees nothing");
    });
}

#[test]
fn what_happens_to_a_partition_without_a_word_is_told_by_a_resync() {
    scenario(async |test| {
        test.expect_in_log("no longer published");
        let database = test.database().await;
        let server = events(&database).await;
        let mut events = Live::table(&server, "events").await;
        let mut apart = Live::table(&server, "apart").await;
        for (sql, shown) in [
            ("alter table events attach partition apart for values in ('asia')", "1 eu a, 2 us b, 3 asia c"),
            ("alter table events detach partition events_us", "1 eu a, 3 asia c"),
            ("truncate events_eu_1", "3 asia c"),
            ("drop table apart", ""),
            ("create table events_asia partition of events for values in ('asia')", ""),
            ("alter table events attach partition events_us for values in ('us')", "2 us b"),
        ] {
            database.execute(sql).await;
            events.resynced("schema_changed").await;
            events.until_shown(&["id", "region", "note"], shown).await;
        }
        database.execute("insert into events values (5, 'asia', 'e')").await;
        events.settle(&database).await;
        assert_eq!(events.shown(&["id", "region", "note"]), "2 us b, 5 asia e");
        let error = apart.until_error().await;
        assert_eq!(error["code"], "relation_unsupported", "it became a partition: {error}");
    });
}

#[test]
fn a_detached_partition_is_a_table_of_its_own() {
    scenario(async |test| {
        let database = test.database().await;
        let server = events(&database).await;
        let mut events = Live::table(&server, "events").await;
        database.execute("alter table events detach partition events_us").await;
        events.resynced("schema_changed").await;
        let mut us = Live::table(&server, "events_us").await;
        database.execute("insert into events_us values (9, 'us', 'z')").await;
        us.settle(&database).await;
        assert_eq!(us.shown(&["id", "note"]), "2 b, 9 z");
        events.settle(&database).await;
        assert_eq!(events.shown(&["id", "note"]), "1 a");
    });
}

#[test]
fn a_truncated_root_is_told_as_such() {
    scenario(async |test| {
        let database = test.database().await;
        let server = events(&database).await;
        let mut events = Live::table(&server, "events").await;
        database.execute("truncate events").await;
        assert_eq!(events.frame().await["type"], "truncate");
        assert_eq!(events.count(), 0);
    });
}
