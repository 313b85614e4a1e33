//! Tables that change their definition under their readers: told by the event trigger where the role may make one,
//! and found by looking where it may not.

use std::time::Duration;

use serde_json::json;

use super::Live;
use crate::client::Client;
use crate::fixture::{Database, eventually, scenario};
use crate::server::Server;

/// How the server learns of changed definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// By the event trigger alone: it looks by itself so rarely that no test waits for it.
    ByTrigger,
    /// By looking: its role may make no event trigger.
    ByLooking,
}

/// The role of a server that is no superuser. It belongs to the cluster that all tests share.
const PLAIN: &str = "tidegate_plain";

/// Runs `body` both ways, with `tables` made by the role that the server has.
fn both_ways(tables: &str, body: &impl AsyncFn(&Database, &Server)) {
    for told in [Told::ByTrigger, Told::ByLooking] {
        scenario(async |test| {
            let database = test.database().await;
            let (url, refresh) = match told {
                Told::ByTrigger => (database.url(), "600000"),
                Told::ByLooking => (plain_url(&database).await, "100"),
            };
            database.execute(tables).await;
            if told == Told::ByLooking {
                give_to_plain(&database).await;
            }
            let settings = [("postgres.url", url.as_str()), ("catalog.refresh_ms", refresh)];
            let server = Server::start_with(&database, &settings).await;
            assert_eq!(test.logged("no event trigger"), told == Told::ByLooking);
            body(&database, &server).await;
        });
    }
}

/// The URL for a role that may replicate and publish, and is no superuser.
async fn plain_url(database: &Database) -> String {
    let client = database.client().await;
    // Two tests may make it at once.
    let sql = format!("create role {PLAIN} login replication");
    let made = client.batch_execute(&sql).await;
    let known = client.query_one("select count(*) from pg_roles where rolname = $1", &[&PLAIN]).await;
    assert_eq!(known.expect("readable").get::<_, i64>(0), 1, "{made:?}");
    let name = database.name();
    database.execute(&format!("grant create on database {name} to {PLAIN}")).await;
    database.url().replace("postgres@", &format!("{PLAIN}@"))
}

/// Gives every table of the schema `public` to the plain role.
async fn give_to_plain(database: &Database) {
    database
        .execute(&format!(
            "do $$
             declare t text;
             begin
               for t in select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'public' loop
                 execute 'alter table ' || t || ' owner to {PLAIN}';
               end loop;
             end $$"
        ))
        .await;
}

const NOTES: &str = "create table notes (id int primary key, body text);
                     alter table notes replica identity full;
                     create table others (id int primary key, body text);
                     insert into notes values (1, 'a'), (2, 'b');
                     insert into others values (1, 'a');";

/// Runs `sql`, after which the readers of `notes` start over and those of `others` see nothing of it.
async fn redefine(database: &Database, server: &Server, sql: &str) -> Live {
    let mut notes = Live::table(server, "notes").await;
    let mut others = Live::table(server, "others").await;
    database.execute(sql).await;
    notes.resynced("schema_changed").await;
    notes.settle(database).await;
    others.settle(database).await;
    assert_eq!(others.types(), Vec::<&str>::new(), "who is not concerned sees nothing");
    notes
}

#[test]
fn an_added_column_appears_in_every_row() {
    both_ways(NOTES, &async |database, server| {
        let sql = "alter table notes add column n int not null default 7;
                   insert into notes values (3, 'c');
                   update notes set n = 8 where id = 1";
        let notes = redefine(database, server, sql).await;
        assert_eq!(notes.columns(), ["id", "body", "n"]);
        assert_eq!(notes.shown(&["id", "n"]), "1 8, 2 7, 3 7");
    });
}

#[test]
fn an_added_column_with_a_volatile_default_appears_with_its_values() {
    both_ways(NOTES, &async |database, server| {
        let notes =
            redefine(database, server, "alter table notes add column token uuid default gen_random_uuid()")
                .await;
        let stored = database.client().await.query("select token::text from notes order by id", &[]).await;
        let stored: Vec<String> = stored.expect("readable").iter().map(|row| row.get(0)).collect();
        assert_eq!(notes.shown(&["token"]), stored.join(", "));
    });
}

