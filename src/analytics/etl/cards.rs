use super::{Etl, WATERMARK, count};
use crate::postgres::Error;

/// Columns of a card, and rows of them as JSON, with the last one's number, and the last change and whose it is.
macro_rules! cards {
    ($which:literal) => {
        concat!(
            "
select json_agg(c)::text,
  max(c.id)::text,
  (array_agg(c.updated_at order by c.updated_at desc, c.id desc))[1]::text,
  (array_agg(c.id order by c.updated_at desc, c.id desc))[1]::text
from (
  select
    e.id, e.board_id, e.state_id, s.name as state, e.category_id, e.assignee_id, e.created_at, e.started_at,
    e.closed_at, e.due_at, e.version, e.updated_at
  from public.entries as e
  join public.workflow_states as s on s.id = e.state_id
  where ",
            $which,
            "
) as c"
        )
    };
}

/// Cards that changed since. It begins a while before where it ended last: a transaction may have been at it then.
const CHANGED: &str = cards!(
    "(e.updated_at, e.id) > (coalesce(nullif($1, '')::timestamptz, '-infinity'), $2::bigint)
  order by e.updated_at, e.id
  limit 20000"
);
const OF_BOARD: &str = cards!(
    "e.board_id = $1::bigint
    and e.id > $2::bigint
  order by e.id
  limit 20000"
);
/// What tells a board's cards from others: of the boards behind one, and the last of them if there may be more.
const BOARD_DIGESTS: &str = "
select coalesce(json_object_agg(board_id, digest), '{}')::text, case when count(*) = 20000 then max(board_id) end::text
from (
  select board_id, sum(('x' || left(md5(id || '-' || version), 12))::bit(48)::bigint) as digest
  from public.entries
  where board_id > $1::bigint
  group by board_id
  order by board_id
  limit 20000
) as boards";
/// Boards behind one and up to another of which other cards are loaded than are there.
const OTHER_BOARDS: &str = "
select board_id::text
from (
  select key::bigint as board_id, value::numeric as digest
  from json_each_text($1) as pairs
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
  where board_id > $2::bigint
    and ($3::bigint is null or board_id <= $3::bigint)
  group by board_id
) as here using (board_id)
where there.digest is distinct from here.digest
order by board_id";
/// The numbers of a board's cards that are loaded, behind one.
const LOADED: &str = "
select json_agg(id)::text, max(id)::text
from (
  select id
  from (
    select entry_id as id
    from analytics.fact_entries
    where board_id = $1::bigint
      and not gone
      and entry_id > $2::bigint
    union all
    select source_id
    from analytics.rejects
    where source = 'entries'
      and (content ->> 'board_id')::bigint = $1::bigint
      and source_id > $2::bigint
  ) as both_of_them
  order by id
  limit 20000
) as page";
const GONE: &str = "
select coalesce(json_agg(d.id::bigint), '[]')::text
from json_array_elements_text($1) as d (id)
where not exists (select from public.entries as e where e.id = d.id::bigint)";
const FORGET: &str = "
with missing as materialized (
  select id::bigint
  from json_array_elements_text($1) as d (id)
),
gone as (
  update analytics.fact_entries as f
  set gone = true
  from missing as m
  where f.entry_id = m.id
    and not f.gone
  returning f.entry_id, f.board_id, least(f.created_at, f.closed_at) as since
),
forgotten as (
  delete from analytics.rejects as r
  using missing as m
  where r.source = 'entries'
    and r.source_id = m.id
),
touched as (
  insert into analytics.touched as kept (board_id, entry_id, since)
  select board_id, entry_id, since
  from gone
  on conflict (board_id, entry_id) do update set since = least(kept.since, excluded.since)
)
select count(*)::text
from gone";

