//! Loads: what comes late, out of order, twice or by hand is there once, as it is.

use serde_json::json;

use super::charts::{FACTS, expected_of_states, must_agree, shown_of_states};
use super::history::{BY_HAND, job, start};
use super::work::BEGINNING;
use crate::app::house::App;
use crate::commands::{on, outcome};
use crate::fixture::{Database, eventually, scenario};

const ACT: &str = "
    insert into public.activities (board_id, subject, action) select min(id), 'board', 'changed' from public.boards;
    insert into app.user_actions (at, user_id, action, subject) values (now(), 'ada', 'viewed', 'board')";
/// Activities and what people looked at that are not loaded, or not there, or of another moment.
const UNLOADED: &str = "
    select (
      select count(*) from public.activities as a
      full join analytics.fact_activities as f on f.activity_id = a.id and f.at = a.at
      where a.id is null or f.activity_id is null
    ) + (
      select count(*) from app.user_actions as a
      full join analytics.fact_user_actions as f on f.action_id = a.id and f.at = a.at
      where a.id is null or f.action_id is null
    )";

async fn begin(database: Database) -> App {
    let app = App::start_with(database, &BY_HAND).await;
    app.database.execute(BEGINNING).await;
    app
}

#[test]
fn what_commits_after_rows_with_higher_numbers_is_loaded_by_the_next_load() {
    const SETTLED: &str = "
        select count(*)
        from analytics.watermarks
        where settled_id = case source
          when 'activities' then (select max(id) from public.activities)
          when 'user_actions' then (select max(id) from app.user_actions)
        end";
    const RESTORED: &str =
        "update analytics.watermarks set seen_xmax = 1000000000000, read_xmin = 1000000000000";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        job(&app.database, &["hourly"]).await;
        let slow = app.database.client().await;
        for restored in [false, true] {
            slow.batch_execute(&format!("begin; {ACT}")).await.expect("valid SQL");
            app.database.execute(ACT).await;
            job(&app.database, &["hourly"]).await;
            assert_eq!(app.database.number(UNLOADED).await, 0);
            // Looked at once more while it is still open: what was seen is not all there is.
            app.database.execute(ACT).await;
            job(&app.database, &["hourly"]).await;
            slow.batch_execute("commit").await.expect("valid SQL");
            assert_eq!(app.database.number(UNLOADED).await, 2);
            job(&app.database, &["hourly"]).await;
            assert_eq!(app.database.number(UNLOADED).await, 0);
            if restored {
                // Where transactions are counted from the beginning again.
                app.database.execute(RESTORED).await;
            }
            // All that runs in the cluster is waited for, and other tests do.
            eventually("nobody is waited for any more", async || {
                job(&app.database, &["hourly"]).await;
                (app.database.number(SETTLED).await == 2).then_some(())
            })
            .await;
        }
    });
}

#[test]
fn what_was_loaded_is_not_loaded_again_while_others_are_waited_for() {
    const LOADED: &str = "
        select (select count(*) from analytics.fact_activities) + (select count(*) from analytics.fact_user_actions)";
    const OLDER: &str = "
        select count(*)
        from public.activities
        where xmin::text::bigint >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        app.database.execute(ACT).await;
        eventually("whoever ran has ended", async || (app.database.number(OLDER).await == 0).then_some(()))
            .await;
        let slow = app.database.client().await;
        slow.batch_execute(&format!("begin; {ACT}")).await.expect("valid SQL");
        job(&app.database, &["hourly"]).await;
        assert_eq!(app.database.number(UNLOADED).await, 0);
        // Whatever were read again would be back.
        app.database
            .execute("delete from analytics.fact_activities; delete from analytics.fact_user_actions")
            .await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(app.database.number(LOADED).await, 0);
        slow.batch_execute("commit").await.expect("valid SQL");
        job(&app.database, &["hourly"]).await;
        assert_eq!(app.database.number(LOADED).await, 2);
        job(&app.database, &["daily"]).await;
        assert_eq!(app.database.number(UNLOADED).await, 0);
    });
}

