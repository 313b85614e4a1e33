//! The publication: ours kept to what cannot hurt, the user's never touched.

use tidegate::event::TableName;
use tidegate::postgres::catalog::Refusal;
use tidegate::postgres::event_trigger::{self, Outcome, Removed};
use tidegate::postgres::publication::{self, Config, Error, Ownership, Patterns, Report};
use tidegate::postgres::{Connection, Settings};

use crate::fixture::{Database, scenario};

async fn connect(database: &Database) -> Connection {
    let settings = Settings::parse(&database.url()).expect("the fixture's URL is valid");
    Connection::open(&settings).await.expect("the server is up")
}

fn config(database: &Database, patterns: &[&str]) -> Config {
    let tables = Patterns::parse(patterns.iter().copied()).expect("valid");
    Config { publication: database.publication(), tables }
}

async fn ensure(database: &Database, patterns: &[&str]) -> Result<Report, Error> {
    publication::ensure(connect(database).await.client_mut(), &config(database, patterns)).await
}

fn names(tables: &[TableName]) -> Vec<String> {
    tables.iter().map(ToString::to_string).collect()
}

async fn published(database: &Database) -> Vec<String> {
    let rows = database
        .client()
        .await
        .query(
            "select schemaname || '.' || tablename from pg_publication_tables where pubname = $1 order by 1",
            &[&database.publication()],
        )
        .await
        .expect("readable");
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn publishing_never_breaks_the_users_writes() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table good (id int primary key, a int);
                 create table bare (a int);
                 create table late (id int primary key deferrable, a int);
                 create table parts (id int primary key, a int) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create table parts_2 partition of parts for values in (2);
                 alter table parts_2 replica identity nothing;
                 create view seen as select * from good;",
            )
            .await;
        let report = ensure(&database, &["public.*"]).await.expect("kept");
        assert_eq!(
            (report.ownership, names(&report.added)),
            (Ownership::Created, vec!["public.good".into()])
        );
        let refused: Vec<_> = report.refused.iter().map(|refusal| refusal.table().to_string()).collect();
        assert_eq!(refused, ["public.bare", "public.late", "public.parts"]);
        for table in ["good", "bare", "late", "parts"] {
            let insert = if table == "bare" { "(a) values (1)" } else { "(id, a) values (1, 1)" };
            database
                .execute(&format!(
                    "insert into {table} {insert}; update {table} set a = 2; delete from {table}"
                ))
                .await;
        }

        // Mended, it comes in; spoilt, it goes out, and the writes go on.
        database
            .execute(
                "alter table parts_2 replica identity default; alter table good drop constraint good_pkey",
            )
            .await;
        let report = ensure(&database, &["public.*"]).await.expect("kept");
        assert_eq!(report.ownership, Ownership::Ours);
        assert_eq!(names(&report.added), ["public.parts"]);
        assert_eq!(names(&report.dropped), ["public.good"]);
        database.execute("insert into good values (1, 1); update good set a = 2; delete from good").await;
        assert_eq!(published(&database).await, ["public.parts"]);
    });
}

#[test]
fn tables_come_and_go_with_the_patterns_and_again_changes_nothing() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                r#"create schema app;
                   create table app."Orders" (id int primary key);
                   create table app.secrets (id int primary key);
                   create table entries (id int primary key);"#,
            )
            .await;
        let report = ensure(&database, &["app.*", "!app.secrets"]).await.expect("kept");
        assert_eq!(names(&report.added), ["app.\"Orders\""]);
        let again = ensure(&database, &["app.*", "!app.secrets"]).await.expect("kept");
        assert!(again.added.is_empty() && again.dropped.is_empty());
        let report = ensure(&database, &["public.*"]).await.expect("kept");
        assert_eq!(
            (names(&report.added), names(&report.dropped)),
            (vec!["public.entries".into()], vec!["app.\"Orders\"".into()])
        );
        let report = ensure(&database, &["nowhere.*"]).await.expect("an empty one is allowed");
        assert_eq!(names(&report.dropped), ["public.entries"]);
        assert!(published(&database).await.is_empty());
    });
}

