use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};

use super::{kpi, texts};

/// How many cards a board starts with in each column, from left to right.
const COLUMNS: [(&str, usize); 4] = [("backlog", 6), ("in_progress", 4), ("review", 3), ("done", 4)];

/// Fills an empty database with a team, its boards, and work that has been going on for a while.
pub(in super::super) async fn plant(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    for (name, hue) in texts::USERS {
        transaction.execute("insert into public.users (name, hue) values ($1, $2)", &[&name, &hue]).await?;
    }
    for board in &texts::BOARDS {
        plant_board(&transaction, board).await?;
    }
    transaction.commit().await?;
    kpi::measure(client).await
}

async fn plant_board(transaction: &Transaction<'_>, board: &texts::Board) -> Result<(), Error> {
    const BOARD: &str = "
        insert into public.boards (name, description)
        values ($1, $2)
        returning id";
    const ENTRY: &str = "
        with planted as (
          insert into public.entries (
            board_id, title, body, status, position, priority, labels,
            assignee_id, created_at, updated_at, closed_at
          )
          select
            $1, $2, $3, $4, $5, $6, $7,
            (select id from public.users where $4 <> 'backlog' order by random() limit 1),
            now() - $8 * interval '1 hour',
            now() - $8 * interval '20 minutes',
            case when $4 = 'done' then now() - $8 * interval '20 minutes' end
          returning id, created_at
        )
        insert into public.activities (board_id, at, actor_id, action, entry_id, detail)
        select
          $1,
          created_at,
          (select id from public.users order by random() limit 1),
          'created',
          id,
          jsonb_build_object('title', $2)
        from planted";
    let id: i64 = transaction.query_one(BOARD, &[&board.name, &board.description]).await?.get(0);
    let count = COLUMNS.iter().map(|(_, cards)| cards).sum();
    let mut cards = texts::first_cards(board, count).into_iter();
    let mut age = 2.0;
    for (status, count) in COLUMNS {
        for position in (0_u32..).take(count).map(f64::from) {
            let Some(card) = cards.next() else { return Ok(()) };
            age += fastrand::f64() * 4.0;
            let parameters: [&(dyn ToSql + Sync); 8] =
                [&id, &card.title, &card.body, &status, &position, &card.priority, &card.labels, &age];
            transaction.execute(ENTRY, &parameters).await?;
        }
    }
    Ok(())
}
