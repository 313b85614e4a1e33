//! Activities: what was done, by the number that it was given.

use super::extract::Source;

/// Columns of an activity, and rows of them as JSON with the last one's number. A state is told of by its number and by what
/// it was called; one that is told of by name alone is the board's that is called so.
macro_rules! activities {
    ($which:literal) => {
        concat!(
            "
select json_agg(told)::text, max(told.id)::text
from (
  select
    a.id, a.at, a.board_id, a.entry_id, a.actor_id, a.subject, a.action, m.from_state, m.to_state,
    coalesce(
      m.from_id,
      (select s.id from public.workflow_states as s where s.board_id = a.board_id and s.name = m.from_state)
    ) as from_state_id,
    coalesce(
      m.to_id,
      (select s.id from public.workflow_states as s where s.board_id = a.board_id and s.name = m.to_state)
    ) as to_state_id
  from public.activities as a
  left join lateral (
    select
      left(a.detail ->> 'from', 100) as from_state,
      left(a.detail ->> 'to', 100) as to_state,
      case when a.detail ->> 'from_id' ~ '^[0-9]{1,18}$' then (a.detail ->> 'from_id')::bigint end as from_id,
      case when a.detail ->> 'to_id' ~ '^[0-9]{1,18}$' then (a.detail ->> 'to_id')::bigint end as to_id
    -- Others have people there.
    where a.action in ('moved', 'closed', 'reopened')
  ) as m on true
  where ",
            $which,
            "
) as told"
        )
    };
}

pub(super) const ACTIVITIES: Source = Source {
    name: "activities",
    table: "fact_activities",
    moment: "
select
  coalesce((select max(id) from public.activities), 0)::text,
  pg_snapshot_xmin(s)::text,
  pg_snapshot_xmax(s)::text
from (select pg_current_snapshot()) as now (s)",
    behind: activities!(
        "a.id > $1::bigint
    and a.id <= $2::bigint
    -- In a circle of 2^32, as numbers of transactions are compared.
    and (a.id > $3::bigint or age(a.xmin) <= (select age(($4::bigint & 4294967295)::text::xid)))
  order by a.id
  limit 20000"
    ),
    within: activities!(
        "a.at >= $1::timestamptz and a.at < $2::timestamptz and a.id > $3::bigint order by a.id limit 20000"
    ),
    days: "
select a.at::date::text,
  sum(('x' || left(md5(concat_ws(
    '/', a.id, extract(epoch from a.at), a.actor_id, a.subject, a.action, m.from_state, m.to_state
  )), 12))::bit(48)::bigint)::text
from public.activities as a
left join lateral (
  select left(a.detail ->> 'from', 100) as from_state, left(a.detail ->> 'to', 100) as to_state
  where a.action in ('moved', 'closed', 'reopened')
) as m on true
where a.at >= coalesce($1::timestamptz, current_date - 8)
  and a.at < coalesce($2::timestamptz, current_date + 1)
group by a.at::date",
    loaded_days: LOADED_DAYS,
    loaded: LOADED,
    days_kept: |retention| retention.activities_days,
    gone: GONE,
    elsewhere: activities!(
        "(a.id, a.at) in (
      select o.id, o.at
      from json_to_recordset($1) as d (id bigint, at timestamptz)
      join public.activities as o on o.id = d.id and o.at <> d.at
    )"
    ),
    forget: FORGET,
    moved: MOVED,
    load: LOAD,
};

const LOADED_DAYS: &str = "
select at::date::text,
  sum(('x' || left(md5(concat_ws(
    '/', id, extract(epoch from at), actor_id, subject, action, from_state, to_state
  )), 12))::bit(48)::bigint)::text
from (
  select f.activity_id as id, f.at, f.actor_id, f.subject, f.action, f.from_state, f.to_state
  from analytics.fact_activities as f
  join analytics.dim_boards as b on b.board_id = f.board_id and not b.gone
  where f.at >= coalesce($1::timestamptz, current_date - 8)
    and f.at < coalesce($2::timestamptz, current_date + 1)
  union all
  select source_id, (content ->> 'at')::timestamptz, content ->> 'actor_id', content ->> 'subject',
    content ->> 'action', content ->> 'from_state', content ->> 'to_state'
  from analytics.rejects
  where source = 'activities'
    -- What lay in the future is looked at again once it has come.
    and not (reason = 'it lies in the future' and (content ->> 'at')::timestamptz <= now() + interval '1 day')
    and (content ->> 'board_id')::bigint in (select board_id from analytics.dim_boards where not gone)
    and (content ->> 'at')::timestamptz >= coalesce($1::timestamptz, current_date - 8)
    and (content ->> 'at')::timestamptz < coalesce($2::timestamptz, current_date + 1)
) as loaded
group by at::date";

const LOADED: &str = "
select json_agg(l)::text, max(l.id)::text
from (
  select id, at, board_id
  from (
    select activity_id as id, at, board_id
    from analytics.fact_activities
    where at >= $1::date
      and at < $1::date + interval '1 day'
      and activity_id > $2::bigint
    union all
    select source_id, (content ->> 'at')::timestamptz, (content ->> 'board_id')::bigint
    from analytics.rejects
    where source = 'activities'
      and source_id > $2::bigint
      and (content ->> 'at')::timestamptz >= $1::date
      and (content ->> 'at')::timestamptz < $1::date + interval '1 day'
  ) as both_of_them
  order by id
  limit 20000
) as l";

/// With a board its activities go, and stay here.
const GONE: &str = "
select coalesce(json_agg(d.id), '[]')::text
from json_to_recordset($1) as d (id bigint, at timestamptz, board_id bigint)
join public.boards as b on b.id = d.board_id
where not exists (select from public.activities as a where a.id = d.id)
  -- So does what the application lets go when it is old.
  and ($2::integer is null or d.at >= now() - $2::integer * interval '1 day')
  and d.at >= (select min(at) from public.activities where at > '-infinity')";

