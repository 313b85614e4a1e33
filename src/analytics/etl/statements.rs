//! What is asked of the application's database, and what of the history's.

/// The last number given, and the oldest transaction that runs and the first that has not begun: of activities, and of
/// what people looked at.
pub(super) const MOMENT: [&str; 2] = [
    "
select
  coalesce((select max(id) from public.activities), 0)::text,
  pg_snapshot_xmin(s)::text,
  pg_snapshot_xmax(s)::text
from (select pg_current_snapshot()) as now (s)",
    "
select
  coalesce((select max(id) from app.user_actions), 0)::text,
  pg_snapshot_xmin(s)::text,
  pg_snapshot_xmax(s)::text
from (select pg_current_snapshot()) as now (s)",
];

/// Columns of an activity, and rows of them as JSON with the last one's number.
macro_rules! activities {
    ($which:literal) => {
        concat!(
            "
select jsonb_agg(to_jsonb(a))::text, max(a.id)::text
from (
  select
    id, at, board_id, entry_id, actor_id, subject, action,
    left(detail ->> 'from', 100) as from_state,
    left(detail ->> 'to', 100) as to_state
  from public.activities
  where ",
            $which,
            "
) as a"
        )
    };
}

pub(super) const ACTIVITIES: &str =
    activities!("id > $1::bigint and id <= $2::bigint order by id limit 20000");
pub(super) const ACTIVITIES_IN: &str =
    activities!("at >= $1::timestamptz and at < $2::timestamptz and id > $3::bigint order by id limit 20000");
pub(super) const ACTIVITIES_OF_DAY: &str = activities!("at >= $1::date and at < $1::date + interval '1 day'");
/// What tells a day's rows from others of as many.
pub(super) const ACTIVITY_DAYS: &str = "
select at::date::text, sum(('x' || left(md5(id || coalesce(actor_id, ' ')), 12))::bit(48)::bigint)::text
from public.activities
where at >= coalesce($1::timestamptz, current_date - 8)
  and at < coalesce($2::timestamptz, current_date + 1)
group by at::date";

pub(super) const USER_ACTIONS: &str = "
select jsonb_agg(to_jsonb(a))::text, max(a.id)::text
from (
  select id, at, user_id, action, subject, board_id, entry_id
  from app.user_actions
  where id > $1::bigint
    and id <= $2::bigint
  order by id
  limit 20000
) as a";

/// Cards that changed since. It begins a while before where it ended last: a transaction may have been at it then.
pub(super) const ENTRIES: &str = "
select jsonb_agg(to_jsonb(e))::text, (array_agg(e.updated_at order by e.updated_at desc, e.id desc))[1]::text,
  (array_agg(e.id order by e.updated_at desc, e.id desc))[1]::text
from (
  select
    e.id, e.board_id, s.name as state, e.category_id, e.assignee_id, e.created_at, e.started_at, e.closed_at,
    e.due_at, e.version, e.updated_at
  from public.entries as e
  join public.workflow_states as s on s.id = e.state_id
  where (e.updated_at, e.id) > (coalesce(nullif($1, '')::timestamptz, '-infinity'), $2::bigint)
  order by e.updated_at, e.id
  limit 20000
) as e";
pub(super) const ENTRIES_BY_NUMBER: &str = "
select board_id::text, count(*)::text
from public.entries
group by board_id";

pub(super) const SETTLE: &str = "
insert into analytics.watermarks as kept (source) values ($1)
on conflict (source) do update set
  settled_id = case when kept.seen_xmax <= $2::bigint then greatest(kept.seen_id, kept.settled_id) else kept.settled_id end
returning settled_id::text";
pub(super) const MARK: &str = "
update analytics.watermarks
set seen_id = $2::bigint, seen_xmax = $3::bigint, seen_at = now()
where source = $1
  -- What waits to be settled is settled first.
  and (seen_xmax = 0 or seen_id <= settled_id)
returning ''";
pub(super) const WATERMARK: &str = "
insert into analytics.watermarks as kept (source) values ($1)
on conflict (source) do update set seen_at = now()
returning case when settled_at = '-infinity' then '-infinity' else (settled_at - $2::interval)::text end";

pub(super) const PREPARE: &str = "
select
  analytics.prepare('fact_activities', min(at), max(at))::text,
  analytics.prepare('fact_user_actions', min(at), max(at))::text
from jsonb_to_recordset($1) as d (at timestamptz)
where at between '2000-01-01' and now() + interval '1 day'
having count(*) > 0";

