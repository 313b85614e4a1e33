use serde::Deserialize;
use utoipa::ToSchema;

use super::super::operation::{Act, Trouble};
use super::super::record::{as_it_is, statement, truth, why_not};
use super::super::{Input, Operation, Outcome};
use super::{delete, full, told, workflow_of};
use crate::workspace::Shape;
use crate::workspace::tables::STATE;

/// A new state.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewState)]
#[serde(deny_unknown_fields)]
struct NewState {
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    name: String,
    kind: StateKind,
    /// Its place from left to right; behind all others if it is left out.
    #[schema(minimum = 0, maximum = 1_000)]
    ordinal: Option<i16>,
    /// The most entries at once.
    #[schema(minimum = 1, maximum = 10_000)]
    wip_limit: Option<i32>,
}

/// Whether work on an entry has not begun, goes on, or is over.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StateKind {
    Open,
    Active,
    Done,
}

/// What changes of a state.
#[derive(Deserialize, ToSchema)]
#[schema(as = StateChanges)]
#[serde(deny_unknown_fields)]
struct StateChanges {
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    name: Option<String>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 0, maximum = 1_000)]
    ordinal: Option<i16>,
    /// Null for any number.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10_000)]
    wip_limit: Option<Option<i32>>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "createState",
            method: "POST",
            path: "/v1/boards/{board}/workflow/states",
            summary: "Gives a board's workflow a state",
            body: Some(Shape::of::<NewState>()),
            versioned: false,
            row: Some(&STATE),
            run: |act, input| Box::pin(create_state(act, input)),
        },
        Operation {
            id: "updateState",
            method: "PATCH",
            path: "/v1/workflow-states/{state}",
            summary: "Renames or limits a state",
            body: Some(Shape::of::<StateChanges>()),
            versioned: true,
            row: Some(&STATE),
            run: |act, input| Box::pin(update_state(act, input)),
        },
        Operation {
            id: "deleteState",
            method: "DELETE",
            path: "/v1/workflow-states/{state}",
            summary: "Deletes a state that no entry is in, with the ways from and to it",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| Box::pin(delete(act, input, &STATE, &DELETE_STATE, &STATE_SHOWN)),
        },
    ]
}

/// States of one board: they are read in one piece.
const MOST: usize = 100;

statement!(STATE_SHOWN = "select {} from public.workflow_states as s where s.id = $1", STATE.select("s"));
statement!(
    CREATE_STATE = "
    insert into public.workflow_states as s (workflow_id, board_id, name, kind, ordinal, wip_limit)
    select $1, $2::bigint, $3, $4,
      coalesce($5, (select least(max(o.ordinal) + 1, 1000) from public.workflow_states as o where o.workflow_id = $1), 1), $6
    where (select count(*) from public.workflow_states as o where o.workflow_id = $1) < {MOST}
    returning {}",
    STATE.select("s")
);
statement!(
    UPDATE_STATE = "
    update public.workflow_states as s
    set name = coalesce($2, s.name),
      ordinal = coalesce($3, s.ordinal),
      wip_limit = case when $4::boolean then $5::integer else s.wip_limit end
    where s.id = $1
      and ($6::integer is null or s.version = $6::integer)
    returning {}",
    STATE.select("s")
);
statement!(
    DELETE_STATE = "
    delete from public.workflow_states as s
    where s.id = $1
      and ($2::integer is null or s.version = $2::integer)
    returning {}",
    STATE.select("s")
);

async fn create_state(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let board = input.id(0, "board")?;
    let NewState { name, kind, ordinal, wip_limit } = input.body()?;
    let workflow = workflow_of(&act, &board).await?;
    let (ordinal, limit) = (ordinal.map(|it| it.to_string()), wip_limit.map(|it| it.to_string()));
    let kind = match kind {
        StateKind::Open => "open",
        StateKind::Active => "active",
        StateKind::Done => "done",
    };
    let values = [
        Some(&*workflow),
        Some(board.as_str()),
        Some(&*name),
        Some(kind),
        ordinal.as_deref(),
        limit.as_deref(),
    ];
    let row = act.work.first(&CREATE_STATE, &values).await?;
    let row = row.ok_or_else(|| full("states", MOST))?;
    told(&act, &STATE, &row, "state_created").await?;
    Ok(Outcome::created(STATE.json(&row), STATE.version(&row)))
}

async fn update_state(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "state")?;
    let changes: StateChanges = input.body()?;
    let read = input.version(changes.version)?;
    if changes.name.is_none() && changes.ordinal.is_none() && changes.wip_limit.is_none() {
        return as_it_is(&act, &STATE, &STATE_SHOWN, id.as_str(), read).await;
    }
    let ordinal = changes.ordinal.map(|it| it.to_string());
    let limit = changes.wip_limit.flatten().map(|it| it.to_string());
    let expected = read.map(|it| it.to_string());
    let values = [
        Some(id.as_str()),
        changes.name.as_deref(),
        ordinal.as_deref(),
        truth(changes.wip_limit.is_some()),
        limit.as_deref(),
        expected.as_deref(),
    ];
    let Some(row) = act.work.first(&UPDATE_STATE, &values).await? else {
        return Err(why_not(&act, &STATE, &STATE_SHOWN, id.as_str(), read).await);
    };
    told(&act, &STATE, &row, "state_edited").await?;
    Ok(Outcome::changed(STATE.json(&row), STATE.version(&row)))
}
