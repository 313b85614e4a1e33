use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::operation::{Act, Trouble};

/// What follows a transition, in the same transaction.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(in super::super) enum Effect {
    /// Somebody answers for the entry from then on.
    Assign {
        /// Who.
        who: Assignee,
    },
    /// It is due by some time.
    Due {
        /// In hours from then; 0 for never.
        #[schema(minimum = 0, maximum = 87_600)]
        in_hours: u32,
    },
    /// It becomes more urgent, or less.
    Prioritize {
        /// How urgent.
        #[schema(minimum = 0, maximum = 2)]
        priority: i16,
    },
    /// Some people get a notification.
    Notify {
        /// Who.
        whom: Audience,
    },
    /// An event is published, with the entry as its data, on the channel `board.<id>.<event>`.
    Publish {
        /// The last word of the channel.
        #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$", examples("escalated"))]
        event: String,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Assignee {
    /// Whoever asks for the transition.
    Caller,
    /// Whoever made the entry.
    Creator,
    Nobody,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Audience {
    Assignee,
    Creator,
    Watchers,
    Admins,
}

/// What the effects make of an entry's own columns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Columns {
    /// `Some(None)` for nobody.
    pub(in super::super) assignee: Option<Option<String>>,
    /// In hours from now; 0 for never.
    pub(in super::super) due_in_hours: Option<u32>,
    pub(in super::super) priority: Option<i16>,
}

/// The columns that effects set; of several that set one the last counts.
pub(in super::super) fn columns(effects: &[Effect], caller: Option<&str>, creator: Option<&str>) -> Columns {
    let mut columns = Columns::default();
    for effect in effects {
        match effect {
            Effect::Assign { who } => {
                let who = match who {
                    Assignee::Caller => caller,
                    Assignee::Creator => creator,
                    Assignee::Nobody => None,
                };
                columns.assignee = Some(who.map(str::to_owned));
            }
            Effect::Due { in_hours } => columns.due_in_hours = Some(*in_hours),
            Effect::Prioritize { priority } => columns.priority = Some(*priority),
            Effect::Notify { .. } | Effect::Publish { .. } => {}
        }
    }
    columns
}

const NOTIFY: &str = "select app.notify($1, $2, 'transition', $3)::text";
const EMIT: &str = "select app.emit($1, $2, $3)::text";

/// Tells those who are to be told, once the entry is what it is.
pub(in super::super) async fn tell(
    act: &Act<'_>,
    effects: &[Effect],
    (board, entry): (&str, &str),
    (transition, row): (&str, &[u8]),
) -> Result<(), Trouble> {
    let row: Value = serde_json::from_slice(row).expect("rows are written as JSON");
    for effect in effects {
        match effect {
            Effect::Notify { whom } => {
                let detail = json!({"title": row["title"], "transition": transition, "actor_id": act.user});
                let values = [Some(entry), Some(whom.as_str()), Some(&*detail.to_string())];
                act.work.rows(NOTIFY, &values).await?;
            }
            Effect::Publish { event } => {
                let data = json!({"transition": transition, "actor_id": act.user, "entry": row});
                act.work.rows(EMIT, &[Some(board), Some(event), Some(&data.to_string())]).await?;
            }
            Effect::Assign { .. } | Effect::Due { .. } | Effect::Prioritize { .. } => {}
        }
    }
    Ok(())
}

impl Audience {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Assignee => "assignee",
            Self::Creator => "creator",
            Self::Watchers => "watchers",
            Self::Admins => "admins",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_effects_on_one_column_the_last_counts() {
        let effects: Vec<Effect> = serde_json::from_value(json!([
            {"do": "assign", "who": "nobody"}, {"do": "assign", "who": "caller"}, {"do": "due", "in_hours": 48},
            {"do": "prioritize", "priority": 2}, {"do": "notify", "whom": "watchers"}
        ]))
        .expect("effects");
        let set = columns(&effects, Some("ada"), Some("ben"));
        let expected =
            Columns { assignee: Some(Some("ada".into())), due_in_hours: Some(48), priority: Some(2) };
        assert_eq!(set, expected);
        assert_eq!(columns(&effects[..1], Some("ada"), None).assignee, Some(None));
    }
}
