use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::{Activity, as_it_is, record, statement, why_not};
use super::{Input, Operation, Outcome};
use crate::postgres::Fields;
use crate::workspace::tables::CATEGORY;
use crate::workspace::{Code, Fault, Shape};

/// A new category of entries.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewCategory)]
#[serde(deny_unknown_fields)]
struct New {
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    name: String,
    /// Where its colour lies on the wheel, in degrees.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 0, maximum = 359)]
    hue: Option<i16>,
}

/// What changes of a category.
#[derive(Deserialize, ToSchema)]
#[schema(as = CategoryChanges)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    name: Option<String>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 0, maximum = 359)]
    hue: Option<i16>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "createCategory",
            method: "POST",
            path: "/v1/boards/{board}/categories",
            summary: "Gives a board a category",
            body: Some(Shape::of::<New>()),
            versioned: false,
            row: Some(&CATEGORY),
            run: |act, input| Box::pin(create(act, input)),
        },
        Operation {
            id: "updateCategory",
            method: "PATCH",
            path: "/v1/categories/{category}",
            summary: "Renames or recolours a category",
            body: Some(Shape::of::<Changes>()),
            versioned: true,
            row: Some(&CATEGORY),
            run: |act, input| Box::pin(update(act, input)),
        },
        Operation {
            id: "deleteCategory",
            method: "DELETE",
            path: "/v1/categories/{category}",
            summary: "Deletes a category that no entry is in",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| Box::pin(delete(act, input)),
        },
    ]
}

/// Categories of one board: they are read in one piece.
const MOST: usize = 500;
const BOARD: &str = "select id::text from public.boards where id = $1";
statement!(SHOWN = "select {} from public.categories as c where c.id = $1", CATEGORY.select("c"));
statement!(
    CREATE = "
    insert into public.categories as c (board_id, name, hue)
    select $1::bigint, $2, coalesce($3::smallint, 210)
    where (select count(*) from public.categories as o where o.board_id = $1::bigint) < {MOST}
    returning {}",
    CATEGORY.select("c")
);
statement!(
    UPDATE = "
    update public.categories as c
    set name = coalesce($2, c.name), hue = coalesce($3, c.hue)
    where c.id = $1
      and ($4::integer is null or c.version = $4::integer)
    returning {}",
    CATEGORY.select("c")
);
statement!(
    DELETE = "
    delete from public.categories as c
    where c.id = $1
      and ($2::integer is null or c.version = $2::integer)
    returning {}",
    CATEGORY.select("c")
);

async fn create(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let board = input.id(0, "board")?;
    let New { name, hue } = input.body()?;
    if act.work.first(BOARD, &[Some(board.as_str())]).await?.is_none() {
        return Err(Fault::not_found("board", board.as_str()).into());
    }
    let hue = hue.map(|hue| hue.to_string());
    let values = [Some(board.as_str()), Some(&*name), hue.as_deref()];
    let row = act.work.first(&CREATE, &values).await?;
    let full = || Fault::new(Code::LimitReached, format!("a board has {MOST} categories at most"));
    let row = row.ok_or_else(full)?;
    told(&act, &row, "created").await?;
    Ok(Outcome::created(CATEGORY.json(&row), CATEGORY.version(&row)))
}

async fn update(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "category")?;
    let changes: Changes = input.body()?;
    let read = input.version(changes.version)?;
    if changes.name.is_none() && changes.hue.is_none() {
        return as_it_is(&act, &CATEGORY, &SHOWN, id.as_str(), read).await;
    }
    let (hue, expected) = (changes.hue.map(|hue| hue.to_string()), read.map(|read| read.to_string()));
    let values = [Some(id.as_str()), changes.name.as_deref(), hue.as_deref(), expected.as_deref()];
    let Some(row) = act.work.first(&UPDATE, &values).await? else {
        return Err(why_not(&act, &CATEGORY, &SHOWN, id.as_str(), read).await);
    };
    told(&act, &row, "edited").await?;
    Ok(Outcome::changed(CATEGORY.json(&row), CATEGORY.version(&row)))
}

async fn delete(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "category")?;
    let read = input.version(None)?;
    let expected = read.map(|read| read.to_string());
    let Some(row) = act.work.first(&DELETE, &[Some(id.as_str()), expected.as_deref()]).await? else {
        return Err(why_not(&act, &CATEGORY, &SHOWN, id.as_str(), read).await);
    };
    told(&act, &row, "deleted").await?;
    Ok(Outcome::default())
}

async fn told(act: &Act<'_>, row: &Fields, action: &'static str) -> Result<(), Trouble> {
    let board = CATEGORY.value(row, "board_id").unwrap_or_default();
    let detail = json!({"name": CATEGORY.value(row, "name"), "category_id": CATEGORY.value(row, "id")});
    record(act, Activity { board, subject: "category", action, entry: None, detail }).await
}
