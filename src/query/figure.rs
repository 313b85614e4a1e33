//! Figures: the newest measures, and charts of what is counted.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operation::{Reading, asked_for};
use super::page::{behind, limit, page};
use super::{Answer, Asked, Kind, Read, Shown, history};
use crate::command::statement;
use crate::workspace::tables::KPI;
use crate::workspace::{Fault, Id, Shape};

/// Whose measures.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// One board; all of one's own if it is left out.
    board_id: Option<Id>,
    /// `next` of the page before.
    #[schema(max_length = 2_000)]
    after: Option<String>,
    /// The most rows; 1,000 if it is left out.
    #[schema(minimum = 1, maximum = 5_000)]
    limit: Option<u16>,
}

/// A dozen boards of some people.
const ROWS: u16 = 1_000;

/// Which part of a chart.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// One board; all of one's own together if it is left out.
    board_id: Option<Id>,
    /// How many days back, today among them.
    #[schema(minimum = 1, maximum = 366)]
    days: Option<u16>,
}

/// Charts of what is counted.
const CHARTS: [&str; 6] = ["states", "assignees", "categories", "created", "throughput", "activity"];

/// The charts there are.
pub fn charts() -> impl Iterator<Item = &'static str> {
    CHARTS.into_iter().chain(history::CHARTS)
}

/// A month.
const DAYS: u16 = 30;

pub(super) fn reads() -> Vec<Read> {
    vec![
        Read {
            id: "listKpis",
            path: "/v1/kpis",
            summary: "The newest measures of one's boards",
            query: Some(Shape::of::<Whose>()),
            kind: Kind::Kpis,
            shown: Shown::Page(&KPI),
            tags: |marks, asked| {
                let measured = match asked.asks("board_id") {
                    Some(board) => marks.rows("kpi_values", "board_id", board),
                    None => marks.table("kpi_values"),
                };
                vec![measured, asked.membership(marks)]
            },
            run: |reading, asked| Box::pin(kpis(reading, asked)),
            noted: None,
        },
        Read {
            id: "getChart",
            path: "/v1/charts/{name}",
            summary: "A chart: `states`, entries by state; `assignees` and `categories`, open entries by who answers for \
                      them and by category; `created` and `throughput`, entries created and closed by day; `activity`, \
                      what happened by day. Of one board, by day, from its history: `flow`, entries in each state at the \
                      day's end; `lead_time` and `cycle_time`, `p50` and `p85` of those closed, in seconds; `sla`, the \
                      share closed in time; `time_in_state`, seconds on average in the states that were left",
            query: Some(Shape::of::<Which>()),
            kind: Kind::Charts,
            shown: Shown::Other("Chart", chart_schema),
            tags: |marks, asked| {
                let of = |table| match asked.asks("board_id") {
                    Some(board) => marks.rows(table, "board_id", board),
                    None => marks.table(table),
                };
                let names = if asked.part(0) == "categories" { "categories" } else { "workflow_states" };
                let source = if history::CHARTS.contains(&asked.part(0)) {
                    marks.table("kpis")
                } else {
                    of("kpi_boards")
                };
                vec![source, marks.table("kpis"), of(names), asked.membership(marks)]
            },
            run: |reading, asked| Box::pin(chart(reading, asked)),
            noted: None,
        },
    ]
}

fn chart_schema() -> Value {
    json!({
        "type": "object",
        "required": ["name", "points"],
        "properties": {
            "name": {"type": "string"},
            "points": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["x", "y"],
                    "properties": {
                        "x": {"type": ["string", "null"], "description": "A day in UTC, a state or a person; null for nobody."},
                        "series": {"type": "string", "description": "Which of several lines, where there are."},
                        "y": {"type": "number"},
                    },
                },
            },
        },
    })
}