#[test]
fn a_dropped_column_disappears() {
    both_ways(NOTES, &async |database, server| {
        let notes = redefine(
            database,
            server,
            "alter table notes drop column body; update notes set id = 3 where id = 2",
        )
        .await;
        assert_eq!(notes.columns(), ["id"]);
        assert_eq!(notes.shown(&["id", "body"]), "1 ?, 3 ?");
    });
}

#[test]
fn a_column_dropped_and_added_again_has_its_new_values() {
    both_ways(NOTES, &async |database, server| {
        let notes = redefine(
            database,
            server,
            "alter table notes drop column body, add column body text default 'x'",
        )
        .await;
        assert_eq!(notes.shown(&["id", "body"]), "1 x, 2 x");
    });
}

#[test]
fn a_filter_on_a_dropped_column_ends_its_subscription_only() {
    both_ways(NOTES, &async |database, server| {
        let mut filtered = Live::filtered(server, "notes", "body = 'a'").await;
        let notes = redefine(database, server, "alter table notes drop column body").await;
        let error = filtered.until_error().await;
        assert_eq!(error["code"], "unknown_column", "{error}");
        assert_eq!(notes.shown(&["id"]), "1, 2");
    });
}

#[test]
fn a_column_of_another_type_is_written_as_that_type() {
    both_ways(NOTES, &async |database, server| {
        // Both would be read as the number that the column was.
        let sql = "begin;
                   alter table notes alter id type text using '20' || id || '-1';
                   insert into notes values ('2-2', 'c');
                   update notes set body = 'd' where id = '201-1';
                   commit;
                   update notes set body = 'e' where id = '202-1';";
        let notes = redefine(database, server, sql).await;
        assert_eq!(notes.shown(&["id", "body"]), "2-2 c, 201-1 d, 202-1 e");
        assert_eq!(notes.subscribed["columns"][0]["type"], "text");
    });
}

#[test]
fn a_wider_type_is_written_as_that_type_from_its_first_row() {
    both_ways(NOTES, &async |database, server| {
        let sql = "begin;
                   alter table notes alter id type bigint;
                   insert into notes values (9007199254740993, 'c');
                   commit;
                   update notes set body = 'd' where id = 1";
        let notes = redefine(database, server, sql).await;
        assert_eq!(notes.shown(&["id", "body"]), "1 d, 2 b, 9007199254740993 c");
    });
}

#[test]
fn a_renamed_column_has_its_new_name() {
    both_ways(NOTES, &async |database, server| {
        let sql = "alter table notes rename body to text; update notes set text = 'c' where id = 1";
        let notes = redefine(database, server, sql).await;
        assert_eq!(notes.shown(&["id", "text"]), "1 c, 2 b");
    });
}

#[test]
fn columns_that_swap_their_names_swap_their_values() {
    let tables = "create table notes (id int primary key, a text, b text);
                  create table others (id int primary key);
                  insert into notes values (1, 'x', 'y')";
    both_ways(tables, &async |database, server| {
        let sql = "begin;
                   alter table notes rename a to c;
                   alter table notes rename b to a;
                   alter table notes rename c to b;
                   commit;
                   insert into notes (id, a, b) values (2, 'p', 'q')";
        let notes = redefine(database, server, sql).await;
        assert_eq!(notes.shown(&["id", "a", "b"]), "1 y x, 2 p q");
    });
}

#[test]
fn a_renamed_table_ends_its_subscriptions_and_is_there_under_its_new_name() {
    both_ways(NOTES, &async |database, server| {
        let mut notes = Live::table(server, "notes").await;
        let mut others = Live::table(server, "others").await;
        database.execute("alter table notes rename to memos").await;
        let error = notes.until_error().await;
        assert_eq!(error["code"], "unknown_table", "{error}");
        let mut memos = Live::table(server, "memos").await;
        database.execute("update memos set body = 'c' where id = 1").await;
        memos.settle(database).await;
        assert_eq!(memos.shown(&["id", "body"]), "1 c, 2 b");
        others.settle(database).await;
        assert_eq!(others.types(), Vec::<&str>::new());
    });
}

