use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::{Activity, record, statement};
use super::{Input, Operation, Outcome};
use crate::workspace::tables::MEMBER;
use crate::workspace::{Code, Fault, Shape};

/// As what somebody belongs to a board.
#[derive(Deserialize, ToSchema)]
#[schema(as = Membership)]
#[serde(deny_unknown_fields)]
struct Membership {
    role: Role,
}

/// A viewer reads, a member works, an admin says who may.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Role {
    Viewer,
    Member,
    Admin,
}

impl Role {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "putMember",
            method: "PUT",
            path: "/v1/boards/{board}/members/{user}",
            summary: "Makes somebody a member of a board, or another kind of member",
            body: Some(Shape::of::<Membership>()),
            versioned: false,
            row: Some(&MEMBER),
            run: |act, input| Box::pin(put(act, input)),
        },
        Operation {
            id: "removeMember",
            method: "DELETE",
            path: "/v1/boards/{board}/members/{user}",
            summary: "Takes somebody off a board; everybody may leave by themselves",
            body: None,
            versioned: false,
            row: None,
            run: |act, input| Box::pin(remove(act, input)),
        },
    ]
}

const BOARD: &str = "select id::text from public.boards where id = $1";
statement!(
    CHANGE = "
    update public.board_members as m
    set role = $3
    where m.board_id = $1
      and m.user_id = $2
    returning {}",
    MEMBER.select("m")
);
statement!(
    ADD = "
    insert into public.board_members as m (board_id, user_id, role)
    values ($1, $2, $3)
    on conflict (board_id, user_id) do nothing
    returning {}",
    MEMBER.select("m")
);
const FELLOW: &str = "select user_id from public.board_members where board_id = $1 and user_id = $2";
const REMOVE: &str = "
delete from public.board_members
where board_id = $1
  and user_id = $2
returning user_id";

async fn put(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let (board, user) = (input.id(0, "board")?, input.person(1)?);
    let Membership { role } = input.body()?;
    let values = [Some(board.as_str()), Some(user.as_str()), Some(role.as_str())];
    must_be_there(&act, board.as_str()).await?;
    let (member, created) = match act.work.first(&CHANGE, &values).await? {
        Some(member) => (member, false),
        None => match act.work.first(&ADD, &values).await? {
            Some(member) => (member, true),
            // Somebody else has added them just now.
            None => return Err(Trouble::Again),
        },
    };
    let detail = json!({"user_id": user.as_str(), "role": role.as_str()});
    let action = if created { "added" } else { "changed" };
    record(&act, Activity { board: board.as_str(), subject: "member", action, entry: None, detail }).await?;
    let row = MEMBER.json(&member);
    Ok(if created { Outcome::created(row, None) } else { Outcome::changed(row, None) })
}

async fn remove(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    let (board, user) = (input.id(0, "board")?, input.person(1)?);
    must_be_there(&act, board.as_str()).await?;
    // Before: whoever leaves may not write it any more.
    let detail = json!({"user_id": user.as_str()});
    let activity =
        Activity { board: board.as_str(), subject: "member", action: "removed", entry: None, detail };
    record(&act, activity).await?;
    if act.work.first(REMOVE, &[Some(board.as_str()), Some(user.as_str())]).await?.is_some() {
        return Ok(Outcome::default());
    }
    match act.work.first(FELLOW, &[Some(board.as_str()), Some(user.as_str())]).await? {
        Some(_) => Err(Fault::new(Code::Forbidden, "only an admin of the board takes others off it").into()),
        None => Err(Fault::not_found("member", user.as_str()).into()),
    }
}

async fn must_be_there(act: &Act<'_>, board: &str) -> Result<(), Trouble> {
    match act.work.first(BOARD, &[Some(board)]).await? {
        Some(_) => Ok(()),
        None => Err(Fault::not_found("board", board).into()),
    }
}
