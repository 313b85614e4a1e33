use super::{Etl, count};
use crate::postgres::Error;

/// Boards of which something was loaded: some at a time, as `{1,2,3}`.
const TOUCHED: &str = "
select array_agg(board_id)::text
from (select distinct board_id from analytics.touched order by board_id limit 100) as few";

/// Cards that were deleted, by their activities.
const DELETED: &str = "
with gone as (
  update analytics.fact_entries as f
  set gone = true
  from analytics.touched as t, analytics.fact_activities as a
  where t.board_id = any ($1::bigint[])
    and f.entry_id = t.entry_id
    and not f.gone
    and a.entry_id = t.entry_id
    and a.subject = 'entry'
    and a.action = 'deleted'
  returning f.board_id, f.entry_id, least(f.created_at, f.closed_at) as since
),
-- It goes from the days on which it was created and done.
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  select distinct on (board_id, entry_id) board_id, entry_id, since
  from gone
  on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
)
select count(*)::text from gone";

/// How long each card that was touched was where: from its creation by its movements to its deletion. What it entered before the
/// moment up to which activities were let go is kept, and goes on from there; a card of which nothing is kept, or which had
/// ended, begins with that moment.
const SPANS: &str = "
with card as materialized (
  select distinct
    f.entry_id,
    f.board_id,
    coalesce(f.state_id::text, f.state) as state,
    greatest(f.created_at, p.retired_before) as begun_at,
    p.retired_before,
    f.gone
  from analytics.touched as t
  join analytics.fact_entries as f on f.entry_id = t.entry_id
  join analytics.partitioned as p on p.parent = 'fact_activities'
  where t.board_id = any ($1::bigint[])
),
kept as materialized (
  select distinct on (s.entry_id)
    s.entry_id,
    s.place,
    s.state,
    s.left_at is null or s.left_at >= c.retired_before as goes_on
  from card as c
  join analytics.fact_spans as s on s.entry_id = c.entry_id
  order by s.entry_id, s.place desc
),
told as (
  select
    c.entry_id,
    a.activity_id,
    greatest(a.at, c.begun_at) as at,
    coalesce(a.from_state_id::text, a.from_state) as from_state,
    coalesce(a.to_state_id::text, a.to_state) as to_state,
    lag(coalesce(a.to_state_id::text, a.to_state)) over (partition by c.entry_id order by a.at, a.activity_id) as before
  from card as c
  join analytics.fact_activities as a on a.entry_id = c.entry_id and a.subject = 'entry'
  where a.to_state is not null
    or a.to_state_id is not null
),
-- Whoever goes to where they are does not move.
movement as materialized (
  select
    t.entry_id,
    row_number() over (partition by t.entry_id order by t.at, t.activity_id) as number,
    t.at,
    t.to_state
  from told as t
  left join kept as k on k.entry_id = t.entry_id and k.goes_on
  where t.to_state <> coalesce(t.before, k.state, t.from_state, t.to_state)
),
first as (
  select distinct on (entry_id) entry_id, coalesce(from_state, to_state) as state
  from told
  order by entry_id, at, activity_id
),
ending as (
  select c.entry_id, coalesce(max(a.at), max(m.at), max(c.begun_at)) as at
  from card as c
  left join analytics.fact_activities as a
    on a.entry_id = c.entry_id and a.subject = 'entry' and a.action = 'deleted'
  left join movement as m on m.entry_id = c.entry_id
  where c.gone
  group by c.entry_id
),
step as materialized (
  select c.entry_id, coalesce(k.place + 1, 0) as place, coalesce(f.state, c.state) as state, c.begun_at as at
  from card as c
  left join kept as k on k.entry_id = c.entry_id
  left join first as f on f.entry_id = c.entry_id
  where k.entry_id is null
    or (not k.goes_on and (not c.gone or exists (select from movement as m where m.entry_id = c.entry_id)))
  union all
  select m.entry_id, coalesce(case when k.goes_on then k.place else k.place + 1 end, 0) + m.number, m.to_state, m.at
  from movement as m
  left join kept as k on k.entry_id = m.entry_id
),
ended as (
  update analytics.fact_spans as s
  set left_at = n.left_at
  from (
    select k.entry_id, k.place, coalesce(min(m.at), max(e.at)) as left_at
    from kept as k
    left join movement as m on m.entry_id = k.entry_id
    left join ending as e on e.entry_id = k.entry_id
    where k.goes_on
    group by k.entry_id, k.place
  ) as n
  where s.entry_id = n.entry_id
    and s.place = n.place
    and s.left_at is distinct from n.left_at
),
loaded as (
  insert into analytics.fact_spans (entry_id, place, board_id, state, entered_at, left_at)
  select
    s.entry_id,
    s.place,
    c.board_id,
    s.state,
    s.at,
    coalesce(
      lead(s.at) over (partition by s.entry_id order by s.place),
      case when e.at is not null then greatest(e.at, s.at) end
    )
  from step as s
  join card as c on c.entry_id = s.entry_id
  left join ending as e on e.entry_id = s.entry_id
  returning 1
)
select count(*)::text from loaded";
const FORGET_SPANS: &str = "
delete from analytics.fact_spans as s
using analytics.touched as t, analytics.partitioned as p
where t.board_id = any ($1::bigint[])
  and s.entry_id = t.entry_id
  and p.parent = 'fact_activities'
  and s.entered_at >= p.retired_before
returning ''";

