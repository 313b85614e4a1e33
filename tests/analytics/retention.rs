//! What is kept for how long, and what is made of it later.

use std::collections::BTreeMap;

use super::charts::{Drawn, SOURCE, expected_of_states, must_agree, shown, shown_of_states};
use super::history::{BY_HAND, job, start_with};
use super::work::BEGINNING;
use crate::app::house::App;
use crate::fixture::scenario;

#[test]
fn values_are_rolled_up_and_those_by_the_minute_go_when_they_are_too_old() {
    const RAW: &str = "
        select analytics.prepare('kpi_values_raw', now() - interval '70 days', now());
        insert into analytics.kpi_values_raw
        select 1, kpi, '', date_trunc('minute', now() - n * interval '37 minutes'), n % 17, n % 17, n % 17, 1
        from generate_series(0, 2700) as n
        cross join (values ('open'), ('overdue'), ('throughput')) as k (kpi)";
    const WRONG: &str = "
        with expected as (
          select kpi, date_trunc('day', at) as at,
            (array_agg(value order by at desc))[1] as value,
            min(value) as least, max(value) as most, count(*) as samples
          from analytics.kpi_values_raw
          group by kpi, date_trunc('day', at)
        )
        select count(*)
        from expected as e
        full join analytics.kpi_values_day as d using (kpi, at)
        where abs(e.value - d.value) > 1e-9 or e.least <> d.least or e.most <> d.most or e.samples <> d.samples
          or e.value is null or d.value is null";
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        app.database.execute(RAW).await;
        job(&app.database, &["hourly"]).await;
        assert_eq!(app.database.number(WRONG).await, 0);
        let days = app.database.number("select count(*) from analytics.kpi_values_day").await;
        assert_eq!(
            app.database.number("select sum(samples)::bigint from analytics.kpi_values_month").await,
            3 * 2701
        );
        job(&app.database, &["upkeep"]).await;
        let old = "select count(*) from analytics.kpi_values_raw where at < date_trunc('day', now() - interval '30 days')";
        assert_eq!(app.database.number(old).await, 0);
        let young = "
            select count(*) from generate_series(0, 2700) as n
            where date_trunc('minute', now() - n * interval '37 minutes') >= date_trunc('day', now() - interval '30 days')";
        let (kept, expected) = (
            app.database.number("select count(*) from analytics.kpi_values_raw").await,
            app.database.number(young).await,
        );
        assert!((kept - expected * 3).abs() <= 3, "{kept} are kept of {expected} for each of three");
        // What was rolled up stays, also where a range is loaded once more that is no longer there.
        job(&app.database, &["backfill", "--from", "2020-01-01", "--to", "2100-01-01"]).await;
        assert_eq!(app.database.number("select count(*) from analytics.kpi_values_day").await, days);
    });
}

#[test]
fn a_measure_whose_definition_says_so_is_kept_for_less_long_than_others() {
    const ROWS: &str = "
        select analytics.prepare('kpi_values_raw', now() - interval '70 days', now());
        insert into analytics.kpi_values_raw
        select 1, kpi, '', date_trunc('minute', now() - n * interval '5 hours 7 minutes'), n, n, n, 1
        from generate_series(0, 320) as n cross join (values ('open'), ('overdue')) as k (kpi)";
    // What is kept of one is what is kept of the other since then, and what it is rolled up to is whole.
    const WRONG: &str = "
        with step (resolution, unit) as (values ('raw', 'hour'), ('hour', 'day'), ('day', 'month'), ('month', 'month')),
        expected as (
          select v.*
          from analytics.kpi_values as v
          join step as s using (resolution)
          where v.kpi = 'overdue'
            and date_trunc(s.unit, v.at) + ('1 ' || s.unit)::interval > now() - interval '10 days'
        ),
        kept as (select * from analytics.kpi_values where kpi = 'open')
        select count(*)
        from expected as e
        full join kept as k using (resolution, at)
        where (e.value, e.least, e.most, e.samples) is distinct from (k.value, k.least, k.most, k.samples)";
    const LEFT: &str = "
        select count(distinct resolution) * 1000 + count(*) filter (where resolution = 'raw')
        from analytics.kpi_values where kpi = 'open'";
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        app.database.execute(ROWS).await;
        job(&app.database, &["hourly"]).await;
        app.database.execute("update kpis set retention_days = 10 where name = 'open'").await;
        for again in ["upkeep", "hourly", "upkeep"] {
            job(&app.database, &[again]).await;
            assert_eq!(app.database.number(WRONG).await, 0, "{again}");
        }
        let left = app.database.number(LEFT).await;
        assert!((4045..4050).contains(&left), "{left}");
    });
}

