use serde::Deserialize;
use utoipa::ToSchema;

use super::super::operation::{Act, Trouble};
use super::super::record::{as_it_is, statement, truth, why_not};
use super::super::{Input, Operation, Outcome};
use super::{Effect, Guard, delete, full, told, workflow_of};
use crate::workspace::tables::{STATE, TRANSITION};
use crate::workspace::{Fault, FieldFault, Id, Shape};

/// A new way from a state to another.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewTransition)]
#[serde(deny_unknown_fields)]
struct NewTransition {
    #[schema(pattern = "^[a-z][a-z0-9_-]{0,99}$", examples("escalate"))]
    name: String,
    from_state_id: Id,
    to_state_id: Id,
    /// Whom it takes at least.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false)]
    role: Option<TransitionRole>,
    /// What of an entry must not be empty by then.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_items = 6)]
    required: Option<Vec<Required>>,
    /// A condition on the entry, in the language of subscriptions' filters; null for none.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<String>, max_length = 1_000, pattern = "^[^\\u0000]*$", examples("assignee_id is not null"))]
    guard: Option<Option<String>>,
    /// What follows, in order.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_items = 10)]
    effects: Option<Vec<Effect>>,
}

/// What changes of a way.
#[derive(Deserialize, ToSchema)]
#[schema(as = TransitionChanges)]
#[serde(deny_unknown_fields)]
struct TransitionChanges {
    /// Whom it takes at least.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false)]
    role: Option<TransitionRole>,
    /// What of an entry must not be empty by then.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_items = 6)]
    required: Option<Vec<Required>>,
    /// A condition on the entry, in the language of subscriptions' filters; null for none.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<String>, max_length = 1_000, pattern = "^[^\\u0000]*$", examples("assignee_id is not null"))]
    guard: Option<Option<String>>,
    /// What follows, in order.
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, max_items = 10)]
    effects: Option<Vec<Effect>>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

/// What is asked and done on a way.
struct Rules {
    role: Option<TransitionRole>,
    required: Option<Vec<Required>>,
    guard: Option<Option<String>>,
    effects: Option<Vec<Effect>>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TransitionRole {
    Member,
    Admin,
}

/// A column of an entry.
#[derive(Clone, Copy, Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Required {
    Body,
    Labels,
    CategoryId,
    AssigneeId,
    DueAt,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "createTransition",
            method: "POST",
            path: "/v1/boards/{board}/workflow/transitions",
            summary: "Opens a way from a state to another",
            body: Some(Shape::of::<NewTransition>()),
            versioned: false,
            row: Some(&TRANSITION),
            run: |act, input| Box::pin(create_transition(act, input)),
        },
        Operation {
            id: "updateTransition",
            method: "PATCH",
            path: "/v1/workflow-transitions/{transition}",
            summary: "Says what is asked and done on a way",
            body: Some(Shape::of::<TransitionChanges>()),
            versioned: true,
            row: Some(&TRANSITION),
            run: |act, input| Box::pin(update_transition(act, input)),
        },
        Operation {
            id: "deleteTransition",
            method: "DELETE",
            path: "/v1/workflow-transitions/{transition}",
            summary: "Closes a way",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| {
                Box::pin(delete(act, input, &TRANSITION, &DELETE_TRANSITION, &TRANSITION_SHOWN))
            },
        },
    ]
}

/// Ways of one board: they are read in one piece.
const MOST: usize = 1_000;

statement!(STATE_SHOWN = "select {} from public.workflow_states as s where s.id = $1", STATE.select("s"));
statement!(
    TRANSITION_SHOWN = "select {} from public.workflow_transitions as t where t.id = $1",
    TRANSITION.select("t")
);
statement!(
    CREATE_TRANSITION = "
    insert into public.workflow_transitions as t
      (workflow_id, board_id, name, from_state_id, to_state_id, role, required, guard, effects)
    select $1, $2::bigint, $3, $4, $5, coalesce($6, 'member'),
      array(select jsonb_array_elements_text(coalesce($7::jsonb, '[]'))), $8, coalesce($9::jsonb, '[]')
    where (select count(*) from public.workflow_transitions as o where o.workflow_id = $1) < {MOST}
    returning {}",
    TRANSITION.select("t")
);
statement!(
    UPDATE_TRANSITION = "
    update public.workflow_transitions as t
    set role = coalesce($2, t.role),
      required = case when $3::jsonb is null then t.required
        else array(select jsonb_array_elements_text($3::jsonb)) end,
      guard = case when $4::boolean then $5 else t.guard end,
      effects = coalesce($6::jsonb, t.effects)
    where t.id = $1
      and ($7::integer is null or t.version = $7::integer)
    returning {}",
    TRANSITION.select("t")
);
statement!(
    DELETE_TRANSITION = "
    delete from public.workflow_transitions as t
    where t.id = $1
      and ($2::integer is null or t.version = $2::integer)
    returning {}",
    TRANSITION.select("t")
);

