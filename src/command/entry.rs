use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::movement::place;
use super::operation::{Act, Trouble};
use super::record::{Activity, must_be, record, statement, truth, why_not};
use super::{Input, Operation, Outcome};
use crate::postgres::Fields;
use crate::workspace::tables::ENTRY;
use crate::workspace::{Fault, Id, Label, Person, Shape};

/// A new entry.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewEntry)]
#[serde(deny_unknown_fields)]
struct New {
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*$")]
    title: String,
    #[serde(default)]
    #[schema(required = false, max_length = 100_000, pattern = "^[^\\u0000]*$")]
    body: String,
    /// The state; the board's first if it is left out.
    state_id: Option<Id>,
    /// The entry of that state that it comes to stand before; at the end if it is left out.
    before: Option<Id>,
    #[serde(default)]
    #[schema(required = false, minimum = 0, maximum = 2, default = 1)]
    priority: Option<i16>,
    #[serde(default)]
    #[schema(required = false, max_items = 20)]
    labels: Vec<Label>,
    category_id: Option<Id>,
    assignee_id: Option<Person>,
    /// Of the years 1000 to 8999.
    #[schema(format = DateTime, pattern = "^[1-8][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$",
             examples("2026-01-31T08:00:00Z"))]
    due_at: Option<String>,
}

/// What changes of an entry. Where it stands is changed by `move` and by transitions.
#[derive(Deserialize, ToSchema)]
#[schema(as = EntryChanges)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, min_length = 1, max_length = 500, pattern = "^[^\\u0000]*$")]
    title: Option<String>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_length = 100_000, pattern = "^[^\\u0000]*$")]
    body: Option<String>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 0, maximum = 2)]
    priority: Option<i16>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_items = 20)]
    labels: Option<Vec<Label>>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<Id>)]
    category_id: Option<Option<Id>>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<Person>)]
    assignee_id: Option<Option<Person>>,
    /// Of the years 1000 to 8999; null for never.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<String>, format = DateTime,
             pattern = "^[1-8][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$",
             examples("2026-01-31T08:00:00Z"))]
    due_at: Option<Option<String>>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "createEntry",
            method: "POST",
            path: "/v1/boards/{board}/entries",
            summary: "Puts an entry on a board",
            body: Some(Shape::of::<New>()),
            versioned: false,
            row: Some(&ENTRY),
            run: |act, input| Box::pin(create(act, input)),
        },
        Operation {
            id: "updateEntry",
            method: "PATCH",
            path: "/v1/entries/{entry}",
            summary: "Changes an entry where it stands",
            body: Some(Shape::of::<Changes>()),
            versioned: true,
            row: Some(&ENTRY),
            run: |act, input| Box::pin(update(act, input)),
        },
        Operation {
            id: "deleteEntry",
            method: "DELETE",
            path: "/v1/entries/{entry}",
            summary: "Deletes an entry with its comments",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| Box::pin(delete(act, input)),
        },
    ]
}

statement!(SHOWN = "select {} from public.entries as e where e.id = $1", ENTRY.select("e"));
statement!(
    LOCKED = "select {} from public.entries as e where e.id = $1 for no key update",
    ENTRY.select("e")
);

/// The state that a new entry comes into: `$2`, or the board's first.
const STATE: &str = "
select b.id::text, s.id::text
from public.boards as b
left join lateral (
  select w.id
  from public.workflow_states as w
  where w.board_id = b.id
    and ($2::bigint is null or w.id = $2::bigint)
  order by w.ordinal, w.id
  limit 1
) as s on true
where b.id = $1";
statement!(
    CREATE = "
    insert into public.entries as e
      (board_id, title, body, state_id, position, priority, labels, category_id, assignee_id, due_at, created_by)
    values ($1, $2, $3, $4, $5, coalesce($6, 1), array(select jsonb_array_elements_text($7::jsonb)), $8, $9, $10, $11)
    returning {}",
    ENTRY.select("e")
);
statement!(
    UPDATE = "
    update public.entries as e
    set title = coalesce($2, e.title),
      body = coalesce($3, e.body),
      priority = coalesce($4, e.priority),
      labels = case when $5::jsonb is null then e.labels else array(select jsonb_array_elements_text($5::jsonb)) end,
      category_id = case when $6::boolean then $7 else e.category_id end,
      assignee_id = case when $8::boolean then $9 else e.assignee_id end,
      due_at = case when $10::boolean then $11 else e.due_at end
    where e.id = $1
    returning {}",
    ENTRY.select("e")
);
const DELETE: &str = "delete from public.entries where id = $1 returning id::text";
pub(super) const MEMBER: &str =
    "select user_id from public.board_members where board_id = $1 and user_id = $2";