#[test]
fn values_that_were_never_rolled_up_are_before_they_go() {
    const RAW: &str = "
        select analytics.prepare('kpi_values_raw', now() - interval '70 days', now());
        insert into analytics.kpi_values_raw
        select 1, 'open', '', date_trunc('minute', now() - n * interval '1 day'), n, n, n, 1
        from generate_series(0, 69) as n";
    scenario(async |test| {
        let app = App::start_with(test.database().await, &BY_HAND).await;
        app.database.execute(RAW).await;
        job(&app.database, &["upkeep"]).await;
        assert!(app.database.number("select count(*) from analytics.kpi_values_raw").await < 50);
        assert_eq!(app.database.number("select count(*) from analytics.kpi_values_day").await, 70);
    });
}

#[test]
fn what_the_application_lets_go_stays_in_the_history_whatever_else_it_keeps() {
    // An import, long ago: a row of 2015 with a high number.
    const ROWS: &str = "
        insert into public.activities (board_id, subject, action, at)
        select min(id), 'board', 'changed', now() - n * interval '1 day' from public.boards, generate_series(1, 60) as n group by n;
        insert into public.activities (board_id, subject, action, at)
        select min(id), 'board', 'changed', '2015-06-01' from public.boards;
        insert into app.user_actions (at, user_id, action, subject)
        select now() - n * interval '1 day', 'ada', 'viewed', 'board' from generate_series(1, 60) as n;
        insert into app.user_actions (at, user_id, action, subject) values ('2015-06-01', 'ada', 'viewed', 'board')";
    const LET_GO: &str = "
        delete from public.activities where at between '2020-01-01' and now() - interval '30 days';
        delete from app.user_actions where at between '2020-01-01' and now() - interval '30 days'";
    const FACTS: &str = "
        select (select count(*) from analytics.fact_activities) + (select count(*) from analytics.fact_user_actions)";
    scenario(async |test| {
        let days = [("app.activities_days", "30"), ("app.user_actions_days", "30")];
        let app = App::start_with(test.database().await, &BY_HAND).await;
        app.database.execute(BEGINNING).await;
        app.database.execute(ROWS).await;
        job(&app.database, &["hourly"]).await;
        let facts = app.database.number(FACTS).await;
        assert!(facts >= 122, "{facts}");
        app.database.execute(LET_GO).await;
        let app = app.restart_with(&[&BY_HAND[..], &days].concat()).await;
        job(&app.database, &["backfill", "--from", "2010-01-01", "--to", "2100-01-01"]).await;
        job(&app.database, &["daily"]).await;
        assert_eq!(app.database.number(FACTS).await, facts);
    });
}

/// A row for each day, for nearly four years.
const YEARS: &str = "
    select
      analytics.prepare('kpi_values_hour', now() - interval '1400 days', now()),
      analytics.prepare('kpi_values_day', now() - interval '1400 days', now()),
      analytics.prepare('fact_activities', now() - interval '1400 days', now()),
      analytics.prepare('fact_user_actions', now() - interval '1400 days', now());
    insert into analytics.kpi_values_hour
    select 1, 'open', '', date_trunc('hour', now()) - n * interval '1 day', n, n, n, 1 from generate_series(0, 1399) as n;
    insert into analytics.kpi_values_day
    select 1, 'open', '', date_trunc('day', now()) - n * interval '1 day', n, n, n, 1 from generate_series(0, 1399) as n;
    insert into analytics.fact_activities (activity_id, at, board_id, subject, action)
    select n, date_trunc('hour', now()) - n * interval '1 day', 1, 'board', 'changed' from generate_series(0, 1399) as n;
    insert into analytics.fact_user_actions (action_id, at, user_id, action, subject)
    select n, date_trunc('hour', now()) - n * interval '1 day', 'ada', 'viewed', 'board' from generate_series(0, 1399) as n";