#[test]
fn a_table_made_anew_under_the_same_name_is_another_table() {
    both_ways(NOTES, &async |database, server| {
        let owner = database.client().await;
        let row =
            owner.query_one("select tableowner::text from pg_tables where tablename = 'notes'", &[]).await;
        let owner: String = row.expect("readable").get(0);
        let sql = format!(
            "begin;
             drop table notes;
             create table notes (id int primary key, body text);
             alter table notes owner to {owner};
             insert into notes values (1, 'new');
             commit;"
        );
        let mut notes = redefine(database, server, &sql).await;
        assert_eq!(notes.shown(&["id", "body"]), "1 new");
        database.execute("insert into notes values (5, 'more')").await;
        notes.settle(database).await;
        assert_eq!(notes.shown(&["id", "body"]), "1 new, 5 more");
    });
}

#[test]
fn a_dropped_table_ends_its_subscriptions() {
    both_ways(NOTES, &async |database, server| {
        let mut notes = Live::table(server, "notes").await;
        let mut others = Live::table(server, "others").await;
        database.execute("drop table notes; update others set body = 'b'").await;
        let error = notes.until_error().await;
        assert_eq!(error["code"], "unknown_table", "{error}");
        others.settle(database).await;
        assert_eq!(others.shown(&["body"]), "b");
    });
}

#[test]
fn a_new_table_can_be_subscribed_to_at_once() {
    both_ways(NOTES, &async |database, server| {
        let row = database.client().await;
        let row =
            row.query_one("select tableowner::text from pg_tables where tablename = 'notes'", &[]).await;
        let owner: String = row.expect("readable").get(0);
        database
            .execute(&format!(
                "create table fresh (id int primary key, body text);
                 alter table fresh owner to {owner};
                 insert into fresh values (1, 'a')"
            ))
            .await;
        let mut fresh = Live::table(server, "fresh").await;
        database.execute("insert into fresh values (2, 'b'); update fresh set body = 'c' where id = 1").await;
        fresh.settle(database).await;
        assert_eq!(fresh.shown(&["id", "body"]), "1 c, 2 b");
    });
}

#[test]
fn a_row_written_before_its_table_was_published_is_not_lost() {
    both_ways(NOTES, &async |database, server| {
        let client = database.client().await;
        let row =
            client.query_one("select tableowner::text from pg_tables where tablename = 'notes'", &[]).await;
        let owner: String = row.expect("readable").get(0);
        // The server's own lock, so that the table is published at a moment of the test's choice.
        let held = database.client().await;
        held.batch_execute("select pg_advisory_lock(hashtextextended('tidegate: shared objects', 0))")
            .await
            .expect("free");
        database
            .execute(&format!(
                "create table fresh (id int primary key, body text);
                 alter table fresh owner to {owner}"
            ))
            .await;
        let writer = database.client().await;
        writer.batch_execute("begin; insert into fresh values (1, 'early')").await.expect("may");
        drop(held);
        eventually("it is published", async || {
            let sql = format!(
                "select count(*) from pg_publication_tables where pubname = '{}' and tablename = 'fresh'",
                database.publication()
            );
            (database.number(&sql).await == 1).then_some(())
        })
        .await;
        let mut eager = Client::connect(server.address()).await;
        eager.subscribe(json!({"id": "it", "table": "fresh", "snapshot": true})).await;
        let told = eager.next_within(Duration::from_millis(300)).await;
        assert!(told.is_none(), "rows of which nobody would tell: {told:?}");
        writer.batch_execute("insert into fresh values (2, 'late'); commit").await.expect("may");
        let mut fresh = Live::table(server, "fresh").await;
        fresh.settle(database).await;
        assert_eq!(fresh.shown(&["id", "body"]), "1 early, 2 late");
        assert_eq!(eager.expect("subscribed").await["id"], "it");
    });
}

