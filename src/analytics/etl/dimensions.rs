use super::{Etl, count};
use crate::postgres::Error;

/// What boards, people, states and categories are called.
struct Dimension {
    /// Rows behind a key as JSON, 20,000 at most; the last one's key if there may be more.
    read: &'static str,
    /// Takes them. What is not among them, behind that key and up to this, is gone, and keeps its name.
    load: &'static str,
}

/// Keys are compared by their bytes: two databases may sort otherwise.
macro_rules! rows {
    ($columns:literal, $table:literal, $key:literal, $kind:literal) => {
        concat!(
            "
select coalesce(json_agg(d), '[]')::text, case when count(*) = 20000 then max(",
            $key,
            ") end::text
from (
  select ",
            $columns,
            "
  from public.",
            $table,
            "
  where $1::",
            $kind,
            " is null
    or ",
            $key,
            " > $1::",
            $kind,
            "
  order by ",
            $key,
            "
  limit 20000
) as d"
        )
    };
}

const DIMENSIONS: [Dimension; 4] = [
    Dimension {
        read: rows!("id, name", "boards", "id", "bigint"),
        load: "
with incoming as materialized (
  select * from json_to_recordset($1) as d (id bigint, name text)
),
gone as (
  update analytics.dim_boards as k
  set gone = true
  where not gone
    and ($2::bigint is null or k.board_id > $2::bigint)
    and ($3::bigint is null or k.board_id <= $3::bigint)
    and not exists (select from incoming as i where i.id = k.board_id)
),
loaded as (
  insert into analytics.dim_boards as k (board_id, name)
  select id, name from incoming
  on conflict (board_id) do update set name = excluded.name, gone = false
  where k.name <> excluded.name or k.gone
  returning 1
)
select count(*)::text from loaded",
    },
    Dimension {
        read: rows!("id, name", "users", "id collate \"C\"", "text"),
        load: "
with incoming as materialized (
  select * from json_to_recordset($1) as d (id text, name text)
),
gone as (
  update analytics.dim_users as k
  set gone = true
  where not gone
    and ($2::text is null or k.user_id collate \"C\" > $2::text)
    and ($3::text is null or k.user_id collate \"C\" <= $3::text)
    and not exists (select from incoming as i where i.id = k.user_id)
),
loaded as (
  insert into analytics.dim_users as k (user_id, name)
  select id, name from incoming
  on conflict (user_id) do update set name = excluded.name, gone = false
  where k.name <> excluded.name or k.gone
  returning 1
)
select count(*)::text from loaded",
    },
    Dimension {
        read: rows!("id, board_id, name, kind, ordinal", "workflow_states", "id", "bigint"),
        load: "
with incoming as materialized (
  select * from json_to_recordset($1) as d (
    id bigint, board_id bigint, name text, kind text, ordinal smallint)
),
gone as (
  update analytics.dim_states as k
  set gone = true
  where not gone
    and ($2::bigint is null or k.state_id > $2::bigint)
    and ($3::bigint is null or k.state_id <= $3::bigint)
    and not exists (select from incoming as i where i.id = k.state_id)
),
loaded as (
  insert into analytics.dim_states as k (state_id, board_id, name, kind, ordinal)
  select id, board_id, name, kind, ordinal from incoming
  on conflict (state_id) do update set
    name = excluded.name, kind = excluded.kind, ordinal = excluded.ordinal, gone = false
  where (k.name, k.kind, k.ordinal, k.gone) is distinct from (excluded.name, excluded.kind, excluded.ordinal, false)
  returning state_id, board_id, name
),
-- No card changes when its state is called something else.
renamed as (
  update analytics.fact_entries as f
  set state = l.name
  from loaded as l
  where f.board_id = l.board_id
    and f.state_id = l.state_id
    and f.state <> l.name
)
select count(*)::text from loaded",
    },
    Dimension {
        read: rows!("id, board_id, name", "categories", "id", "bigint"),
        load: "
with incoming as materialized (
  select * from json_to_recordset($1) as d (id bigint, board_id bigint, name text)
),
gone as (
  update analytics.dim_categories as k
  set gone = true
  where not gone
    and ($2::bigint is null or k.category_id > $2::bigint)
    and ($3::bigint is null or k.category_id <= $3::bigint)
    and not exists (select from incoming as i where i.id = k.category_id)
),
loaded as (
  insert into analytics.dim_categories as k (category_id, board_id, name)
  select id, board_id, name from incoming
  on conflict (category_id) do update set name = excluded.name, gone = false
  where k.name <> excluded.name or k.gone
  returning 1
)
select count(*)::text from loaded",
    },
];

impl Etl {
    /// Takes what boards, people, states and categories are called now.
    pub(super) async fn dimensions(&self) -> Result<u64, Error> {
        let mut loaded = 0;
        for dimension in &DIMENSIONS {
            let mut after = None;
            loop {
                let read = self.read().await?;
                let rows = read.first(dimension.read, &[after.as_deref()]).await?;
                read.end().await?;
                let rows = rows.as_ref();
                let last = rows.and_then(|row| row.text(1));
                let work = self.step().await?;
                let values = [rows.and_then(|row| row.text(0)), after.as_deref(), last];
                loaded += count(&work, dimension.load, &values).await?;
                work.commit().await?;
                let Some(last) = last else { break };
                after = Some(last.to_owned());
            }
        }
        Ok(loaded)
    }
}
