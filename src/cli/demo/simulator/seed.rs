use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};

use super::{place, texts};

/// Who sees which board: Ada two of them, as their admin, Ben the first one too, and the third as its admin; the team all.
/// Cleo is a lead, who sees them anyway; Dov is nobody here.
const MEMBERS: &str = "
insert into public.board_members (board_id, user_id, role)
select boards.id, members.user_id, members.role
from (
  values
    ('Ferry app', 'ada', 'admin'),
    ('Harbour sensors', 'ada', 'admin'),
    ('Ferry app', 'ben', 'member'),
    ('Port website', 'ben', 'admin')
) as members (board, user_id, role)
join public.boards on boards.name = members.board
union all
select boards.id, team.user_id, 'member'
from public.boards
cross join unnest($1::text[]) as team (user_id)";

/// How many cards a board starts with in each state, from left to right.
const COLUMNS: [usize; 4] = [6, 4, 3, 4];

/// Fills an empty database with a team, its boards, and work that has been going on for a while.
pub(in super::super) async fn plant(client: &mut Client) -> Result<(), Error> {
    const USER: &str = "insert into public.users (id, name, hue) values ($1, $2, $3)";
    let transaction = client.transaction().await?;
    for (id, name, hue) in texts::USERS {
        transaction.execute(USER, &[&id, &name, &hue]).await?;
    }
    for board in &texts::BOARDS {
        plant_board(&transaction, board).await?;
    }
    transaction.execute(MEMBERS, &[&texts::team()]).await?;
    transaction.commit().await
}

async fn plant_board(transaction: &Transaction<'_>, board: &texts::Board) -> Result<(), Error> {
    const BOARD: &str = "
        insert into public.boards (name, description)
        values ($1, $2)
        returning id";
    const WORKFLOW: &str = "select app.plant_workflow($1)";
    const STATES: &str = "
        select id
        from public.workflow_states
        where board_id = $1
        order by ordinal";
    let id: i64 = transaction.query_one(BOARD, &[&board.name, &board.description]).await?.get(0);
    transaction.execute(WORKFLOW, &[&id]).await?;
    let states = transaction.query(STATES, &[&id]).await?;
    let mut cards = texts::first_cards(board, COLUMNS.iter().sum()).into_iter();
    let mut age = 2.0;
    for (state, count) in states.iter().zip(COLUMNS) {
        for (position, card) in place::column(count).into_iter().zip(&mut cards) {
            age += fastrand::f64() * 4.0;
            plant_entry(transaction, id, state.get(0), &position, &card, age).await?;
        }
    }
    Ok(())
}

/// A card that came that many hours ago, and has been where it is for a third of them.
async fn plant_entry(
    transaction: &Transaction<'_>,
    board: i64,
    state: i64,
    position: &str,
    card: &texts::Card,
    age: f64,
) -> Result<(), Error> {
    const ENTRY: &str = "
        with planted as (
          insert into public.entries (
            board_id, title, body, state_id, position, priority, labels,
            assignee_id, created_by, created_at, updated_at, started_at, closed_at
          )
          select
            $1, $2, $3, states.id, $5, $6, $7,
            (select id from public.users where states.kind <> 'open' order by random() limit 1),
            (select id from public.users order by random() limit 1),
            now() - $8 * interval '1 hour',
            now() - $8 * interval '20 minutes',
            case when states.kind <> 'open' then now() - $8 * interval '45 minutes' end,
            case when states.kind = 'done' then now() - $8 * interval '20 minutes' end
          from public.workflow_states as states
          where states.id = $4
          returning id, created_at, created_by
        )
        insert into public.activities (board_id, at, actor_id, subject, action, entry_id, detail)
        select $1, created_at, created_by, 'entry', 'created', id, jsonb_build_object('title', $2)
        from planted";
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&board, &card.title, &card.body, &state, &position, &card.priority, &card.labels, &age];
    transaction.execute(ENTRY, &parameters).await?;
    Ok(())
}
