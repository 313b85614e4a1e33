use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::app::house::App;

/// Chart, board, series and day.
pub(super) type Drawn = BTreeMap<(String, i64, String, String), f64>;

/// What charts have to show, from the application's own rows.
pub(super) async fn expected(app: &App) -> Drawn {
    const CARDS: &str = "
        select
          e.id, e.board_id, s.name as state,
          e.created_at::date::text as created_day, e.closed_at::date::text as closed_day,
          extract(epoch from e.created_at) as created,
          extract(epoch from e.closed_at) as closed,
          case when isfinite(e.started_at) then extract(epoch from e.started_at) end as started,
          e.due_at is not null as is_due,
          e.closed_at <= e.due_at as met
        from public.entries as e
        join public.workflow_states as s on s.id = e.state_id
        where not coalesce(e.closed_at < e.created_at, false)";
    let mut drawn = Drawn::new();
    let mut spans: BTreeMap<(String, i64, String), Vec<f64>> = BTreeMap::new();
    let mut dues: BTreeMap<(i64, String), (f64, f64)> = BTreeMap::new();
    for card in app.select(CARDS).await {
        let board = card["board_id"].as_i64().expect("a number");
        let day = |name: &str| card[name].as_str().map(str::to_owned);
        let mut add = |chart: &str, day: String| {
            *drawn.entry((chart.to_owned(), board, String::new(), day)).or_default() += 1.0;
        };
        add("created", day("created_day").expect("cards have one"));
        let Some(closed_day) = day("closed_day") else { continue };
        add("throughput", closed_day.clone());
        let closed = card["closed"].as_f64().expect("a moment");
        for (chart, since) in [("lead_time", &card["created"]), ("cycle_time", &card["started"])] {
            if let Some(since) = since.as_f64() {
                let span = (closed - since).floor().max(0.0);
                spans.entry((chart.to_owned(), board, closed_day.clone())).or_default().push(span);
            }
        }
        if card["is_due"] == true {
            let (met, all) = dues.entry((board, closed_day)).or_default();
            *met += f64::from(u8::from(card["met"] == true));
            *all += 1.0;
        }
    }
    for ((chart, board, day), mut spans) in spans {
        spans.sort_by(f64::total_cmp);
        for percent in [50, 85] {
            let rank = (spans.len() * percent).div_ceil(100);
            drawn.insert((chart.clone(), board, format!("p{percent}"), day.clone()), spans[rank - 1]);
        }
    }
    for ((board, day), (met, all)) in dues {
        drawn.insert(("sla".to_owned(), board, String::new(), day), met / all);
    }
    drawn
}

/// What is told of cards: those that are there or were, and their movements as the history has them.
pub(super) const FACTS: &str = "
    select entry_id, activity_id as id, at, action,
      coalesce(from_state_id::text, from_state) as from, coalesce(to_state_id::text, to_state) as to
    from analytics.fact_activities
    where subject = 'entry'";
/// The same as the application has them, each state by its number.
pub(super) const SOURCE: &str = "
    select entry_id, id, at, action, detail ->> 'from_id' as from, detail ->> 'to_id' as to
    from public.activities
    where subject = 'entry'";

/// What charts of states have to show, from what is told of each card, one after the other: where it was, from when to when.
pub(super) async fn expected_of_states(app: &App, told: &str) -> Drawn {
    const CARDS: &str = "
        select entry_id, board_id, coalesce(state_id::text, state) as state, gone,
          created_at::date::text as day, (extract(epoch from created_at) * 1000000)::bigint as at
        from analytics.fact_entries";
    let told = format!(
        "select entry_id, action, \"from\", \"to\", at::date::text as day,
          (extract(epoch from at) * 1000000)::bigint as at
        from ({told}) as t
        where isfinite(at)
        order by entry_id, t.at, id"
    );
    let mut movements: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for row in app.select(&told).await {
        movements.entry(row["entry_id"].as_i64().expect("a number")).or_default().push(row);
    }
    let mut found = Spans::default();
    for card in app.select(CARDS).await {
        let none = Vec::new();
        let told = movements.get(&card["entry_id"].as_i64().expect("a number")).unwrap_or(&none);
        found.walk(&card, told);
    }
    found.drawn()
}

