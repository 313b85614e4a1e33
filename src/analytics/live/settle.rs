//! What counters come to: the values that people see.

use crate::postgres::{Error, Work};

/// Works out what the counters of some boards come to, and writes the values that have changed. A board that is going
/// waits, or is left alone.
const SETTLE: &str = "
with board as materialized (
  select id
  from public.boards
  where id = any ($1::bigint[])
  order by id
  for key share
),
definition as materialized (
  select name, audience
  from public.kpis
  where query is null
    and enabled
),
state as materialized (
  select b.id as board_id, s.id, s.kind, coalesce(k.count, 0) as count
  from board as b
  join public.workflow_states as s on s.board_id = b.id
  left join app.kpi_counters as k
    on k.board_id = b.id and k.measure = 'state' and k.item = s.id::text and k.at = '-infinity'
),
span as (
  select
    k.board_id,
    k.measure,
    k.item::integer as bin,
    sum(sum(k.count)) over (partition by k.board_id, k.measure order by k.item::integer) as up_to,
    sum(sum(k.count)) over (partition by k.board_id, k.measure) as together
  from board as b
  join app.kpi_counters as k on k.board_id = b.id
  where k.measure in ('lead', 'cycle')
    and k.at >= date_trunc('day', now(), 'UTC') - interval '29 days'
  group by k.board_id, k.measure, k.item::integer
),
measured (board_id, kpi, item, value) as (
  select b.id, 'open', '', coalesce(sum(s.count) filter (where s.kind <> 'done'), 0)::double precision
  from board as b
  left join state as s on s.board_id = b.id
  group by b.id
  union all
  select b.id, 'work_in_progress', '', coalesce(sum(s.count) filter (where s.kind = 'active'), 0)
  from board as b
  left join state as s on s.board_id = b.id
  group by b.id
  union all
  select board_id, 'entries_by_state', id::text, count
  from state
  union all
  select
    k.board_id,
    case k.measure when 'category' then 'entries_by_category' else 'entries_by_assignee' end,
    -- The whole has the empty name already: those without are shown by a name that no number and no person has.
    case k.item when '' then '-' else k.item end,
    k.count
  from board as b
  join app.kpi_counters as k on k.board_id = b.id
  where k.measure in ('category', 'assignee')
    and k.at = '-infinity'
  union all
  select b.id, 'throughput', '', coalesce(sum(k.count), 0)
  from board as b
  left join app.kpi_counters as k
    on k.board_id = b.id
    and k.measure = 'hour'
    and k.at > date_trunc('hour', now(), 'UTC') - interval '24 hours'
  group by b.id
  union all
  select board_id, measure || '_time_p' || percent, '', app.span_of_bin(min(bin) filter (where up_to * 100 >= together * percent))
  from span
  cross join (values (50), (85)) as wanted (percent)
  group by board_id, measure, percent
  having sum(together) > 0
  union all
  select k.board_id, 'sla_attainment', '', sum(k.count) filter (where k.item = 'met')::double precision / sum(k.count)
  from board as b
  join app.kpi_counters as k on k.board_id = b.id
  where k.measure = 'due'
    and k.at >= date_trunc('day', now(), 'UTC') - interval '29 days'
  group by k.board_id
  having sum(k.count) > 0
  union all
  select k.board_id, 'activity_by_user', case k.item when '' then '-' else k.item end, sum(k.count)
  from board as b
  join app.kpi_counters as k on k.board_id = b.id
  where k.measure = 'actor'
    and k.at >= date_trunc('day', now(), 'UTC') - interval '6 days'
  group by k.board_id, k.item
),
shown as materialized (
  select m.board_id, m.kpi, m.item, coalesce(m.value, 0) as value, d.audience
  from measured as m
  join definition as d on d.name = m.kpi
),
missing as materialized (
  select v.board_id, v.kpi, v.item
  from public.kpi_values as v
  join board as b on b.id = v.board_id
  where v.kpi in (select name from public.kpis where query is null)
    and not exists (
      select
      from shown as s
      where s.board_id = v.board_id and s.kpi = v.kpi and s.item = v.item
    )
),
-- A number of things that came to none is none, and its history says so.
emptied as (
  update public.kpi_values as v
  set value = 0, measured_at = now()
  from missing as m
  where v.board_id = m.board_id
    and v.kpi = m.kpi
    and v.item = m.item
    and v.kpi in ('entries_by_category', 'entries_by_assignee', 'activity_by_user')
    and v.value <> 0
  returning 1
),
gone as (
  delete from public.kpi_values as v
  using missing as m
  where v.board_id = m.board_id
    and v.kpi = m.kpi
    and v.item = m.item
    and v.kpi not in ('entries_by_category', 'entries_by_assignee', 'activity_by_user')
  returning 1
),
counted as (
  insert into public.kpi_boards as kept (board_id)
  select id
  from board
  on conflict (board_id) do update set counted_at = now()
  returning 1
),
written as (
  insert into public.kpi_values as kept (board_id, kpi, item, value, audience, recent)
  select board_id, kpi, item, value, audience, array[value]
  from shown
  order by board_id, kpi, item
  on conflict (board_id, kpi, item) do update set
    value = excluded.value,
    audience = excluded.audience,
    measured_at = now()
  where kept.value is distinct from excluded.value
    or kept.audience is distinct from excluded.audience
  returning 1
)
select ((select count(*) from gone) + (select count(*) from emptied) + (select count(*) from written))::text";

/// Adds the values of this minute to the lines of those that have changed since the last one.
const SAMPLE: &str = "
with changed as (
  select board_id, kpi, item
  from public.kpi_values
  where recent[cardinality(recent)] is distinct from value
  order by board_id, kpi, item
  for no key update
)
update public.kpi_values as v
set recent = recent[greatest(1, cardinality(recent) - 58):] || value
from changed as c
where v.board_id = c.board_id
  and v.kpi = c.kpi
  and v.item = c.item
returning ''";

/// Writes what the counters of some boards come to, as `{1,2,3}`; gives how many values have changed.
pub(super) async fn settle(work: &Work, boards: &str) -> Result<u64, Error> {
    let changed = work.first(SETTLE, &[Some(boards)]).await?;
    Ok(changed.and_then(|row| row.text(0)?.parse().ok()).unwrap_or(0))
}

/// Takes a sample of all values that have changed.
pub(super) async fn sample(work: &Work) -> Result<(), Error> {
    work.rows(SAMPLE, &[]).await.map(drop)
}