#[test]
fn a_value_that_is_sampled_late_is_rolled_up_with_its_own_hour() {
    const LATE: &str = "
        insert into public.kpi_values (board_id, kpi, value, measured_at)
        select id, 'overdue', 7, now() - interval '30 hours' from public.boards;
        update analytics.watermarks set settled_at = now() - interval '31 hours' where source = 'kpi_values'";
    const ROLLED: &str = "
        select (select count(*) from analytics.kpi_values_hour where kpi = 'overdue' and value = 7 and at <= now() - interval '30 hours')
          + (select count(*) from analytics.kpi_values_day where kpi = 'overdue' and value = 7 and at <= now() - interval '30 hours')
          + (select count(*) from analytics.kpi_values_month where kpi = 'overdue' and value = 7)";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        eventually("there are values", async || {
            (app.database.number("select count(*) from public.kpi_values").await > 0).then_some(())
        })
        .await;
        for name in ["sample", "hourly"] {
            job(&app.database, &[name]).await;
        }
        app.database.execute(LATE).await;
        for name in ["sample", "hourly"] {
            job(&app.database, &[name]).await;
        }
        assert_eq!(app.database.number(ROLLED).await, 4 * 3);
    });
}

/// A day of more than two pages, and more than one of cards, people and values: in transactions of their own, as others wait
/// for each.
const MANY: [&str; 5] = [
    "insert into public.activities (board_id, subject, action, at)
    select b.id, 'board', 'changed', current_date - interval '2 days' + n * interval '1 second'
    from generate_series(1, 41000) as n
    cross join (select min(id) as id from public.boards) as b",
    "insert into app.user_actions (at, user_id, action, subject)
    select current_date - interval '2 days' + n * interval '1 second', 'ada', 'viewed', 'board'
    from generate_series(1, 41000) as n",
    "insert into public.entries (board_id, title, state_id, position)
    select s.board_id, 'One of many', s.id, 'many ' || n
    from generate_series(1, 21000) as n
    cross join (select * from public.workflow_states order by id limit 1) as s",
    "insert into public.users (id, name, hue) select 'Many ' || n, 'One of many', 1 from generate_series(1, 21000) as n",
    "insert into public.kpi_values (board_id, kpi, item, value)
    select b.id, 'overdue', 'many ' || n, n
    from generate_series(1, 21000) as n
    cross join (select min(id) as id from public.boards) as b",
];
/// The first and the last of each page, and some between.
const THIN: &str = "
    create function thin(id bigint, first bigint) returns boolean language sql immutable
    return (id - first) % 20000 in (0, 1, 7777, 19998, 19999);
    delete from public.activities
    where subject = 'board' and at::date = current_date - 2 and thin(id, (select min(id) from public.activities))
      and id > (select min(id) from public.activities);
    delete from app.user_actions
    where thin(id, (select min(id) from app.user_actions)) and id > (select min(id) from app.user_actions);
    delete from public.entries where thin(id, (select min(id) from public.entries));
    delete from public.users where name = 'One of many' and id ~ '77$'";

#[test]
fn what_is_gone_from_a_day_of_many_pages_is_found_wherever_it_was() {
    const OTHERS: &str = "
        select (
          select count(*) from public.entries as e
          full join (select * from analytics.fact_entries where not gone) as f on f.entry_id = e.id
          where e.id is null or f.entry_id is null
        ) + (
          select count(*) from public.users as u
          full join (select * from analytics.dim_users where not gone) as d on d.user_id = u.id
          where u.id is null or d.user_id is null
        )";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        for many in MANY {
            app.database.execute(many).await;
        }
        for name in ["sample", "hourly"] {
            job(&app.database, &[name]).await;
        }
        let sampled = "select count(*) from analytics.kpi_values_raw where item like 'many %'";
        assert_eq!(app.database.number(sampled).await, 21_000);
        assert_eq!(app.database.number(UNLOADED).await + app.database.number(OTHERS).await, 0);
        app.database.execute(THIN).await;
        assert!(app.database.number(UNLOADED).await > 16 && app.database.number(OTHERS).await > 200);
        job(&app.database, &["daily"]).await;
        assert_eq!(app.database.number(UNLOADED).await, 0);
        assert_eq!(app.database.number(OTHERS).await, 0);
    });
}

