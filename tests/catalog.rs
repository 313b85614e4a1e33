//! What the catalog says of a relation, against the server's own.

mod encodings;
mod refusals;

use tidegate::event::{Class, Collation, ReplicaIdentity, Table, TableName};
use tidegate::postgres::catalog::{self, Catalog, Found, LeafIdentity, NoKey, Refusal, Watch};
use tidegate::postgres::{Connection, Settings};

use crate::fixture::{Database, scenario};

async fn connect(database: &Database) -> Connection {
    let settings = Settings::parse(&database.url()).expect("the fixture's URL is valid");
    Connection::open(&settings).await.expect("the server is up")
}

/// Publishes all tables by their roots, and loads.
async fn load_all(database: &Database) -> Catalog {
    let name = database.publication();
    let sql = format!(
        "drop publication if exists {name};
         create publication {name} for all tables with (publish_via_partition_root = true)"
    );
    database.execute(&sql).await;
    load(database).await
}

async fn load(database: &Database) -> Catalog {
    catalog::load(connect(database).await.client_mut(), &database.publication()).await.expect("readable")
}

fn table<'a>(catalog: &'a Catalog, name: &str) -> &'a Table {
    match catalog.find(&TableName::parse(name).expect(name)) {
        Found::Table(table) => table,
        other => panic!("{name}: {other:?}"),
    }
}

fn refusal(catalog: &Catalog, name: &str) -> Refusal {
    match catalog.find(&TableName::parse(name).expect(name)) {
        Found::Refused(refusal) => refusal,
        other => panic!("{name}: {other:?}"),
    }
}

fn key(table: &Table) -> Vec<&str> {
    table.key.iter().map(|index| &*table.columns[*index].name).collect()
}

fn columns(table: &Table) -> Vec<&str> {
    table.columns.iter().map(|column| &*column.name).collect()
}

#[test]
fn the_key_is_the_identity_index_if_one_is_set_else_the_primary_key() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table plain (a int, b text, c int, primary key (c, a));
                 create table indexed (id int primary key, code text not null, place int not null);
                 create unique index by_code on indexed (code) include (place);
                 alter table indexed replica identity using index by_code;
                 create table whole (id int primary key, body text);
                 alter table whole replica identity full;",
            )
            .await;
        let catalog = load_all(&database).await;
        let plain = table(&catalog, "plain");
        assert_eq!((key(plain), plain.identity), (vec!["c", "a"], ReplicaIdentity::Default));
        let indexed = table(&catalog, "indexed");
        assert_eq!((key(indexed), indexed.identity), (vec!["code"], ReplicaIdentity::Index));
        let whole = table(&catalog, "whole");
        assert_eq!((key(whole), whole.identity), (vec!["id"], ReplicaIdentity::Full));
        assert_eq!(catalog.by_oid(plain.oid).map(|table| &table.name), Some(&plain.name));
    });
}

#[test]
fn the_weakest_replica_identity_among_all_leaves_counts() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table events (id int, region text, body text, primary key (id, region))
                   partition by list (region);
                 create table events_eu partition of events for values in ('eu') partition by list (id);
                 create table events_eu_1 partition of events_eu for values in (1);
                 create table events_us partition of events for values in ('us');
                 alter table events replica identity full;
                 alter table events_eu replica identity full;
                 alter table events_us replica identity full;",
            )
            .await;
        let catalog = load_all(&database).await;
        assert_eq!(table(&catalog, "events").identity, ReplicaIdentity::Default);
        assert!(!table(&catalog, "events").old_image_has(2));

        database.execute("alter table events_eu_1 replica identity full").await;
        assert_eq!(table(&load(&database).await, "events").identity, ReplicaIdentity::Full);

        database.execute("alter table events_us replica identity nothing").await;
        let refusal = refusal(&load(&database).await, "events");
        let Refusal::NoKey { reason: NoKey::Leaf { leaf, mend }, .. } = &refusal else {
            panic!("{refusal:?}")
        };
        assert_eq!((leaf.to_string().as_str(), *mend), ("public.events_us", LeafIdentity::Default));
        database.execute(&refusal.sql().expect("given")).await;
        assert_eq!(table(&load(&database).await, "events").identity, ReplicaIdentity::Default);
    });
}

