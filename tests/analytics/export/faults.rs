//! Exports to a place that fails, that stops answering, and over rows that change meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::Value;
use tidegate::analytics::export::{Error, Export, Limits};
use tidegate::postgres::migrate::Schema;
use tidegate::postgres::{Pool, Settings, migrate};

use super::store::{Faulty, How, Plan, When, contents};
use super::{Folder, duckdb, must_agree};
use crate::fixture::{Database, Test, scenario};

/// A row or two in each table, and three days of activities, the first of which is two files.
const HISTORY: &str = "
select analytics.prepare(name, '2026-01-01', '2026-01-31')
from unnest(array['fact_activities', 'fact_user_actions', 'kpi_values_day']) as name;
insert into analytics.dim_boards values (1, 'Ferry');
insert into analytics.dim_users values ('ada', 'Ada');
insert into analytics.dim_states values (1, 1, 'Doing', 'active', 1);
insert into analytics.dim_categories values (1, 1, 'Pier');
insert into analytics.fact_entries (entry_id, board_id, state, created_at, due_at, on_time, version) values
  (1, 1, 'Doing', '2026-01-10 09:00Z', 'infinity', null, 1),
  (2, 1, 'Doing', '2026-01-11 09:00Z', '2026-01-12 09:00Z', true, 3);
insert into analytics.fact_activities (activity_id, at, board_id, entry_id, subject, action)
select n + 10, '2026-01-10 09:00Z'::timestamptz + n * interval '1 minute', 1, 1, 'entry', 'changed' from generate_series(1, 5) as n;
insert into analytics.fact_activities (activity_id, at, board_id, subject, action) values
  (21, '2026-01-11 09:00Z', 1, 'board', 'changed'),
  (22, '2026-01-12 09:00Z', 1, 'board', 'changed');
insert into analytics.fact_user_actions (action_id, at, user_id, action, subject) values
  (1, '2026-01-10 09:00Z', 'ada', 'entered', 'session');
insert into analytics.fact_spans values (1, 1, 1, 'Doing', '2026-01-10 09:00Z', null);
insert into analytics.kpi_values_day values (1, 'open', '', '2026-01-10 00:00Z', 2.25, 1, 4, 7);";

/// A day that changes, one that goes, one that comes, and a table without days that changes.
pub(super) const LATER: &str = "
update analytics.fact_activities set action = 'edited' where activity_id = 12;
delete from analytics.fact_activities where activity_id = 21;
insert into analytics.fact_activities (activity_id, at, board_id, subject, action) values (23, '2026-01-13 09:00Z', 1, 'board', 'changed');
update analytics.dim_users set name = 'Ada L.';";

/// An export in whose files there is room for next to nothing: the largest go out in parts.
fn small() -> Limits {
    Limits {
        group_rows: 2,
        file_rows: 3,
        part_bytes: 1_400,
        manifest_every: Duration::ZERO,
        ..Limits::default()
    }
}

/// As `small`, in files that go out whole.
fn whole() -> Limits {
    Limits { part_bytes: usize::MAX, ..small() }
}

pub(super) async fn history(test: &Test) -> (Database, Pool) {
    let database = test.database().await;
    let settings = Settings::parse(&database.url()).expect("a URL");
    migrate::run(Schema::Analytics, &settings).await.unwrap_or_else(|error| panic!("{error:?}"));
    database.execute(HISTORY).await;
    let pool = Pool::new(settings, 4, Duration::from_secs(30)).expect("no TLS");
    (database, pool)
}

fn export(store: Arc<dyn ObjectStore>, pool: &Pool, limits: Limits) -> Export {
    Export::at(store, Path::from("warehouse"), pool.clone()).with(limits)
}

async fn held(at: &InMemory) -> BTreeMap<String, Bytes> {
    contents(at, &Path::from("warehouse")).await
}

/// What an export from nothing comes to.
async fn fresh(pool: &Pool, limits: Limits) -> InMemory {
    let place = Faulty::over(&InMemory::new(), When::Never, How::Fails);
    let inner = Arc::clone(&place.inner);
    export(Arc::new(place), pool, limits).run().await.expect("nothing is in its way");
    inner.fork()
}

