use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::{must_be, statement};
use super::{Input, Operation, Outcome};
use crate::workspace::tables::{PREFERENCES, USER};
use crate::workspace::{Code, Fault, Shape};

/// What one likes: whatever the client wants to find again.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewPreferences)]
#[serde(deny_unknown_fields)]
struct New {
    /// At most 64 KiB of it.
    #[schema(value_type = Object)]
    preferences: Map<String, Value>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
}

/// What changes of oneself.
#[derive(Deserialize, ToSchema)]
#[schema(as = UserChanges)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$")]
    name: Option<String>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(nullable = false, minimum = 0, maximum = 359)]
    hue: Option<i16>,
}

/// A page's worth of settings; more is no preference.
const MOST_BYTES: usize = 64 * 1_024;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "updateMe",
            method: "PATCH",
            path: "/v1/me",
            summary: "Changes how one is shown to others",
            body: Some(Shape::of::<Changes>()),
            versioned: false,
            row: Some(&USER),
            run: |act, input| Box::pin(update(act, input)),
        },
        Operation {
            id: "putPreferences",
            method: "PUT",
            path: "/v1/me/preferences",
            summary: "Keeps what one likes, instead of what was kept before",
            body: Some(Shape::of::<New>()),
            versioned: true,
            row: Some(&PREFERENCES),
            run: |act, input| Box::pin(put(act, input)),
        },
    ]
}

statement!(
    UPDATE = "
    update public.users as u
    set name = coalesce($2, u.name), hue = coalesce($3, u.hue)
    where u.id = $1
    returning {}",
    USER.select("u")
);
statement!(MYSELF = "select {} from public.users as u where u.id = $1", USER.select("u"));
statement!(
    SHOWN = "select {} from public.user_preferences as p where p.user_id = $1 for update",
    PREFERENCES.select("p")
);
statement!(
    PUT = "
    insert into public.user_preferences as p (user_id, preferences)
    values ($1, $2)
    on conflict (user_id) do update set preferences = excluded.preferences
    returning {}",
    PREFERENCES.select("p")
);

async fn update(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let user = act.user()?;
    let Changes { name, hue } = input.body()?;
    let row = if name.is_none() && hue.is_none() {
        act.work.first(&MYSELF, &[Some(user)]).await?
    } else {
        let hue = hue.map(|hue| hue.to_string());
        act.work.first(&UPDATE, &[Some(user), name.as_deref(), hue.as_deref()]).await?
    };
    match row {
        Some(row) => Ok(Outcome::changed(USER.json(&row), None)),
        None => Err(Fault::not_found("person", user).into()),
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

async fn put(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let user = act.user()?;
    let New { preferences, version: own } = input.body()?;
    let text = Value::Object(preferences.clone()).to_string();
    if text.len() > MOST_BYTES {
        let detail = format!("preferences have {} bytes, and {MOST_BYTES} are kept", text.len());
        return Err(Fault::new(Code::TooLarge, detail).into());
    }
    // JSON can name a character that no text of PostgreSQL holds.
    if holds_nul(&Value::Object(preferences)) {
        return Err(Fault::field("preferences", "holds the character U+0000").into());
    }
    let read = input.version(own)?;
    let kept = act.work.first(&SHOWN, &[Some(user)]).await?;
    match &kept {
        Some(kept) => must_be(&PREFERENCES, kept, read)?,
        None if read.is_some() => return Err(Fault::not_found("preferences of", user).into()),
        None => {}
    }
    let row = act.work.first(&PUT, &[Some(user), Some(&text)]).await?.ok_or(Trouble::Again)?;
    let (json, version) = (PREFERENCES.json(&row), PREFERENCES.version(&row));
    Ok(if kept.is_some() { Outcome::changed(json, version) } else { Outcome::created(json, version) })
}
