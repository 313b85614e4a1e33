use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::{Activity, record, statement, why_not};
use super::{Input, Operation, Outcome};
use crate::postgres::Fields;
use crate::workspace::tables::COMMENT;
use crate::workspace::{Fault, Shape};

/// What is said about an entry. `@` and a member's id tells that member.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewComment)]
#[serde(deny_unknown_fields)]
struct New {
    #[schema(min_length = 1, max_length = 10_000, pattern = "^[^\\u0000]*$")]
    body: String,
}

/// What is said instead.
#[derive(Deserialize, ToSchema)]
#[schema(as = CommentChanges)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[schema(min_length = 1, max_length = 10_000, pattern = "^[^\\u0000]*$")]
    body: String,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

/// So much of a comment is in the feed, in characters.
const EXCERPT: usize = 200;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "createComment",
            method: "POST",
            path: "/v1/entries/{entry}/comments",
            summary: "Says something about an entry",
            body: Some(Shape::of::<New>()),
            versioned: false,
            row: Some(&COMMENT),
            run: |act, input| Box::pin(create(act, input)),
        },
        Operation {
            id: "updateComment",
            method: "PATCH",
            path: "/v1/comments/{comment}",
            summary: "Says something else: one's own comments alone",
            body: Some(Shape::of::<Changes>()),
            versioned: true,
            row: Some(&COMMENT),
            run: |act, input| Box::pin(update(act, input)),
        },
        Operation {
            id: "deleteComment",
            method: "DELETE",
            path: "/v1/comments/{comment}",
            summary: "Takes a comment back: one's own, and admins any",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| Box::pin(delete(act, input)),
        },
    ]
}

const ENTRY: &str = "select board_id::text, title from public.entries where id = $1";
statement!(SHOWN = "select {} from public.comments as c where c.id = $1", COMMENT.select("c"));
statement!(
    CREATE = "
    insert into public.comments as c (board_id, entry_id, author_id, body)
    values ($1, $2, $3, $4)
    returning {}",
    COMMENT.select("c")
);
statement!(
    UPDATE = "
    update public.comments as c
    set body = $2
    where c.id = $1
      and ($3::integer is null or c.version = $3::integer)
    returning {}",
    COMMENT.select("c")
);
statement!(
    DELETE = "
    delete from public.comments as c
    where c.id = $1
      and ($2::integer is null or c.version = $2::integer)
    returning {}",
    COMMENT.select("c")
);

async fn create(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let entry = input.id(0, "entry")?;
    let New { body } = input.body()?;
    let Some(found) = act.work.first(ENTRY, &[Some(entry.as_str())]).await? else {
        return Err(Fault::not_found("entry", entry.as_str()).into());
    };
    let values = [found.text(0), Some(entry.as_str()), act.user, Some(&*body)];
    let row = act.work.first(&CREATE, &values).await?.ok_or(Trouble::Again)?;
    told(&act, &row, "commented", found.text(1)).await?;
    Ok(Outcome::created(COMMENT.json(&row), COMMENT.version(&row)))
}

async fn update(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "comment")?;
    let Changes { body, version: own } = input.body()?;
    let read = input.version(own)?;
    let expected = read.map(|read| read.to_string());
    let Some(row) = act.work.first(&UPDATE, &[Some(id.as_str()), Some(&body), expected.as_deref()]).await?
    else {
        return Err(why_not(&act, &COMMENT, &SHOWN, id.as_str(), read).await);
    };
    told(&act, &row, "edited", None).await?;
    Ok(Outcome::changed(COMMENT.json(&row), COMMENT.version(&row)))
}

async fn delete(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "comment")?;
    let read = input.version(None)?;
    let expected = read.map(|read| read.to_string());
    let Some(row) = act.work.first(&DELETE, &[Some(id.as_str()), expected.as_deref()]).await? else {
        return Err(why_not(&act, &COMMENT, &SHOWN, id.as_str(), read).await);
    };
    told(&act, &row, "deleted", None).await?;
    Ok(Outcome::default())
}

async fn told(act: &Act<'_>, row: &Fields, action: &str, title: Option<&str>) -> Result<(), Trouble> {
    let value = |column| COMMENT.value(row, column);
    let mut detail = json!({"comment_id": value("id")});
    if let Some(title) = title {
        let text = value("body").unwrap_or_default();
        detail["title"] = json!(title);
        detail["text"] = json!(text.chars().take(EXCERPT).collect::<String>());
    }
    let board = value("board_id").unwrap_or_default();
    record(act, Activity { board, subject: "comment", action, entry: value("entry_id"), detail }).await
}