/// The files that the manifest names, and itself.
fn named(held: &BTreeMap<String, Bytes>) -> BTreeSet<String> {
    let Some(manifest) = held.get("manifest.json") else { return BTreeSet::new() };
    let manifest: Value = serde_json::from_slice(manifest).expect("JSON");
    let mut named = BTreeSet::from(["manifest.json".to_owned()]);
    for (table, days) in manifest["tables"].as_object().expect("tables") {
        for (day, written) in days.as_object().expect("days") {
            let folder = if day.is_empty() { table.clone() } else { format!("{table}/day={day}") };
            let files = written["files"].as_array().expect("files");
            named.extend(files.iter().map(|file| format!("{folder}/{}", file.as_str().expect("a name"))));
        }
    }
    named
}

/// Goes through every operation of an export over what is there `before`: each of them goes wrong once, in every way, and
/// the next export makes good what is left. How many there were.
async fn every_fault_is_made_good(pool: &Pool, before: &InMemory) -> usize {
    let after = held(&fresh(pool, small()).await).await;
    assert_eq!(
        named(&after),
        after.keys().cloned().collect(),
        "files that are there, and that the manifest names"
    );
    let quiet = Faulty::over(before, When::Never, How::Fails);
    let plan = Arc::clone(&quiet.plan);
    export(Arc::new(quiet), pool, small()).run().await.expect("nothing is in its way");
    let operations = plan.asked().len();
    let faults = (0..=operations).flat_map(|number| {
        [How::Fails, How::IsDoneAndFails, How::Stops, How::IsDoneAndStops].map(|how| (number, how))
    });
    let faults =
        faults.map(|(number, how)| async move { (number, how, strike(pool, before, number, how).await) });
    let mut made = stream::iter(faults).buffer_unordered(3);
    while let Some((number, how, (broken, inner, plan))) = made.next().await {
        let asked = plan.asked();
        let what = format!("{number} {:?} {how:?}", asked.get(number));
        // Parts go out side by side, so that their number is not quite the same each time.
        assert_eq!(broken, plan.has_happened(), "{what}");
        let left = held(&inner).await;
        let missing: Vec<_> = named(&left).into_iter().filter(|file| !left.contains_key(file)).collect();
        assert_eq!(missing, [""; 0], "{what}: the manifest names what is not there");
        let days = |held: &BTreeMap<String, Bytes>| -> BTreeSet<String> {
            held.keys()
                .filter_map(|file| file.rsplit_once('/'))
                .map(|(folder, _)| folder.to_owned())
                .collect()
        };
        let lost: Vec<_> = days(&held(before).await).difference(&days(&left)).cloned().collect();
        let gone: Vec<_> = lost.iter().filter(|day| days(&after).contains(*day)).collect();
        assert!(gone.is_empty(), "{what}: a glob misses {gone:?}");

        export(inner.clone(), pool, small()).run().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(
            held(&inner).await == after,
            "{what}: {:?} is not {:?}",
            held(&inner).await.keys(),
            after.keys()
        );
    }
    operations
}

/// An export of which one operation goes wrong: whether it broke off, what it left, and what it had asked.
async fn strike(pool: &Pool, before: &InMemory, number: usize, how: How) -> (bool, Arc<InMemory>, Arc<Plan>) {
    let place = Faulty::over(before, When::Nth(number), how);
    let (inner, plan) = (Arc::clone(&place.inner), Arc::clone(&place.plan));
    let broken = tokio::select! {
        outcome = async { export(Arc::new(place), pool, small()).run().await } => outcome.is_err(),
        () = plan.happens() => true,
    };
    (broken, inner, plan)
}

#[test]
fn a_first_export_that_fails_or_is_killed_at_any_operation_is_made_good_by_the_next() {
    scenario(async |test| {
        let (_database, pool) = history(test).await;
        let operations = every_fault_is_made_good(&pool, &InMemory::new()).await;
        assert!(operations > 40, "{operations} operations");
    });
}