statement!(
    KPIS = "
    select {}
    from public.kpi_values as k
    where ($1::bigint is null or k.board_id = $1::bigint)
      and ($2::bigint is null or (k.board_id, k.kpi, k.item) > ($2::bigint, $3::text, $4::text))
    order by k.board_id, k.kpi, k.item
    limit $5",
    KPI.select("k")
);
const STATES: &str = "
select s.name, coalesce(sum(k.count), 0)::text
from public.workflow_states as s
left join app.kpi_counters as k
  on k.board_id = s.board_id and k.measure = 'state' and k.item = s.id::text and k.at = '-infinity'
where ($1::bigint is null or s.board_id = $1::bigint)
  and $2::integer > 0
group by s.name
order by min(s.ordinal), s.name";
/// Board by board, by the index: those that one sees, or one of them.
const ASSIGNEES: &str = "
select nullif(k.item, ''), sum(k.count)::text
from app.kpi_counters as k
where k.board_id = any (array(select b.id from public.boards as b where $1::bigint is null or b.id = $1::bigint))
  and k.measure = 'assignee'
  and k.at = '-infinity'
  and $2::integer > 0
group by k.item
order by sum(k.count) desc, k.item
limit 100";
const CATEGORIES: &str = "
select c.name, sum(k.count)::text
from app.kpi_counters as k
left join public.categories as c on c.board_id = k.board_id and c.id::text = k.item
where k.board_id = any (array(select b.id from public.boards as b where $1::bigint is null or b.id = $1::bigint))
  and k.measure = 'category'
  and k.at = '-infinity'
  and $2::integer > 0
group by c.name
order by sum(k.count) desc, c.name
limit 100";

/// What was counted of a kind, by day. Days without any are there too: what a chart leaves out its reader takes for a
/// straight line.
macro_rules! by_day {
    ($measure:literal) => {
        concat!(
            "
select to_char(d.day, 'YYYY-MM-DD'), coalesce(c.count, 0)::text
from generate_series(current_date - ($2::integer - 1), current_date, '1 day') as d (day)
left join (
  select date_trunc('day', at) as day, sum(count) as count
  from app.kpi_counters as k
  where k.board_id = any (array(select b.id from public.boards as b where $1::bigint is null or b.id = $1::bigint))
    and measure = '",
            $measure,
            "'
    and at >= current_date - ($2::integer - 1)
  group by 1
) as c on c.day = d.day
order by d.day"
        )
    };
}

async fn kpis(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let Whose { board_id, after, limit: most } = asked.query()?;
    let (behind, most) = (behind(after.as_deref(), 3)?, most.unwrap_or(ROWS));
    let behind = |place| behind.get(place).map(String::as_str);
    let most_rows = limit(most);
    let values = [board_id.as_ref().map(Id::as_str), behind(0), behind(1), behind(2), Some(&*most_rows)];
    let rows = reading.work.rows(&KPIS, &values).await.map_err(asked_for("after"))?;
    Ok(page(&KPI, rows, most, &["board_id", "kpi", "item"]))
}

async fn chart(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let Which { board_id, days } = asked.query()?;
    let days = days.unwrap_or(DAYS).to_string();
    history::may_see(reading, asked.part(0), board_id.as_ref()).await?;
    if history::CHARTS.contains(&asked.part(0)) {
        return history::chart(reading, asked.part(0), board_id.as_ref(), &days).await;
    }
    let statement = match asked.part(0) {
        "states" => STATES,
        "assignees" => ASSIGNEES,
        "categories" => CATEGORIES,
        "created" => by_day!("created"),
        "throughput" => by_day!("closed"),
        "activity" => by_day!("activity"),
        other => return Err(Fault::not_found("chart", other)),
    };
    let rows = reading.work.rows(statement, &[board_id.as_ref().map(Id::as_str), Some(&days)]).await?;
    let points: Vec<Value> = rows
        .iter()
        .map(|row| {
            let count: i64 = row.text(1).and_then(|count| count.parse().ok()).unwrap_or(0);
            json!({"x": row.text(0), "y": count})
        })
        .collect();
    Ok(Answer::other(json!({"name": asked.part(0), "points": points}).to_string().into_bytes()))
}
