//! A card's movement: by hand to a place, or by the name of a transition. Either way the workflow is asked.

use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::entry::MEMBER;
use super::operation::{Act, Trouble};
use super::record::{Activity, must_be, record, statement, truth, why_not};
use super::workflow::{self, Effect, Guard};
use super::{Input, Operation, Outcome};
use crate::postgres::{self, Fields, Work};
use crate::workspace::tables::ENTRY;
use crate::workspace::{Code, Fault, Id, Place, Shape};

/// Where an entry goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = Move)]
#[serde(deny_unknown_fields)]
struct Move {
    /// The state; where it is if it is left out.
    state: Option<Id>,
    /// The entry that it comes to stand behind. One that is not in the state any more is not looked at.
    after: Option<Id>,
    /// The entry that it comes to stand before, if there is no `after`. With neither it goes to the end.
    before: Option<Id>,
    #[schema(minimum = 1)]
    version: Option<i32>,
}

/// Which place it takes in the new state.
#[derive(Deserialize, ToSchema)]
#[schema(as = Transit)]
#[serde(deny_unknown_fields)]
struct Transit {
    after: Option<Id>,
    before: Option<Id>,
    #[schema(minimum = 1)]
    version: Option<i32>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "moveEntry",
            method: "POST",
            path: "/v1/entries/{entry}/move",
            summary: "Moves an entry within its state, or to another that its workflow has a way to",
            body: Some(Shape::of::<Move>()),
            versioned: true,
            row: Some(&ENTRY),
            run: |act, input| Box::pin(move_to(act, input)),
        },
        Operation {
            id: "transitEntry",
            method: "POST",
            path: "/v1/entries/{entry}/transitions/{name}",
            summary: "Takes an entry the way of this name, from the state that it is in",
            body: Some(Shape::of::<Transit>()),
            versioned: true,
            row: Some(&ENTRY),
            run: |act, input| Box::pin(transit(act, input)),
        },
    ]
}

statement!(SHOWN = "select {} from public.entries as e where e.id = $1", ENTRY.select("e"));
// Those who move one card at the same time do so one after the other.
statement!(
    LOCKED = "select {} from public.entries as e where e.id = $1 for no key update",
    ENTRY.select("e")
);

/// What a way is called, what it asks, and where its ends are: `$1` the state, `$2` its end or `$3` its name.
const WAY: &str = "
select
  a.name,
  a.kind,
  b.id::text,
  b.name,
  b.kind,
  t.name,
  t.role,
  t.required::text,
  t.guard,
  t.effects::text,
  (select m.role from public.board_members as m where m.board_id = a.board_id and m.user_id = $4)
from public.workflow_states as a
left join public.workflow_transitions as t
  on t.from_state_id = a.id and (t.to_state_id = $2::bigint or t.name = $3)
left join public.workflow_states as b
  on b.board_id = a.board_id and b.id = coalesce(t.to_state_id, $2::bigint)
where a.id = $1";

/// Between which places: `$1` the state, `$2` who moves, `$3` behind whom, `$4` before whom.
const NEIGHBOURS: &str = "
select
  case
    when a.position is not null then a.position
    when b.position is not null then (
      select max(e.position) from public.entries as e
      where e.state_id = $1 and e.id <> $2 and e.position < b.position
    )
    else (select max(e.position) from public.entries as e where e.state_id = $1 and e.id <> $2)
  end,
  case
    when a.position is not null then (
      select min(e.position) from public.entries as e
      where e.state_id = $1 and e.id <> $2 and e.position > a.position
    )
    else b.position
  end
from (select 1) as one
left join public.entries as a on a.id = $3 and a.state_id = $1 and a.id <> $2
left join public.entries as b on b.id = $4 and b.state_id = $1 and b.id <> $2";

// An entry's creator may have left the board: then nobody answers for it.
statement!(
    MOVE = "
    update public.entries as e
    set state_id = $2,
      position = $3,
      assignee_id = case
        when $4::boolean then (
          select m.user_id from public.board_members as m where m.board_id = e.board_id and m.user_id = $5
        )
        else e.assignee_id
      end,
      due_at = case
        when $6::integer is null then e.due_at
        when $6::integer > 0 then now() + $6::integer * interval '1 hour'
      end,
      priority = coalesce($7, e.priority)
    where e.id = $1
    returning {}",
    ENTRY.select("e")
);

/// Who gives a state's entries new places does so alone; its entries are locked in an order that is everybody's, and looked
/// at once nobody else moves them.
const ALONE: &str = "select pg_advisory_xact_lock(7126113470022 # hashtext($1)::bigint)::text";
const LOCKED_ALL: &str = "
select e.id::text
from public.entries as e
where e.state_id = $1
order by e.id
for no key update";
const ORDERED: &str = "
select e.id::text
from public.entries as e
where e.state_id = $1
order by e.position";
const REPLACE: &str = "
update public.entries as e
set position = n.position
from unnest($1::bigint[], $2::text[]) as n (id, position)
where e.id = n.id";