/// The second value is up to where they were read by their changes.
const LOAD: &str = "
with incoming as materialized (
  select *
  from json_to_recordset($1) as d (
    id bigint, board_id bigint, state_id bigint, state text, category_id bigint, assignee_id text,
    created_at timestamptz, started_at timestamptz, closed_at timestamptz, due_at timestamptz, version integer
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
    entry_id, board_id, state_id, state, category_id, assignee_id, created_at, started_at, closed_at, due_at,
    lead_seconds, cycle_seconds, on_time, version
  )
  select
    id, board_id, state_id, state, category_id, assignee_id, created_at, started_at, closed_at, due_at,
    floor(extract(epoch from closed_at - created_at))::bigint,
    case when isfinite(started_at) then greatest(floor(extract(epoch from closed_at - started_at)), 0)::bigint end,
    closed_at <= due_at,
    version
  from judged
  where reason is null
  on conflict (entry_id) do update set
    board_id = excluded.board_id,
    state_id = excluded.state_id,
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
      and (excluded.state_id, excluded.state, excluded.closed_at, excluded.due_at)
        is distinct from (kept.state_id, kept.state, kept.closed_at, kept.due_at)
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

impl Etl {
    /// Loads the cards that have changed since they were read last, or up to so long before.
    pub(super) async fn cards(&self, before: &str) -> Result<u64, Error> {
        let work = self.step().await?;
        let since = work.first(WATERMARK, &[Some("entries"), Some(before)]).await?;
        work.commit().await?;
        let mut after =
            (since.and_then(|row| row.text(0).map(str::to_owned)).unwrap_or_default(), "0".to_owned());
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let rows = read.first(CHANGED, &[Some(&after.0), Some(&after.1)]).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { break };
            let text = |place| rows.text(place).unwrap_or_default().to_owned();
            after = (text(2), text(3));
            let work = self.step().await?;
            loaded += count(&work, LOAD, &[rows.text(0), Some(&after.0)]).await?;
            work.commit().await?;
        }
        Ok(loaded)
    }

    /// Loads the cards of boards once more of which others are loaded than are there, and marks those that are gone.
    pub(super) async fn boards(&self) -> Result<u64, Error> {
        let mut changed = 0;
        let mut after = "0".to_owned();
        loop {
            let read = self.read().await?;
            let there = read.first(BOARD_DIGESTS, &[Some(&after)]).await?;
            read.end().await?;
            let there = there.as_ref();
            let last = there.and_then(|row| row.text(1));
            let work = self.step().await?;
            let values = [there.and_then(|row| row.text(0)), Some(&*after), last];
            let boards = work.rows(OTHER_BOARDS, &values).await?;
            work.commit().await?;
            for board in boards.iter().filter_map(|row| row.text(0)) {
                changed += self.reload_board(board).await? + self.mark_gone(board).await?;
            }
            let Some(last) = last else { return Ok(changed) };
            last.clone_into(&mut after);
        }
    }

    async fn reload_board(&self, board: &str) -> Result<u64, Error> {
        let mut changed = 0;
        let mut after = "0".to_owned();
        loop {
            let read = self.read().await?;
            let rows = read.first(OF_BOARD, &[Some(board), Some(&after)]).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { return Ok(changed) };
            let work = self.step().await?;
            changed += count(&work, LOAD, &[rows.text(0), Some("-infinity")]).await?;
            work.commit().await?;
            rows.text(1).unwrap_or_default().clone_into(&mut after);
        }
    }

    async fn mark_gone(&self, board: &str) -> Result<u64, Error> {
        let mut changed = 0;
        let mut after = "0".to_owned();
        loop {
            let work = self.step().await?;
            let rows = work.first(LOADED, &[Some(board), Some(&after)]).await?;
            work.commit().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { return Ok(changed) };
            let read = self.read().await?;
            let gone = read.first(GONE, &[rows.text(0)]).await?;
            read.end().await?;
            let work = self.step().await?;
            changed += count(&work, FORGET, &[gone.as_ref().and_then(|row| row.text(0))]).await?;
            work.commit().await?;
            rows.text(1).unwrap_or_default().clone_into(&mut after);
        }
    }
}
