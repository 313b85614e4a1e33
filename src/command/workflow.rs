//! A board's workflow: its states, the ways between them, and what is asked and done on each way.

mod effect;
mod guard;
mod state;
mod transition;

use serde_json::json;

use super::operation::{Act, Trouble};
use super::record::{Activity, record, why_not};
use super::{Input, Operation, Outcome};
use crate::postgres::Fields;
use crate::workspace::tables::STATE;
use crate::workspace::{Code, Fault, Id, Resource};

pub(super) use effect::{Columns, Effect, columns, tell};
pub(super) use guard::Guard;

pub(super) fn operations() -> Vec<Operation> {
    state::operations().into_iter().chain(transition::operations()).collect()
}

const WORKFLOW: &str = "
select w.id::text
from public.workflows as w
where w.board_id = $1";

async fn delete(
    act: Act<'_>,
    input: Input,
    resource: &'static Resource,
    statement: &'static str,
    shown: &'static str,
) -> Result<Outcome, Trouble> {
    let id = input.id(0, &resource.name.to_ascii_lowercase())?;
    let read = input.version(None)?;
    let expected = read.map(|it| it.to_string());
    let Some(row) = act.work.first(statement, &[Some(id.as_str()), expected.as_deref()]).await? else {
        return Err(why_not(&act, resource, shown, id.as_str(), read).await);
    };
    let action = if resource.name == STATE.name { "state_deleted" } else { "transition_deleted" };
    told(&act, resource, &row, action).await?;
    Ok(Outcome::default())
}

fn full(what: &str, most: usize) -> Fault {
    Fault::new(Code::LimitReached, format!("a board has {most} {what} at most"))
}

/// The board's workflow; there is one for every board that is there to be seen.
async fn workflow_of(act: &Act<'_>, board: &Id) -> Result<String, Trouble> {
    let found = act.work.first(WORKFLOW, &[Some(board.as_str())]).await?;
    let found = found.and_then(|found| found.text(0).map(str::to_owned));
    found.ok_or_else(|| Fault::not_found("board", board.as_str()).into())
}

async fn told(act: &Act<'_>, resource: &Resource, row: &Fields, action: &'static str) -> Result<(), Trouble> {
    let board = resource.value(row, "board_id").unwrap_or_default();
    let detail = json!({"name": resource.value(row, "name"), "id": resource.value(row, "id")});
    record(act, Activity { board, subject: "workflow", action, entry: None, detail }).await
}