/// What is not as it should be is kept apart with the reason.
pub(super) const LOAD_ACTIVITIES: &str = "
with incoming as materialized (
  select distinct on (id) *
  from jsonb_to_recordset(coalesce($1::jsonb, '[]')) as d (
    id bigint, at timestamptz, board_id bigint, entry_id bigint, actor_id text, subject text, action text,
    from_state text, to_state text
  )
  order by id
),
judged as materialized (
  select
    i.*,
    case
      when not isfinite(i.at) then 'it is of no moment'
      when i.at < '2000-01-01' then 'it is of before 2000'
      when i.at > now() + interval '1 day' then 'it lies in the future'
      when i.subject = 'entry' and i.entry_id is null then 'it names no card'
      when i.action in ('moved', 'closed', 'reopened') and exists (
        select
        from incoming as o
        where o.id < i.id and o.entry_id = i.entry_id and o.at = i.at and o.action = i.action
          and o.from_state is not distinct from i.from_state and o.to_state is not distinct from i.to_state
          and i.from_state is distinct from i.to_state
      ) then 'it is told twice'
    end as reason
  from incoming as i
),
rejected as (
  insert into analytics.rejects as kept (source, source_id, reason, content)
  select 'activities', id, reason, to_jsonb(j) - 'reason'
  from judged as j
  where reason is not null
  on conflict (source, source_id) do update set reason = excluded.reason, content = excluded.content
),
loaded as (
  insert into analytics.fact_activities as kept (
    activity_id, at, board_id, entry_id, actor_id, subject, action, from_state, to_state
  )
  select id, at, board_id, entry_id, actor_id, subject, action, from_state, to_state
  from judged
  where reason is null
  on conflict (activity_id, at) do update set actor_id = excluded.actor_id
  where kept.actor_id is distinct from excluded.actor_id
  returning board_id, entry_id, subject, at
),
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  select board_id, case when subject = 'entry' then entry_id else 0 end, min(at)
  from loaded
  group by 1, 2
  on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
)
select count(*)::text
from loaded";

pub(super) const LOAD_USER_ACTIONS: &str = "
with incoming as materialized (
  select distinct on (id) *,
    case
      when not isfinite(at) or at < '2000-01-01' then 'it is of no moment'
      when at > now() + interval '1 day' then 'it lies in the future'
    end as reason
  from jsonb_to_recordset(coalesce($1::jsonb, '[]')) as d (
    id bigint, at timestamptz, user_id text, action text, subject text, board_id bigint, entry_id bigint
  )
  order by id
),
rejected as (
  insert into analytics.rejects as kept (source, source_id, reason, content)
  select 'user_actions', id, reason, to_jsonb(i) - 'reason'
  from incoming as i
  where reason is not null
  on conflict (source, source_id) do update set reason = excluded.reason
),
loaded as (
  insert into analytics.fact_user_actions (action_id, at, user_id, action, subject, board_id, entry_id)
  select id, at, user_id, action, subject, board_id, entry_id
  from incoming
  where reason is null
  on conflict (action_id, at) do nothing
  returning 1
)
select count(*)::text
from loaded";

