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
    -- Others have people there.
    case when action in ('moved', 'closed', 'reopened') then left(detail ->> 'from', 100) end as from_state,
    case when action in ('moved', 'closed', 'reopened') then left(detail ->> 'to', 100) end as to_state
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
/// What tells a board's cards from others.
pub(super) const BOARD_DIGESTS: &str = "
select coalesce(jsonb_object_agg(board_id, digest), '{}')::text
from (
  select board_id, sum(('x' || left(md5(id || '-' || version), 12))::bit(48)::bigint) as digest
  from public.entries
  group by board_id
) as boards";
pub(super) const ENTRIES_OF_BOARD: &str = "
select jsonb_agg(to_jsonb(e))::text, max(e.id)::text
from (
  select
    e.id, e.board_id, s.name as state, e.category_id, e.assignee_id, e.created_at, e.started_at, e.closed_at,
    e.due_at, e.version
  from public.entries as e
  join public.workflow_states as s on s.id = e.state_id
  where e.board_id = $1::bigint
    and e.id > $2::bigint
  order by e.id
  limit 20000
) as e";

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
      when i.action in ('moved', 'closed', 'reopened') and i.from_state is distinct from i.to_state and (
        row_number() over (partition by i.entry_id, i.at, i.action, i.from_state, i.to_state order by i.id) > 1
        or exists (
        select
        from analytics.fact_activities as o
        where o.activity_id < i.id and o.entry_id = i.entry_id and o.at = i.at and o.action = i.action
          and o.from_state is not distinct from i.from_state and o.to_state is not distinct from i.to_state
          and o.subject = 'entry'
        )
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
  from (table loaded union all table before) as both_of_them
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
was as materialized (
  select f.entry_id, f.closed_at
  from analytics.fact_entries as f
  join judged as j on j.id = f.entry_id
  where not f.gone
),
before as (
  delete from analytics.fact_entries as f
  using judged as j
  where f.entry_id = j.id
    and j.reason is not null
  returning f.board_id, f.entry_id, least(f.created_at, f.closed_at) as since
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
  where excluded.version > kept.version
    or kept.gone
    or (
      excluded.version = kept.version
      and (excluded.state, excluded.closed_at, excluded.due_at)
        is distinct from (kept.state, kept.closed_at, kept.due_at)
    )
  returning board_id, entry_id, created_at, closed_at
),
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  -- Of one that was known only the days change on which it was, or is, done.
  select
    l.board_id,
    l.entry_id,
    coalesce(
      case when w.entry_id is null then least(l.created_at, l.closed_at) else least(w.closed_at, l.closed_at) end,
      'infinity'
    )
  from loaded as l
  left join was as w on w.entry_id = l.entry_id
  union all
  select board_id, entry_id, since
  from before
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
  -- A card that claims to be changed in times to come keeps nobody from those that are changed now.
  set settled_at = greatest(settled_at, least($2::timestamptz, now()))
  where source = 'entries'
)
select count(*)::text
from loaded";

pub(super) const LOADED_DAYS: &str = "
select at::date::text, sum(('x' || left(md5(id || coalesce(actor_id, ' ')), 12))::bit(48)::bigint)::text
from (
  select f.activity_id as id, f.at, f.actor_id
  from analytics.fact_activities as f
  join analytics.dim_boards as b on b.board_id = f.board_id and not b.gone
  where f.at >= coalesce($1::timestamptz, current_date - 8)
    and f.at < coalesce($2::timestamptz, current_date + 1)
  union all
  select source_id, (content ->> 'at')::timestamptz, content ->> 'actor_id'
  from analytics.rejects
  where source = 'activities'
    and (content ->> 'board_id')::bigint in (select board_id from analytics.dim_boards where not gone)
    and (content ->> 'at')::timestamptz >= coalesce($1::timestamptz, current_date - 8)
    and (content ->> 'at')::timestamptz < coalesce($2::timestamptz, current_date + 1)
) as loaded
group by at::date";
/// The numbers of a day's rows.
pub(super) const NUMBERS_OF_DAY: &str = "
select coalesce(jsonb_agg(id), '[]')::text
from public.activities
where at >= $1::date
  and at < $1::date + interval '1 day'";
/// Of a day, what is no longer among the rows that it has, of boards that are there: with a board that has gone its
/// activities went, and stay here.
pub(super) const FORGET_ACTIVITIES: &str = "
with gone as (
  delete from analytics.fact_activities as f
  using analytics.dim_boards as b
  where f.at >= $1::date
    and f.at < $1::date + interval '1 day'
    and b.board_id = f.board_id
    and not b.gone
    and not exists (
      select
      from jsonb_array_elements_text($2) as d (id)
      where d.id::bigint = f.activity_id
    )
  returning f.board_id, f.entry_id, f.subject, f.at
),
forgotten as (
  delete from analytics.rejects as r
  where r.source = 'activities'
    and (r.content ->> 'at')::timestamptz >= $1::date
    and (r.content ->> 'at')::timestamptz < $1::date + interval '1 day'
    and not exists (select from jsonb_array_elements_text($2) as d (id) where d.id::bigint = r.source_id)
)
insert into analytics.touched as kept (board_id, entry_id, since)
select board_id, case when subject = 'entry' then entry_id else 0 end, min(at)
from gone
group by 1, 2
on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
returning ''";
/// Boards of which other cards are loaded than are there.
pub(super) const OTHER_BOARDS: &str = "
select board_id::text
from (
  select key::bigint as board_id, value::numeric as digest
  from jsonb_each_text($1) as pairs
) as there
full join (
  select board_id, sum(('x' || left(md5(id || '-' || version), 12))::bit(48)::bigint) as digest
  from (
    select board_id, entry_id as id, version
    from analytics.fact_entries
    where not gone
    union all
    select (content ->> 'board_id')::bigint, source_id, (content ->> 'version')::integer
    from analytics.rejects
    where source = 'entries'
  ) as loaded
  group by board_id
) as here using (board_id)
where there.digest is distinct from here.digest
order by board_id";
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
  returning entry_id, board_id, least(created_at, closed_at) as created_at
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