/// A moment in microseconds, and the day that it is in.
type Moment = (i64, String);

/// Changes by board, state and day, and the microseconds that each stay took that ended then.
#[derive(Default)]
struct Spans {
    changes: BTreeMap<(i64, String), BTreeMap<String, f64>>,
    stays: BTreeMap<(i64, String, String), Vec<i64>>,
}

impl Spans {
    fn walk(&mut self, card: &Value, told: &[Value]) {
        let board = card["board_id"].as_i64().expect("a number");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let moment = |row: &Value| (row["at"].as_i64().expect("finite"), text(&row["day"]).expect("a day"));
        let created = moment(card);
        let later = |a: Moment, b: &Moment| if a.0 < b.0 { b.clone() } else { a };
        let moved = |row: &&Value| !row["to"].is_null();
        let mut here =
            told.iter().find(moved).and_then(|row| text(&row["from"]).or_else(|| text(&row["to"])));
        here = here.or_else(|| text(&card["state"]));
        let mut here = here.expect("cards are somewhere");
        let mut since = created.clone();
        self.change(board, &here, &since, 1.0);
        for row in told.iter().filter(moved) {
            let to = text(&row["to"]).expect("it is told");
            if to != here {
                let at = later(moment(row), &created);
                self.leave(board, &here, &since, &at);
                self.change(board, &to, &at, 1.0);
                (here, since) = (to, at);
            }
        }
        if card["gone"] == true {
            let deleted = told.iter().filter(|row| row["action"] == "deleted").map(moment).next_back();
            let at = later(deleted.unwrap_or_else(|| since.clone()), &since);
            self.leave(board, &here, &since, &at);
        }
    }

    fn leave(&mut self, board: i64, state: &str, since: &Moment, at: &Moment) {
        self.change(board, state, at, -1.0);
        let stays = self.stays.entry((board, state.to_owned(), at.1.clone())).or_default();
        stays.push(at.0 - since.0);
    }

    fn change(&mut self, board: i64, state: &str, at: &Moment, by: f64) {
        *self.changes.entry((board, state.to_owned())).or_default().entry(at.1.clone()).or_default() += by;
    }

    #[expect(clippy::cast_precision_loss, reason = "cards are few, and months short")]
    fn drawn(self) -> Drawn {
        let mut drawn = Drawn::new();
        for ((board, state), days) in self.changes {
            let mut there = 0.0;
            for (day, by) in days {
                there += by;
                drawn.insert(("flow".to_owned(), board, state.clone(), day), there);
            }
        }
        for ((board, state, day), stays) in self.stays {
            let mean = stays.iter().sum::<i64>() as f64 / 1e6 / stays.len() as f64;
            drawn.insert(("time_in_state".to_owned(), board, state, day), mean);
        }
        drawn
    }
}

/// What they show: those of states, or the others.
pub(super) async fn shown(app: &App) -> Drawn {
    shown_of(app, "chart not in ('flow', 'time_in_state')").await
}

pub(super) async fn shown_of_states(app: &App) -> Drawn {
    shown_of(app, "chart in ('flow', 'time_in_state')").await
}

async fn shown_of(app: &App, which: &str) -> Drawn {
    let charts =
        format!("select chart, board_id, series, day::text, y from analytics.chart_data where {which}");
    let rows = app.select(&charts).await;
    let key = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        (text("chart"), row["board_id"].as_i64().expect("a number"), text("series"), text("day"))
    };
    rows.iter().map(|row| (key(row), row["y"].as_f64().expect("a number"))).collect()
}

pub(super) fn must_agree(expected: &Drawn, shown: &Drawn) {
    let keys: BTreeSet<_> = expected.keys().chain(shown.keys()).collect();
    let near = |key| match (expected.get(key), shown.get(key)) {
        (Some(a), Some(b)) => (a - b).abs() < a.abs().max(1.0) * 1e-9,
        _ => false,
    };
    let wrong: Vec<_> = keys
        .into_iter()
        .filter(|key| !near(key))
        .map(|key| format!("{key:?}: {:?}, shown {:?}", expected.get(key), shown.get(key)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
