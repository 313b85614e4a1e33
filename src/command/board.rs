use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::{Activity, as_it_is, record, statement, why_not};
use super::{Input, Operation, Outcome};
use crate::workspace::tables::BOARD_ROW;
use crate::workspace::{Fault, Shape};

/// A new board.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewBoard)]
#[serde(deny_unknown_fields)]
struct New {
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    name: String,
    #[serde(default)]
    #[schema(required = false, max_length = 10_000, pattern = "^[^\\u0000]*$")]
    description: String,
}

/// What changes of a board.
#[derive(Deserialize, ToSchema)]
#[schema(as = BoardChanges)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    name: Option<String>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_length = 10_000, pattern = "^[^\\u0000]*$")]
    description: Option<String>,
    /// The version that was read: another one now is 412.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "createBoard",
            method: "POST",
            path: "/v1/boards",
            summary: "Founds a board, with a workflow of four states; whoever asks is its admin",
            body: Some(Shape::of::<New>()),
            versioned: false,
            row: Some(&BOARD_ROW),
            run: |act, input| Box::pin(create(act, input)),
        },
        Operation {
            id: "updateBoard",
            method: "PATCH",
            path: "/v1/boards/{board}",
            summary: "Renames or describes a board",
            body: Some(Shape::of::<Changes>()),
            versioned: true,
            row: Some(&BOARD_ROW),
            run: |act, input| Box::pin(update(act, input)),
        },
        Operation {
            id: DELETE_BOARD,
            method: "DELETE",
            path: "/v1/boards/{board}",
            summary: "Deletes a board with all that is on it",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| Box::pin(delete(act, input)),
        },
    ]
}

statement!(SHOWN = "select {} from public.boards as b where b.id = $1", BOARD_ROW.select("b"));
// Its founder sees it only once the trigger has made a member of them: after the insert, not while it goes on.
const CREATE: &str = "insert into public.boards (name, description, created_by) values ($1, $2, $3)";
statement!(
    CREATED = "select {} from public.boards as b where b.id = currval('public.boards_id_seq')",
    BOARD_ROW.select("b")
);
const PLANT: &str = "select app.plant_workflow($1)::text";
statement!(
    UPDATE = "
    update public.boards as b
    set name = coalesce($2, b.name), description = coalesce($3, b.description)
    where b.id = $1
      and ($4::integer is null or b.version = $4::integer)
    returning {}",
    BOARD_ROW.select("b")
);
pub(super) const DELETE_BOARD: &str = "deleteBoard";
const DELETE: &str = "
delete from public.boards
where id = $1
  and ($2::integer is null or version = $2::integer)
returning id::text";

async fn create(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let New { name, description } = input.body()?;
    if !act.is_server {
        act.user()?;
    }
    act.work.rows(CREATE, &[Some(&name), Some(&description), act.user]).await?;
    let board = act.work.first(&CREATED, &[]).await?;
    let board = board.ok_or_else(|| Fault::not_found("board", &name))?;
    let id = BOARD_ROW.value(&board, "id").unwrap_or_default();
    act.work.rows(PLANT, &[Some(id)]).await?;
    let detail = json!({"name": name});
    record(&act, Activity { board: id, subject: "board", action: "created", entry: None, detail }).await?;
    Ok(Outcome::created(BOARD_ROW.json(&board), BOARD_ROW.version(&board)))
}

async fn update(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "board")?;
    let changes: Changes = input.body()?;
    let read = input.version(changes.version)?;
    if changes.name.is_none() && changes.description.is_none() {
        return as_it_is(&act, &BOARD_ROW, &SHOWN, id.as_str(), read).await;
    }
    let expected = read.map(|read| read.to_string());
    let values =
        [Some(id.as_str()), changes.name.as_deref(), changes.description.as_deref(), expected.as_deref()];
    let Some(board) = act.work.first(&UPDATE, &values).await? else {
        return Err(why_not(&act, &BOARD_ROW, &SHOWN, id.as_str(), read).await);
    };
    let detail = json!({"name": BOARD_ROW.value(&board, "name")});
    let activity = Activity { board: id.as_str(), subject: "board", action: "edited", entry: None, detail };
    record(&act, activity).await?;
    Ok(Outcome::changed(BOARD_ROW.json(&board), BOARD_ROW.version(&board)))
}

async fn delete(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "board")?;
    let read = input.version(None)?;
    let expected = read.map(|read| read.to_string());
    match act.work.first(DELETE, &[Some(id.as_str()), expected.as_deref()]).await? {
        Some(_) => Ok(Outcome::default()),
        None => Err(why_not(&act, &BOARD_ROW, &SHOWN, id.as_str(), read).await),
    }
}