/// The statements of a movement within a state, for those who measure what PostgreSQL takes for them by itself: each with
/// its values as `$1`, `$2`, … in the order of [`Act`]'s.
pub(super) fn statements() -> [&'static str; 3] {
    [&LOCKED, NEIGHBOURS, &MOVE]
}

/// A way that an entry is to go; its ends by number, name and kind.
struct Way {
    from: (String, String, String),
    to: (String, String, String),
    name: String,
    effects: Vec<Effect>,
}

async fn move_to(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "entry")?;
    let Move { state, after, before, version: own } = input.body()?;
    let read = input.version(own)?;
    let entry = locked(&act, &id, read).await?;
    let here = ENTRY.value(&entry, "state_id").unwrap_or_default();
    let way = match &state {
        Some(state) if state.as_str() != here => Some(way(&act, &entry, Some(state), None).await?),
        _ => None,
    };
    go(&act, &entry, way, (after, before)).await
}

async fn transit(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "entry")?;
    let name = input.path.get(1).cloned().unwrap_or_default();
    let Transit { after, before, version: own } = input.body()?;
    let read = input.version(own)?;
    let entry = locked(&act, &id, read).await?;
    // What no text of PostgreSQL holds is no transition's name.
    let name = Some(name).filter(|name| !name.contains('\0'));
    let way = way(&act, &entry, None, Some(name.as_deref().unwrap_or_default())).await?;
    go(&act, &entry, Some(way), (after, before)).await
}

async fn locked(act: &Act<'_>, id: &Id, read: Option<i32>) -> Result<Fields, Trouble> {
    match act.work.first(&LOCKED, &[Some(id.as_str())]).await? {
        Some(entry) => {
            must_be(&ENTRY, &entry, read)?;
            Ok(entry)
        }
        None => Err(why_not(act, &ENTRY, &SHOWN, id.as_str(), read).await),
    }
}

/// The way from an entry's state to another, or of a name, if it may be gone.
async fn way(act: &Act<'_>, entry: &Fields, to: Option<&Id>, name: Option<&str>) -> Result<Way, Trouble> {
    let here = ENTRY.value(entry, "state_id");
    let found = act.work.first(WAY, &[here, to.map(Id::as_str), name, act.user]).await?;
    let found = found.ok_or(Trouble::Again)?;
    let text = |place: usize| found.text(place).unwrap_or_default().to_owned();
    if to.is_some() && found.text(2).is_none() {
        return Err(Fault::field("state", "is no state of the entry's board").into());
    }
    if found.text(5).is_none() {
        let detail = match name {
            Some(name) => format!("there is no way `{}` from the state `{}`", short(name), text(0)),
            None => format!("there is no way from the state `{}` to `{}`", text(0), text(3)),
        };
        return Err(Fault::new(Code::NoTransition, detail).into());
    }
    if text(6) == "admin" && !act.is_server && found.text(10) != Some("admin") {
        let detail = format!("only an admin of the board may take the way `{}`", text(5));
        return Err(Fault::new(Code::Forbidden, detail).into());
    }
    let required = found.text(7).unwrap_or_default();
    let missing: Vec<&str> = required
        .trim_matches(['{', '}'])
        .split(',')
        .filter(|column| !column.is_empty() && is_empty(entry, column))
        .collect();
    if !missing.is_empty() {
        let errors = missing.iter().map(|column| crate::workspace::FieldFault {
            field: (*column).to_owned(),
            message: "must not be empty by then".to_owned(),
        });
        let detail = format!("the way `{}` asks for {}", text(5), missing.join(", "));
        return Err(Fault { errors: errors.collect(), ..Fault::new(Code::TransitionRefused, detail) }.into());
    }
    if let Some(guard) = found.text(8)
        && !Guard::parse(guard)?.holds(entry)
    {
        let detail = format!("the way `{}` is for entries of which this is true: {guard}", text(5));
        return Err(Fault::new(Code::TransitionRefused, detail).into());
    }
    let effects = serde_json::from_str(&text(9)).unwrap_or_default();
    let here = here.unwrap_or_default().to_owned();
    Ok(Way { from: (here, text(0), text(1)), to: (text(2), text(3), text(4)), name: text(5), effects })
}

fn is_empty(entry: &Fields, column: &str) -> bool {
    let known = ENTRY.columns.iter().any(|known| known.name == column);
    known && matches!(ENTRY.value(entry, column), None | Some("" | "{}"))
}