#[test]
fn several_processes_at_once_end_up_with_one_publication() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table a (id int primary key); create table b (id int primary key)").await;
        let rounds = (0..8).map(|_| ensure(&database, &["public.*"]));
        let reports = futures_util::future::join_all(rounds).await;
        let added: usize = reports.into_iter().map(|report| report.expect("in turn").added.len()).sum();
        assert_eq!((added, published(&database).await.len()), (2, 2));
    });
}

#[test]
fn a_publication_of_the_users_own_is_never_altered() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.publication();
        database
            .execute(&format!(
                "create table a (id int primary key); create table b (id int primary key);
                 create publication {name} for table a"
            ))
            .await;
        let report = ensure(&database, &["public.*"]).await.expect("as it is");
        assert_eq!((report.ownership, report.added.len()), (Ownership::Users, 0));
        assert_eq!(published(&database).await, ["public.a"]);
    });
}

#[test]
fn a_users_publication_that_leaves_changes_out_is_refused() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.publication();
        database
            .execute(&format!(
                "create table parts (id int primary key) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create publication {name} for table parts with (publish = 'insert, update')"
            ))
            .await;
        let error = ensure(&database, &["public.*"]).await.expect_err("it lies");
        let Error::Unusable { faults, .. } = &error else { panic!("{error:?}") };
        let text = error.to_string();
        assert!(text.contains("leaves out delete, truncate"), "{text}");
        assert!(
            text.contains("partitioned table public.parts without `publish_via_partition_root`"),
            "{text}"
        );
        for fault in faults {
            database.execute(fault.sql()).await;
        }
        assert_eq!(ensure(&database, &["public.*"]).await.expect("mended").ownership, Ownership::Users);
        database.execute(&format!("drop publication {name}; create publication {name} for all tables")).await;
        assert!(ensure(&database, &["public.*"]).await.is_err(), "by its partition");
        database.execute("drop table parts").await;
        assert!(ensure(&database, &["public.*"]).await.is_ok(), "no partitions, nothing to lie about");
    });
}

#[test]
fn ours_is_put_right_when_it_was_changed_by_hand() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table a (id int primary key)").await;
        let _ = ensure(&database, &["public.*"]).await.expect("kept");
        let name = database.publication();
        database.execute(&format!("alter publication {name} set (publish = 'insert')")).await;
        let report = ensure(&database, &["public.*"]).await.expect("kept");
        assert_eq!(report.ownership, Ownership::Mended);
        let right = format!(
            "select count(*) from pg_publication where pubname = '{name}' and pubdelete and pubviaroot"
        );
        assert_eq!(database.number(&right).await, 1);
    });
}

#[test]
fn what_cannot_be_told_apart_in_partitions_is_published_once_its_sql_is_run() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table bare (a int, region text) partition by list (region);
                 create table bare_eu partition of bare for values in ('eu');
                 create table late (id int, region text, constraint \"Late\" primary key (id, region) deferrable)
                   partition by list (region);
                 create table late_eu partition of late for values in ('eu');
                 create table uniq (a int not null, region text not null, unique (a, region))
                   partition by list (region);
                 create table uniq_eu partition of uniq for values in ('eu');
                 create table hashed (a int) partition by list ((a % 2));
                 create table hashed_1 partition of hashed for values in (1);
                 insert into bare values (1, 'eu');",
            )
            .await;
        let mut report = ensure(&database, &["public.*"]).await.expect("kept");
        assert_eq!((report.added.len(), report.refused.len()), (0, 4));
        while let Some(sql) = report.refused.iter().find_map(Refusal::sql) {
            database.execute(&sql).await;
            report = ensure(&database, &["public.*"]).await.expect("kept");
        }
        assert_eq!(published(&database).await, ["public.bare", "public.late", "public.uniq"]);
        let left: Vec<_> = report.refused.iter().map(|refusal| refusal.table().to_string()).collect();
        assert_eq!(left, ["public.hashed"], "there can be no key over an expression");
    });
}

#[test]
fn a_publication_of_all_tables_is_the_users_whatever_its_comment() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.publication();
        database
            .execute(&format!(
                "create table a (id int primary key);
                 create publication {name} for all tables;
                 comment on publication {name} is 'managed by tidegate';"
            ))
            .await;
        let version = format!("select xmin::text::bigint from pg_publication where pubname = '{name}'");
        let before = database.number(&version).await;
        for _ in 0..2 {
            let report = ensure(&database, &["public.*"]).await.expect("as it is");
            assert_eq!((report.ownership, report.deferred.len()), (Ownership::Users, 0));
        }
        assert_eq!(database.number(&version).await, before, "it is left as it is");
    });
}

