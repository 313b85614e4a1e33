use tokio_postgres::{Client, Error};

use crate::fixture::Database;

/// Some boards with people, as a workspace begins.
pub(crate) const BEGINNING: &str = "
insert into public.users (id, name, hue)
select 'person ' || n, 'Person ' || n, n from generate_series(1, 6) as n;
insert into public.boards (name) select 'Board ' || n from generate_series(1, 4) as n;
select app.plant_workflow(id) from public.boards;
insert into public.categories (board_id, name)
select b.id, 'Category ' || n from public.boards as b cross join generate_series(1, 3) as n;
insert into public.board_members (board_id, user_id, role)
select b.id, u.id, case u.id when 'person 1' then 'admin' else 'member' end
from public.boards as b
cross join public.users as u";

/// Cards that have been there for up to sixty days, some of them done, with and without dates.
const CREATE: &str = "
insert into public.entries (
  board_id, title, state_id, position, category_id, assignee_id, due_at, created_at, started_at, closed_at
)
select
  board_id, 'Card', state_id, clock_timestamp()::text || random(), category_id, assignee_id,
  case when random() < 0.1 then 'infinity' when random() < 0.7 then created_at + random() * interval '20 days' end,
  created_at,
  created_at + random() * interval '5 days' - interval '1 hour',
  case when random() < 0.7 then created_at + random() * interval '30 days' - interval '2 hours' end
from (
  select
    b.id as board_id,
    (select s.id from public.workflow_states as s where s.board_id = b.id and n > 0 order by random() limit 1) as state_id,
    case when random() < 0.7 then
      (select c.id from public.categories as c where c.board_id = b.id and n > 0 order by random() limit 1)
    end as category_id,
    case when random() < 0.7 then 'person ' || (1 + floor(random() * 6)) end as assignee_id,
    now() - random() * interval '60 days' as created_at
  from generate_series(1, 1 + floor(random() * 20)::integer) as n
  cross join lateral (
    select id from public.boards where n > 0 and exists (select from public.workflow_states as s where s.board_id = boards.id)
    order by random() limit 1
  ) as b
) as new";
const MOVE: &str = "
update public.entries as e
set state_id = (select s.id from public.workflow_states as s where s.board_id = e.board_id order by random() limit 1),
    position = clock_timestamp()::text || random()
where id in (select id from public.entries order by random() limit 1 + floor(random() * 5)::integer)";
const CHANGE: &str = "
update public.entries as e
set title = 'Card ' || random(),
    assignee_id = case when random() < 0.5 then 'person ' || (1 + floor(random() * 6)) end,
    category_id = case when random() < 0.5 then
      (select c.id from public.categories as c where c.board_id = e.board_id order by random() limit 1)
    end,
    due_at = case when random() < 0.5 then now() + (random() - 0.5) * interval '40 days' end
where id in (select id from public.entries order by random() limit 1 + floor(random() * 5)::integer)";
const RETELL: &str = "update public.entries set title = title || '.' where id in (select id from public.entries order by random() limit 30)";
const DELETE: &str =
    "delete from public.entries where id in (select id from public.entries order by random() limit 2)";
const ACT: &str = "
insert into public.activities (board_id, actor_id, subject, action, at)
select b.id, case when random() < 0.9 then 'person ' || (1 + floor(random() * 6)) end, 'board', 'changed',
  case when random() < 0.02 then '-infinity' else now() - random() * interval '20 days' end
from public.boards as b
cross join generate_series(1, 3)
order by random()
limit 4";
const FORGET: &str =
    "delete from public.activities where id in (select id from public.activities order by random() limit 3)";
const FOUND: &str = "
with founded as (insert into public.boards (name) values ('Another') returning id)
select app.plant_workflow(id) from founded";
const CLOSE: &str = "
delete from public.boards
where id = (select id from public.boards order by random() limit 1)
  and (select count(*) from public.boards) > 3";
const LEAVE: &str = "delete from public.users where id = (select 'person ' || (2 + floor(random() * 5)))";
const ENTER: &str = "
insert into public.users (id, name, hue)
select 'person ' || n, 'Person', n from generate_series(1, 6) as n
on conflict do nothing";
const RECAST: &str = "
update public.workflow_states
set kind = (array['open', 'active', 'done'])[1 + floor(random() * 3)::integer]
where id = (select id from public.workflow_states order by random() limit 1)";