#[test]
fn a_row_of_another_moment_person_or_action_is_loaded_once_as_it_is_now() {
    const ROWS: &str = "
        insert into public.activities (board_id, subject, action, actor_id, at)
        select min(id), 'board', 'changed', 'person 2', now() - n * interval '7 hours'
        from public.boards cross join generate_series(1, 20) as n group by n;
        insert into app.user_actions (at, user_id, action, subject)
        select now() - n * interval '7 hours', 'person 2', 'viewed', 'board' from generate_series(1, 20) as n";
    const CORRECTED: &str = "
        update public.activities set at = at + interval '3 minutes' where id % 5 = 0;
        update public.activities set at = at + interval '30 hours' where id % 5 = 1;
        update public.activities set at = at - interval '40 days' where id % 5 = 2;
        update public.activities set action = 'renamed' where id % 5 = 3;
        update app.user_actions set at = at + interval '3 minutes' where id % 5 = 0;
        update app.user_actions set at = at - interval '30 hours' where id % 5 = 1;
        update app.user_actions set user_id = 'person 3' where id % 5 = 2;
        delete from app.user_actions where id % 5 = 3 and at > now() - interval '4 days'";
    const WRONG: &str = "
        select (
          select count(*) from app.user_actions as a
          join analytics.fact_user_actions as f on f.action_id = a.id where f.user_id <> a.user_id
        ) + (
          select count(*) from public.activities as a
          join analytics.fact_activities as f on f.activity_id = a.id where f.action <> a.action
        )";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        app.database.execute(ROWS).await;
        job(&app.database, &["hourly"]).await;
        job(&app.database, &["hourly"]).await;
        app.database.execute(CORRECTED).await;
        job(&app.database, &["daily"]).await;
        assert_eq!(app.database.number(UNLOADED).await, 0);
        assert_eq!(app.database.number(WRONG).await, 0);
        // What the application lets go in time stays.
        app.database.execute("delete from app.user_actions where at < now() - interval '3 days'").await;
        let unloaded = app.database.number(UNLOADED).await;
        job(&app.database, &["daily"]).await;
        job(&app.database, &["backfill", "--from", "2020-01-01", "--to", "2100-01-01"]).await;
        assert_eq!((unloaded > 3, app.database.number(UNLOADED).await), (true, unloaded));
    });
}

#[test]
fn what_lay_in_the_future_is_loaded_once_it_has_come() {
    const REJECTED: &str = "
        with gone as (delete from analytics.fact_activities returning *)
        insert into analytics.rejects (source, source_id, reason, content)
        select 'activities', activity_id, 'it lies in the future', to_jsonb(gone) from gone;
        with gone as (delete from analytics.fact_user_actions returning *)
        insert into analytics.rejects (source, source_id, reason, content)
        select 'user_actions', action_id, 'it lies in the future', to_jsonb(gone) from gone";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        app.database.execute(ACT).await;
        let ahead = ACT.replace(
            "(board_id, subject, action) select min(id), 'board', 'changed'",
            "(board_id, subject, action, at) select min(id), 'board', 'changed', now() + interval '2 days'",
        );
        app.database.execute(&ahead.replace("(now()", "(now() + interval '2 days'")).await;
        job(&app.database, &["daily"]).await;
        let rejects = "select count(*) from analytics.rejects";
        assert_eq!((app.database.number(UNLOADED).await, app.database.number(rejects).await), (2, 2));
        // As if what is loaded had been rejected a while ago.
        app.database.execute(REJECTED).await;
        job(&app.database, &["daily"]).await;
        assert_eq!((app.database.number(UNLOADED).await, app.database.number(rejects).await), (2, 2));
    });
}

#[test]
fn values_by_the_minute_are_taken_while_a_load_goes_on() {
    scenario(async |test| {
        let app = begin(test.database().await).await;
        eventually("there are values", async || {
            (app.database.number("select count(*) from public.kpi_values").await > 0).then_some(())
        })
        .await;
        let load = app.database.client().await;
        load.batch_execute("begin; select pg_advisory_xact_lock(7126113472001)").await.expect("valid SQL");
        job(&app.database, &["sample"]).await;
        assert!(app.database.number("select count(*) from analytics.kpi_values_raw").await > 0);
        load.batch_execute("commit").await.expect("valid SQL");
    });
}