#[test]
fn a_table_of_another_owner_is_told_of_and_spoils_no_other() {
    scenario(async |test| {
        let database = test.database().await;
        let role = format!("{}_owner", database.name());
        database
            .execute(&format!(
                "create role {role} login; grant create on database {} to {role}; grant all on schema public to {role};
                 create table theirs (id int primary key);
                 create table mine (id int primary key); alter table mine owner to {role};",
                database.name()
            ))
            .await;
        let settings = Settings::parse(&database.url()).expect("valid");
        let url =
            format!("{}{}user={role}", database.url(), if database.url().contains('?') { "&" } else { "?" });
        let mut session = Connection::open(&Settings::parse(&url).expect("valid")).await.expect("may log in");
        assert_ne!(settings.user(), role);
        let report =
            publication::ensure(session.client_mut(), &config(&database, &["public.*"])).await.expect("kept");
        assert_eq!(
            (names(&report.added), names(&report.not_owned)),
            (vec!["public.mine".into()], vec!["public.theirs".into()])
        );
        assert!(matches!(event_trigger::ensure(session.client_mut()).await, Ok(Outcome::Refused(_))));
        drop(session);
        database.execute(&format!("drop owned by {role} cascade; drop role {role}")).await;
    });
}

/// How many messages of the event trigger the log holds, taken from a slot of their own.
async fn told(database: &Database) -> i64 {
    let (slot, publication) = (database.slot(), database.publication());
    database
        .number(&format!(
            "select count(*)
               from pg_logical_slot_get_binary_changes('{slot}', null, null, 'proto_version', '1',
                                                       'publication_names', '{publication}', 'messages', 'true')
              where get_byte(data, 0) = ascii('M')
                and position('tidegate.schema'::bytea in data) > 0"
        ))
        .await
}

#[test]
fn the_event_trigger_tells_of_ddl_and_never_breaks_it() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table a (id int primary key)").await;
        let mut session = connect(&database).await;
        let _ =
            publication::ensure(session.client_mut(), &config(&database, &["public.*"])).await.expect("kept");
        assert_eq!(event_trigger::ensure(session.client_mut()).await.expect("superuser"), Outcome::Created);
        assert_eq!(event_trigger::ensure(session.client_mut()).await.expect("superuser"), Outcome::Present);
        database
            .execute(&format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", database.slot()))
            .await;
        for sql in [
            "alter table a add column b int default 7",
            "alter table a drop column b",
            "alter table a rename to c",
            "create table d (id int primary key)",
            "drop table d",
            "create type mood as enum ('ok')",
            "alter type mood add value 'bad'",
        ] {
            database.execute(sql).await;
            let messages = told(&database).await;
            let expected = i64::from(!sql.starts_with("create type"));
            assert!(messages >= expected && messages <= 2 * expected, "{sql}: {messages}");
        }
        for sql in [
            "create temp table e (id int); alter table e add f int; drop table e",
            "create function f() returns int language sql as 'select 1'",
            "insert into c values (1)",
            "comment on table c is 'x'",
        ] {
            database.execute(sql).await;
            assert_eq!(told(&database).await, 0, "{sql}");
        }
        // Whatever happens inside it, the statement goes through.
        database
            .execute(
                "create or replace function tidegate.tell_schema_change() returns event_trigger language plpgsql as
                 $$ begin raise 'broken'; exception when others then null; end $$;
                 create table g (id int primary key);",
            )
            .await;
        assert_eq!(event_trigger::ensure(session.client_mut()).await.expect("mends it"), Outcome::Created);
        database.execute("alter table g add column h int").await;
        assert_eq!(told(&database).await, 1);

        let name = database.publication();
        assert_eq!(event_trigger::remove(session.client_mut(), &name).await.expect("may"), Removed::Removed);
        assert_eq!(event_trigger::remove(session.client_mut(), &name).await.expect("may"), Removed::Absent);
        let left = "select count(*) from pg_namespace where nspname = 'tidegate'";
        assert_eq!(database.number(left).await, 0);
    });
}
