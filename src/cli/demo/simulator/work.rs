use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Transaction};

use super::{place, texts};

/// A board never has fewer open cards than this for long, nor more than that.
const OPEN_CARDS: std::ops::RangeInclusive<i64> = 12..=20;
/// Done cards beyond this many leave the board, the oldest first.
const DONE_CARDS: i64 = 7;
/// Activities beyond this many a board are deleted, and so is what people were told of it.
const ACTIVITIES: i64 = 400;
/// How many things somebody does in a row before somebody else has a turn.
const LONGEST_STINT: std::ops::RangeInclusive<u8> = 1..=4;
/// Of a hundred comments so many are for somebody.
const MENTIONS: u8 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Somebody at work on a board, for a few things in a row.
#[derive(Debug)]
pub(super) struct Stint {
    board: i64,
    person: Option<String>,
    /// What was done last.
    last: Option<Deed>,
    /// How many things are still to be done.
    left: u8,
}

/// A board, and who is at work on it.
struct Board {
    id: i64,
    name: String,
    person: Option<String>,
    /// How many cards are in a state that is not `done`.
    open: i64,
    done: i64,
    /// From left to right.
    states: Vec<State>,
}

struct State {
    id: i64,
    name: String,
    kind: String,
}

struct Card {
    id: i64,
    title: String,
    state: i64,
}

impl Board {
    fn states(&self, wanted: impl Fn(&State) -> bool) -> Vec<i64> {
        self.states.iter().filter(|state| wanted(state)).map(|state| state.id).collect()
    }

    fn open_states(&self) -> Vec<i64> {
        self.states(|state| state.kind != "done")
    }

    /// The state of a card, and the one to its right.
    fn step(&self, from: i64) -> Option<(&State, &State)> {
        let neighbours = self.states.windows(2).find(|pair| pair[0].id == from)?;
        Some((&neighbours[0], &neighbours[1]))
    }
}