#[test]
fn who_goes_there_and_back_and_there_again_at_one_moment_moves_three_times() {
    const BACK_AND_FORTH: &str = "
        with card as (
          insert into public.entries (board_id, title, state_id, position, created_at)
          select board_id, 'Card', id, 'a', now() - interval '2 days'
          from public.workflow_states where name = 'In progress' order by id limit 1
          returning id, board_id
        )
        insert into public.activities (board_id, subject, action, entry_id, detail)
        select c.board_id, 'entry', 'moved', c.id, jsonb_build_object('from', m.was, 'to', m.next)
        from card as c
        cross join (values
          (1, 'Backlog', 'In progress'), (2, 'In progress', 'Backlog'), (3, 'Backlog', 'In progress'),
          (4, 'Backlog', 'In progress'), (5, 'Backlog', 'In progress')) as m (number, was, next)
        order by m.number";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        app.database.execute(BACK_AND_FORTH).await;
        for name in ["hourly", "hourly", "daily"] {
            job(&app.database, &[name]).await;
            let twice = "select count(*) from analytics.rejects where reason = 'it is told twice'";
            assert_eq!(app.database.number(twice).await, 2, "{name}");
            assert_eq!(app.database.number("select count(*) from analytics.fact_spans").await, 4, "{name}");
            must_agree(&expected_of_states(&app, FACTS).await, &shown_of_states(&app).await);
        }
        // The first is gone: what was told twice is told once.
        app.database.execute("delete from public.activities where id = (select min(id) + 2 from public.activities where action = 'moved')").await;
        job(&app.database, &["daily"]).await;
        assert_eq!(app.database.number("select count(*) from analytics.fact_spans").await, 4);
    });
}

#[test]
fn a_backfill_from_the_beginning_of_time_makes_room_for_what_there_is() {
    scenario(async |test| {
        let app = start(test.database().await).await;
        app.database.execute(ACT).await;
        for name in ["sample", "hourly"] {
            job(&app.database, &[name]).await;
        }
        let tables = "select count(*) from pg_tables where schemaname = 'analytics'";
        let before = app.database.number(tables).await;
        job(&app.database, &["backfill", "--from", "0001-01-01", "--to", "2100-01-01"]).await;
        assert_eq!(app.database.number(tables).await, before);
        assert_eq!(app.database.number(UNLOADED).await, 0);
    });
}

#[test]
fn a_board_that_is_deleted_in_the_middle_of_a_comparison_keeps_its_facts() {
    const WAITS: &str = "
        select count(*)
        from pg_stat_activity
        where datname = current_database()
          and application_name = 'tidegate'
          and wait_event_type = 'Lock'
          and query like '%fact_activities%'";
    scenario(async |test| {
        let app = begin(test.database().await).await;
        let ada = app.person("ada").await;
        let boards = [ada.board("Stays").await, ada.board("Goes").await];
        for board in &boards {
            for _ in 0..3 {
                ada.entry(board, json!({"title": "One"})).await;
            }
        }
        for _ in 0..3 {
            job(&app.database, &["hourly"]).await;
        }
        let facts = format!("select count(*) from analytics.fact_activities where board_id = {}", boards[1]);
        let kept = app.database.number(&facts).await;
        app.database
            .execute(&format!(
                "delete from public.activities where id = (select max(id) from public.activities where board_id = {})",
                boards[0]
            ))
            .await;
        let lock = app.database.client().await;
        lock.batch_execute("begin; lock table analytics.fact_activities in access exclusive mode")
            .await
            .expect("the superuser may");
        let daily = async {
            let (status, told, error) = outcome(on(&app.database, &["jobs", "run", "daily"])).await;
            assert_eq!(status, 0, "{told}{error}");
        };
        let deletion = async {
            eventually("it compares", async || (app.database.number(WAITS).await > 0).then_some(())).await;
            app.database.execute(&format!("delete from public.boards where id = {}", boards[1])).await;
            lock.batch_execute("commit").await.expect("it held");
        };
        tokio::join!(daily, deletion);
        assert!(kept >= 4);
        assert_eq!(app.database.number(&facts).await, kept);
        let other = format!(
            "select (select count(*) from public.activities where board_id = {0})
              - (select count(*) from analytics.fact_activities where board_id = {0})",
            boards[0]
        );
        assert_eq!(app.database.number(&other).await, 0);
    });
}