const CATEGORY: &str = "select id::text from public.categories where board_id = $1 and id = $2";

async fn create(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let board = input.id(0, "board")?;
    let new: New = input.body()?;
    let wanted = new.state_id.as_ref().map(Id::as_str);
    let Some(found) = act.work.first(STATE, &[Some(board.as_str()), wanted]).await? else {
        return Err(Fault::not_found("board", board.as_str()).into());
    };
    let assignee = new.assignee_id.as_ref().map(Person::as_str);
    let category = new.category_id.as_ref().map(Id::as_str);
    must_belong(&act, board.as_str(), assignee, category, found.text(1).is_some()).await?;
    let state = found.text(1).unwrap_or_default();
    let place = place(&act, state, "0", (None, new.before)).await?;
    let (priority, labels) = (new.priority.map(|it| it.to_string()), labels(&new.labels));
    let values = [
        Some(board.as_str()),
        Some(&*new.title),
        Some(&*new.body),
        Some(state),
        Some(place.as_str()),
        priority.as_deref(),
        Some(&*labels),
        category,
        assignee,
        new.due_at.as_deref(),
        act.user,
    ];
    let row = act.work.first(&CREATE, &values).await.map_err(dated)?.ok_or(Trouble::Again)?;
    let id = ENTRY.value(&row, "id");
    let mut activity = Activity {
        board: board.as_str(),
        subject: "entry",
        action: "created",
        entry: id,
        detail: json!({"title": new.title}),
    };
    if let Some(assignee) = assignee {
        activity.detail["assignee_id"] = json!(assignee);
    }
    let detail = activity.detail.clone();
    record(&act, activity).await?;
    if assignee.is_some() {
        let activity =
            Activity { board: board.as_str(), subject: "entry", action: "assigned", entry: id, detail };
        record(&act, activity).await?;
    }
    Ok(Outcome::created(ENTRY.json(&row), ENTRY.version(&row)))
}

async fn update(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "entry")?;
    let changes: Changes = input.body()?;
    let read = input.version(changes.version)?;
    let Some(before) = act.work.first(&LOCKED, &[Some(id.as_str())]).await? else {
        return Err(why_not(&act, &ENTRY, &SHOWN, id.as_str(), read).await);
    };
    must_be(&ENTRY, &before, read)?;
    if changes.is_empty() {
        return Ok(Outcome::changed(ENTRY.json(&before), ENTRY.version(&before)));
    }
    let board = ENTRY.value(&before, "board_id").unwrap_or_default();
    let assignee = changes.assignee_id.as_ref().and_then(|it| it.as_ref()).map(Person::as_str);
    let category = changes.category_id.as_ref().and_then(|it| it.as_ref()).map(Id::as_str);
    must_belong(&act, board, assignee, category, true).await?;
    let (priority, labels) =
        (changes.priority.map(|it| it.to_string()), changes.labels.as_deref().map(labels));
    let values = [
        Some(id.as_str()),
        changes.title.as_deref(),
        changes.body.as_deref(),
        priority.as_deref(),
        labels.as_deref(),
        truth(changes.category_id.is_some()),
        category,
        truth(changes.assignee_id.is_some()),
        assignee,
        truth(changes.due_at.is_some()),
        changes.due_at.as_ref().and_then(|it| it.as_deref()),
    ];
    let after = act.work.first(&UPDATE, &values).await.map_err(dated)?.ok_or(Trouble::Again)?;
    tell(&act, board, &before, &after).await?;
    Ok(Outcome::changed(ENTRY.json(&after), ENTRY.version(&after)))
}

