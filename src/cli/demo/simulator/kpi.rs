use tokio_postgres::{Client, Error};

/// Takes the measures of all boards at one moment and keeps the last sixty of each.
const MEASURE: &str = "
insert into public.kpi_values as kept (board_id, kpi, value, recent, measured_at)
select board_id, kpi, value, array[value], now()
from (
  select boards.id as board_id, measures.kpi, measures.value::double precision as value
  from public.boards
  cross join lateral (
    select
      count(*) filter (where states.kind <> 'done') as open,
      count(*) filter (where states.name = 'Review') as in_review
    from public.entries
    join public.workflow_states as states on states.id = entries.state_id
    where entries.board_id = boards.id
  ) as cards
  cross join lateral (
    select
      count(*) filter (where action = 'closed' and at > now() - interval '10 minutes') as closed,
      count(*) filter (where at > now() - interval '1 minute') as pace
    from public.activities
    where activities.board_id = boards.id
      and at > now() - interval '10 minutes'
  ) as doings
  cross join lateral (
    values
      ('open', cards.open),
      ('in_review', cards.in_review),
      ('closed_10m', doings.closed),
      ('changes_1m', doings.pace)
  ) as measures (kpi, value)
) as measured
on conflict (board_id, kpi) do update set
  value = excluded.value,
  recent = kept.recent[greatest(1, cardinality(kept.recent) - 58):] || excluded.value,
  measured_at = excluded.measured_at
";

pub(super) async fn measure(client: &Client) -> Result<(), Error> {
    client.batch_execute(MEASURE).await
}
