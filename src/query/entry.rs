use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::action::Action;
use super::board::{board, of_board};
use super::operation::{Reading, asked_for};
use super::page::{Page, ROWS, behind, limit, page, part};
use super::{Answer, Asked, Kind, Read, Shown};
use crate::command::statement;
use crate::postgres::Fields;
use crate::workspace::tables::{COMMENT, ENTRY};
use crate::workspace::{Fault, Id, Label, Person, Resource, Shape};

/// Which entries of a board.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    state_id: Option<Id>,
    category_id: Option<Id>,
    assignee_id: Option<Person>,
    label: Option<Label>,
    /// Words in its title or its body.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    q: Option<String>,
    /// `next` of the page before.
    #[schema(max_length = 2_000)]
    after: Option<String>,
    /// The most rows.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<u16>,
}

pub(super) fn reads() -> Vec<Read> {
    vec![
        Read {
            id: "listEntries",
            path: "/v1/boards/{board}/entries",
            summary: "A board's entries, by state and place",
            query: Some(Shape::of::<Which>()),
            kind: Kind::Rows,
            shown: Shown::Page(&ENTRY),
            tags: |marks, asked| of_board(marks, asked, &["entries"]),
            run: |reading, asked| Box::pin(list(reading, asked)),
            noted: Some(looked_at),
        },
        Read {
            id: "getEntry",
            path: "/v1/entries/{entry}",
            summary: "An entry",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&ENTRY),
            tags: |marks, asked| vec![marks.rows("entries", "id", asked.part(0)), asked.membership(marks)],
            run: |reading, asked| Box::pin(get(reading, asked)),
            noted: Some(|asked| Action {
                verb: "viewed",
                subject: "entry",
                board: None,
                entry: Id::parse(asked.part(0)).map(|id| id.to_string()),
                detail: json!({}),
            }),
        },
        Read {
            id: "listComments",
            path: "/v1/entries/{entry}/comments",
            summary: "What is said about an entry, the oldest first",
            query: Some(Shape::of::<Page>()),
            kind: Kind::Rows,
            shown: Shown::Page(&COMMENT),
            tags: |marks, asked| {
                let of = |table, column| marks.rows(table, column, asked.part(0));
                vec![of("comments", "entry_id"), of("entries", "id"), asked.membership(marks)]
            },
            run: |reading, asked| Box::pin(comments(reading, asked)),
            noted: None,
        },
    ]
}

/// A board is looked at, or searched for what is asked.
fn looked_at(asked: &Asked) -> Action {
    let board = Id::parse(asked.part(0)).map(|id| id.to_string());
    match asked.asks("q") {
        Some(words) => {
            Action { verb: "searched", subject: "entry", board, entry: None, detail: json!({"q": words}) }
        }
        None => Action { verb: "viewed", subject: "board", board, entry: None, detail: json!({}) },
    }
}

// A page ends where its bodies have grown to 4 MiB, whatever was asked for; how many there were tells whether more follow.
statement!(
    LIST = "
    select {}, e.found::text
    from (
      select
        f.*,
        sum(octet_length(f.body)) over (order by f.state_id, f.position) as bytes,
        count(*) over () as found
      from (
        select *
        from public.entries as e
        where e.board_id = $1
          and ($2::bigint is null or e.state_id = $2::bigint)
          and ($3::bigint is null or e.category_id = $3::bigint)
          and ($4::text is null or e.assignee_id = $4::text)
          and ($5::text is null or $5::text = any (e.labels))
          and ($6::text is null or e.title ilike $6::text or e.body ilike $6::text)
          and ($7::bigint is null or (e.state_id, e.position) > ($7::bigint, $8::text collate \"C\"))
        order by e.state_id, e.position
        limit $9
      ) as f
    ) as e
    where e.bytes - octet_length(e.body) < 4194304
    order by e.state_id, e.position",
    ENTRY.select("e")
);
statement!(GET = "select {} from public.entries as e where e.id = $1", ENTRY.select("e"));
statement!(
    COMMENTS = "
    select {}, c.found::text
    from (
      select
        f.*,
        sum(octet_length(f.body)) over (order by f.created_at, f.id) as bytes,
        count(*) over () as found
      from (
        select *
        from public.comments as c
        where c.entry_id = $1
          and ($2::timestamptz is null or (c.created_at, c.id) > ($2::timestamptz, $3::bigint))
        order by c.created_at, c.id
        limit $4
      ) as f
    ) as c
    where c.bytes - octet_length(c.body) < 4194304
    order by c.created_at, c.id",
    COMMENT.select("c")
);

async fn list(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let which: Which = asked.query()?;
    let (behind, most) = (behind(which.after.as_deref(), 2)?, which.limit.unwrap_or(ROWS));
    let (_, board) = board(reading, asked).await?;
    let words = which.q.as_deref().map(contains);
    let values = [
        Some(board.as_str()),
        which.state_id.as_ref().map(Id::as_str),
        which.category_id.as_ref().map(Id::as_str),
        which.assignee_id.as_ref().map(Person::as_str),
        which.label.as_ref().map(Label::as_str),
        words.as_deref(),
        behind.first().map(String::as_str),
        behind.get(1).map(String::as_str),
        Some(&*limit(most)),
    ];
    let rows = reading.work.rows(&LIST, &values).await.map_err(asked_for("after"))?;
    Ok(page_of_bodies(&ENTRY, rows, most, &["state_id", "position"]))
}

async fn get(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let id = asked.id(0, "entry")?;
    let entry = reading.work.first(&GET, &[Some(id.as_str())]).await?;
    let entry = entry.ok_or_else(|| Fault::not_found("entry", id.as_str()))?;
    Ok(Answer::row(ENTRY.json(&entry), ENTRY.version(&entry)))
}

async fn comments(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let id = asked.id(0, "entry")?;
    let Page { after, limit: most } = asked.query()?;
    let (behind, most) = (behind(after.as_deref(), 2)?, most.unwrap_or(ROWS));
    if reading.work.first(&GET, &[Some(id.as_str())]).await?.is_none() {
        return Err(Fault::not_found("entry", id.as_str()));
    }
    let (at, number) = (behind.first().map(String::as_str), behind.get(1).map(String::as_str));
    let values = [Some(id.as_str()), at, number, Some(&*limit(most))];
    let rows = reading.work.rows(&COMMENTS, &values).await.map_err(asked_for("after"))?;
    Ok(page_of_bodies(&COMMENT, rows, most, &["created_at", "id"]))
}

/// A page of rows behind each of which stands how many were found; fewer if their bodies were too large together.
fn page_of_bodies(resource: &Resource, rows: Vec<Fields>, most: u16, order: &[&str]) -> Answer {
    let found = rows.first().and_then(|row| row.text(resource.columns.len())?.parse().ok());
    let cut = found.is_some_and(|found: usize| found > rows.len());
    if cut { part(resource, &rows, true, order) } else { page(resource, rows, most, order) }
}

/// A pattern of LIKE for texts that contain these words as they are.
fn contains(words: &str) -> String {
    let mut pattern = String::from("%");
    for character in words.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_asked_for_are_no_patterns() {
        assert_eq!(contains(r"50%_\x"), r"%50\%\_\\x%");
    }
}