async fn delete(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "entry")?;
    let read = input.version(None)?;
    let Some(entry) = act.work.first(&LOCKED, &[Some(id.as_str())]).await? else {
        return Err(why_not(&act, &ENTRY, &SHOWN, id.as_str(), read).await);
    };
    must_be(&ENTRY, &entry, read)?;
    // Before: who watches it is told, and the rule goes with the entry.
    let board = ENTRY.value(&entry, "board_id").unwrap_or_default();
    let detail = json!({"title": ENTRY.value(&entry, "title")});
    let activity = Activity { board, subject: "entry", action: "deleted", entry: Some(id.as_str()), detail };
    record(&act, activity).await?;
    act.work.first(DELETE, &[Some(id.as_str())]).await?.ok_or(Trouble::Again)?;
    Ok(Outcome::default())
}

/// Writes what has changed, and apart from it who answers for the entry now.
async fn tell(act: &Act<'_>, board: &str, before: &Fields, after: &Fields) -> Result<(), Trouble> {
    let (old, new) = (|column| ENTRY.value(before, column), |column| ENTRY.value(after, column));
    let entry = new("id");
    let title = new("title");
    let mut changed = Map::new();
    for column in ["title", "body", "priority", "labels", "category_id", "due_at"] {
        if old(column) != new(column) {
            // Texts of any length are not told twice.
            let told = match column {
                "body" => json!(true),
                _ => json!({"from": old(column), "to": new(column)}),
            };
            changed.insert(column.to_owned(), told);
        }
    }
    if !changed.is_empty() {
        let detail = json!({"title": title, "changed": Value::Object(changed)});
        record(act, Activity { board, subject: "entry", action: "edited", entry, detail }).await?;
    }
    if old("assignee_id") != new("assignee_id") {
        let detail = json!({"title": title, "assignee_id": new("assignee_id"), "from": old("assignee_id")});
        record(act, Activity { board, subject: "entry", action: "assigned", entry, detail }).await?;
    }
    Ok(())
}

/// Who answers for an entry belongs to its board, and so do its category and its state.
async fn must_belong(
    act: &Act<'_>,
    board: &str,
    assignee: Option<&str>,
    category: Option<&str>,
    state_belongs: bool,
) -> Result<(), Trouble> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: &str| {
        faults.push(crate::workspace::FieldFault { field: field.into(), message: message.into() });
    };
    if !state_belongs {
        fault("state_id", "is no state of the board");
    }
    if assignee.is_some() && act.work.first(MEMBER, &[Some(board), assignee]).await?.is_none() {
        fault("assignee_id", "is no member of the board");
    }
    if category.is_some() && act.work.first(CATEGORY, &[Some(board), category]).await?.is_none() {
        fault("category_id", "is no category of the board");
    }
    if faults.is_empty() { Ok(()) } else { Err(Fault::invalid(faults).into()) }
}

/// A date that has the form of one and is none.
fn dated(error: crate::postgres::Error) -> Trouble {
    match error.code() {
        Some("22007" | "22008" | "22009" | "22023") => {
            Fault::field("due_at", "is no moment that there is").into()
        }
        _ => error.into(),
    }
}

impl Changes {
    /// Whether nothing is to change.
    const fn is_empty(&self) -> bool {
        self.title.is_none()
            && self.body.is_none()
            && self.priority.is_none()
            && self.labels.is_none()
            && self.category_id.is_none()
            && self.assignee_id.is_none()
            && self.due_at.is_none()
    }
}

fn labels(labels: &[Label]) -> String {
    let words: Vec<&str> = labels.iter().map(Label::as_str).collect();
    json!(words).to_string()
}
