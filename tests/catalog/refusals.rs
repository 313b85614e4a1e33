//! Relations that cannot be followed: why, and the SQL that mends it.

use tidegate::postgres::catalog::{NoKey, Partitioning, Refusal, RelationKind};

use super::{key, load, load_all, refusal, table};
use crate::fixture::scenario;

#[test]
fn a_table_without_a_usable_key_is_refused_with_the_sql_that_mends_it() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table bare (a int);
                 create table bare_full (a int);
                 alter table bare_full replica identity full;
                 create table uniq (a int not null unique, b int unique);
                 create table late (id int primary key deferrable);
                 create table silent (id int primary key);
                 alter table silent replica identity nothing;
                 create table orphaned (id int primary key, code int not null unique);
                 alter table orphaned replica identity using index orphaned_code_key;
                 alter table orphaned drop constraint orphaned_code_key;",
            )
            .await;
        let catalog = load_all(&database).await;
        let missing = |index: Option<&str>| NoKey::Missing {
            index: index.map(str::to_owned),
            partitioning: Partitioning::None,
        };
        let deferrable = NoKey::Deferrable { columns: vec!["id".into()], index: None, partitioned: None };
        for (name, expected, sql) in [
            ("bare", missing(None), r#"alter table "public"."bare" add column "row_id" "#),
            ("bare_full", missing(None), "primary key;"),
            ("uniq", missing(Some("uniq_a_key")), r#"using index "uniq_a_key";"#),
            ("late", deferrable, r#"on "public"."late" ("id");"#),
            ("silent", NoKey::Unused, r#"alter table "public"."silent" replica identity default;"#),
            ("orphaned", NoKey::Unused, "replica identity default;"),
        ] {
            let refusal = refusal(&catalog, name);
            assert!(
                matches!(&refusal, Refusal::NoKey { reason, .. } if *reason == expected),
                "{name}: {refusal:?}"
            );
            assert!(refusal.sql().is_some_and(|text| text.contains(sql)), "{name}: {:?}", refusal.sql());
        }
        // The mending SQL mends.
        for name in ["bare", "bare_full", "uniq", "late", "silent", "orphaned"] {
            for sql in refusal(&catalog, name).sql().expect("given").lines() {
                database.execute(sql).await;
            }
            assert!(!key(table(&load(&database).await, name)).is_empty(), "{name}");
        }
    });
}

#[test]
fn what_is_not_a_table_to_follow_is_refused_by_its_kind() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table base (id int primary key);
                 create view seen as select * from base;
                 create materialized view kept as select * from base;
                 create unlogged table fast (id int primary key);
                 create table parent (id int primary key);
                 create table child (primary key (id)) inherits (parent);
                 create extension if not exists file_fdw;
                 create server files foreign data wrapper file_fdw;
                 create foreign table far (line text) server files options (filename '/dev/null');
                 create table months (id int, at date, primary key (id, at)) partition by range (at);
                 create table months_2024 partition of months for values from ('2024-01-01') to ('2025-01-01');
                 create table mixed (id int primary key) partition by list (id);
                 create unlogged table mixed_1 partition of mixed for values in (1);",
            )
            .await;
        let catalog = load_all(&database).await;
        for (name, text) in [
            ("seen", "public.seen is a view, which cannot be followed"),
            ("kept", "public.kept is a materialized view, which cannot be followed"),
            ("fast", "public.fast is an unlogged table, which cannot be followed"),
            ("parent", "public.parent is a table that others inherit from, which cannot be followed"),
            ("child", "public.child is a table that inherits from another, which cannot be followed"),
            ("far", "public.far is a foreign table, which cannot be followed"),
            ("months_2024", "public.months_2024 is a partition of public.months: subscribe to that"),
            ("pg_catalog.pg_class", "pg_catalog.pg_class is a system catalog, which cannot be followed"),
            (
                "information_schema.tables",
                "information_schema.tables is a system catalog, which cannot be followed",
            ),
            ("pg_temp.draft", "pg_temp.draft is a temporary table, which cannot be followed"),
            (
                "mixed",
                "public.mixed is a partitioned table whose partition public.mixed_1 is an unlogged table, \
                 which cannot be followed",
            ),
        ] {
            assert_eq!(refusal(&catalog, name).to_string(), text);
        }
        assert!(matches!(
            refusal(&catalog, "months_2024"),
            Refusal::Kind { kind: RelationKind::Partition { root }, .. } if &*root.name == "months"
        ));
        assert_eq!(key(table(&catalog, "months")), ["id", "at"]);
    });
}