async fn go(
    act: &Act<'_>,
    entry: &Fields,
    way: Option<Way>,
    (after, before): (Option<Id>, Option<Id>),
) -> Result<Outcome, Trouble> {
    let value = |column| ENTRY.value(entry, column);
    let id = value("id").unwrap_or_default();
    let here = value("state_id").unwrap_or_default();
    let state = way.as_ref().map_or(here, |way| &way.to.0);
    let place = place(act, state, id, (after, before)).await?;
    let effects = way.as_ref().map(|way| way.effects.as_slice()).unwrap_or_default();
    let set = workflow::columns(effects, act.user, value("created_by"));
    // Who has left the board answers for nothing on it.
    let board = value("board_id").unwrap_or_default();
    let set = match set.assignee.as_ref().and_then(|it| it.as_deref()) {
        Some(assignee) if act.work.first(MEMBER, &[Some(board), Some(assignee)]).await?.is_none() => {
            workflow::Columns { assignee: Some(None), ..set }
        }
        _ => set,
    };
    let (due, priority) = (set.due_in_hours.map(|it| it.to_string()), set.priority.map(|it| it.to_string()));
    let assignee = set.assignee.as_ref().and_then(|it| it.as_deref());
    let values = [
        Some(id),
        Some(state),
        Some(place.as_str()),
        truth(set.assignee.is_some()),
        assignee,
        due.as_deref(),
        priority.as_deref(),
    ];
    let moved = act.work.first(&MOVE, &values).await?;
    let moved = moved.ok_or_else(|| {
        Fault::new(Code::Forbidden, "your role on the board does not let you move this entry")
    })?;
    let row = ENTRY.json(&moved);
    let (action, mut detail) = told(way.as_ref());
    detail["title"] = json!(value("title"));
    record(act, Activity { board, subject: "entry", action, entry: Some(id), detail }).await?;
    let answers = ENTRY.value(&moved, "assignee_id");
    if answers != value("assignee_id") {
        let detail = json!({"title": value("title"), "assignee_id": answers, "from": value("assignee_id")});
        record(act, Activity { board, subject: "entry", action: "assigned", entry: Some(id), detail })
            .await?;
    }
    if let Some(way) = &way {
        workflow::tell(act, &way.effects, (board, id), (&way.name, &row)).await?;
    }
    Ok(Outcome::changed(row, ENTRY.version(&moved)))
}

/// What the feed is told of a movement: what states are called now, and which they are whatever they are called later.
fn told(way: Option<&Way>) -> (&'static str, serde_json::Value) {
    let Some(way) = way else { return ("moved", json!({})) };
    let action = match (&*way.from.2, &*way.to.2) {
        ("done", "done") => "moved",
        ("done", _) => "reopened",
        (_, "done") => "closed",
        _ => "moved",
    };
    let ((from_id, from, _), (to_id, to, _)) = (&way.from, &way.to);
    let detail = json!({"from": from, "to": to, "from_id": from_id, "to_id": to_id, "transition": way.name});
    (action, detail)
}

/// A place in a state, for an entry that is there or comes there.
pub(super) async fn place(
    act: &Act<'_>,
    state: &str,
    entry: &str,
    (after, before): (Option<Id>, Option<Id>),
) -> Result<Place, Trouble> {
    let values = [Some(state), Some(entry), after.as_ref().map(Id::as_str), before.as_ref().map(Id::as_str)];
    let found = act.work.first(NEIGHBOURS, &values).await?.ok_or(Trouble::Again)?;
    let parsed = |place: usize| found.text(place).map(Place::parse).transpose();
    // What somebody has written there by hand is no place: everybody gets a new one.
    if let (Ok(low), Ok(high)) = (parsed(0), parsed(1))
        && let Some(place) = Place::between(low.as_ref(), high.as_ref())
        && !place.is_long()
    {
        return Ok(place);
    }
    Err(Trouble::Crowded(state.to_owned()))
}

/// Gives all entries of a state new places, in their order.
///
/// # Errors
/// Those of the conversation.
pub(super) async fn spread(work: &Work, state: &str) -> Result<(), postgres::Error> {
    work.rows(ALONE, &[Some(state)]).await?;
    work.rows(LOCKED_ALL, &[Some(state)]).await?;
    let ordered = work.rows(ORDERED, &[Some(state)]).await?;
    let places = Place::spread(ordered.len());
    let list = |items: Vec<&str>| format!("{{{}}}", items.join(","));
    let ids = list(ordered.iter().filter_map(|fields| fields.text(0)).collect());
    let places = list(places.iter().map(Place::as_str).collect());
    work.rows(REPLACE, &[Some(&ids), Some(&places)]).await?;
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