/// Cards of which is told only now where they were at first: their days change from their creation on.
const INITIAL: &str = "
update analytics.touched as t
set since = least(t.since, s.entered_at)
from analytics.fact_entries as f
join analytics.partitioned as p on p.parent = 'fact_activities'
join analytics.fact_spans as s
  on s.entry_id = f.entry_id and s.entered_at = greatest(f.created_at, p.retired_before)
where t.board_id = any ($1::bigint[])
  and f.entry_id = t.entry_id
  and s.place = (
    select min(o.place)
    from analytics.fact_spans as o
    where o.entry_id = f.entry_id
      and o.entered_at >= p.retired_before
  )
  and s.state is distinct from coalesce(
    (
      select coalesce(a.from_state_id::text, a.from_state, a.to_state_id::text, a.to_state)
      from analytics.fact_activities as a
      where a.entry_id = f.entry_id
        and a.subject = 'entry'
        and (a.to_state is not null or a.to_state_id is not null)
      order by a.at, a.activity_id
      limit 1
    ),
    f.state_id::text,
    f.state
  )
returning ''";

/// From which day on charts are drawn anew: none of the time before which activities were let go.
const FORGET_CHARTS: &str = "
delete from analytics.chart_data as c
using (
  select t.board_id, (min(greatest(t.since, p.retired_before)) filter (where isfinite(t.since)))::date as since
  from analytics.touched as t
  join analytics.partitioned as p on p.parent = 'fact_activities'
  where t.board_id = any ($1::bigint[])
  group by t.board_id
) as t
where c.board_id = t.board_id
  and c.day >= t.since
returning ''";
const CHARTS: &str = "
with t as materialized (
  select t.board_id, (min(greatest(t.since, p.retired_before)) filter (where isfinite(t.since)))::date as since
  from analytics.touched as t
  join analytics.partitioned as p on p.parent = 'fact_activities'
  where t.board_id = any ($1::bigint[])
  group by t.board_id
),
-- What was there the day before, and what came and went since.
change as (
  select b.board_id, b.series as state, b.since as day, b.y::bigint as by, true as is_base
  from (
    select distinct on (c.board_id, c.series) c.board_id, c.series, c.y, t.since
    from analytics.chart_data as c
    join t on t.board_id = c.board_id and c.day < t.since
    where c.chart = 'flow'
    order by c.board_id, c.series, c.day desc
  ) as b
  union all
  select s.board_id, s.state, s.entered_at::date, 1, false
  from analytics.fact_spans as s
  join t on t.board_id = s.board_id and s.entered_at >= t.since
  union all
  select s.board_id, s.state, s.left_at::date, -1, false
  from analytics.fact_spans as s
  join t on t.board_id = s.board_id and s.left_at >= t.since
),
flow as (
  select board_id, state, day, bool_and(is_base) as is_base,
    sum(sum(by)) over (partition by board_id, state order by day)::double precision as y
  from change
  group by board_id, state, day
),
closed as materialized (
  select f.*, f.closed_at::date as day
  from analytics.fact_entries as f
  join t on t.board_id = f.board_id and f.closed_at >= t.since
  where not f.gone
),
drawn (chart, board_id, series, day, y) as (
  select 'flow', board_id, state, day, y
  from flow
  where not is_base
  union all
  select 'created', f.board_id, '', f.created_at::date, count(*)
  from analytics.fact_entries as f
  join t on t.board_id = f.board_id and f.created_at >= t.since
  where not f.gone
  group by f.board_id, f.created_at::date
  union all
  select 'throughput', board_id, '', day, count(*)
  from closed
  group by board_id, day
  union all
  select 'lead_time', board_id, 'p' || percent, day,
    percentile_disc(percent / 100.0) within group (order by lead_seconds)
  from closed
  cross join (values (50), (85)) as wanted (percent)
  group by board_id, day, percent
  union all
  select 'cycle_time', board_id, 'p' || percent, day,
    percentile_disc(percent / 100.0) within group (order by cycle_seconds)
  from closed
  cross join (values (50), (85)) as wanted (percent)
  where cycle_seconds is not null
  group by board_id, day, percent
  union all
  select 'sla', board_id, '', day, count(*) filter (where on_time)::double precision / count(*)
  from closed
  where due_at is not null
  group by board_id, day
  union all
  select 'time_in_state', s.board_id, s.state, s.left_at::date, avg(extract(epoch from s.left_at - s.entered_at))
  from analytics.fact_spans as s
  join t on t.board_id = s.board_id and s.left_at >= t.since
  group by s.board_id, s.state, s.left_at::date
),
loaded as (
  insert into analytics.chart_data (chart, board_id, series, day, y)
  select chart, board_id, series, day, y
  from drawn
  returning 1
)
select count(*)::text from loaded";
const DONE: &str = "delete from analytics.touched where board_id = any ($1::bigint[]) returning ''";

impl Etl {
    /// Derives spans and charts anew from what was loaded since the last time.
    pub(super) async fn derive(&self) -> Result<u64, Error> {
        let mut derived = 0;
        loop {
            let work = self.step().await?;
            let boards = work.first(TOUCHED, &[]).await?;
            let Some(boards) = boards.as_ref().and_then(|row| row.text(0)) else {
                work.commit().await?;
                return Ok(derived);
            };
            let boards = [Some(boards)];
            count(&work, DELETED, &boards).await?;
            work.rows(INITIAL, &boards).await?;
            work.rows(FORGET_SPANS, &boards).await?;
            derived += count(&work, SPANS, &boards).await?;
            work.rows(FORGET_CHARTS, &boards).await?;
            derived += count(&work, CHARTS, &boards).await?;
            work.rows(DONE, &boards).await?;
            work.commit().await?;
        }
    }
}
