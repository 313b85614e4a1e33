//! What rows count for: `app.kpi_counted` of `sql/0006_kpis.sql`, one row at a time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::event::{Datum, Image, Operation, Relation, Row, Timestamp};
use crate::filter::moment;

/// By which rules is counted: whoever finds another number in the database counts anew.
pub(super) const RULES: i32 = 2;

/// What changes come to, until they are written.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: HashMap<Key, Count>,
    /// What is asked for the last weeks alone is counted from here on.
    horizon: Timestamp,
    /// Boards whose values may be others though nothing was counted.
    touched: HashSet<i64>,
    /// Definitions have changed: it may be any board's.
    all: bool,
}

/// What a [`Tally`] held.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What differs from nothing.
    pub(super) counts: Vec<(Key, Count)>,
    /// Boards whose values may be others now; `None` for all.
    pub(super) boards: Option<BTreeSet<i64>>,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) board: i64,
    pub(super) measure: &'static str,
    pub(super) item: Box<str>,
    /// The hour or day that it belongs to; `None` for what holds now.
    pub(super) at: Option<Timestamp>,
}

/// How many, and how many seconds together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) count: i64,
    pub(super) sum: i64,
}

/// A table that is counted, and where its columns are in the rows of one description of it.
#[derive(Debug)]
pub(super) enum Counted {
    Entries {
        places: [usize; 8],
    },
    Activities {
        places: [usize; 3],
    },
    /// Boards and their states: by the board's number.
    Board {
        place: usize,
    },
    /// What is measured, but for when its history was computed.
    Definitions {
        computed_at: Option<usize>,
    },
}

/// A row that is not as its table says: all is counted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of `{table}` cannot be counted: `{column}` is not published, or its value is not told")]
pub(super) struct Uncounted {
    /// The table.
    pub(super) table: &'static str,
    /// The column.
    pub(super) column: &'static str,
}

const ENTRIES: [&str; 8] =
    ["board_id", "state_id", "category_id", "assignee_id", "due_at", "created_at", "started_at", "closed_at"];
const ACTIVITIES: [&str; 3] = ["board_id", "actor_id", "at"];
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
const SECOND: i64 = 1_000_000;

impl Counted {
    /// Where what is counted is in the rows of a relation; `None` if nothing of it is.
    ///
    /// # Errors
    /// [`Uncounted`] if a column is not published.
    pub(super) fn of(relation: &Relation) -> Result<Option<Self>, Uncounted> {
        if &*relation.schema != "public" {
            return Ok(None);
        }
        Ok(match &*relation.name {
            "entries" => Some(Self::Entries { places: places(relation, "public.entries", ENTRIES)? }),
            "activities" => {
                Some(Self::Activities { places: places(relation, "public.activities", ACTIVITIES)? })
            }
            "boards" => {
                relation.columns.iter().position(|it| &*it.name == "id").map(|place| Self::Board { place })
            }
            "workflow_states" => relation
                .columns
                .iter()
                .position(|it| &*it.name == "board_id")
                .map(|place| Self::Board { place }),
            "kpis" => Some(Self::Definitions {
                computed_at: relation.columns.iter().position(|it| &*it.name == "computed_at"),
            }),
            _ => None,
        })
    }

    /// Whether all that is counted of it is gone with its rows.
    pub(super) const fn is_counted(&self) -> bool {
        matches!(self, Self::Entries { .. } | Self::Activities { .. })
    }

    /// Counts a change: what the row was goes, what it is comes.
    ///
    /// # Errors
    /// [`Uncounted`] if the stream does not tell what the row was.
    pub(super) fn count(&self, operation: &Operation, tally: &mut Tally) -> Result<(), Uncounted> {
        let (old, new) = match operation {
            Operation::Insert { new } => (None, Some(new)),
            Operation::Update { old, new } => (Some(old.as_ref()), Some(new)),
            Operation::Delete { old } => (Some(Some(old)), None),
        };
        match self {
            Self::Entries { places } => {
                difference("public.entries", ENTRIES, places, (old, new), |values, sign| {
                    tally.entry(values, sign);
                })
            }
            Self::Activities { places } => {
                difference("public.activities", ACTIVITIES, places, (old, new), |values, sign| {
                    tally.activity(values, sign);
                })
            }
            Self::Board { place } => {
                // One that has gone leaves a value behind that is no longer.
                for row in [new, old.flatten().map(Image::row)].into_iter().flatten() {
                    if let Some(Datum::Text(text)) = row.get(*place) {
                        tally.touched.extend(number(Some(text)));
                    }
                }
                Ok(())
            }
            Self::Definitions { computed_at } => {
                tally.all |= match (old, new) {
                    (Some(Some(Image::Full(old))), Some(new)) => {
                        let mut columns = old.columns().zip(new.columns()).enumerate();
                        columns.any(|(place, (old, new))| {
                            Some(place) != *computed_at && new != Datum::Unchanged && old != new
                        })
                    }
                    _ => true,
                };
                Ok(())
            }
        }
    }
}

