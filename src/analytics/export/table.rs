//! What is exported.

use std::sync::OnceLock;

/// A table, and how its rows are read.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Whose day a row is; `None` for one that has none.
    day: Option<&'static str>,
    /// What tells rows apart and puts them in order, all of it as text.
    key: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    digests: OnceLock<String>,
    digest: OnceLock<String>,
    rows: OnceLock<String>,
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Double,
    Text,
    Moment,
    Truth,
}

use Kind::{Double, Moment, Number, Text, Truth};

const fn table(
    name: &'static str,
    day: Option<&'static str>,
    key: &'static str,
    columns: &'static [(&'static str, Kind)],
) -> Table {
    Table {
        name,
        day,
        key,
        columns,
        digests: OnceLock::new(),
        digest: OnceLock::new(),
        rows: OnceLock::new(),
    }
}

pub(super) static TABLES: [Table; 9] = [
    table("dim_boards", None, "board_id", &[("board_id", Number), ("name", Text), ("gone", Truth)]),
    table("dim_users", None, "user_id", &[("user_id", Text), ("name", Text), ("gone", Truth)]),
    table(
        "dim_states",
        None,
        "state_id",
        &[
            ("state_id", Number),
            ("board_id", Number),
            ("name", Text),
            ("kind", Text),
            ("ordinal", Number),
            ("gone", Truth),
        ],
    ),
    table(
        "dim_categories",
        None,
        "category_id",
        &[("category_id", Number), ("board_id", Number), ("name", Text), ("gone", Truth)],
    ),
    table(
        "fact_entries",
        Some("created_at"),
        "entry_id",
        &[
            ("entry_id", Number),
            ("board_id", Number),
            ("state_id", Number),
            ("state", Text),
            ("category_id", Number),
            ("assignee_id", Text),
            ("created_at", Moment),
            ("started_at", Moment),
            ("closed_at", Moment),
            ("due_at", Moment),
            ("lead_seconds", Number),
            ("cycle_seconds", Number),
            ("on_time", Truth),
            ("version", Number),
            ("gone", Truth),
        ],
    ),
    table(
        "fact_activities",
        Some("at"),
        "activity_id",
        &[
            ("activity_id", Number),
            ("at", Moment),
            ("board_id", Number),
            ("entry_id", Number),
            ("actor_id", Text),
            ("subject", Text),
            ("action", Text),
            ("from_state", Text),
            ("to_state", Text),
            ("from_state_id", Number),
            ("to_state_id", Number),
        ],
    ),
    table(
        "fact_user_actions",
        Some("at"),
        "action_id",
        &[
            ("action_id", Number),
            ("at", Moment),
            ("user_id", Text),
            ("action", Text),
            ("subject", Text),
            ("board_id", Number),
            ("entry_id", Number),
        ],
    ),
    table(
        "fact_spans",
        Some("entered_at"),
        "(lpad(entry_id::text, 20, '0') || lpad(place::text, 10, '0'))",
        &[
            ("entry_id", Number),
            ("place", Number),
            ("board_id", Number),
            ("state", Text),
            ("entered_at", Moment),
            ("left_at", Moment),
        ],
    ),
    table(
        "kpi_values_day",
        Some("at"),
        "(lpad(board_id::text, 20, '0') || kpi || '/' || item)",
        &[
            ("board_id", Number),
            ("kpi", Text),
            ("item", Text),
            ("at", Moment),
            ("value", Double),
            ("least", Double),
            ("most", Double),
            ("samples", Number),
        ],
    ),
];

/// What tells rows from others, whatever their order: their number, and their hashes' sum.
const DIGEST: &str = "count(*) || '-' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)";

impl Table {
    /// Each day and its rows' digest.
    pub(super) fn digests(&'static self) -> &'static str {
        self.digests.get_or_init(|| {
            let day = self.day.map_or_else(|| "''".to_owned(), |day| format!("{day}::date::text"));
            format!("select {day}, {DIGEST} from analytics.{} as t group by 1 order by 1", self.name)
        })
    }

    /// A day's digest: `0-0` of one without rows.
    pub(super) fn digest(&'static self) -> &'static str {
        self.digest.get_or_init(|| {
            format!("select {DIGEST} from analytics.{} as t where {}", self.name, self.is_of_day())
        })
    }

    /// A day's rows behind a key, in its order, and at most so many; the key comes last.
    pub(super) fn rows(&'static self) -> &'static str {
        self.rows.get_or_init(|| {
            let column = |(name, kind): &(&str, Kind)| match kind {
                // Infinity is further than the format goes.
                Moment => format!(
                    "case when isfinite({name}) then (extract(epoch from {name}) * 1000000)::bigint::text end"
                ),
                _ => format!("{name}::text"),
            };
            let columns: Vec<_> = self.columns.iter().map(column).collect();
            // Numbers in their order, whatever their length.
            let key = match self.columns.iter().find(|(name, _)| *name == self.key) {
                Some((name, Number)) => format!("lpad({name}::text, 20, '0')"),
                _ => self.key.to_owned(),
            };
            format!(
                "select {}, {key}
                from analytics.{}
                where {}
                  and {key} collate \"C\" > $2
                order by {key} collate \"C\"
                limit $3::bigint",
                columns.join(", "),
                self.name,
                self.is_of_day()
            )
        })
    }

    fn is_of_day(&self) -> String {
        match self.day {
            Some(day) => format!("{day} >= $1::date and {day} < $1::date + interval '1 day'"),
            None => "$1 = ''".to_owned(),
        }
    }
}