const FORGET: &str = "
with gone as (
  delete from analytics.fact_activities as f
  using json_array_elements_text($2) as d (id)
  where f.activity_id = d.id::bigint
    and f.at >= $1::date
    and f.at < $1::date + interval '1 day'
  returning f.board_id, f.entry_id, f.subject, f.at
),
forgotten as (
  delete from analytics.rejects as r
  using json_array_elements_text($2) as d (id)
  where r.source = 'activities'
    and r.source_id = d.id::bigint
)
insert into analytics.touched as kept (board_id, entry_id, since)
select board_id, case when subject = 'entry' then entry_id else 0 end, min(at)
from gone
group by 1, 2
on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
returning ''";

const MOVED: &str = "
with incoming as materialized (
  select id, at
  from json_to_recordset($1) as d (id bigint, at timestamptz)
),
moved as (
  delete from analytics.fact_activities as f
  using incoming as i
  where f.activity_id = i.id
    and f.at <> i.at
    -- By the index, whatever is thought of how many there are: numbers of one page lie together.
    and f.activity_id between (select min(id) from incoming) and (select max(id) from incoming)
  returning f.board_id, f.entry_id, f.subject, f.at
)
insert into analytics.touched as kept (board_id, entry_id, since)
select board_id, case when subject = 'entry' then entry_id else 0 end, min(at)
from moved
group by 1, 2
on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
returning ''";

/// What is not as it should be is kept apart with the reason.
const LOAD: &str = "
with incoming as materialized (
  select distinct on (id)
    d.*,
    case
      when action in ('moved', 'closed', 'reopened') and subject = 'entry' and from_state is distinct from to_state
        then jsonb_build_array(action, from_state, to_state)
    end as way
  from json_to_recordset(coalesce($1::json, '[]')) as d (
    id bigint, at timestamptz, board_id bigint, entry_id bigint, actor_id text, subject text, action text,
    from_state text, to_state text, from_state_id bigint, to_state_id bigint
  )
  -- What was let go is not taken again.
  where not (
    at >= '2000-01-01'
    and at < (select retired_before from analytics.partitioned where parent = 'fact_activities')
  )
  order by id
),
told as materialized (
  select i.*, lag(id) over of_card as before_id, lag(way) over of_card as before_way
  from incoming as i
  window of_card as (partition by entry_id, at, way is null order by id)
),
judged as materialized (
  select
    t.*,
    case
      when not isfinite(t.at) then 'it is of no moment'
      when t.at < '2000-01-01' then 'it is of before 2000'
      when t.at > now() + interval '1 day' then 'it lies in the future'
      when t.subject = 'entry' and t.entry_id is null then 'it names no card'
      when t.way = coalesce(o.way, t.before_way) then 'it is told twice'
    end as reason
  from told as t
  -- The movement just before, of the same moment: who goes there and back and there again in one transaction does.
  left join lateral (
    -- All of them, which are few: the last one by a limit would be looked for among all that have lower numbers.
    select (
      array_agg(jsonb_build_array(f.action, f.from_state, f.to_state) order by f.activity_id desc)
    )[1] as way
    from analytics.fact_activities as f
    where f.entry_id = t.entry_id
      and f.at = t.at
      and f.subject = 'entry'
      and f.action in ('moved', 'closed', 'reopened')
      and f.from_state is distinct from f.to_state
      and f.activity_id < t.id
      and f.activity_id > coalesce(t.before_id, 0)
  ) as o on t.way is not null
),
rejected as (
  insert into analytics.rejects as kept (source, source_id, reason, content)
  select 'activities', id, reason, to_jsonb(j) - array['reason', 'way', 'before_id', 'before_way']
  from judged as j
  where reason is not null
  on conflict (source, source_id) do update set reason = excluded.reason, content = excluded.content
),
mended as (
  delete from analytics.rejects as r
  using judged as j
  where r.source = 'activities'
    and r.source_id = j.id
    and j.reason is null
),
before as (
  delete from analytics.fact_activities as f
  using judged as j
  where f.activity_id = j.id
    and f.at = j.at
    and j.reason is not null
  returning f.board_id, f.entry_id, f.subject, f.at
),
loaded as (
  insert into analytics.fact_activities as kept (
    activity_id, at, board_id, entry_id, actor_id, subject, action, from_state, to_state, from_state_id, to_state_id
  )
  select
    id, at, board_id, entry_id, actor_id, subject, action, from_state, to_state, from_state_id, to_state_id
  from judged
  where reason is null
  -- States that are told by names alone were those that were called so when it was loaded first.
  on conflict (activity_id, at) do update set
    actor_id = excluded.actor_id,
    subject = excluded.subject,
    action = excluded.action,
    from_state = excluded.from_state,
    to_state = excluded.to_state,
    from_state_id = case
      when kept.from_state is not distinct from excluded.from_state
        then coalesce(kept.from_state_id, excluded.from_state_id)
      else excluded.from_state_id
    end,
    to_state_id = case
      when kept.to_state is not distinct from excluded.to_state
        then coalesce(kept.to_state_id, excluded.to_state_id)
      else excluded.to_state_id
    end
  where (kept.actor_id, kept.subject, kept.action, kept.from_state, kept.to_state)
    is distinct from (excluded.actor_id, excluded.subject, excluded.action, excluded.from_state, excluded.to_state)
  returning board_id, entry_id, subject, at
),
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  select board_id, case when subject = 'entry' then entry_id else 0 end, min(at)
  from (table loaded union all table before) as both_of_them
  group by 1, 2
  on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
)
select count(*)::text
from loaded";