/// Counts what a row was off and what it is on, unless both are the same in what is counted.
fn difference<const N: usize>(
    table: &'static str,
    columns: [&'static str; N],
    places: &[usize; N],
    (old, new): (Option<Option<&Image>>, Option<&Row>),
    mut add: impl FnMut(&[Option<&[u8]>; N], i64),
) -> Result<(), Uncounted> {
    let old = match old {
        None => None,
        Some(Some(Image::Full(row))) => Some(values(row, places, table, columns)?),
        Some(_) => return Err(Uncounted { table, column: "replica identity" }),
    };
    let new = new.map(|row| values(row, places, table, columns)).transpose()?;
    if old == new {
        return Ok(());
    }
    for (values, sign) in [(old, -1), (new, 1)] {
        if let Some(values) = values {
            add(&values, sign);
        }
    }
    Ok(())
}

fn places<const N: usize>(
    relation: &Relation,
    table: &'static str,
    columns: [&'static str; N],
) -> Result<[usize; N], Uncounted> {
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let found = relation.columns.iter().position(|it| &*it.name == column);
        *place = found.ok_or(Uncounted { table, column })?;
    }
    Ok(places)
}

/// Some of a row's values; `None` for NULL.
fn values<'a, const N: usize>(
    row: &'a Row,
    places: &[usize; N],
    table: &'static str,
    columns: [&'static str; N],
) -> Result<[Option<&'a [u8]>; N], Uncounted> {
    let mut values = [None; N];
    for (index, datum) in row.columns().enumerate() {
        let Some(wanted) = places.iter().position(|place| *place == index) else { continue };
        values[wanted] = match datum {
            Datum::Text(text) => Some(text),
            Datum::Null => None,
            Datum::Unchanged | Datum::Untold => {
                return Err(Uncounted { table, column: columns[wanted] });
            }
        };
    }
    Ok(values)
}

impl Tally {
    /// An empty one.
    pub(super) fn new(horizon: Timestamp) -> Self {
        Self { horizon, ..Self::default() }
    }

    fn entry(&mut self, values: &[Option<&[u8]>; 8], sign: i64) {
        let [board, state, category, assignee, due, created, started, closed] = values;
        let Some(board) = number(*board) else { return };
        let finite = |value: Option<&[u8]>| value.and_then(moment).and_then(finite);
        let horizon = self.horizon.get();
        let mut add = |measure, item: &str, at: Option<i64>, sum: i64| {
            let at = at.map(Timestamp::new);
            self.add(Key { board, measure, item: item.into(), at }, Count { count: sign, sum: sign * sum });
        };
        add("state", text(*state), None, 0);
        if closed.is_none() {
            add("category", text(*category), None, 0);
            add("assignee", text(*assignee), None, 0);
        }
        let (created, started) = (finite(*created), finite(*started));
        if let Some(created) = created {
            add("created", "", Some(floor(created, DAY)), 0);
        }
        let Some(closed) = finite(*closed) else { return };
        let day = Some(floor(closed, DAY));
        add("closed", "", day, 0);
        if closed < horizon {
            return;
        }
        add("hour", "", Some(floor(closed, HOUR)), 0);
        for (measure, since) in [("lead", created), ("cycle", started)] {
            if let Some(since) = since {
                let span = closed.saturating_sub(since).div_euclid(SECOND).max(0);
                let mut bin = String::new();
                _ = write!(bin, "{}", span_bin(span));
                add(measure, &bin, day, span);
            }
        }
        if let Some(due) = due.and_then(moment) {
            let met = closed <= due.get();
            add("due", if met { "met" } else { "missed" }, day, 0);
        }
    }

    fn activity(&mut self, values: &[Option<&[u8]>; 3], sign: i64) {
        let [board, actor, at] = values;
        let Some(board) = number(*board) else { return };
        let Some(at) = at.and_then(moment).and_then(finite) else { return };
        let is_late = at >= self.horizon.get();
        let at = Some(Timestamp::new(floor(at, DAY)));
        let by = Count { count: sign, sum: 0 };
        self.add(Key { board, measure: "activity", item: "".into(), at }, by);
        if is_late {
            self.add(Key { board, measure: "actor", item: text(*actor).into(), at }, by);
        }
    }

    pub(super) fn add(&mut self, key: Key, by: Count) {
        let kept = self.counts.entry(key).or_default();
        kept.count += by.count;
        kept.sum += by.sum;
    }

    /// How many counters it holds.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing has changed.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.touched.is_empty() && !self.all
    }

    /// Takes all of it.
    pub(super) fn take(&mut self) -> Taken {
        let counts: Vec<_> = self.counts.drain().filter(|(_, count)| *count != Count::default()).collect();
        let touched = self.touched.drain().chain(counts.iter().map(|(key, _)| key.board)).collect();
        Taken { boards: (!std::mem::take(&mut self.all)).then_some(touched), counts }
    }
}

