use super::{Etl, count};
use crate::postgres::Error;

/// All of them as JSON: they are few beside what refers to them.
const READ: &str = "
select jsonb_build_object(
  'boards', (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'name', name)), '[]') from public.boards),
  'users', (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'name', name)), '[]') from public.users),
  'states', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', id, 'board_id', board_id, 'name', name, 'kind', kind, 'ordinal', ordinal)), '[]')
    from public.workflow_states
  ),
  'categories', (
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'board_id', board_id, 'name', name)), '[]')
    from public.categories
  )
)::text";

/// What is gone keeps its name.
const LOAD: [&str; 4] = [
    "
with incoming as materialized (
  select * from jsonb_to_recordset($1::jsonb -> 'boards') as d (id bigint, name text)
),
gone as (
  update analytics.dim_boards as k
  set gone = true
  where not gone and not exists (select from incoming as i where i.id = k.board_id)
),
loaded as (
  insert into analytics.dim_boards as k (board_id, name)
  select id, name from incoming
  on conflict (board_id) do update set name = excluded.name, gone = false
  where k.name <> excluded.name or k.gone
  returning 1
)
select count(*)::text from loaded",
    "
with incoming as materialized (
  select * from jsonb_to_recordset($1::jsonb -> 'users') as d (id text, name text)
),
gone as (
  update analytics.dim_users as k
  set gone = true
  where not gone and not exists (select from incoming as i where i.id = k.user_id)
),
loaded as (
  insert into analytics.dim_users as k (user_id, name)
  select id, name from incoming
  on conflict (user_id) do update set name = excluded.name, gone = false
  where k.name <> excluded.name or k.gone
  returning 1
)
select count(*)::text from loaded",
    "
with incoming as materialized (
  select * from jsonb_to_recordset($1::jsonb -> 'states') as d (
    id bigint, board_id bigint, name text, kind text, ordinal smallint)
),
gone as (
  update analytics.dim_states as k
  set gone = true
  where not gone and not exists (select from incoming as i where i.id = k.state_id)
),
loaded as (
  insert into analytics.dim_states as k (state_id, board_id, name, kind, ordinal)
  select id, board_id, name, kind, ordinal from incoming
  on conflict (state_id) do update set
    name = excluded.name, kind = excluded.kind, ordinal = excluded.ordinal, gone = false
  where (k.name, k.kind, k.ordinal, k.gone) is distinct from (excluded.name, excluded.kind, excluded.ordinal, false)
  returning 1
)
select count(*)::text from loaded",
    "
with incoming as materialized (
  select * from jsonb_to_recordset($1::jsonb -> 'categories') as d (id bigint, board_id bigint, name text)
),
gone as (
  update analytics.dim_categories as k
  set gone = true
  where not gone and not exists (select from incoming as i where i.id = k.category_id)
),
loaded as (
  insert into analytics.dim_categories as k (category_id, board_id, name)
  select id, board_id, name from incoming
  on conflict (category_id) do update set name = excluded.name, gone = false
  where k.name <> excluded.name or k.gone
  returning 1
)
select count(*)::text from loaded",
];

impl Etl {
    /// Takes what boards, people, states and categories are called now.
    pub(super) async fn dimensions(&self) -> Result<u64, Error> {
        let read = self.read().await?;
        let rows = read.first(READ, &[]).await?;
        read.end().await?;
        let rows = rows.as_ref().and_then(|row| row.text(0));
        let work = self.step().await?;
        let mut loaded = 0;
        for load in LOAD {
            loaded += count(&work, load, &[rows]).await?;
        }
        work.commit().await?;
        Ok(loaded)
    }
}
