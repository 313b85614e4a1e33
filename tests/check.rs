//! `check` and `teardown` on databases with something wrong.

mod broker;
mod emit;

use tidegate::postgres::check::{self, Config, Finding, Fixed, Report, Safety, Severity};
use tidegate::postgres::publication::{self, Dropped, Patterns};
use tidegate::postgres::teardown::{self, Slot};
use tidegate::postgres::{Connection, Settings};

use crate::fixture::{Database, eventually, private, scenario};

fn settings(database: &Database) -> Settings {
    Settings::parse(&database.url()).expect("the fixture's URL is valid")
}

fn config(database: &Database) -> Config {
    let tables = Patterns::parse(["public.*"]).expect("valid");
    let publication = publication::Config { publication: database.publication(), tables };
    Config { publication, slot: database.slot(), audit: None, roles: Vec::new() }
}

async fn look(database: &Database) -> Report {
    check::run(&settings(database), &config(database)).await.expect("it can look")
}

fn about<'a>(report: &'a Report, subject: &str) -> Vec<&'a Finding> {
    report.findings.iter().filter(|finding| finding.subject == subject).collect()
}

fn sql(finding: &Finding) -> &str {
    finding.remedy.as_ref().map_or("", |remedy| &remedy.command)
}

#[test]
fn a_database_without_faults_has_none() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table a (id int primary key); alter table a replica identity full").await;
        let report = look(&database).await;
        assert!(!report.has_faults(), "{report:#?}");
        let done = check::fix(&settings(&database), &config(&database)).await.expect("may");
        assert!(done.done.iter().any(|sql| sql.starts_with("create publication")), "{done:?}");
        let report = look(&database).await;
        assert!(!report.has_faults(), "{report:#?}");
        assert_eq!(about(&report, "public.a")[0].severity, Severity::Fine);
        let again = check::fix(&settings(&database), &config(&database)).await.expect("may");
        assert_eq!(again, Fixed::default(), "once is enough");
    });
}

#[test]
fn a_server_that_is_not_set_up_is_told_of_with_the_sql() {
    scenario(async |_| {
        let cluster = private(&[("wal_level", "replica"), ("max_replication_slots", "0")]);
        let database = Database::create_on(cluster.address()).await;
        let report = look(&database).await;
        assert!(report.has_faults());
        let level = about(&report, "wal_level")[0];
        assert_eq!((level.severity, sql(level)), (Severity::Fault, "alter system set wal_level = logical;"));
        let slots = about(&report, "max_replication_slots")[0];
        assert_eq!(
            (slots.severity, sql(slots)),
            (Severity::Fault, "alter system set max_replication_slots = 10;")
        );
        let size = about(&report, "max_slot_wal_keep_size")[0];
        assert_eq!(size.severity, Severity::Warning);
        // Not even `fix` changes the server's configuration.
        let _ = check::fix(&settings(&database), &config(&database)).await.expect("may");
        assert_eq!(about(&look(&database).await, "wal_level")[0].severity, Severity::Fault);
    });
}

#[test]
fn tables_are_told_of_one_by_one() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table bare (a int);
                 create table plain (id int primary key, a int);
                 create table parts (id int primary key) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create table parts_2 partition of parts for values in (2);
                 alter table parts replica identity full;
                 alter table parts_1 replica identity full;",
            )
            .await;
        let report = look(&database).await;
        let bare = about(&report, "public.bare")[0];
        assert_eq!(bare.severity, Severity::Warning);
        assert!(sql(bare).contains("primary key;"), "{bare:?}");
        assert!(
            about(&report, "public.plain").iter().any(|note| sql(note).ends_with("replica identity full;"))
        );
        let leaf = about(&report, "public.parts_2")[0];
        assert_eq!(leaf.remedy.as_ref().map(|remedy| remedy.safety), Some(Safety::Safe));

        let done = check::fix(&settings(&database), &config(&database)).await.expect("may");
        assert!(done.done.iter().any(|sql| sql.contains("\"parts_2\" replica identity full")), "{done:?}");
        let report = look(&database).await;
        assert!(about(&report, "public.parts_2").is_empty());
        assert_eq!(about(&report, "public.bare").len(), 1, "only its owner can choose a key");
        let full = "select count(*) from pg_class where relname = 'plain' and relreplident = 'f'";
        assert_eq!(database.number(full).await, 0, "what costs log is not done unasked");
    });
}

