//! The reference application's schema, applied: once, in order, and by whoever may.

use futures_util::future::join_all;
use tidegate::postgres::migrate::{self, Error, Schema, State};
use tidegate::postgres::{Connection, Settings};
use tidegate::telemetry::Chain;

use crate::fixture::{Database, private, scenario};

/// How many files `sql/` has.
const FILES: usize = 8;

fn settings(database: &Database) -> Settings {
    Settings::parse(&database.url()).expect("the fixture's URL is valid")
}

fn settings_as(database: &Database, role: &str) -> Settings {
    Settings::parse(&format!("{}?user={role}", database.url())).expect("valid")
}

async fn states(database: &Database) -> Vec<State> {
    let standing = migrate::list(Schema::Application, &settings(database)).await.expect("it can look");
    standing.into_iter().map(|standing| standing.state).collect()
}

async fn refusal(database: &Database) -> Error {
    migrate::run(Schema::Application, &settings(database)).await.expect_err("it cannot go on")
}

#[test]
fn a_fresh_database_gets_every_migration_once() {
    scenario(async |test| {
        let database = test.database().await;
        assert_eq!(states(&database).await, [const { State::Pending }; FILES]);
        assert_eq!(
            database.number("select count(*) from pg_namespace where nspname = 'app'").await,
            0,
            "to list changes nothing"
        );
        let applied = migrate::run(Schema::Application, &settings(&database)).await.expect("it may");
        assert_eq!((applied.len(), applied[0].as_str()), (FILES, "0001_people"));
        assert!(applied.is_sorted(), "{applied:?}");
        assert!(states(&database).await.iter().all(|state| matches!(state, State::Applied { .. })));
        assert!(
            migrate::run(Schema::Application, &settings(&database)).await.expect("it may").is_empty(),
            "nothing is left"
        );
        let keyless = "
            select count(*)
            from pg_class
            where relnamespace = 'public'::regnamespace
              and relkind = 'r'
              and relreplident = 'd'
              and not exists (select from pg_index where indrelid = pg_class.oid and indisprimary)";
        assert_eq!(database.number(keyless).await, 0, "every table can be followed");
    });
}

#[test]
fn a_history_that_is_not_ours_is_refused_by_name() {
    scenario(async |test| {
        let database = test.database().await;
        let _ = migrate::run(Schema::Application, &settings(&database)).await.expect("it may");
        let kept = "create table kept as table app.schema_history";
        database.execute(kept).await;
        for (tampering, told) in [
            (
                "update app.schema_history set checksum = '1' where version = 3",
                "migration `0003_workflows` was changed after it was applied",
            ),
            (
                "update app.schema_history set name = 'folk' where version = 1",
                "migration `0001_people` was changed after it was applied",
            ),
            (
                "insert into app.schema_history select 99, 'later', applied_on, checksum from kept limit 1",
                "migration `0099_later` is applied, and this program does not have it",
            ),
            (
                "delete from app.schema_history where version = 2",
                "migration `0002_boards` is not applied, but a later one is",
            ),
            (
                "update app.schema_history set checksum = 'none' where version = 4",
                "the history of migrations is illegible at version 4",
            ),
            (
                "update app.schema_history set applied_on = '2026-03-01' where version = 5",
                "the history of migrations is illegible at version 5",
            ),
        ] {
            database.execute(tampering).await;
            assert_eq!(refusal(&database).await.to_string(), told);
            database.execute("truncate app.schema_history; insert into app.schema_history table kept").await;
        }
        assert!(
            migrate::run(Schema::Application, &settings(&database)).await.expect("it is mended").is_empty()
        );
    });
}

