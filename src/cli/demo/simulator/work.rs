use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};

use super::texts;

/// A board never has fewer open cards than this for long, nor more than that.
const OPEN_CARDS: std::ops::RangeInclusive<i64> = 12..=20;
/// Done cards beyond this many leave the board, the oldest first.
const DONE_CARDS: i64 = 7;
/// Activities beyond this many a board are deleted.
const ACTIVITIES: i64 = 400;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Create,
    Advance,
    Return,
    Reorder,
    Assign,
    Comment,
    Edit,
    Archive,
}

struct Board {
    id: i64,
    name: String,
    open: i64,
    done: i64,
}

/// One thing that somebody does, on some board: one transaction, which says so in the board's activities.
pub(super) async fn something(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    if let Some(board) = pick_board(&transaction).await? {
        match pick_deed(&board) {
            Deed::Create => create(&transaction, &board).await?,
            Deed::Advance => advance(&transaction, &board).await?,
            Deed::Return => send_back(&transaction, &board).await?,
            Deed::Reorder => reorder(&transaction, &board).await?,
            Deed::Assign => assign(&transaction, &board).await?,
            Deed::Comment => comment(&transaction, &board).await?,
            Deed::Edit => edit(&transaction, &board).await?,
            Deed::Archive => archive(&transaction, &board).await?,
        }
        forget(&transaction, &board).await?;
    }
    transaction.commit().await
}

/// Too few open cards call for new ones, too many for work, too many done ones for a tidy hand.
fn pick_deed(board: &Board) -> Deed {
    if board.done > DONE_CARDS {
        return Deed::Archive;
    }
    if board.open < *OPEN_CARDS.start() {
        return Deed::Create;
    }
    match fastrand::u8(..100) {
        0..12 if board.open < *OPEN_CARDS.end() => Deed::Create,
        0..46 => Deed::Advance,
        46..51 => Deed::Return,
        51..58 => Deed::Reorder,
        58..71 => Deed::Assign,
        71..91 => Deed::Comment,
        _ => Deed::Edit,
    }
}

async fn pick_board(transaction: &Transaction<'_>) -> Result<Option<Board>, Error> {
    const PICK: &str = "
        select
          boards.id,
          boards.name,
          count(*) filter (where entries.status in ('backlog', 'in_progress', 'review')),
          count(*) filter (where entries.status = 'done')
        from public.boards
        left join public.entries on entries.board_id = boards.id
        group by boards.id
        order by random()
        limit 1";
    let row = transaction.query_opt(PICK, &[]).await?;
    Ok(row.map(|row| Board { id: row.get(0), name: row.get(1), open: row.get(2), done: row.get(3) }))
}

async fn create(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const CREATE: &str = "
        insert into public.entries (board_id, title, body, position, priority, labels)
        select $1, $2, $3, coalesce(min(position), 0) - 1, $4, $5
        from public.entries
        where board_id = $1
          and status = 'backlog'
        returning id, title";
    let card = texts::card(&board.name);
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&board.id, &card.title, &card.body, &card.priority, &card.labels];
    let row = transaction.query_one(CREATE, &parameters).await?;
    record(transaction, board, "created", row.get(0), json!({ "title": row.get::<_, String>(1) })).await
}

/// A card goes on to the next column, from right to left more often the closer to its end it is.
async fn advance(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const ADVANCE: &str = "
        with picked as (
          select id, status as was
          from public.entries
          where board_id = $1
            and status in ('backlog', 'in_progress', 'review')
          order by random() * case status when 'backlog' then 0.8 when 'review' then 1.2 else 1 end desc
          limit 1
          for update
        ),
        target as (
          select
            id,
            was,
            case was when 'backlog' then 'in_progress' when 'in_progress' then 'review' else 'done' end as next
          from picked
        )
        update public.entries set
          status = target.next,
          position = (
            select coalesce(min(position), 0) - 1
            from public.entries
            where board_id = $1
              and status = target.next
          ),
          assignee_id = coalesce(assignee_id, (select id from public.users order by random() limit 1)),
          version = version + 1,
          updated_at = now(),
          closed_at = case when target.next = 'done' then now() end
        from target
        where entries.id = target.id
        returning entries.id, title, target.was, target.next";
    let Some(row) = transaction.query_opt(ADVANCE, &[&board.id]).await? else { return Ok(()) };
    let (title, was, next): (String, String, String) = (row.get(1), row.get(2), row.get(3));
    let action = if next == "done" { "closed" } else { "moved" };
    record(transaction, board, action, row.get(0), json!({ "title": title, "from": was, "to": next })).await
}

/// A review that found something.
async fn send_back(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const SEND_BACK: &str = "
        update public.entries set
          status = 'in_progress',
          version = version + 1,
          updated_at = now(),
          closed_at = null
        where id = (
            select id
            from public.entries
            where board_id = $1
              and status in ('review', 'done')
            order by random()
            limit 1
            for update
          )
        returning id, title, (closed_at is null)";
    let Some(row) = transaction.query_opt(SEND_BACK, &[&board.id]).await? else { return Ok(()) };
    let detail = json!({ "title": row.get::<_, String>(1), "to": "in_progress" });
    record(transaction, board, "reopened", row.get(0), detail).await
}