#[test]
fn fix_never_sets_full_under_a_column_list() {
    scenario(async |test| {
        let database = test.database().await;
        if database.number("select current_setting('server_version_num')::bigint").await < 150_000 {
            return;
        }
        database
            .execute(
                "create table parts (id int primary key, a int) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create publication theirs for table parts (id) with (publish_via_partition_root = true);
                 alter table parts replica identity full;
                 create table wide (id int primary key, a int);
                 create publication others for table wide (id);
                 alter table wide replica identity full;
                 create table deep (id int primary key, a int) partition by range (id);
                 create table deep_1 partition of deep for values from (0) to (10) partition by range (id);
                 create table deep_1_1 partition of deep_1 for values from (0) to (5);
                 create publication between for table deep_1 (id) with (publish_via_partition_root = true);
                 alter table deep replica identity full;",
            )
            .await;
        let _ = check::fix(&settings(&database), &config(&database)).await.expect("may");
        let full =
            "select count(*) from pg_class where relname in ('parts_1', 'deep_1_1') and relreplident = 'f'";
        assert_eq!(database.number(full).await, 0);
        for table in ["parts", "deep"] {
            database.execute(&format!("insert into {table} values (1, 1); update {table} set a = 2")).await;
        }
        let report = look(&database).await;
        let wide = about(&report, "public.wide")[0];
        assert_eq!(
            (wide.severity, sql(wide)),
            (Severity::Fault, r#"alter table "public"."wide" replica identity default;"#)
        );
    });
}

#[test]
fn a_role_that_may_too_little_is_told_what_to_be_granted() {
    scenario(async |test| {
        let database = test.database().await;
        let role = format!("{}_poor", database.name());
        database
            .execute(&format!("create role {role} login; create table theirs (id int primary key)"))
            .await;
        let url =
            format!("{}{}user={role}", database.url(), if database.url().contains('?') { "&" } else { "?" });
        let report = check::run(&Settings::parse(&url).expect("valid"), &config(&database))
            .await
            .expect("it can look");
        let remedies: Vec<&str> = report.findings.iter().map(sql).collect();
        for expected in [
            format!("alter role \"{role}\" replication;"),
            format!("grant create on database \"{}\" to \"{role}\";", database.name()),
            format!("grant select on \"public\".\"theirs\" to \"{role}\";"),
        ] {
            assert!(remedies.contains(&expected.as_str()), "{expected}: {remedies:?}");
        }
        assert!(about(&report, "public.theirs").iter().any(|finding| finding.message.contains("belongs to")));
        database.execute(&format!("drop role {role}")).await;
    });
}

#[test]
fn a_users_publication_with_faults_is_told_of() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.publication();
        database
            .execute(&format!("create table a (id int primary key); create publication {name} for table a with (publish = 'insert')"))
            .await;
        let report = look(&database).await;
        let finding = about(&report, "publication")[0];
        assert_eq!(finding.severity, Severity::Fault);
        assert!(sql(finding).contains("set (publish ="), "{finding:?}");
        let _ = check::fix(&settings(&database), &config(&database)).await.expect("leaves it alone");
        assert_eq!(about(&look(&database).await, "publication")[0].severity, Severity::Fault);
    });
}