pub(super) const LOAD_ENTRIES: &str = "
with incoming as materialized (
  select *
  from jsonb_to_recordset($1) as d (
    id bigint, board_id bigint, state text, category_id bigint, assignee_id text, created_at timestamptz,
    started_at timestamptz, closed_at timestamptz, due_at timestamptz, version integer
  )
),
judged as materialized (
  select
    i.*,
    case
      when not isfinite(created_at) then 'it was created at no moment'
      when closed_at < created_at then 'it was done before it was created'
      when not isfinite(closed_at) then 'it was done at no moment'
    end as reason
  from incoming as i
),
rejected as (
  insert into analytics.rejects as kept (source, source_id, reason, content)
  select 'entries', id, reason, to_jsonb(j) - 'reason'
  from judged as j
  where reason is not null
  on conflict (source, source_id) do update set reason = excluded.reason, content = excluded.content
),
before as (
  delete from analytics.fact_entries as f
  using judged as j
  where f.entry_id = j.id
    and j.reason is not null
),
loaded as (
  insert into analytics.fact_entries as kept (
    entry_id, board_id, state, category_id, assignee_id, created_at, started_at, closed_at, due_at,
    lead_seconds, cycle_seconds, on_time, version
  )
  select
    id, board_id, state, category_id, assignee_id, created_at, started_at, closed_at, due_at,
    floor(extract(epoch from closed_at - created_at))::bigint,
    case when isfinite(started_at) then greatest(floor(extract(epoch from closed_at - started_at)), 0)::bigint end,
    closed_at <= due_at,
    version
  from judged
  where reason is null
  on conflict (entry_id) do update set
    board_id = excluded.board_id,
    state = excluded.state,
    category_id = excluded.category_id,
    assignee_id = excluded.assignee_id,
    created_at = excluded.created_at,
    started_at = excluded.started_at,
    closed_at = excluded.closed_at,
    due_at = excluded.due_at,
    lead_seconds = excluded.lead_seconds,
    cycle_seconds = excluded.cycle_seconds,
    on_time = excluded.on_time,
    version = excluded.version,
    gone = false
  where kept.version is distinct from excluded.version
    or kept.gone
    or kept.state is distinct from excluded.state
    or kept.closed_at is distinct from excluded.closed_at
  returning board_id, entry_id, least(created_at, closed_at) as since
),
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  select board_id, entry_id, since
  from loaded
  on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
),
mended as (
  delete from analytics.rejects as r
  using judged as j
  where r.source = 'entries'
    and r.source_id = j.id
    and j.reason is null
),
marked as (
  update analytics.watermarks
  set settled_at = greatest(settled_at, $2::timestamptz)
  where source = 'entries'
)
select count(*)::text
from loaded";

pub(super) const LOADED_DAYS: &str = "
select at::date::text, sum(('x' || left(md5(id || coalesce(actor_id, ' ')), 12))::bit(48)::bigint)::text
from (
  select activity_id as id, at, actor_id
  from analytics.fact_activities
  where at >= coalesce($1::timestamptz, current_date - 8)
    and at < coalesce($2::timestamptz, current_date + 1)
  union all
  select source_id, (content ->> 'at')::timestamptz, content ->> 'actor_id'
  from analytics.rejects
  where source = 'activities'
    and (content ->> 'at')::timestamptz >= coalesce($1::timestamptz, current_date - 8)
    and (content ->> 'at')::timestamptz < coalesce($2::timestamptz, current_date + 1)
) as loaded
group by at::date";
/// Of a day, what is not among the rows that it has.
pub(super) const FORGET_ACTIVITIES: &str = "
with gone as (
  delete from analytics.fact_activities as f
  where f.at >= $1::date
    and f.at < $1::date + interval '1 day'
    and not exists (
      select
      from jsonb_to_recordset(coalesce($2::jsonb, '[]')) as d (id bigint)
      where d.id = f.activity_id
    )
  returning board_id, entry_id, subject, at
),
forgotten as (
  delete from analytics.rejects as r
  where r.source = 'activities'
    and (r.content ->> 'at')::timestamptz >= $1::date
    and (r.content ->> 'at')::timestamptz < $1::date + interval '1 day'
)
insert into analytics.touched as kept (board_id, entry_id, since)
select board_id, case when subject = 'entry' then entry_id else 0 end, min(at)
from gone
group by 1, 2
on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
returning ''";
/// Boards with another number of cards than is loaded of them.
pub(super) const NUMBERS_OF_BOARD: &str = "
select board_id::text
from (
  select (pair ->> 0)::bigint as board_id, (pair ->> 1)::bigint as count
  from jsonb_array_elements($1) as pairs (pair)
) as there
full join (
  select board_id, count(*)
  from (
    select board_id from analytics.fact_entries where not gone
    union all
    select (content ->> 'board_id')::bigint from analytics.rejects where source = 'entries'
  ) as loaded
  group by board_id
) as here using (board_id)
where here.count > coalesce(there.count, 0)";
pub(super) const GONE_ENTRIES: &str = "
with gone as (
  update analytics.fact_entries as f
  set gone = true
  where f.board_id = $1::bigint
    and not f.gone
    and not exists (
      select
      from jsonb_array_elements_text($2) as d (id)
      where d.id::bigint = f.entry_id
    )
  returning entry_id, board_id, created_at
),
forgotten as (
  delete from analytics.rejects as r
  where r.source = 'entries'
    and (r.content ->> 'board_id')::bigint = $1::bigint
    and not exists (select from jsonb_array_elements_text($2) as d (id) where d.id::bigint = r.source_id)
),
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  select board_id, entry_id, created_at
  from gone
  on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
)
select count(*)::text
from gone";
