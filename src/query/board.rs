use serde_json::{Value, json};

use super::operation::{Reading, asked_for, rows_of};
use super::page::{Page, ROWS, behind, limit, page};
use super::{Answer, Asked, Kind, Read, Shown};
use crate::cache::{Marks, Tag};
use crate::command::statement;
use crate::postgres::Fields;
use crate::workspace::tables::{BOARD_ROW, CATEGORY, MEMBER, STATE, TRANSITION, WORKFLOW};
use crate::workspace::{Fault, Id, Resource, Shape};

pub(super) fn reads() -> Vec<Read> {
    vec![
        Read {
            id: "listBoards",
            path: "/v1/boards",
            summary: "The boards that one belongs to, by their ids",
            query: Some(Shape::of::<Page>()),
            kind: Kind::Rows,
            shown: Shown::Page(&BOARD_ROW),
            tags: |marks, asked| vec![marks.table("boards"), asked.membership(marks)],
            run: |reading, asked| Box::pin(list(reading, asked)),
            noted: None,
        },
        Read {
            id: "getBoard",
            path: "/v1/boards/{board}",
            summary: "A board",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&BOARD_ROW),
            tags: |marks, asked| vec![marks.rows("boards", "id", asked.part(0)), asked.membership(marks)],
            run: |reading, asked| Box::pin(get(reading, asked)),
            noted: None,
        },
        Read {
            id: "listMembers",
            path: "/v1/boards/{board}/members",
            summary: "Who belongs to a board, and as what",
            query: Some(Shape::of::<Page>()),
            kind: Kind::Rows,
            shown: Shown::Page(&MEMBER),
            tags: |marks, asked| of_board(marks, asked, &["board_members"]),
            run: |reading, asked| Box::pin(members(reading, asked)),
            noted: None,
        },
        Read {
            id: "listCategories",
            path: "/v1/boards/{board}/categories",
            summary: "A board's categories, by their names",
            query: None,
            kind: Kind::Categories,
            shown: Shown::Other("Categories", || rows_of(&CATEGORY)),
            tags: |marks, asked| of_board(marks, asked, &["categories"]),
            run: |reading, asked| Box::pin(categories(reading, asked)),
            noted: None,
        },
        Read {
            id: "getWorkflow",
            path: "/v1/boards/{board}/workflow",
            summary: "A board's workflow: its states from left to right, and the ways between them",
            query: None,
            kind: Kind::Categories,
            shown: Shown::Other("BoardWorkflow", workflow_schema),
            tags: |marks, asked| {
                of_board(marks, asked, &["workflows", "workflow_states", "workflow_transitions"])
            },
            run: |reading, asked| Box::pin(workflow(reading, asked)),
            noted: None,
        },
    ]
}

/// Rows of these tables that belong to the board in the path.
pub(super) fn of_board(marks: &Marks, asked: &Asked, tables: &[&str]) -> Vec<Tag> {
    let tables = tables.iter().map(|table| marks.rows(table, "board_id", asked.part(0)));
    tables.chain([asked.membership(marks), marks.rows("boards", "id", asked.part(0))]).collect()
}

fn workflow_schema() -> Value {
    let row = |resource: &Resource| json!({"$ref": format!("#/components/schemas/{}", resource.name)});
    json!({
        "type": "object",
        "required": ["workflow", "states", "transitions"],
        "properties": {
            "workflow": row(&WORKFLOW),
            "states": {"type": "array", "items": row(&STATE)},
            "transitions": {"type": "array", "items": row(&TRANSITION)},
        },
    })
}

statement!(
    LIST = "
    select {}
    from public.boards as b
    where ($1::bigint is null or b.id > $1::bigint)
    order by b.id
    limit $2",
    BOARD_ROW.select("b")
);
statement!(GET = "select {} from public.boards as b where b.id = $1", BOARD_ROW.select("b"));
statement!(
    MEMBERS = "
    select {}
    from public.board_members as m
    where m.board_id = $1
      and ($2::text is null or m.user_id > $2::text)
    order by m.user_id
    limit $3",
    MEMBER.select("m")
);
statement!(
    CATEGORIES = "select {} from public.categories as c where c.board_id = $1 order by c.name, c.id",
    CATEGORY.select("c")
);
statement!(WORKFLOW_OF = "select {} from public.workflows as w where w.board_id = $1", WORKFLOW.select("w"));
statement!(
    STATES = "select {} from public.workflow_states as s where s.board_id = $1 order by s.ordinal, s.id",
    STATE.select("s")
);
statement!(
    TRANSITIONS = "select {} from public.workflow_transitions as t where t.board_id = $1 order by t.id",
    TRANSITION.select("t")
);

async fn list(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let Page { after, limit: most } = asked.query()?;
    let (behind, most) = (behind(after.as_deref(), 1)?, most.unwrap_or(ROWS));
    let (after, count) = (behind.first().map(String::as_str), limit(most));
    let rows = reading.work.rows(&LIST, &[after, Some(&count)]).await.map_err(asked_for("after"))?;
    Ok(page(&BOARD_ROW, rows, most, &["id"]))
}

async fn get(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let board = board(reading, asked).await?.0;
    Ok(Answer::row(BOARD_ROW.json(&board), BOARD_ROW.version(&board)))
}

async fn members(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let Page { after, limit: most } = asked.query()?;
    let (behind, most) = (behind(after.as_deref(), 1)?, most.unwrap_or(ROWS));
    let (_, id) = board(reading, asked).await?;
    let values = [Some(id.as_str()), behind.first().map(String::as_str), Some(&*limit(most))];
    let rows = reading.work.rows(&MEMBERS, &values).await?;
    Ok(page(&MEMBER, rows, most, &["user_id"]))
}

async fn categories(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let (_, id) = board(reading, asked).await?;
    let rows = reading.work.rows(&CATEGORIES, &[Some(id.as_str())]).await?;
    Ok(Answer::other([b"{\"rows\":", &*CATEGORY.array(&rows), b"}"].concat()))
}

async fn workflow(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let id = asked.id(0, "board")?;
    let of = [Some(id.as_str())];
    let work = reading.work;
    let workflow = work.first(&WORKFLOW_OF, &of).await?;
    let workflow = workflow.ok_or_else(|| Fault::not_found("board", id.as_str()))?;
    let states = work.rows(&STATES, &of).await?;
    let transitions = work.rows(&TRANSITIONS, &of).await?;
    let parts: [&[u8]; 7] = [
        b"{\"workflow\":",
        &WORKFLOW.json(&workflow),
        b",\"states\":",
        &STATE.array(&states),
        b",\"transitions\":",
        &TRANSITION.array(&transitions),
        b"}",
    ];
    Ok(Answer::other(parts.concat()))
}

/// The board in the path, if it is there to be seen: what belongs to none is no empty list.
pub(super) async fn board(reading: Reading<'_>, asked: &Asked) -> Result<(Fields, Id), Fault> {
    let id = asked.id(0, "board")?;
    let board = reading.work.first(&GET, &[Some(id.as_str())]).await?;
    board.map(|board| (board, id.clone())).ok_or_else(|| Fault::not_found("board", id.as_str()))
}
