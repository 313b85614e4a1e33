//! What the upkeep of counters asks of PostgreSQL.

/// Where it stands; no row while another process is at it, or is done just now.
pub(super) const PROGRESS: &str = "
select cursor, rules::text
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

/// No rewrite of the tables slips in between the moment and the rows.
pub(super) const LOCK: &str = "lock table public.entries, public.activities in access share mode";
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