#[test]
fn each_table_keeps_the_parts_that_reach_into_its_days_and_no_others() {
    scenario(async |test| {
        let settings = [
            &BY_HAND[..],
            &[("analytics.hour_days", "50"), ("analytics.day_days", "500"), ("analytics.fact_days", "45")],
        ];
        let app = App::start_with(test.database().await, &settings.concat()).await;
        app.database.execute(YEARS).await;
        job(&app.database, &["upkeep"]).await;
        job(&app.database, &["upkeep"]).await;
        for (table, step, days) in [
            ("kpi_values_hour", "month", 50),
            ("kpi_values_day", "year", 500),
            ("fact_activities", "month", 45),
            ("fact_user_actions", "month", 45),
        ] {
            let kept_from = format!("date_trunc('{step}', now() - interval '{days} days', 'UTC')");
            let expected = format!(
                "select count(*) from generate_series(0, 1399) as n
                where date_trunc('{}', now(), 'UTC') - n * interval '1 day' >= {kept_from}",
                if table == "kpi_values_day" { "day" } else { "hour" }
            );
            let kept = app.database.number(&format!("select count(*) from analytics.{table}")).await;
            assert_eq!(kept, app.database.number(&expected).await, "{table}");
            let older = format!("select count(*) from analytics.{table} where at < {kept_from}");
            assert_eq!(app.database.number(&older).await, 0, "{table}");
            let told = format!(
                "select count(*) from analytics.partitioned where parent = '{table}' and retired_before = {kept_from}"
            );
            assert_eq!(app.database.number(&told).await, 1, "{table}");
        }
    });
}

/// Cards that came a hundred days ago and moved on each ten days; one of them was deleted after thirty, one is yet to be, and
/// one stays where it is.
const OLD: &str = "
    insert into public.entries (board_id, title, state_id, position, created_at, updated_at)
    select s.board_id, 'Old ' || n, s.id, 'old ' || n, now() - interval '100 days', now() - interval '100 days'
    from generate_series(1, 8) as n
    cross join (select id, board_id from public.workflow_states where name = 'Backlog' order by id limit 1) as s;
    insert into public.activities (board_id, subject, action, entry_id, at, detail)
    select e.board_id, 'entry', 'moved', e.id, e.created_at + number * interval '10 days' + e.id * interval '7 minutes',
      jsonb_build_object('from', a.name, 'to', b.name, 'from_id', a.id, 'to_id', b.id)
    from public.entries as e
    cross join generate_series(1, 9) as number
    join public.workflow_states as a on a.board_id = e.board_id and a.ordinal = 1 + (number + 3) % 4
    join public.workflow_states as b on b.board_id = e.board_id and b.ordinal = 1 + number % 4
    where e.title in ('Old 1', 'Old 2', 'Old 3', 'Old 4', 'Old 5') or (e.title = 'Old 6' and number <= 2)";
const DELETE_OLD: &str = "
    with gone as (delete from public.entries where title = 'Old 6' returning id, board_id, created_at)
    insert into public.activities (board_id, subject, action, entry_id, at)
    select board_id, 'entry', 'deleted', id, created_at + interval '30 days' from gone";