/// Something turns out to be more urgent than what lies above it.
async fn reorder(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const REORDER: &str = "
        update public.entries as moved set
          position = (
            select min(position) - 1
            from public.entries
            where board_id = $1
              and status = moved.status
          ),
          version = version + 1,
          updated_at = now()
        where id = (
            select id
            from public.entries
            where board_id = $1
              and status = 'backlog'
            order by position desc
            limit 1
            for update
          )
        returning id, title";
    let Some(row) = transaction.query_opt(REORDER, &[&board.id]).await? else { return Ok(()) };
    let detail = json!({ "title": row.get::<_, String>(1), "to": "backlog", "top": true });
    record(transaction, board, "moved", row.get(0), detail).await
}

async fn assign(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const ASSIGN: &str = "
        with picked as (
          select id, assignee_id
          from public.entries
          where board_id = $1
            and status in ('backlog', 'in_progress', 'review')
          order by random()
          limit 1
          for update
        )
        update public.entries set
          assignee_id = (
            select users.id
            from public.users
            where users.id is distinct from picked.assignee_id
            order by random()
            limit 1
          ),
          version = version + 1,
          updated_at = now()
        from picked
        where entries.id = picked.id
        returning entries.id, title, entries.assignee_id";
    let Some(row) = transaction.query_opt(ASSIGN, &[&board.id]).await? else { return Ok(()) };
    let assignee = row.get::<_, Option<i64>>(2).map(|id| id.to_string());
    let detail = json!({ "title": row.get::<_, String>(1), "assignee_id": assignee });
    record(transaction, board, "assigned", row.get(0), detail).await
}

async fn comment(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const COMMENT: &str = "
        with picked as (
          select id, title
          from public.entries
          where board_id = $1
            and status <> 'archived'
          order by random()
          limit 1
        ),
        written as (
          insert into public.comments (board_id, entry_id, author_id, body)
          select $1, picked.id, (select id from public.users order by random() limit 1), $2
          from picked
          returning entry_id, author_id
        )
        select picked.id, picked.title, written.author_id
        from picked
        join written on written.entry_id = picked.id";
    let text = texts::comment();
    let Some(row) = transaction.query_opt(COMMENT, &[&board.id, &text]).await? else { return Ok(()) };
    let detail = json!({ "title": row.get::<_, String>(1), "text": text });
    record_by(transaction, board, row.get(2), "commented", row.get(0), detail).await
}

async fn edit(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const EDIT: &str = "
        update public.entries set
          priority = (priority + $2) % 3,
          labels = $3,
          version = version + 1,
          updated_at = now()
        where id = (
            select id
            from public.entries
            where board_id = $1
              and status in ('backlog', 'in_progress', 'review')
            order by random()
            limit 1
            for update
          )
        returning id, title, priority";
    let step = fastrand::i16(1..=2);
    let Some(row) = transaction.query_opt(EDIT, &[&board.id, &step, &texts::labels()]).await? else {
        return Ok(());
    };
    let detail = json!({ "title": row.get::<_, String>(1), "priority": row.get::<_, i16>(2) });
    record(transaction, board, "edited", row.get(0), detail).await
}

/// The card that has been done for longest leaves, with its comments.
async fn archive(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const ARCHIVE: &str = "
        delete from public.entries
        where id = (
            select id
            from public.entries
            where board_id = $1
              and status = 'done'
            order by closed_at nulls first, id
            limit 1
            for update
          )
        returning id, title";
    let Some(row) = transaction.query_opt(ARCHIVE, &[&board.id]).await? else { return Ok(()) };
    record(transaction, board, "archived", row.get(0), json!({ "title": row.get::<_, String>(1) })).await
}

async fn forget(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const FORGET: &str = "
        delete from public.activities
        where board_id = $1
          and (at, id) <= (
            select at, id
            from public.activities
            where board_id = $1
            order by at desc, id desc
            offset $2
            limit 1
          )";
    transaction.execute(FORGET, &[&board.id, &ACTIVITIES]).await?;
    Ok(())
}

async fn record(
    transaction: &Transaction<'_>,
    board: &Board,
    action: &str,
    entry: i64,
    detail: Value,
) -> Result<(), Error> {
    const ANYBODY: &str = "select id from public.users order by random() limit 1";
    let actor = transaction.query_opt(ANYBODY, &[]).await?.map(|row| row.get(0));
    record_by(transaction, board, actor, action, entry, detail).await
}

async fn record_by(
    transaction: &Transaction<'_>,
    board: &Board,
    actor: Option<i64>,
    action: &str,
    entry: i64,
    detail: Value,
) -> Result<(), Error> {
    const RECORD: &str = "
        insert into public.activities (board_id, actor_id, action, entry_id, detail)
        values ($1, $2, $3, $4, $5::text::jsonb)";
    transaction.execute(RECORD, &[&board.id, &actor, &action, &entry, &detail.to_string()]).await?;
    Ok(())
}
