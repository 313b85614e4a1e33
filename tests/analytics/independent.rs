use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::house::App;

/// Values by board, measure and item.
pub(crate) type Values = BTreeMap<(i64, String, String), f64>;

/// What measures come to, from the rows themselves.
#[expect(clippy::too_many_lines, reason = "one computation, to be read beside the definitions")]
pub(crate) async fn measures(app: &App) -> Values {
    const BOARDS: &str = "select id from public.boards";
    const STATES: &str = "select id, board_id, kind from public.workflow_states";
    const CARDS: &str = "
        select
          board_id, state_id, category_id, assignee_id,
          closed_at is null as open,
          extract(epoch from now()) as now,
          case when isfinite(closed_at) then extract(epoch from closed_at) end as closed,
          case when isfinite(created_at) then extract(epoch from created_at) end as created,
          case when isfinite(started_at) then extract(epoch from started_at) end as started,
          due_at is not null as is_due,
          closed_at <= due_at as met
        from public.entries";
    const DOINGS: &str = "
        select board_id, actor_id, extract(epoch from at) as at, extract(epoch from now()) as now
        from public.activities
        where isfinite(at)";
    let mut found = BTreeMap::new();
    let mut spans: BTreeMap<(i64, &str), Vec<f64>> = BTreeMap::new();
    let mut dues: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    let mut add = |board: i64, kpi: &str, item: String, by: f64| {
        *found.entry((board, kpi.to_owned(), item)).or_default() += by;
    };
    for board in app.select(BOARDS).await {
        for kpi in ["open", "work_in_progress", "throughput"] {
            add(number(&board["id"]), kpi, String::new(), 0.0);
        }
    }
    let states = app.select(STATES).await;
    for state in &states {
        add(number(&state["board_id"]), "entries_by_state", state["id"].to_string(), 0.0);
    }
    for card in app.select(CARDS).await {
        let board = number(&card["board_id"]);
        let state = states.iter().find(|state| state["id"] == card["state_id"]).expect("cards have one");
        add(board, "entries_by_state", state["id"].to_string(), 1.0);
        if state["kind"] != "done" {
            add(board, "open", String::new(), 1.0);
        }
        if state["kind"] == "active" {
            add(board, "work_in_progress", String::new(), 1.0);
        }
        if card["open"] == true {
            add(board, "entries_by_category", name(&card["category_id"]), 1.0);
            add(board, "entries_by_assignee", name(&card["assignee_id"]), 1.0);
        }
        let now = card["now"].as_f64().expect("a moment");
        let Some(closed) = card["closed"].as_f64() else { continue };
        // This hour and the twenty-three before it; today and the twenty-nine days before it.
        if (closed / 3_600.0).floor() > (now / 3_600.0).floor() - 24.0 {
            add(board, "throughput", String::new(), 1.0);
        }
        if (closed / 86_400.0).floor() < (now / 86_400.0).floor() - 29.0 {
            continue;
        }
        for (kpi, since) in [("lead", &card["created"]), ("cycle", &card["started"])] {
            if let Some(since) = since.as_f64() {
                spans.entry((board, kpi)).or_default().push((closed - since).max(0.0));
            }
        }
        if card["is_due"] == true {
            let (met, all) = dues.entry(board).or_default();
            *met += f64::from(u8::from(card["met"] == true));
            *all += 1.0;
        }
    }
    for doing in app.select(DOINGS).await {
        let (at, now) = (doing["at"].as_f64().expect("a moment"), doing["now"].as_f64().expect("a moment"));
        if (at / 86_400.0).floor() >= (now / 86_400.0).floor() - 6.0 {
            add(number(&doing["board_id"]), "activity_by_user", name(&doing["actor_id"]), 1.0);
        }
    }
    for ((board, kpi), mut spans) in spans {
        spans.sort_by(f64::total_cmp);
        for percent in [50, 85] {
            let rank = (spans.len() * percent).div_ceil(100);
            add(board, &format!("{kpi}_time_p{percent}"), String::new(), spans[rank - 1]);
        }
    }
    for (board, (met, all)) in dues {
        add(board, "sla_attainment", String::new(), met / all);
    }
    found
}