/// What comes after: movements told now and late, a deletion, a new card, one that is called something else, something about
/// the one that was deleted long ago, and what is told of a time that nobody keeps.
const TOUCHED: &str = "
    insert into public.activities (board_id, subject, action, entry_id, at, detail)
    select e.board_id, 'entry', 'moved', e.id, now() - days * interval '1 day',
      jsonb_build_object('from', a.name, 'to', b.name, 'from_id', a.id, 'to_id', b.id)
    from (values ('Old 1', 0, 2, 4), ('Old 2', 4, 2, 1), ('Old 2', 3, 1, 2), ('Old 7', 5, 1, 2)) as m (title, days, was, next)
    join public.entries as e on e.title = m.title
    join public.workflow_states as a on a.board_id = e.board_id and a.ordinal = m.was
    join public.workflow_states as b on b.board_id = e.board_id and b.ordinal = m.next;
    with gone as (delete from public.entries where title = 'Old 3' returning id, board_id)
    insert into public.activities (board_id, subject, action, entry_id)
    select board_id, 'entry', 'deleted', id from gone;
    insert into public.entries (board_id, title, state_id, position)
    select board_id, 'New', id, 'new' from public.workflow_states order by id limit 1;
    update public.entries set title = 'Old four' where title = 'Old 4';
    insert into public.activities (board_id, subject, action, entry_id, at)
    select board_id, 'entry', 'commented', entry_id, now()
    from public.activities
    where action = 'deleted';
    insert into public.activities (board_id, subject, action, at)
    select id, 'board', 'changed', now() - interval '95 days' from public.boards";

/// What lies before the moment, by day.
fn before(drawn: &Drawn, day: &str) -> Drawn {
    drawn
        .iter()
        .filter(|(key, _)| &*key.3 < day)
        .map(|(key, y)| (key.clone(), *y))
        .collect::<BTreeMap<_, _>>()
}

#[test]
fn a_card_that_changes_after_its_past_was_let_go_keeps_it_and_goes_on() {
    const KEPT: &str = "
        select entry_id, place, state, entered_at, case when left_at < p.retired_before then left_at end as left_at
        from analytics.fact_spans
        join analytics.partitioned as p on p.parent = 'fact_activities' and entered_at < p.retired_before
        order by entry_id, place";
    const HORIZON: &str = "
        select retired_before::date::text as day
        from analytics.partitioned
        where parent = 'fact_activities' and isfinite(retired_before)";
    const OLD_FACTS: &str = "
        select count(*)
        from analytics.fact_activities
        join analytics.partitioned on parent = 'fact_activities'
        where at < retired_before";
    scenario(async |test| {
        let app = start_with(test.database().await, &[("analytics.fact_days", "32")]).await;
        app.database.execute(OLD).await;
        job(&app.database, &["hourly"]).await;
        app.database.execute(DELETE_OLD).await;
        job(&app.database, &["daily"]).await;
        must_agree(&expected_of_states(&app, SOURCE).await, &shown_of_states(&app).await);
        job(&app.database, &["upkeep"]).await;
        let horizon = app.select(HORIZON).await;
        let horizon = horizon.first().expect("months have gone")["day"].as_str().expect("a day").to_owned();
        let (states, others, spans) =
            (shown_of_states(&app).await, shown(&app).await, app.select(KEPT).await);
        assert!(before(&states, &horizon).len() > 5 && spans.len() > 10, "{horizon} {spans:?}");
        app.database.execute(TOUCHED).await;
        for again in [
            &["hourly"][..],
            &["daily"],
            &["backfill", "--from", "0001-01-01", "--to", "2100-01-01"],
            &["upkeep"],
        ] {
            job(&app.database, again).await;
            assert_eq!(app.database.number(OLD_FACTS).await, 0, "{again:?}");
            assert_eq!(app.select(KEPT).await, spans, "{again:?}");
            let now = shown_of_states(&app).await;
            assert_eq!(before(&now, &horizon), before(&states, &horizon), "{again:?}");
            assert_eq!(before(&shown(&app).await, &horizon), before(&others, &horizon), "{again:?}");
            must_agree(&expected_of_states(&app, SOURCE).await, &now);
        }
    });
}