/// A state is called something else, and what it was called is free for another.
const RENAME: &str = "
update public.workflow_states
set name = (array['Backlog', 'Review', 'Queue', 'Later', 'Checks'])[1 + floor(random() * 5)::integer]
where id = (select id from public.workflow_states order by random() limit 1)";

/// What somebody does, and how often beside the others.
const THINGS: [(&str, usize); 14] = [
    (CREATE, 20),
    (MOVE, 20),
    (CHANGE, 12),
    (RETELL, 4),
    (DELETE, 6),
    (ACT, 16),
    (FORGET, 3),
    (FOUND, 1),
    (CLOSE, 1),
    (LEAVE, 1),
    (ENTER, 2),
    (RECAST, 1),
    (RENAME, 1),
    ("select 1", 1),
];

/// Does some things in a transaction each, a few of which are taken back; others may be in the way of them.
pub(crate) async fn work(client: &Client, transactions: usize) -> Result<(), Error> {
    let together: usize = THINGS.iter().map(|(_, weight)| weight).sum();
    for _ in 0..transactions {
        let things = (0..fastrand::usize(1..4)).map(|_| {
            let mut at = fastrand::usize(..together);
            let found = THINGS.iter().find(|(_, weight)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            found.expect("within all of them").0
        });
        let things: Vec<_> = things.collect();
        let end = if fastrand::u8(..) < 25 { "rollback" } else { "commit" };
        let done = client.batch_execute(&format!("begin; {}; {end}", things.join(";"))).await;
        if let Err(error) = done {
            let in_the_way = error.code().is_some_and(|state| ["23", "40"].contains(&&state.code()[..2]));
            if !in_the_way {
                return Err(error);
            }
            client.batch_execute("rollback").await?;
        }
    }
    Ok(())
}

/// The number of counters that are not what the tables come to.
const DIFFERENT: &str = "
select count(*)
from (table app.kpi_counted) as c
full join app.kpi_counters as k using (board_id, measure, item, at)
where c.count is distinct from k.count or c.sum is distinct from k.sum";

/// Whether the counters are what the tables come to, at one moment.
pub(crate) async fn is_counted(database: &Database) -> bool {
    database.number(DIFFERENT).await == 0
}

/// What people do by the application: a card is moved and its activity says from where to where, now or, as when it was
/// told late, some days ago. Some are told twice, or of a day that is yet to come.
pub(crate) const TOLD: &str = "
create function told_move() returns void
language plpgsql
as $$
declare
  card public.entries;
  was public.workflow_states;
  next public.workflow_states;
  moment timestamptz;
begin
  select * into card from public.entries order by random() limit 1;
  if not found then
    return;
  end if;
  select * into was from public.workflow_states where id = card.state_id;
  select * into next from public.workflow_states where board_id = card.board_id order by random() limit 1;
  select greatest(card.created_at, coalesce(max(at), card.created_at)) into moment
  from public.activities
  where entry_id = card.id and isfinite(at) and at < now();
  moment := moment + random() * (now() - moment);
  update public.entries
  set state_id = next.id, position = clock_timestamp()::text || random()
  where id = card.id;
  insert into public.activities (board_id, actor_id, subject, action, entry_id, at, detail)
  select card.board_id, 'person 1', 'entry', 'moved', card.id,
    case when random() < 0.02 then now() + interval '3 days' else moment end,
    jsonb_build_object('from', was.name, 'to', next.name, 'from_id', was.id::text, 'to_id', next.id::text)
  from generate_series(1, case when random() < 0.05 then 2 else 1 end);
end;
$$;
create function told_delete() returns void
language plpgsql
as $$
declare
  card public.entries;
begin
  delete from public.entries
  where id = (select id from public.entries order by random() limit 1)
  returning * into card;
  insert into public.activities (board_id, actor_id, subject, action, entry_id)
  select card.board_id, 'person 1', 'entry', 'deleted', card.id
  where card.id is not null;
end;
$$";

/// Cards that are moved and told of, and some that are deleted.
pub(crate) async fn told(client: &Client, movements: usize) -> Result<(), Error> {
    for _ in 0..movements {
        let what = if fastrand::u8(..) < 12 { "select told_delete()" } else { "select told_move()" };
        client.batch_execute(what).await?;
    }
    Ok(())
}
