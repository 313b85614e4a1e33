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

/// What they show, but for those by spans.
pub(super) async fn shown(app: &App) -> Drawn {
    const CHARTS: &str = "
        select chart, board_id, series, day::text, y
        from analytics.chart_data
        where chart not in ('flow', 'time_in_state')";
    let rows = app.select(CHARTS).await;
    let key = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        (text("chart"), row["board_id"].as_i64().expect("a number"), text("series"), text("day"))
    };
    rows.iter().map(|row| (key(row), row["y"].as_f64().expect("a number"))).collect()
}

pub(super) fn must_agree(expected: &Drawn, shown: &Drawn) {
    let keys: BTreeSet<_> = expected.keys().chain(shown.keys()).collect();
    let near = |key| match (expected.get(key), shown.get(key)) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        _ => false,
    };
    let wrong: Vec<_> = keys
        .into_iter()
        .filter(|key| !near(key))
        .map(|key| format!("{key:?}: {:?}, shown {:?}", expected.get(key), shown.get(key)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