#[test]
fn every_table_of_a_users_publication_is_told_of_however_it_is_published() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.publication();
        let poor = Poor::create(&database).await;
        database
            .execute(&format!(
                "create table bare (a int);
                 create table plain (id int primary key);
                 create table hidden (id int primary key);
                 alter table hidden enable row level security;
                 grant select on hidden to {};
                 create publication {name} for all tables with (publish_via_partition_root = true)",
                poor.role
            ))
            .await;
        let told = async || {
            let report = check::run(&poor.settings, &config(&database)).await.expect("it can look");
            assert!(about(&report, "tables").is_empty(), "{report:#?}");
            assert!(
                about(&report, "public.bare")[0].message.contains("neither a primary key"),
                "{report:#?}"
            );
            assert!(about(&report, "public.plain")[0].message.contains("may not read it"), "{report:#?}");
            assert!(about(&report, "public.hidden")[0].message.contains("row-level policy"), "{report:#?}");
        };
        told().await;
        if database.number("select current_setting('server_version_num')::bigint").await >= 150_000 {
            let anew =
                format!("drop publication {name}; create publication {name} for tables in schema public");
            database.execute(&anew).await;
            told().await;
            database
                .execute(&format!(
                    "create table listed (id int primary key, a int);
                     drop publication {name};
                     create publication {name} for table listed (a)"
                ))
                .await;
            let report = look(&database).await;
            let listed = about(&report, "public.listed")[0];
            assert!(listed.message.contains("leaves out: id"), "{listed:?}");
            database.execute(sql(listed)).await;
            assert_eq!(about(&look(&database).await, "public.listed")[0].severity, Severity::Note);
        }
        poor.remove(&database).await;
    });
}

#[test]
fn a_publication_of_another_role_is_named_where_it_is_in_the_way() {
    scenario(async |test| {
        let database = test.database().await;
        let poor = Poor::create(&database).await;
        let _ = check::fix(&settings(&database), &config(&database)).await.expect("may");
        database
            .execute(&format!(
                "create table own (id int primary key); alter table own owner to {}",
                poor.role
            ))
            .await;
        let report = check::run(&poor.settings, &config(&database)).await.expect("it can look");
        let own = about(&report, "public.own")[0];
        assert_eq!(own.severity, Severity::Warning);
        assert!(own.message.contains("the publication belongs to `postgres`"), "{own:?}");
        let mut session = Connection::open(&poor.settings).await.expect("may log in");
        let kept =
            publication::ensure(session.client_mut(), &config(&database).publication).await.expect("kept");
        assert_eq!((kept.added.len(), kept.not_owned.len(), kept.deferred.len()), (0, 1, 0));

        let spoil = format!("alter publication {} set (publish = 'insert')", database.publication());
        database.execute(&spoil).await;
        let refused = publication::ensure(session.client_mut(), &config(&database).publication).await;
        assert!(matches!(refused, Err(publication::Error::Unusable { .. })), "{refused:?}");
        let report = check::run(&poor.settings, &config(&database)).await.expect("it can look");
        assert_eq!(about(&report, "publication")[0].severity, Severity::Fault);
        drop(session);
        poor.remove(&database).await;
    });
}

#[test]
fn what_cannot_be_fixed_now_is_told_and_stops_nothing_else() {
    scenario(async |test| {
        let database = test.database().await;
        let poor = Poor::create(&database).await;
        database
            .execute(&format!(
                "create table parts (id int primary key, a int) partition by list (id);
                 create table parts_1 partition of parts for values in (1);
                 create table parts_2 partition of parts for values in (2);
                 create table parts_3 partition of parts for values in (3);
                 alter table parts replica identity full;
                 alter table parts owner to {role};
                 alter table parts_2 owner to {role};
                 alter table parts_3 owner to {role};",
                role = poor.role
            ))
            .await;
        let reader = database.client().await;
        reader.batch_execute("begin; lock table parts_2 in access share mode").await.expect("free");
        let fixed = check::fix(&poor.settings, &config(&database)).await.expect("may");
        assert!(fixed.done[0].contains("\"parts_3\" replica identity full"), "{fixed:?}");
        assert!(fixed.done.iter().any(|sql| sql.starts_with("create publication")), "{fixed:?}");
        let left: Vec<_> = fixed.left.iter().map(|left| (left.sql.as_str(), left.reason.as_str())).collect();
        assert_eq!(
            left,
            [
                (
                    r#"alter table "public"."parts_1" replica identity full;"#,
                    "must be owner of table parts_1"
                ),
                (
                    r#"alter table "public"."parts_2" replica identity full;"#,
                    "canceling statement due to lock timeout"
                ),
            ]
        );
        drop(reader);
        poor.remove(&database).await;
    });
}

/// A role that owns nothing.
struct Poor {
    role: String,
    settings: Settings,
}

