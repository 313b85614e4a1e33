//! The tables of `sql/`, as requests know them: what is in a row and in which order.

use super::Form::{Bigint, Bool, Double, Doubles, Integer, Json, Moment, Text, Texts};
use super::{Column, Form, Resource};
use crate::cache::Interest;

const fn always(name: &'static str, form: Form) -> Column {
    Column { name, form, nullable: false }
}

const fn maybe(name: &'static str, form: Form) -> Column {
    Column { name, form, nullable: true }
}

const ID: Column = always("id", Bigint);
const BOARD: Column = always("board_id", Bigint);
const VERSION: Column = always("version", Integer);
const CREATED: Column = always("created_at", Moment);
const UPDATED: Column = always("updated_at", Moment);

/// People.
pub static USER: Resource = Resource {
    name: "User",
    columns: &[always("id", Text), always("name", Text), always("hue", Integer), CREATED],
};

/// What reaches people: decrypted, for those who may see it.
pub static CONTACT: Resource = Resource {
    name: "Contact",
    columns: &[always("user_id", Text), maybe("email", Text), maybe("phone", Text)],
};

/// What people like.
pub static PREFERENCES: Resource = Resource {
    name: "Preferences",
    columns: &[always("user_id", Text), always("preferences", Json), VERSION, UPDATED],
};

/// Boards.
pub static BOARD_ROW: Resource = Resource {
    name: "Board",
    columns: &[
        ID,
        always("name", Text),
        always("description", Text),
        maybe("created_by", Text),
        VERSION,
        CREATED,
        UPDATED,
    ],
};

/// Who belongs to a board, and as what.
pub static MEMBER: Resource = Resource {
    name: "Member",
    columns: &[BOARD, always("user_id", Text), always("role", Text), always("shares_contact", Bool), CREATED],
};

/// Categories of entries.
pub static CATEGORY: Resource = Resource {
    name: "Category",
    columns: &[ID, BOARD, always("name", Text), always("hue", Integer), VERSION, CREATED, UPDATED],
};

/// A board's workflow.
pub static WORKFLOW: Resource =
    Resource { name: "Workflow", columns: &[ID, BOARD, always("name", Text), VERSION, CREATED, UPDATED] };

/// Its states.
pub static STATE: Resource = Resource {
    name: "State",
    columns: &[
        ID,
        always("workflow_id", Bigint),
        BOARD,
        always("name", Text),
        always("kind", Text),
        always("ordinal", Integer),
        maybe("wip_limit", Integer),
        VERSION,
        CREATED,
        UPDATED,
    ],
};

/// The ways between its states.
pub static TRANSITION: Resource = Resource {
    name: "Transition",
    columns: &[
        ID,
        always("workflow_id", Bigint),
        BOARD,
        always("name", Text),
        always("from_state_id", Bigint),
        always("to_state_id", Bigint),
        always("role", Text),
        always("required", Texts),
        maybe("guard", Text),
        always("effects", Json),
        VERSION,
        CREATED,
        UPDATED,
    ],
};

/// Cards.
pub static ENTRY: Resource = Resource {
    name: "Entry",
    columns: &[
        ID,
        BOARD,
        always("title", Text),
        always("body", Text),
        always("state_id", Bigint),
        always("position", Text),
        always("priority", Integer),
        always("labels", Texts),
        maybe("category_id", Bigint),
        maybe("assignee_id", Text),
        maybe("due_at", Moment),
        maybe("created_by", Text),
        VERSION,
        CREATED,
        UPDATED,
        maybe("started_at", Moment),
        maybe("closed_at", Moment),
    ],
};

/// What is said about them.
pub static COMMENT: Resource = Resource {
    name: "Comment",
    columns: &[
        ID,
        BOARD,
        always("entry_id", Bigint),
        maybe("author_id", Text),
        always("body", Text),
        VERSION,
        CREATED,
        UPDATED,
    ],
};

/// What happened.
pub static ACTIVITY: Resource = Resource {
    name: "Activity",
    columns: &[
        ID,
        BOARD,
        always("at", Moment),
        maybe("actor_id", Text),
        always("subject", Text),
        always("action", Text),
        maybe("entry_id", Bigint),
        always("detail", Json),
    ],
};

/// What people want to be told of.
pub static RULE: Resource = Resource {
    name: "AlertRule",
    columns: &[
        always("id", Text),
        always("user_id", Text),
        always("kind", Text),
        maybe("board_id", Bigint),
        maybe("entry_id", Bigint),
        maybe("kpi", Text),
        maybe("comparison", Text),
        maybe("threshold", Double),
        always("enabled", Bool),
        always("past", Bool),
        VERSION,
        CREATED,
        UPDATED,
    ],
};

/// What they were told.
pub static NOTIFICATION: Resource = Resource {
    name: "Notification",
    columns: &[
        ID,
        always("user_id", Text),
        maybe("board_id", Bigint),
        maybe("entry_id", Bigint),
        maybe("rule_id", Text),
        always("kind", Text),
        always("detail", Json),
        CREATED,
        maybe("read_at", Moment),
    ],
};

/// The newest measures.
pub static KPI: Resource = Resource {
    name: "Kpi",
    columns: &[
        BOARD,
        always("kpi", Text),
        always("item", Text),
        always("value", Double),
        always("recent", Doubles),
        always("measured_at", Moment),
    ],
};

/// Every resource there is.
pub static ALL: [&Resource; 15] = [
    &USER,
    &CONTACT,
    &PREFERENCES,
    &BOARD_ROW,
    &MEMBER,
    &CATEGORY,
    &WORKFLOW,
    &STATE,
    &TRANSITION,
    &ENTRY,
    &COMMENT,
    &ACTIVITY,
    &RULE,
    &NOTIFICATION,
    &KPI,
];

/// What cached reads of them depend on.
pub const fn interests() -> &'static [Interest] {
    const fn of(table: &'static str, columns: &'static [&'static str]) -> Interest {
        Interest { table: ("public", table), columns }
    }
    const INTERESTS: [Interest; 16] = [
        of("users", &["id"]),
        of("user_preferences", &["user_id"]),
        of("boards", &["id"]),
        of("board_members", &["board_id", "user_id"]),
        of("categories", &["board_id", "id"]),
        of("workflows", &["board_id"]),
        of("workflow_states", &["board_id", "id"]),
        of("workflow_transitions", &["board_id", "id"]),
        of("entries", &["board_id", "id"]),
        of("comments", &["entry_id", "id"]),
        of("activities", &["board_id"]),
        of("alert_rules", &["user_id"]),
        of("notifications", &["user_id"]),
        of("kpi_values", &["board_id"]),
        of("kpi_boards", &["board_id"]),
        of("kpis", &["name"]),
    ];
    &INTERESTS
}
