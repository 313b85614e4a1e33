//! What commands have in common: the activity that each writes, and why a row could not be changed.

use serde_json::Value;

use super::Outcome;
use super::operation::{Act, Trouble};
use crate::postgres::Fields;
use crate::workspace::{Code, Fault, Resource};

/// A statement whose text is put together once.
macro_rules! statement {
    ($(#[$about:meta])* $name:ident = $($text:tt)+) => {
        $(#[$about])*
        static $name: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!($($text)+));
    };
}

pub(crate) use statement;

/// What was done, for the board's feed.
pub(super) struct Activity<'a> {
    pub(super) board: &'a str,
    pub(super) subject: &'static str,
    pub(super) action: &'a str,
    pub(super) entry: Option<&'a str>,
    pub(super) detail: Value,
}

pub(super) const RECORD: &str = "
insert into public.activities (board_id, actor_id, subject, action, entry_id, detail)
values ($1, $2, $3, $4, $5, $6)";

/// Writes an activity, in the command's own transaction.
pub(super) async fn record(act: &Act<'_>, activity: Activity<'_>) -> Result<(), Trouble> {
    let detail = activity.detail.to_string();
    let Activity { board, subject, action, entry, .. } = activity;
    let values = [Some(board), act.user, Some(subject), Some(action), entry, Some(&detail)];
    act.work.rows(RECORD, &values).await?;
    Ok(())
}

/// A truth value as PostgreSQL reads it, for the place of a parameter.
#[expect(clippy::unnecessary_wraps, reason = "parameters may be null, and are given in a row")]
pub(super) const fn truth(value: bool) -> Option<&'static str> {
    Some(if value { "t" } else { "f" })
}

/// The version that was read must be the newest.
pub(super) fn must_be(resource: &Resource, fields: &Fields, read: Option<i32>) -> Result<(), Fault> {
    let now = resource.version(fields);
    if read.is_none() || read == now {
        return Ok(());
    }
    let told = now.map(|now| now.to_string()).unwrap_or_default();
    let detail = format!("it was changed since it was read: its version is {told} now");
    Err(Fault { current: Some(resource.json(fields)), ..Fault::new(Code::StaleVersion, detail) })
}

/// What is answered where nothing is asked to change: the row as it is.
///
/// `shown` selects it, by `$1`, as a reader sees it.
pub(super) async fn as_it_is(
    act: &Act<'_>,
    resource: &Resource,
    shown: &'static str,
    id: &str,
    read: Option<i32>,
) -> Result<Outcome, Trouble> {
    let row = act.work.first(shown, &[Some(id)]).await?;
    let row = row.ok_or_else(|| Fault::not_found(&resource.name.to_ascii_lowercase(), id))?;
    must_be(resource, &row, read)?;
    Ok(Outcome::changed(resource.json(&row), resource.version(&row)))
}

/// Why nothing could be changed: it is not there, it may not be changed by whoever asks, or it has another version.
///
/// `shown` selects the row, by `$1`, as a reader sees it.
pub(super) async fn why_not(
    act: &Act<'_>,
    resource: &Resource,
    shown: &'static str,
    id: &str,
    read: Option<i32>,
) -> Trouble {
    let what = resource.name.to_ascii_lowercase();
    match act.work.first(shown, &[Some(id)]).await {
        Err(error) => error.into(),
        Ok(None) => Fault::not_found(&what, id).into(),
        Ok(Some(fields)) => match must_be(resource, &fields, read) {
            Err(stale) => stale.into(),
            Ok(()) => Fault::new(
                Code::Forbidden,
                format!("your role on the board does not let you change this {what}"),
            )
            .into(),
        },
    }
}