#[test]
fn storage_changes_when_rows_may_have_been_replaced_without_a_word() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table plain (id int primary key);
                 create table parts (id int primary key) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create table parts_2 (id int primary key);",
            )
            .await;
        let mut before = load_all(&database).await;
        for (sql, name) in [
            ("alter table plain alter id type bigint", "plain"),
            ("alter table plain alter id type bigint using -id", "plain"),
            ("truncate parts_1", "parts"),
            ("alter table parts attach partition parts_2 for values in (2)", "parts"),
            ("alter table parts detach partition parts_2", "parts"),
        ] {
            database.execute(sql).await;
            let after = load(&database).await;
            assert_ne!(table(&before, name).storage, table(&after, name).storage, "{sql}");
            assert_ne!(
                catalog::fingerprint(table(&before, name)),
                catalog::fingerprint(table(&after, name)),
                "{sql}"
            );
            before = after;
        }
        database.execute("insert into plain values (1); analyze plain; create index on plain (id)").await;
        // The stream tells of the first, and the others change no row.
        for sql in ["truncate plain", "vacuum full plain", "cluster plain using plain_pkey"] {
            database.execute(sql).await;
        }
        assert_eq!(load(&database).await, before);
    });
}

#[test]
fn generated_columns_are_absent_where_the_stream_lacks_them() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table priced (net int, id int primary key,
                                      gross int generated always as (net * 2) stored, note text);
                 alter table priced drop column note;
                 alter table priced add column memo text default 'x';",
            )
            .await;
        let catalog = load_all(&database).await;
        assert_eq!(columns(table(&catalog, "priced")), ["net", "id", "memo"]);
        if database.number("select current_setting('server_version_num')::bigint").await >= 180_000 {
            let sql = format!(
                "alter publication {} set (publish_generated_columns = stored)",
                database.publication()
            );
            database.execute(&sql).await;
            assert_eq!(columns(table(&load(&database).await, "priced")), ["net", "id", "gross", "memo"]);
        }
    });
}

#[test]
fn types_are_resolved_down_to_what_their_text_is() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create type mood as enum ('sad', 'ok', 'happy');
                   alter type mood add value 'so-so' before 'ok';
                   create domain small as int check (value < 10);
                   create domain smaller as small not null;
                   create domain moods as mood[];
                   create domain feeling as mood;
                   create type pair as (a int, b text);
                   create table kinds (
                     id smaller primary key, feeling feeling, moods moods, smalls small[], pair pair, pairs pair[],
                     boxes box[], span int4range, words oidvector, tag char(3), tags varchar(5)[], grid numeric[][]);",
            )
            .await;
        let catalog = load_all(&database).await;
        let kinds = table(&catalog, "kinds");
        let kind = |name: &str| &kinds.columns[kinds.column(name).expect(name)].kind;
        let element = |name: &str| match &kind(name).class {
            Class::Array { element, delimiter } => {
                (element.class.clone(), *delimiter, kind(name).name.to_string())
            }
            other => panic!("{name}: {other:?}"),
        };
        let mood = Class::Enum(["sad", "so-so", "ok", "happy"].map(Into::into).into());
        assert_eq!((&kind("id").class, kind("id").oid, &*kind("id").name), (&Class::Int4, 23, "int4"));
        assert_eq!((&kind("feeling").class, &*kind("feeling").name), (&mood, "mood"));
        assert_eq!(element("moods"), (mood, b',', "mood[]".into()));
        assert_eq!(element("smalls"), (Class::Int4, b',', "int4[]".into()));
        assert_eq!(kind("pair").class, Class::Other);
        assert_eq!(element("pairs"), (Class::Other, b',', "pair[]".into()));
        assert_eq!(element("boxes"), (Class::Other, b';', "box[]".into()));
        assert_eq!(kind("span").class, Class::Other);
        assert_eq!(kind("words").class, Class::Other);
        assert_eq!(kind("tag").class, Class::Bpchar);
        assert_eq!(element("tags"), (Class::Text, b',', "varchar[]".into()));
        assert_eq!(element("grid"), (Class::Numeric, b',', "numeric[]".into()));
    });
}

#[test]
fn collations_tell_how_text_is_compared() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                r#"create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                   create collation german (provider = icu, locale = 'de');
                   create domain code as text collate "C";
                   create table words (
                     id int primary key, plain text, bytes text collate "C", posix text collate "POSIX",
                     loose text collate loose, german text collate german, code code, name name);"#,
            )
            .await;
        let catalog = load_all(&database).await;
        let words = table(&catalog, "words");
        let collation = |name: &str| words.columns[words.column(name).expect(name)].collation;
        let bytewise = "select (datcollate in ('C', 'POSIX') and datctype in ('C', 'POSIX'))::int::bigint
                        from pg_database where datname = current_database()";
        let default =
            if database.number(bytewise).await == 1 { Collation::Bytes } else { Collation::Deterministic };
        assert_eq!(collation("id"), Collation::None);
        assert_eq!(collation("plain"), default);
        for name in ["bytes", "posix", "code", "name"] {
            assert_eq!(collation(name), Collation::Bytes, "{name}");
        }
        assert_eq!(collation("loose"), Collation::Nondeterministic);
        assert_eq!(collation("german"), Collation::Deterministic);
    });
}

