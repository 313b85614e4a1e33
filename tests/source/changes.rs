//! Every form of change, as PostgreSQL itself writes it.

use tidegate::event::{Change, ReplicaIdentity};

use super::follower::{Follower, config, publish};
use crate::fixture::scenario;

#[test]
fn every_form_of_change_arrives_in_the_order_of_its_transaction() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table by_key (id int primary key, body text);
                 create table whole (id int primary key, body text);
                 alter table whole replica identity full;
                 create table by_index (id int primary key, code text not null unique);
                 alter table by_index replica identity using index by_index_code_key;",
            )
            .await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "begin;
                 insert into by_key values (1, 'a'), (2, null);
                 update by_key set body = 'b' where id = 1;
                 update by_key set id = 3 where id = 2;
                 delete from by_key where id = 3;
                 insert into whole values (1, 'a');
                 update whole set body = 'b';
                 delete from whole;
                 insert into by_index values (1, 'x');
                 update by_index set code = 'y';
                 delete from by_index;
                 truncate by_key, whole restart identity;
                 commit;",
            )
            .await;
        let expected = [
            "+ by_key (1, a)",
            "+ by_key (2, ~)",
            "~ by_key (1, b)",
            "~ by_key key(2, ~) (3, ~)",
            "- by_key key(3, ~)",
            "+ whole (1, a)",
            "~ whole full(1, a) (1, b)",
            "- whole full(1, b)",
            "+ by_index (1, x)",
            "~ by_index key(~, x) (1, y)",
            "- by_index key(~, y)",
        ];
        let story = follower.story().await;
        assert_eq!(story[..expected.len()], expected);
        let mut truncated = story[expected.len()..].to_vec();
        truncated.sort();
        assert_eq!(truncated, ["truncate by_key", "truncate whole"]);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn large_values_that_did_not_change_are_filled_from_what_the_old_image_carries() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table by_key (id int primary key, n int, body text);
                 create table whole (id int primary key, n int, body text);
                 alter table whole replica identity full;
                 alter table by_key alter body set storage external;
                 alter table whole alter body set storage external;
                 create table long_key (id text, n int, primary key (id, n));
                 alter table long_key alter id set storage external;",
            )
            .await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "begin;
                 insert into by_key values (1, 1, repeat('x', 10000));
                 insert into whole values (1, 1, repeat('x', 10000));
                 insert into long_key values (repeat('k', 2100), 1);
                 update by_key set n = 2;
                 update by_key set id = 2;
                 update whole set n = 2;
                 update long_key set n = 2;
                 commit;",
            )
            .await;
        assert_eq!(
            follower.story().await[3..],
            [
                "~ by_key (1, 2, …)",
                "~ by_key key(1, ~, ~) (2, 2, …)",
                "~ whole full(1, 1, 10000 bytes) (1, 2, 10000 bytes)",
                "~ long_key key(2100 bytes, 1) (2100 bytes, 2)",
            ]
        );
        follower.stop().await.expect("stops");
    });
}

#[test]
fn the_text_of_values_does_not_depend_on_the_servers_settings() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.name();
        database
            .execute(&format!(
                "create table things (id int primary key, at timestamptz, span interval, f float8, b bytea, d date,
                                      of regclass);
                 alter database {name} set datestyle = 'SQL, DMY';
                 alter database {name} set intervalstyle = 'sql_standard';
                 alter database {name} set timezone = 'Asia/Tokyo';
                 alter database {name} set extra_float_digits = 0;
                 alter database {name} set bytea_output = 'escape';
                 alter database {name} set search_path = 'public';"
            ))
            .await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "insert into things
                 values (1, '2026-11-22 10:08:17.5+00', '1 year 2 mons 3 days 04:05:06', 0.1 + 0.2::float8,
                         '\\x00ff', '2026-11-22', 'things')",
            )
            .await;
        let expected = "+ things (1, 2026-11-22 10:08:17.5+00, P1Y2M3DT4H5M6S, 0.30000000000000004, \\x00ff, \
                        2026-11-22, public.things)";
        assert_eq!(follower.story().await, [expected]);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn names_arrive_as_stored_and_types_by_their_oid() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                r#"create schema "Übung";
                   create type "Übung"."Laune" as enum ('gut', 'schlecht');
                   create table "Übung"."Ein ""Ding""" ("Id" int primary key, "größe" "Übung"."Laune", n varchar(7));"#,
            )
            .await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database.execute(r#"insert into "Übung"."Ein ""Ding""" values (1, 'gut', 'x')"#).await;
        let changes = follower.transaction().await;
        let [Change::Row(change)] = &changes[..] else { panic!("one row: {changes:?}") };
        let relation = &change.relation;
        assert_eq!((&*relation.schema, &*relation.name), ("Übung", "Ein \"Ding\""));
        assert_eq!(relation.identity, ReplicaIdentity::Default);
        let names: Vec<&str> = relation.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(names, ["Id", "größe", "n"]);
        let keys: Vec<bool> = relation.columns.iter().map(|column| column.key).collect();
        assert_eq!(keys, [true, false, false]);
        assert_eq!(relation.columns[2].type_modifier, 7 + 4);
        let oid = database.number(r#"select '"Übung"."Laune"'::regtype::oid::bigint"#).await;
        assert_eq!(i64::from(relation.columns[1].type_oid), oid);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_partitioned_table_is_one_and_a_changed_definition_holds_from_its_place_on() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table root (id int primary key, body text) partition by range (id);
                 create table low partition of root for values from (0) to (10);
                 create table high partition of root for values from (10) to (20);",
            )
            .await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "begin;
                 insert into root values (1, 'a');
                 update root set id = 11;
                 alter table root add n int;
                 insert into root values (2, 'b', 7);
                 commit;",
            )
            .await;
        let expected = ["+ root (1, a)", "- root key(1, ~)", "+ root (11, a)", "+ root (2, b, 7)"];
        assert_eq!(follower.story().await, expected);
        follower.stop().await.expect("stops");
    });
}