#[test]
fn a_label_added_to_an_enum_is_known_from_its_first_row() {
    let tables = "create type mood as enum ('sad', 'happy');
                  create table notes (id int primary key, mood mood);
                  alter table notes replica identity full;
                  create table others (id int primary key);
                  insert into notes values (1, 'sad'), (2, 'happy')";
    both_ways(tables, &async |database, server| {
        let mut better = Live::filtered(server, "notes", "mood > 'sad'").await;
        let mut sad = Live::filtered(server, "notes", "mood = 'sad'").await;
        let mut notes = Live::table(server, "notes").await;
        let mut others = Live::table(server, "others").await;
        // A label cannot be used in the transaction that adds it.
        let writer = database.client().await;
        writer.batch_execute("alter type mood add value 'so-so' after 'sad'").await.expect("may");
        writer.batch_execute("insert into notes values (3, 'so-so')").await.expect("may");
        writer.batch_execute("update notes set mood = 'so-so' where id = 1").await.expect("may");
        writer.batch_execute("update notes set mood = 'sad' where id = 2").await.expect("may");
        notes.resynced("schema_changed").await;
        notes.settle(database).await;
        others.settle(database).await;
        assert_eq!(others.types(), Vec::<&str>::new());
        assert_eq!(notes.shown(&["id", "mood"]), "1 so-so, 2 sad, 3 so-so");
        better.until_shown(&["id", "mood"], "1 so-so, 3 so-so").await;
        sad.until_shown(&["id", "mood"], "2 sad").await;
    });
}

#[test]
fn a_renamed_label_of_an_enum_is_renamed_in_every_row() {
    let tables = "create type mood as enum ('sad', 'happy');
                  create table notes (id int primary key, mood mood);
                  create table others (id int primary key);
                  insert into notes values (1, 'sad')";
    both_ways(tables, &async |database, server| {
        let sql = "alter type mood rename value 'sad' to 'blue'";
        let type_owner = "do $$ begin execute 'alter type mood owner to ' ||
                          (select tableowner from pg_tables where tablename = 'notes'); end $$";
        database.execute(type_owner).await;
        let notes = redefine(database, server, sql).await;
        assert_eq!(notes.shown(&["id", "mood"]), "1 blue");
    });
}

#[test]
fn an_attribute_added_to_a_composite_type_appears_in_every_row() {
    let tables = "create type spot as (x int, y int);
                  create domain place as spot;
                  create table notes (id int primary key, at place[], first spot);
                  create table others (id int primary key);
                  insert into notes values (1, array[row(1, 2)::spot], row(3, 4))";
    both_ways(tables, &async |database, server| {
        let mut notes = redefine(database, server, "alter type spot add attribute z int").await;
        let row = database.client().await.query_one("select at::text, first::text from notes", &[]).await;
        let row = row.expect("readable");
        assert_eq!(row.get::<_, &str>(1), "(3,4,)");
        assert_eq!(notes.shown(&["at", "first"]), format!(r#"["(1,2,)"] {}"#, row.get::<_, &str>(1)));
        database.execute("alter type spot drop attribute y, drop attribute z").await;
        notes.until_shown(&["at", "first"], r#"["(1)"] (3)"#).await;
        database.execute("alter type spot drop attribute x, add attribute x int").await;
        notes.until_shown(&["at", "first"], r#"["()"] ()"#).await;
    });
}

#[test]
fn a_truncated_table_is_told_as_such() {
    both_ways(NOTES, &async |database, server| {
        let mut notes = Live::table(server, "notes").await;
        let mut filtered = Live::filtered(server, "notes", "body = 'a'").await;
        let mut others = Live::table(server, "others").await;
        database
            .execute("begin; insert into notes values (4, 'a'); truncate notes; insert into notes values (3, 'a'); commit")
            .await;
        for live in [&mut notes, &mut filtered] {
            live.settle(database).await;
            live.until_shown(&["id", "body"], "3 a").await;
        }
        // That there is no such table is said only once the catalog has been read again.
        let mut client = Client::connect(server.address()).await;
        client.subscribe(json!({"id": "none", "table": "public.none"})).await;
        client.expect("error").await;
        for live in [&mut notes, &mut filtered] {
            live.settle(database).await;
            assert_eq!(live.types(), ["truncate", "changes"], "and nobody starts over");
        }
        others.settle(database).await;
        assert_eq!(others.types(), Vec::<&str>::new());
    });
}