/// The steps of `app.span_bin`.
fn span_bin(seconds: i64) -> i64 {
    if seconds < 64 {
        return seconds.max(0);
    }
    let shift = i64::from(seconds.ilog2()) - 5;
    shift * 32 + (seconds >> shift)
}

/// The beginning of the hour or day, in UTC, that a moment is in.
const fn floor(moment: i64, unit: i64) -> i64 {
    moment - moment.rem_euclid(unit)
}

/// Microseconds since 2000, unless it is `infinity` or `-infinity`.
fn finite(moment: Timestamp) -> Option<i64> {
    Some(moment.get()).filter(|micros| *micros != i64::MAX && *micros != i64::MIN)
}

fn text(value: Option<&[u8]>) -> &str {
    value.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

fn number(value: Option<&[u8]>) -> Option<i64> {
    text(value).parse().ok()
}

/// Counters as SQL takes them: `jsonb_to_recordset`, with `at` in microseconds since 2000.
pub(super) fn rows(counts: &[(Key, Count)]) -> String {
    let rows = counts.iter().map(|(Key { board, measure, item, at }, Count { count, sum })| {
        json!({
            "board_id": board, "measure": measure, "item": item,
            "at": at.map(Timestamp::get), "count": count, "sum": sum,
        })
    });
    rows.collect::<Value>().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{RelationColumn, ReplicaIdentity};

    fn relation() -> Relation {
        let column = |name: &&str| RelationColumn {
            name: Arc::from(*name),
            key: true,
            type_oid: 25,
            type_modifier: -1,
        };
        Relation {
            oid: 1,
            schema: "public".into(),
            name: "entries".into(),
            identity: ReplicaIdentity::Full,
            columns: ENTRIES.iter().map(column).collect(),
        }
    }

    fn card(state: &str, closed: Option<&str>) -> Row {
        let text = |text: &'static str| Datum::Text(text.as_bytes());
        [
            text("7"),
            Datum::Text(state.as_bytes()),
            Datum::Null,
            text("ada"),
            text("infinity"),
            text("2026-11-26 10:00:00.5+00"),
            text("2026-11-26 11:59:59.999999+00"),
            closed.map_or(Datum::Null, |closed| Datum::Text(closed.as_bytes())),
        ]
        .into_iter()
        .collect()
    }

    fn counted(changes: &[Operation]) -> Vec<(String, i64, i64)> {
        let counted = Counted::of(&relation()).expect("published").expect("counted");
        let mut tally = Tally::default();
        for change in changes {
            counted.count(change, &mut tally).expect("told");
        }
        let mut taken: Vec<_> = tally
            .take()
            .counts
            .into_iter()
            .map(|(key, count)| {
                let at = key.at.map(|at| at.to_string()[..13].to_owned()).unwrap_or_default();
                (format!("{} {} {at}", key.measure, key.item), count.count, count.sum)
            })
            .collect();
        taken.sort();
        taken
    }

    #[test]
    fn a_card_counts_where_it_is_and_for_what_it_took() {
        let told = counted(&[Operation::Insert { new: card("3", Some("2026-11-26 12:00:00+00")) }]);
        let expected = [
            ("closed  2026-11-26T00", 1, 0),
            ("created  2026-11-26T00", 1, 0),
            ("cycle 0 2026-11-26T00", 1, 0),
            ("due met 2026-11-26T00", 1, 0),
            ("hour  2026-11-26T12", 1, 0),
            // 7,199 seconds: 32 steps from 4,096 to 8,192 make 128 each.
            ("lead 280 2026-11-26T00", 1, 7_199),
            ("state 3 ", 1, 0),
        ];
        assert_eq!(told, expected.map(|(key, count, sum)| (key.to_owned(), count, sum)));
    }

    #[test]
    fn what_comes_and_goes_counts_for_nothing() {
        let (open, done) = (card("1", None), card("3", Some("2026-11-26 12:00:00+00")));
        let image = |row: &Row| Image::Full(row.clone());
        let there_and_back = [
            Operation::Insert { new: open.clone() },
            Operation::Update { old: Some(image(&open)), new: done.clone() },
            Operation::Update { old: Some(image(&done)), new: open.clone() },
            Operation::Delete { old: image(&open) },
        ];
        assert_eq!(counted(&there_and_back), []);
    }

    #[test]
    fn a_row_that_is_not_told_whole_is_refused() {
        let counted = Counted::of(&relation()).expect("published").expect("counted");
        let update = Operation::Update { old: None, new: card("1", None) };
        assert!(counted.count(&update, &mut Tally::default()).is_err());
        let mut less = relation();
        less.columns.pop();
        let refused = Counted::of(&less).expect_err("not published");
        assert_eq!(refused, Uncounted { table: "public.entries", column: "closed_at" });
    }
}