/// One thing that somebody does, on some board: one transaction, which says so in the board's activities. Whoever has
/// begun goes on for a while.
pub(super) async fn something(client: &mut Client, stint: &mut Option<Stint>) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let going_on = stint.take().filter(|stint| stint.left > 0);
    if let Some(board) = pick_board(&transaction, going_on.as_ref()).await? {
        let deed = pick_deed(&board, going_on.as_ref().and_then(|stint| stint.last));
        let left = going_on.map_or_else(|| fastrand::u8(LONGEST_STINT), |stint| stint.left) - 1;
        *stint = Some(Stint { board: board.id, person: board.person.clone(), last: Some(deed), left });
        match deed {
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

/// Too few open cards call for new ones, too many for work, too many done ones for a tidy hand. Whoever moves one card on
/// often moves another.
fn pick_deed(board: &Board, last: Option<Deed>) -> Deed {
    if board.done > DONE_CARDS {
        return Deed::Archive;
    }
    if board.open < *OPEN_CARDS.start() {
        return Deed::Create;
    }
    if last == Some(Deed::Advance) && fastrand::bool() {
        return Deed::Advance;
    }
    match fastrand::u8(..100) {
        0..12 if board.open < *OPEN_CARDS.end() => Deed::Create,
        0..42 => Deed::Advance,
        42..46 => Deed::Return,
        46..53 => Deed::Reorder,
        53..67 => Deed::Assign,
        67..91 => Deed::Comment,
        _ => Deed::Edit,
    }
}

/// The board of a stint, or any one and somebody of the team who belongs to it.
async fn pick_board(transaction: &Transaction<'_>, stint: Option<&Stint>) -> Result<Option<Board>, Error> {
    const PICK: &str = "
        select
          boards.id,
          boards.name,
          count(entries.id) filter (where states.kind <> 'done'),
          count(entries.id) filter (where states.kind = 'done')
        from public.boards
        join public.workflow_states as states on states.board_id = boards.id
        left join public.entries on entries.state_id = states.id
        where $1::bigint is null or boards.id = $1
        group by boards.id
        order by random()
        limit 1";
    const STATES: &str = "
        select id, name, kind
        from public.workflow_states
        where board_id = $1
        order by ordinal, id";
    const SOMEBODY: &str = "
        select user_id
        from public.board_members
        where board_id = $1
          and user_id = any($2)
        order by random()
        limit 1";
    let Some(row) = transaction.query_opt(PICK, &[&stint.map(|stint| stint.board)]).await? else {
        return Ok(None);
    };
    let id: i64 = row.get(0);
    let person = if let Some(stint) = stint {
        stint.person.clone()
    } else {
        let somebody = transaction.query_opt(SOMEBODY, &[&id, &texts::team()]).await?;
        somebody.map(|row| row.get(0))
    };
    let states = transaction.query(STATES, &[&id]).await?;
    let states =
        states.iter().map(|row| State { id: row.get(0), name: row.get(1), kind: row.get(2) }).collect();
    Ok(Some(Board { id, name: row.get(1), person, open: row.get(2), done: row.get(3), states }))
}

/// A card in one of these states.
async fn pick_card(transaction: &Transaction<'_>, states: &[i64]) -> Result<Option<Card>, Error> {
    const PICK: &str = "
        select id, title, state_id
        from public.entries
        where state_id = any($1)
        order by random()
        limit 1
        for update";
    let row = transaction.query_opt(PICK, &[&states]).await?;
    Ok(row.map(|row| Card { id: row.get(0), title: row.get(1), state: row.get(2) }))
}

async fn create(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const CREATE: &str = "
        insert into public.entries (board_id, title, body, state_id, position, priority, labels, created_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        returning id";
    const TITLES: &str = "select title from public.entries where board_id = $1";
    let Some(first) = board.states.first() else { return Ok(()) };
    let titles = transaction.query(TITLES, &[&board.id]).await?;
    let titles: Vec<String> = titles.iter().map(|row| row.get(0)).collect();
    let card = texts::card(&board.name, &titles);
    let position = place::top(transaction, first.id).await?;
    let creator = &board.person;
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&board.id, &card.title, &card.body, &first.id, &position, &card.priority, &card.labels, creator];
    let entry = transaction.query_one(CREATE, &parameters).await?.get(0);
    record(transaction, board, "created", entry, json!({ "title": card.title })).await
}

/// A card goes on to the next column, from right to left more often the closer to its end it is, and one's own most often.
/// What nobody has taken is taken by whoever moves it.
async fn advance(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const PICK: &str = "
        select entries.id, entries.title, entries.state_id
        from public.entries
        join public.workflow_states as states on states.id = entries.state_id
        where entries.board_id = $1
          and states.kind <> 'done'
        order by random() * (0.6 + 0.2 * states.ordinal + case when assignee_id = $2 then 0.4 else 0 end) desc
        limit 1
        for update of entries";
    const ADVANCE: &str = "
        update public.entries set
          state_id = $2,
          position = $3,
          assignee_id = coalesce(assignee_id, $4)
        where id = $1";
    let Some(row) = transaction.query_opt(PICK, &[&board.id, &board.person]).await? else { return Ok(()) };
    let (entry, title): (i64, String) = (row.get(0), row.get(1));
    let Some((was, next)) = board.step(row.get(2)) else { return Ok(()) };
    let position = place::top(transaction, next.id).await?;
    transaction.execute(ADVANCE, &[&entry, &next.id, &position, &board.person]).await?;
    let action = if next.kind == "done" { "closed" } else { "moved" };
    let (from_id, to_id) = (was.id.to_string(), next.id.to_string());
    let detail =
        json!({ "title": title, "from": was.name, "to": next.name, "from_id": from_id, "to_id": to_id });
    record(transaction, board, action, entry, detail).await
}

/// A review that found something.
async fn send_back(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const SEND_BACK: &str = "
        update public.entries set
          state_id = $2,
          position = $3
        where id = $1";
    let Some(to) = board.states.iter().position(|state| state.kind == "active") else { return Ok(()) };
    let (target, later) = (&board.states[to], &board.states[to + 1..]);
    let later: Vec<_> = later.iter().map(|state| state.id).collect();
    let Some(card) = pick_card(transaction, &later).await? else { return Ok(()) };
    let position = place::top(transaction, target.id).await?;
    transaction.execute(SEND_BACK, &[&card.id, &target.id, &position]).await?;
    let from = board.states.iter().find(|state| state.id == card.state).map(|state| &state.name);
    let (from_id, to_id) = (card.state.to_string(), target.id.to_string());
    let detail =
        json!({ "title": card.title, "from": from, "to": target.name, "from_id": from_id, "to_id": to_id });
    record(transaction, board, "reopened", card.id, detail).await
}

/// Something turns out to be more urgent than what lies above it.
async fn reorder(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const LAST: &str = "
        select id, title
        from public.entries
        where state_id = $1
        order by position desc
        limit 1
        for update";
    const REORDER: &str = "update public.entries set position = $2 where id = $1";
    let Some(first) = board.states.first() else { return Ok(()) };
    let Some(row) = transaction.query_opt(LAST, &[&first.id]).await? else { return Ok(()) };
    let (entry, title): (i64, String) = (row.get(0), row.get(1));
    let position = place::top(transaction, first.id).await?;
    transaction.execute(REORDER, &[&entry, &position]).await?;
    let detail = json!({ "title": title, "to": first.name, "to_id": first.id.to_string(), "top": true });
    record(transaction, board, "moved", entry, detail).await
}

/// To anybody who belongs to the board: those who log in are told of it.
async fn assign(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const ASSIGN: &str = "
        update public.entries set
          assignee_id = (
            select members.user_id
            from public.board_members as members
            where members.board_id = entries.board_id
              and members.user_id is distinct from entries.assignee_id
            order by random()
            limit 1
          )
        where id = $1
        returning assignee_id";
    let Some(card) = pick_card(transaction, &board.open_states()).await? else { return Ok(()) };
    let assignee: Option<String> = transaction.query_one(ASSIGN, &[&card.id]).await?.get(0);
    let detail = json!({ "title": card.title, "assignee_id": assignee });
    record(transaction, board, "assigned", card.id, detail).await
}

async fn comment(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const COMMENT: &str = "
        insert into public.comments (board_id, entry_id, author_id, body)
        values ($1, $2, $3, $4)";
    let Some(card) = pick_card(transaction, &board.states(|_| true)).await? else { return Ok(()) };
    let text = match somebody_else(transaction, board).await? {
        Some(other) if fastrand::u8(..100) < MENTIONS => format!("@{other} {}", texts::comment()),
        _ => texts::comment().to_owned(),
    };
    transaction.execute(COMMENT, &[&board.id, &card.id, &board.person, &text]).await?;
    let detail = json!({ "title": card.title, "text": text });
    record(transaction, board, "commented", card.id, detail).await
}

async fn edit(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const EDIT: &str = "
        update public.entries set
          priority = (priority + $2) % 3,
          labels = $3
        where id = $1
        returning priority";
    let Some(card) = pick_card(transaction, &board.open_states()).await? else { return Ok(()) };
    let step = fastrand::i16(1..=2);
    let row = transaction.query_one(EDIT, &[&card.id, &step, &texts::labels()]).await?;
    let detail = json!({ "title": card.title, "priority": row.get::<_, i16>(0) });
    record(transaction, board, "edited", card.id, detail).await
}

/// The card that has been done for longest leaves, with its comments.
async fn archive(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const ARCHIVE: &str = "
        delete from public.entries
        where id = (
            select id
            from public.entries
            where state_id = any($1)
            order by closed_at nulls first, id
            limit 1
            for update
          )
        returning id, title";
    let done = board.states(|state| state.kind == "done");
    let Some(row) = transaction.query_opt(ARCHIVE, &[&done]).await? else { return Ok(()) };
    record(transaction, board, "archived", row.get(0), json!({ "title": row.get::<_, String>(1) })).await
}

async fn forget(transaction: &Transaction<'_>, board: &Board) -> Result<(), Error> {
    const ACTIVITIES_OF: &str = "
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
    const NOTIFICATIONS_OF: &str = "
        delete from public.notifications
        where board_id = $1
          and id <= (
            select id
            from public.notifications
            where board_id = $1
            order by id desc
            offset $2
            limit 1
          )";
    transaction.execute(ACTIVITIES_OF, &[&board.id, &ACTIVITIES]).await?;
    transaction.execute(NOTIFICATIONS_OF, &[&board.id, &ACTIVITIES]).await?;
    Ok(())
}

async fn somebody_else(transaction: &Transaction<'_>, board: &Board) -> Result<Option<String>, Error> {
    const FELLOW: &str = "
        select user_id
        from public.board_members
        where board_id = $1
          and user_id is distinct from $2
        order by random()
        limit 1";
    Ok(transaction.query_opt(FELLOW, &[&board.id, &board.person]).await?.map(|row| row.get(0)))
}

async fn record(
    transaction: &Transaction<'_>,
    board: &Board,
    action: &str,
    entry: i64,
    detail: Value,
) -> Result<(), Error> {
    const RECORD: &str = "
        insert into public.activities (board_id, actor_id, subject, action, entry_id, detail)
        values ($1, $2, $3, $4, $5, $6::text::jsonb)";
    let subject = if action == "commented" { "comment" } else { "entry" };
    let detail = detail.to_string();
    transaction.execute(RECORD, &[&board.id, &board.person, &subject, &action, &entry, &detail]).await?;
    Ok(())
}
