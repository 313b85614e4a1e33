//! What the upkeep of counters asks of PostgreSQL.

/// Where it stands; no row while another process is at it, or is done just now.
pub(super) const PROGRESS: &str = "
select cursor, rules::text, (extract(epoch from horizon - '2000-01-01 00:00+00') * 1000000)::bigint::text
from app.kpi_progress";

/// Moves on from the place that was read, and fails to where somebody else has written meanwhile.
pub(super) const MOVE: &str = "
update app.kpi_progress
set cursor = $2, counted_at = now()
where cursor = $1
returning ''";

/// Begins at a place, whatever stood there.
pub(super) const BEGIN: &str = "
update app.kpi_progress
set cursor = $1, rules = $2, counted_at = now()
returning ''";

/// Has whoever keeps the counters count anew.
pub(super) const FORGET: &str = "
update app.kpi_progress
set cursor = null
returning ''";

/// Holds the place: who has moved it on meanwhile has written what is newer.
pub(super) const STAND: &str = "
select ''
from app.kpi_progress
where cursor = $1
for share";

pub(super) const COUNTERS: &str = "select count(*)::text from app.kpi_counters";

pub(super) const ADD: &str = "
insert into app.kpi_counters as kept (board_id, measure, item, at, count, sum)
select
  d.board_id,
  d.measure,
  d.item,
  coalesce(timestamptz '2000-01-01 00:00+00' + d.at * interval '1 microsecond', '-infinity'),
  d.count,
  d.sum
from jsonb_to_recordset($1) as d (
  board_id bigint, measure text, item text, at bigint, count bigint, sum bigint
)
on conflict (board_id, measure, item, at) do update set
  count = kept.count + excluded.count,
  sum = kept.sum + excluded.sum";

/// What has come to nothing.
pub(super) const SWEEP: &str = "
delete from app.kpi_counters as kept
using jsonb_to_recordset($1) as d (board_id bigint, measure text, item text, at bigint)
where kept.board_id = d.board_id
  and kept.measure = d.measure
  and kept.item = d.item
  and kept.at = coalesce(timestamptz '2000-01-01 00:00+00' + d.at * interval '1 microsecond', '-infinity')
  and kept.count = 0
  and kept.sum = 0";

/// What is counted.
pub(super) const TABLES: &str = "public.entries, public.activities";
/// Moves the horizon to where the last weeks begin, for who counts anew.
pub(super) const HORIZON: &str = "
update app.kpi_progress
set horizon = date_trunc('day', now(), 'UTC') - interval '40 days'
returning (extract(epoch from horizon - '2000-01-01 00:00+00') * 1000000)::bigint::text";
/// The same once it lies far enough back to be worth it, and what is no longer asked for goes.
pub(super) const ADVANCE: &str = "
with moved as (
  update app.kpi_progress
  set horizon = date_trunc('day', now(), 'UTC') - interval '40 days'
  where horizon < now() - interval '60 days'
  returning horizon
),
gone as (
  delete from app.kpi_counters as k
  using moved as m
  where k.measure in ('hour', 'lead', 'cycle', 'due', 'actor')
    and k.at < m.horizon
)
select (extract(epoch from horizon - '2000-01-01 00:00+00') * 1000000)::bigint::text
from moved";

pub(super) const EMPTY: &str = "delete from app.kpi_counters";
pub(super) const COUNT: &str = "
insert into app.kpi_counters (board_id, measure, item, at, count, sum)
select board_id, measure, item, at, count, sum
from app.kpi_counted";

/// Counters that are not what the tables come to, at one moment: the parameter is what was counted between where the
/// counters stand and that moment.
pub(super) const DRIFT: &str = "
with counted as (
  select board_id, measure, item, at, count, sum
  from app.kpi_counted
),
kept as (
  select board_id, measure, item, at, sum(count) as count, sum(sum) as sum
  from (
    select board_id, measure, item, at, count, sum
    from app.kpi_counters
    union all
    select
      d.board_id,
      d.measure,
      d.item,
      coalesce(timestamptz '2000-01-01 00:00+00' + d.at * interval '1 microsecond', '-infinity'),
      d.count,
      d.sum
    from jsonb_to_recordset($1) as d (
      board_id bigint, measure text, item text, at bigint, count bigint, sum bigint
    )
  ) as parts
  group by board_id, measure, item, at
  having sum(count) <> 0 or sum(sum) <> 0
)
select
  count(*)::text,
  min(format('board %s, %s `%s` at %s: %s (%s s) kept, %s (%s s) counted',
    board_id, measure, item, at, coalesce(k.count, 0), coalesce(k.sum, 0), coalesce(c.count, 0), coalesce(c.sum, 0))),
  (select count(*)::text from counted)
from counted as c
full join kept as k using (board_id, measure, item, at)
where c.count is distinct from k.count or c.sum is distinct from k.sum";

/// Boards, after one, in bounded number.
pub(super) const BOARDS: &str = "
select id::text
from public.boards
where id > $1::bigint
order by id
limit 500";