impl Poor {
    async fn create(database: &Database) -> Self {
        let (role, url) = (format!("{}_poor", database.name()), database.url());
        database
            .execute(&format!(
                "create role {role} login; grant create on database {} to {role}; grant all on schema public to {role}",
                database.name()
            ))
            .await;
        let url = format!("{url}{}user={role}", if url.contains('?') { "&" } else { "?" });
        Self { role, settings: Settings::parse(&url).expect("valid") }
    }

    async fn remove(self, database: &Database) {
        database.execute(&format!("drop owned by {role} cascade; drop role {role}", role = self.role)).await;
    }
}

#[test]
fn a_slot_that_nobody_reads_is_told_of_and_torn_down() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table a (id int primary key)").await;
        let _ = check::fix(&settings(&database), &config(&database)).await.expect("may");
        database
            .execute(&format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", database.slot()))
            .await;
        let report = look(&database).await;
        let slot = about(&report, "slot")[0];
        assert_eq!(slot.severity, Severity::Warning);
        assert!(slot.message.contains("nobody reads"), "{slot:?}");

        let run = async || {
            teardown::run(&settings(&database), &database.publication(), &database.slot()).await.expect("may")
        };
        let report = run().await;
        assert_eq!(
            (report.slot, report.rest.map(|rest| rest.publication)),
            (Slot::Dropped, Some(Dropped::Dropped))
        );
        let report = run().await;
        assert_eq!(
            (report.slot, report.rest.map(|rest| rest.publication)),
            (Slot::Absent, Some(Dropped::Absent))
        );
        let left = "select (select count(*) from pg_publication) + (select count(*) from pg_event_trigger)
                         + (select count(*) from pg_namespace where nspname = 'tidegate')";
        assert_eq!(database.number(left).await, 0);
    });
}

#[test]
fn teardown_leaves_a_slot_in_use_and_all_else_with_it() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table a (id int primary key)").await;
        let _ = check::fix(&settings(&database), &config(&database)).await.expect("may");
        let run = async || {
            teardown::run(&settings(&database), &database.publication(), &database.slot()).await.expect("may")
        };
        // Whoever makes a slot holds it, and waits for older transactions to end.
        let older = database.client().await;
        older.batch_execute("begin; insert into a values (1)").await.expect("up");
        let creation =
            format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", database.slot());
        let holder = database.execute(&creation);
        let meanwhile = async {
            let held = format!(
                "select count(*) from pg_replication_slots where slot_name = '{}' and active",
                database.slot()
            );
            eventually("the slot is held", async || (database.number(&held).await == 1).then_some(())).await;
            let report = run().await;
            assert!(matches!(report.slot, Slot::InUse { pid, .. } if pid > 0), "{report:?}");
            assert_eq!(report.rest, None);
            assert!(
                look(&database)
                    .await
                    .findings
                    .iter()
                    .any(|finding| finding.message.contains("is read by process"))
            );
            older.batch_execute("commit").await.expect("open");
        };
        tokio::join!(holder, meanwhile);
        assert_eq!(run().await.slot, Slot::Dropped);
    });
}

#[test]
fn teardown_leaves_a_slot_of_another_plugin() {
    scenario(async |test| {
        let database = test.database().await;
        let slot = database.slot();
        database
            .execute(&format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')"))
            .await;
        let report =
            teardown::run(&settings(&database), &database.publication(), &slot).await.expect("it can look");
        assert_eq!(report.slot, Slot::Foreign { plugin: "test_decoding".into() });
        let there = format!("select count(*) from pg_replication_slots where slot_name = '{slot}'");
        assert_eq!(database.number(&there).await, 1);
    });
}

#[test]
fn teardown_leaves_what_is_not_ours() {
    scenario(async |test| {
        let (database, other) = (test.database().await, test.database().await);
        database.execute(&format!("create publication {}", database.publication())).await;
        database
            .execute(&format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", database.slot()))
            .await;
        let elsewhere =
            teardown::run(&settings(&other), &database.publication(), &database.slot()).await.expect("may");
        assert_eq!(elsewhere.slot, Slot::Elsewhere { database: Some(database.name().to_owned()) });
        let report = teardown::run(&settings(&database), &database.publication(), &database.slot())
            .await
            .expect("may");
        assert_eq!(report.rest.map(|rest| rest.publication), Some(Dropped::Users));
        assert_eq!(report.slot, Slot::Dropped);
    });
}