async fn create_transition(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let board = input.id(0, "board")?;
    let NewTransition { name, from_state_id, to_state_id, role, required, guard, effects } = input.body()?;
    let workflow = workflow_of(&act, &board).await?;
    let mut faults = Vec::new();
    for (field, state) in [("from_state_id", &from_state_id), ("to_state_id", &to_state_id)] {
        let found = act.work.first(&STATE_SHOWN, &[Some(state.as_str())]).await?;
        if found.is_none_or(|found| STATE.value(&found, "board_id") != Some(board.as_str())) {
            faults
                .push(FieldFault { field: field.to_owned(), message: "is no state of the board".to_owned() });
        }
    }
    if from_state_id == to_state_id {
        let message = "is where it comes from".to_owned();
        faults.push(FieldFault { field: "to_state_id".to_owned(), message });
    }
    let checked = match (Rules { role, required, guard, effects }.checked(), faults.is_empty()) {
        (Ok(checked), true) => checked,
        (Ok(_), false) => return Err(Fault::invalid(faults).into()),
        (Err(fault), _) => {
            return Err(Fault::invalid(fault.errors.into_iter().chain(faults).collect()).into());
        }
    };
    let values = [
        Some(&*workflow),
        Some(board.as_str()),
        Some(&*name),
        Some(from_state_id.as_str()),
        Some(to_state_id.as_str()),
        checked.role,
        checked.required.as_deref(),
        checked.guard.as_ref().and_then(|guard| guard.as_deref()),
        checked.effects.as_deref(),
    ];
    let row = act.work.first(&CREATE_TRANSITION, &values).await?;
    let row = row.ok_or_else(|| full("ways", MOST))?;
    told(&act, &TRANSITION, &row, "transition_created").await?;
    Ok(Outcome::created(TRANSITION.json(&row), TRANSITION.version(&row)))
}

async fn update_transition(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let id = input.id(0, "transition")?;
    let TransitionChanges { role, required, guard, effects, version: own } = input.body()?;
    let read = input.version(own)?;
    if role.is_none() && required.is_none() && guard.is_none() && effects.is_none() {
        return as_it_is(&act, &TRANSITION, &TRANSITION_SHOWN, id.as_str(), read).await;
    }
    let checked = Rules { role, required, guard, effects }.checked()?;
    let expected = read.map(|it| it.to_string());
    let values = [
        Some(id.as_str()),
        checked.role,
        checked.required.as_deref(),
        truth(checked.guard.is_some()),
        checked.guard.as_ref().and_then(|guard| guard.as_deref()),
        checked.effects.as_deref(),
        expected.as_deref(),
    ];
    let Some(row) = act.work.first(&UPDATE_TRANSITION, &values).await? else {
        return Err(why_not(&act, &TRANSITION, &TRANSITION_SHOWN, id.as_str(), read).await);
    };
    told(&act, &TRANSITION, &row, "transition_edited").await?;
    Ok(Outcome::changed(TRANSITION.json(&row), TRANSITION.version(&row)))
}

/// Rules as statements take them.
struct Checked {
    role: Option<&'static str>,
    required: Option<String>,
    guard: Option<Option<String>>,
    effects: Option<String>,
}

impl Rules {
    fn checked(self) -> Result<Checked, Fault> {
        if let Some(Some(guard)) = &self.guard {
            Guard::parse(guard)?;
        }
        let json = |value| serde_json::to_string(&value).expect("words and numbers");
        Ok(Checked {
            role: self.role.map(|role| match role {
                TransitionRole::Member => "member",
                TransitionRole::Admin => "admin",
            }),
            required: self.required.map(|required| serde_json::to_string(&required).expect("words")),
            guard: self.guard,
            effects: self.effects.map(json),
        })
    }
}
