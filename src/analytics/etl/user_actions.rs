//! What people looked at, searched for and were refused, by the number that it was given.

use super::extract::Source;

/// Columns of what somebody did, and rows of them as JSON with the last one's number.
macro_rules! user_actions {
    ($which:literal) => {
        concat!(
            "
select json_agg(a)::text, max(a.id)::text
from (
  select id, at, user_id, action, subject, board_id, entry_id
  from app.user_actions
  where ",
            $which,
            "
) as a"
        )
    };
}

pub(super) const USER_ACTIONS: Source = Source {
    name: "user_actions",
    table: "fact_user_actions",
    moment: "
select
  coalesce((select max(id) from app.user_actions), 0)::text,
  pg_snapshot_xmin(s)::text,
  pg_snapshot_xmax(s)::text
from (select pg_current_snapshot()) as now (s)",
    behind: user_actions!(
        "id > $1::bigint
    and id <= $2::bigint
    -- In a circle of 2^32, as numbers of transactions are compared.
    and (id > $3::bigint or age(xmin) <= (select age(($4::bigint & 4294967295)::text::xid)))
  order by id
  limit 20000"
    ),
    within: user_actions!(
        "at >= $1::timestamptz and at < $2::timestamptz and id > $3::bigint order by id limit 20000"
    ),
    days: "
select at::date::text,
  sum(('x' || left(md5(concat_ws(
    '/', id, extract(epoch from at), user_id, action, subject, board_id, entry_id
  )), 12))::bit(48)::bigint)::text
from app.user_actions
where at >= coalesce($1::timestamptz, current_date - 8)
  and at < coalesce($2::timestamptz, current_date + 1)
group by at::date",
    loaded_days: LOADED_DAYS,
    loaded: LOADED,
    days_kept: |retention| retention.user_actions_days,
    gone: GONE,
    elsewhere: user_actions!(
        "(id, at) in (
      select o.id, o.at
      from json_to_recordset($1) as d (id bigint, at timestamptz)
      join app.user_actions as o on o.id = d.id and o.at <> d.at
    )"
    ),
    forget: FORGET,
    moved: MOVED,
    load: LOAD,
};

const LOADED_DAYS: &str = "
select at::date::text,
  sum(('x' || left(md5(concat_ws(
    '/', id, extract(epoch from at), user_id, action, subject, board_id, entry_id
  )), 12))::bit(48)::bigint)::text
from (
  select action_id as id, at, user_id, action, subject, board_id, entry_id
  from analytics.fact_user_actions
  where at >= coalesce($1::timestamptz, current_date - 8)
    and at < coalesce($2::timestamptz, current_date + 1)
  union all
  select source_id, (content ->> 'at')::timestamptz, content ->> 'user_id', content ->> 'action',
    content ->> 'subject', (content ->> 'board_id')::bigint, (content ->> 'entry_id')::bigint
  from analytics.rejects
  where source = 'user_actions'
    -- What lay in the future is looked at again once it has come.
    and not (reason = 'it lies in the future' and (content ->> 'at')::timestamptz <= now() + interval '1 day')
    and (content ->> 'at')::timestamptz >= coalesce($1::timestamptz, current_date - 8)
    and (content ->> 'at')::timestamptz < coalesce($2::timestamptz, current_date + 1)
) as loaded
group by at::date";

const LOADED: &str = "
select json_agg(l)::text, max(l.id)::text
from (
  select id, at
  from (
    select action_id as id, at
    from analytics.fact_user_actions
    where at >= $1::date
      and at < $1::date + interval '1 day'
      and action_id > $2::bigint
    union all
    select source_id, (content ->> 'at')::timestamptz
    from analytics.rejects
    where source = 'user_actions'
      and source_id > $2::bigint
      and (content ->> 'at')::timestamptz >= $1::date
      and (content ->> 'at')::timestamptz < $1::date + interval '1 day'
  ) as both_of_them
  order by id
  limit 20000
) as l";

const GONE: &str = "
select coalesce(json_agg(d.id), '[]')::text
from json_to_recordset($1) as d (id bigint, at timestamptz)
where not exists (select from app.user_actions as a where a.id = d.id)
  -- What the application lets go when it is old stays here.
  and ($2::integer is null or d.at >= now() - $2::integer * interval '1 day')
  and d.at >= (select min(at) from app.user_actions where at > '-infinity')";

const FORGET: &str = "
with forgotten as (
  delete from analytics.rejects as r
  using json_array_elements_text($2) as d (id)
  where r.source = 'user_actions'
    and r.source_id = d.id::bigint
)
delete from analytics.fact_user_actions as f
using json_array_elements_text($2) as d (id)
where f.action_id = d.id::bigint
  and f.at >= $1::date
  and f.at < $1::date + interval '1 day'
returning ''";

const MOVED: &str = "
with incoming as materialized (
  select id, at
  from json_to_recordset($1) as d (id bigint, at timestamptz)
)
delete from analytics.fact_user_actions as f
using incoming as i
where f.action_id = i.id
  and f.at <> i.at
  -- By the index, whatever is thought of how many there are: numbers of one page lie together.
  and f.action_id between (select min(id) from incoming) and (select max(id) from incoming)
returning ''";

/// What is not as it should be is kept apart with the reason.
const LOAD: &str = "
with incoming as materialized (
  select distinct on (id)
    d.*,
    case
      when not isfinite(at) or at < '2000-01-01' then 'it is of no moment'
      when at > now() + interval '1 day' then 'it lies in the future'
    end as reason
  from json_to_recordset(coalesce($1::json, '[]')) as d (
    id bigint, at timestamptz, user_id text, action text, subject text, board_id bigint, entry_id bigint
  )
  -- What was let go is not taken again.
  where not (
    at >= '2000-01-01'
    and at < (select retired_before from analytics.partitioned where parent = 'fact_user_actions')
  )
  order by id
),
rejected as (
  insert into analytics.rejects as kept (source, source_id, reason, content)
  select 'user_actions', id, reason, to_jsonb(i) - 'reason'
  from incoming as i
  where reason is not null
  on conflict (source, source_id) do update set reason = excluded.reason, content = excluded.content
),
mended as (
  delete from analytics.rejects as r
  using incoming as i
  where r.source = 'user_actions'
    and r.source_id = i.id
    and i.reason is null
),
loaded as (
  insert into analytics.fact_user_actions as kept (action_id, at, user_id, action, subject, board_id, entry_id)
  select id, at, user_id, action, subject, board_id, entry_id
  from incoming
  where reason is null
  on conflict (action_id, at) do update set
    user_id = excluded.user_id,
    action = excluded.action,
    subject = excluded.subject,
    board_id = excluded.board_id,
    entry_id = excluded.entry_id
  where (kept.user_id, kept.action, kept.subject, kept.board_id, kept.entry_id)
    is distinct from (excluded.user_id, excluded.action, excluded.subject, excluded.board_id, excluded.entry_id)
  returning 1
)
select count(*)::text
from loaded";