#[test]
fn a_users_column_list_and_row_filter_are_honoured() {
    scenario(async |test| {
        let database = test.database().await;
        if database.number("select current_setting('server_version_num')::bigint").await < 150_000 {
            return;
        }
        database
            .execute(&format!(
                r#"create schema app;
                   create table app.notes (id int primary key, body text, secret text, "State" text);
                   create table app.keyless (id int primary key, body text);
                   create table app.left_out (id int primary key);
                   create publication {0} for table app.notes (id, body, "State") where (id > 5 and "State" = 'open'),
                                                    app.keyless (body) where (id > 0 or body is null)
                     with (publish = 'insert');"#,
                database.publication()
            ))
            .await;
        let catalog = load(&database).await;
        let notes = table(&catalog, "app.notes");
        assert_eq!(columns(notes), ["id", "body", "State"]);
        let filter = notes.row_filter.as_ref().expect("kept");
        assert_eq!(&*filter.0, r#"((id > 5) AND ("State" = 'open'::text))"#);
        let refused = refusal(&catalog, "app.keyless");
        assert!(
            matches!(&refused, Refusal::NoKey { reason: NoKey::ColumnList { columns, .. }, .. } if columns == &["id"]),
            "{refused:?}"
        );
        database.execute(&refused.sql().expect("given")).await;
        let catalog = load(&database).await;
        let mended = table(&catalog, "app.keyless");
        assert_eq!(columns(mended), ["id", "body"]);
        let filter = mended.row_filter.as_ref().expect("no more is published than was");
        assert_eq!(&*filter.0, "((id > 0) OR (body IS NULL))");
        assert_eq!(
            columns(table(&load(&database).await, "app.notes")),
            ["id", "body", "State"],
            "left as it was"
        );
        let refused = refusal(&catalog, "app.left_out");
        assert!(refused.to_string().contains("not part of publication"), "{refused}");
    });
}

#[test]
fn names_are_kept_as_stored_and_the_nearest_is_suggested() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                r#"create schema "My Schema";
                   create table "My Schema"."Größe""x" ("Straße" int primary key, "a.b" text, "SELECT" int);
                   create table entries (id int primary key);"#,
            )
            .await;
        let catalog = load_all(&database).await;
        let odd = table(&catalog, r#""My Schema"."Größe""x""#);
        assert_eq!(columns(odd), ["Straße", "a.b", "SELECT"]);
        assert_eq!(key(odd), ["Straße"]);
        let suggested = |name: &str| match catalog.find(&TableName::parse(name).expect(name)) {
            Found::Unknown { nearest } => nearest.map(ToString::to_string),
            other => panic!("{other:?}"),
        };
        assert_eq!(suggested("public.entires").as_deref(), Some("public.entries"));
        assert_eq!(suggested("app.entries").as_deref(), Some("public.entries"));
        assert_eq!(suggested("public.invoices"), None);
    });
}

#[test]
fn a_watch_reads_the_catalog_only_when_it_has_changed() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table one (id int primary key, a int)").await;
        load_all(&database).await;
        let mut session = connect(&database).await;
        let mut watch = Watch::new(&database.publication());
        assert!(watch.poll(session.client_mut()).await.expect("readable").is_some());
        assert!(watch.poll(session.client_mut()).await.expect("readable").is_none());
        database.execute("insert into one values (1, 1); update one set a = 2").await;
        database.execute("vacuum analyze one").await;
        assert!(watch.poll(session.client_mut()).await.expect("readable").is_none());
        for sql in [
            "alter table one add column b text default 'x'",
            "alter table one rename column b to c",
            "alter table one drop column c",
            "alter table one replica identity full",
            "truncate one",
            "create type mood as enum ('ok')",
            "alter type mood add value 'bad'",
            "alter table one rename to uno; alter table uno rename to one",
            "create schema other",
            "drop table one",
        ] {
            database.execute(sql).await;
            assert!(watch.poll(session.client_mut()).await.expect("readable").is_some(), "{sql}");
            assert!(watch.poll(session.client_mut()).await.expect("readable").is_none(), "{sql}");
        }
        watch.expire();
        assert!(watch.poll(session.client_mut()).await.expect("readable").is_some());
    });
}