#[test]
fn a_migration_that_fails_leaves_nothing_of_itself_and_the_rest_comes_when_it_is_mended() {
    scenario(async |test| {
        let database = test.database().await;
        // The fourth makes `entries` first.
        database.execute("create table comments (id int)").await;
        let error = refusal(&database).await;
        let told = Chain(&error).to_string();
        assert!(
            told.starts_with("could not apply migration `0004_entries`: ") && told.contains("already exists"),
            "{told}"
        );
        assert_eq!(told.matches("already exists").count(), 1, "{told}");
        let Error::Refused { applied, .. } = error else { panic!("{error:?}") };
        assert_eq!(applied, ["0001_people", "0002_boards", "0003_workflows"]);
        let left = "select count(*) from pg_class where relname ~ '^entries'";
        assert_eq!(database.number(left).await, 0);
        assert_eq!(
            states(&database).await[2..].iter().filter(|state| **state == State::Pending).count(),
            FILES - 3
        );
        database.execute("drop table comments").await;
        let applied = migrate::run(Schema::Application, &settings(&database)).await.expect("it is mended");
        assert_eq!((applied.len(), applied[0].as_str()), (FILES - 3, "0004_entries"));
    });
}

#[test]
fn a_table_that_somebody_locks_is_not_waited_for_for_ever() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table comments (id int)").await;
        let _ = refusal(&database).await;
        database.execute("drop table comments").await;
        let holder = database.client().await;
        holder.batch_execute("begin; lock table boards").await.expect("it is there");
        let told = Chain(&refusal(&database).await).to_string();
        assert!(
            told.starts_with("could not apply migration `0004_entries`: ") && told.contains("lock timeout"),
            "{told}"
        );
        holder.batch_execute("commit").await.expect("open");
        assert_eq!(
            migrate::run(Schema::Application, &settings(&database)).await.expect("it is free").len(),
            FILES - 3
        );
    });
}

#[test]
fn those_who_migrate_at_the_same_time_wait_for_each_other() {
    scenario(async |test| {
        let database = test.database().await;
        let settings = settings(&database);
        let outcomes = join_all((0..4).map(|_| migrate::run(Schema::Application, &settings))).await;
        let mut applied: Vec<_> =
            outcomes.into_iter().map(|outcome| outcome.expect("it may").len()).collect();
        applied.sort_unstable();
        assert_eq!(applied, [0, 0, 0, FILES], "one does it all, and the others find it done");
        let locks = "
            select count(*)
            from pg_locks
            where locktype = 'advisory'
              and database = (select oid from pg_database where datname = current_database())";
        assert_eq!(database.number(locks).await, 0, "nobody is left waiting");
    });
}

#[test]
fn the_owner_of_the_database_need_not_be_a_superuser() {
    scenario(async |_| {
        // Roles are the cluster's, and this is about who made them.
        let cluster = private(&[]);
        let first = Database::create_on(cluster.address()).await;
        let second = Database::create_on(cluster.address()).await;
        first
            .execute(&format!(
                "create role builder login createrole;
                 create role tenant login;
                 alter database {} owner to builder;
                 alter database {} owner to tenant",
                first.name(),
                second.name()
            ))
            .await;

        let applied = migrate::run(Schema::Application, &settings_as(&first, "builder"))
            .await
            .expect("it makes the roles");
        assert_eq!(applied.len(), FILES);
        let error = migrate::run(Schema::Application, &settings_as(&second, "tenant"))
            .await
            .expect_err("they are not its own");
        let told = Chain(&error).to_string();
        assert!(told.starts_with("could not apply migration `0001_people`: "), "{told}");
        second.execute("grant app_user, app_lead, app_anonymous to tenant").await;
        let applied =
            migrate::run(Schema::Application, &settings_as(&second, "tenant")).await.expect("now they are");
        assert_eq!(applied.len(), FILES);

        for settings in [settings_as(&first, "builder"), settings_as(&second, "tenant")] {
            let session = Connection::open(&settings).await.expect("it may log in");
            for role in ["app_user", "app_lead", "app_anonymous"] {
                let taken = session.batch_execute(&format!("set role {role}; reset role")).await;
                taken.unwrap_or_else(|error| panic!("{settings} does not become {role}: {error:?}"));
            }
        }
    });
}