/// What measures come to that queries give, from the rows themselves.
pub(crate) async fn queried(app: &App) -> Values {
    const CARDS: &str = "
        select b.id as board_id, e.id, e.closed_at is null and e.due_at <= now() as late, extract(epoch from e.created_at) as created
        from public.boards as b
        left join public.entries as e on e.board_id = b.id";
    const MOVES: &str = "
        select a.entry_id, a.board_id, s.id as state, extract(epoch from a.at) as at, extract(epoch from now()) as now
        from public.activities as a
        left join public.workflow_states as s on s.board_id = a.board_id and s.id::text = a.detail ->> 'from_id'
        where a.subject = 'entry'
          and a.action in ('moved', 'closed', 'reopened')
          and a.detail ->> 'from' is distinct from a.detail ->> 'to'
          and isfinite(a.at)
        order by a.entry_id, a.at, a.id";
    let mut found = Values::new();
    let mut since: BTreeMap<i64, f64> = BTreeMap::new();
    for card in app.select(CARDS).await {
        let late = f64::from(u8::from(card["late"] == true));
        *found.entry((number(&card["board_id"]), "overdue".to_owned(), String::new())).or_default() += late;
        if let Some(created) = card["created"].as_f64() {
            since.insert(number(&card["id"]), created);
        }
    }
    let mut stays: BTreeMap<(i64, i64), Vec<f64>> = BTreeMap::new();
    for told in app.select(MOVES).await {
        let (at, now) = (told["at"].as_f64().expect("a moment"), told["now"].as_f64().expect("a moment"));
        let Some(since) = since.get_mut(&number(&told["entry_id"])) else { continue };
        let stay = at - std::mem::replace(since, at);
        if let Some(state) = told["state"].as_i64()
            && stay > 0.0
            && (now - 30.0 * 86_400.0..=now).contains(&at)
        {
            stays.entry((number(&told["board_id"]), state)).or_default().push(stay);
        }
    }
    for ((board, state), stays) in stays {
        let mean = stays.iter().sum::<f64>() / f64::from(u32::try_from(stays.len()).expect("some"));
        found.insert((board, "time_in_state".to_owned(), state.to_string()), mean);
    }
    found
}

/// What is shown of those that are kept from the journal.
pub(crate) async fn shown(app: &App) -> Values {
    values(app, "k.query is null").await
}

/// What is shown of those that queries give.
pub(crate) async fn shown_queried(app: &App) -> Values {
    values(app, "k.name in ('overdue', 'time_in_state')").await
}

async fn values(app: &App, which: &str) -> Values {
    let rows = app
        .select(&format!(
            "select v.board_id, v.kpi, v.item, v.value
            from public.kpi_values as v
            join public.kpis as k on k.name = v.kpi
            where {which}"
        ))
        .await;
    let key = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        (number(&row["board_id"]), text("kpi"), text("item"))
    };
    rows.iter().map(|row| (key(row), row["value"].as_f64().expect("a number"))).collect()
}

/// Measures that are numbers of things, in parts that come and go.
const PARTS: [&str; 3] = ["entries_by_category", "entries_by_assignee", "activity_by_user"];

/// Which measures are not what they come to; percentiles may be 2 % (and a second) beside.
pub(crate) fn different(expected: &Values, shown: &Values) -> Vec<String> {
    let keys = expected.keys().chain(shown.keys());
    let is_near = |key: &(i64, String, String)| match (expected.get(key), shown.get(key)) {
        (Some(expected), Some(shown)) if key.1.contains("_time_") => {
            (expected - shown).abs() <= expected * 0.02 + 1.0
        }
        (Some(expected), Some(shown)) => (expected - shown).abs() < 1e-9,
        // What came to none stays, and says so.
        (None, Some(shown)) => PARTS.contains(&&*key.1) && *shown == 0.0,
        _ => false,
    };
    keys.filter(|key| !is_near(key))
        .map(|key| format!("{key:?}: {:?}, shown {:?}", expected.get(key), shown.get(key)))
        .collect()
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a number")
}

/// As the items of measures are named.
fn name(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