#[test]
fn an_export_of_changes_that_fails_or_is_killed_at_any_operation_is_made_good_by_the_next() {
    scenario(async |test| {
        let (database, pool) = history(test).await;
        let before = fresh(&pool, small()).await;
        database.execute(LATER).await;
        let operations = every_fault_is_made_good(&pool, &before).await;
        assert!(operations > 20, "{operations} operations");
    });
}

#[test]
fn an_export_to_a_folder_is_what_the_tables_are_in_files_and_groups_of_a_bounded_size() {
    scenario(async |test| {
        let (database, pool) = history(test).await;
        let folder = Folder::new(&database);
        let place: Arc<dyn ObjectStore> =
            Arc::new(LocalFileSystem::new_with_prefix(folder.path()).expect("it is there"));
        let export = Export::at(place.clone(), Path::default(), pool.clone()).with(small());
        export.run().await.expect("nothing is in its way");
        must_agree(&database.client().await, folder.path()).await;
        database.execute(LATER).await;
        assert_eq!(export.run().await.expect("nothing is in its way"), 5 + 1 + 1);
        must_agree(&database.client().await, folder.path()).await;
        assert!(contents(&*place, &Path::default()).await == held(&fresh(&pool, small()).await).await);
        let sizes = "
            select max(row_group_num_rows) as of_group, max(of_file) as of_file
            from parquet_metadata('*/**/*.parquet')
            join (select file_name, num_rows as of_file from parquet_file_metadata('*/**/*.parquet')) using (file_name)";
        let sizes = duckdb(folder.path(), sizes).await;
        assert_eq!(sizes[0].to_string(), r#"{"of_file":3,"of_group":2}"#);
    });
}

#[test]
fn no_transaction_is_open_while_a_file_is_on_its_way() {
    const OPEN: &str = "
        select count(*)
        from pg_stat_activity
        where datname = current_database()
          and backend_type = 'client backend'
          and pid <> pg_backend_pid()
          and xact_start is not null";
    scenario(async |test| {
        let (database, pool) = history(test).await;
        let place = Faulty::over(&InMemory::new(), When::Each("warehouse"), How::Waits);
        let plan = Arc::clone(&place.plan);
        let export = export(Arc::new(place), &pool, small());
        let client = database.client().await;
        let mut looks = 0;
        let looking = async {
            loop {
                plan.happens().await;
                let open: i64 = client.query_one(OPEN, &[]).await.expect("the superuser may").get(0);
                assert_eq!(open, 0, "{:?}", plan.asked().last());
                looks += 1;
                plan.go_on();
            }
        };
        tokio::select! {
            outcome = export.run() => {
                outcome.expect("nothing is in its way");
            }
            () = looking => {}
        }
        assert!(looks > 20, "{looks} operations were looked at");
    });
}

/// Runs an export, with SQL each time that a file of the first day of activities is on its way, for so many times.
async fn run_beside(
    database: &Database,
    pool: &Pool,
    times: usize,
    sql: &str,
) -> (Result<u64, Error>, Arc<InMemory>) {
    let place = Faulty::over(
        &InMemory::new(),
        When::Each("put warehouse/fact_activities/day=2026-01-10"),
        How::Waits,
    );
    let (inner, plan) = (Arc::clone(&place.inner), Arc::clone(&place.plan));
    let export = export(Arc::new(place), pool, whole());
    let beside = async {
        for time in 0.. {
            plan.happens().await;
            if time < times {
                database.execute(sql).await;
            }
            plan.go_on();
        }
    };
    tokio::select! {
        outcome = export.run() => (outcome, inner),
        () = beside => unreachable!("it goes on for ever"),
    }
}

#[test]
fn rows_that_change_while_a_day_is_written_are_exported_as_of_one_moment() {
    // One that lies behind what was read of its day, and one of a day that is still to be read.
    const MEANWHILE: &str = "
        insert into analytics.fact_activities (activity_id, at, board_id, subject, action) values
          (1, '2026-01-10 08:00Z', 1, 'board', 'late'),
          (2, '2026-01-11 08:00Z', 1, 'board', 'late')";
    scenario(async |test| {
        let (database, pool) = history(test).await;
        let (outcome, inner) = run_beside(&database, &pool, 1, MEANWHILE).await;
        outcome.expect("it is written by the second attempt");
        assert!(held(&inner).await == held(&fresh(&pool, whole()).await).await);
        // What the manifest says of the days is of the rows that were written: nothing is left to do.
        assert_eq!(export(inner, &pool, whole()).run().await.expect("nothing is in its way"), 0);
    });
}

#[test]
fn a_day_that_never_stands_still_fails_the_run_and_keeps_nothing_else_back() {
    const MEANWHILE: &str = "
        insert into analytics.fact_activities (activity_id, at, board_id, subject, action)
        select max(activity_id) + 1, '2026-01-10 10:00Z', 1, 'board', 'late' from analytics.fact_activities";
    scenario(async |test| {
        let (database, pool) = history(test).await;
        let (outcome, inner) = run_beside(&database, &pool, usize::MAX, MEANWHILE).await;
        let error = outcome.expect_err("a day is missing");
        assert_eq!(
            error.to_string(),
            "all was exported but `fact_activities` of \"2026-01-10\", which changed each time that it was read"
        );
        let (left, after) = (held(&inner).await, held(&fresh(&pool, whole()).await).await);
        let is_other = |file: &&String| !file.starts_with("fact_activities/day=2026-01-10/");
        assert!(left.keys().eq(after.keys().filter(is_other)), "{:?}", left.keys());
        export(inner.clone(), &pool, whole()).run().await.expect("it stands still");
        assert!(held(&inner).await == after);
    });
}

#[test]
fn the_manifest_is_written_once_for_days_that_are_quickly_done_and_files_go_behind_it() {
    scenario(async |test| {
        let (database, pool) = history(test).await;
        let limits = || Limits { manifest_every: Duration::from_hours(1), ..whole() };
        let before = fresh(&pool, limits()).await;
        database.execute(LATER).await;
        for (before, files, removed) in [(InMemory::new(), 13, 0), (before, 4, 4)] {
            let place = Faulty::over(&before, When::Never, How::Fails);
            let plan = Arc::clone(&place.plan);
            export(Arc::new(place), &pool, limits()).run().await.expect("nothing is in its way");
            let mut asked = plan.asked();
            let rest = asked.split_off(1 + 9);
            assert_eq!(asked.iter().filter(|what| what.starts_with("list ")).count(), 9, "{asked:?}");
            let manifest =
                rest.iter().position(|what| what == "put warehouse/manifest.json").expect("written");
            let behind = rest[manifest + 1..].iter().filter(|what| what.starts_with("delete ")).count();
            assert_eq!((manifest, behind, rest.len()), (files, removed, files + 1 + removed), "{rest:?}");
        }
    });
}

#[test]
fn a_file_that_is_lost_is_written_again_and_what_is_not_ours_is_left_alone() {
    scenario(async |test| {
        let (_database, pool) = history(test).await;
        let place = Arc::new(fresh(&pool, small()).await);
        let before = held(&place).await;
        let lost = before.keys().find(|file| file.starts_with("fact_activities/")).expect("it is exported");
        let at = |name: &str| Path::from(format!("warehouse/{name}"));
        place.delete(&at(lost)).await.expect("it is there");
        let others = [
            "fact_activities/readme.txt",
            "fact_activities/day=2026-01-10/own.parquet",
            "fact_activities/own/part-0.parquet",
        ];
        for other in others {
            place.put(&at(other), "theirs".into()).await.expect("it is in memory");
        }
        place
            .put(&at("fact_activities/day=2020-01-01/part-1-1-0000.parquet"), "ours".into())
            .await
            .expect("likewise");
        export(place.clone(), &pool, small()).run().await.expect("nothing is in its way");
        let mut after = held(&place).await;
        for other in others {
            assert!(after.remove(other).is_some(), "{other}");
        }
        assert!(after == before, "{:?}", after.keys());
    });
}
