//! The history: series of measures, and charts of what happened.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operation::{Reading, asked_for};
use super::{Answer, Asked, Kind, Read, Shown};
use crate::postgres::{Access, Begun, Work};
use crate::workspace::{Code, Fault, Id, Shape};

/// How fine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Resolution {
    /// Each change, by the minute.
    Raw,
    /// By the hour.
    Hour,
    /// By the day (UTC).
    #[default]
    Day,
    /// By the month (UTC).
    Month,
}

/// Which part of a series.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The board.
    board_id: Id,
    /// The first moment; a month before `to`, a year for days and all there is for months, if it is left out.
    #[schema(format = DateTime, pattern = "^[^\\u0000]*$", max_length = 100)]
    from: Option<String>,
    /// The first moment that is no longer of it; now if it is left out.
    #[schema(format = DateTime, pattern = "^[^\\u0000]*$", max_length = 100)]
    to: Option<String>,
    /// How fine; by the day if it is left out.
    resolution: Option<Resolution>,
    /// One part of a measure that has parts; all of them if it is left out.
    #[schema(pattern = "^[^\\u0000]*$", max_length = 1_000)]
    item: Option<String>,
}

/// Charts that are drawn by day, from what happened.
pub(super) const CHARTS: [&str; 5] = ["flow", "lead_time", "cycle_time", "sla", "time_in_state"];

pub(super) fn reads() -> Vec<Read> {
    vec![Read {
        id: "getKpiSeries",
        path: "/v1/kpis/{name}/series",
        summary: "A measure of a board over time",
        query: Some(Shape::of::<Which>()),
        kind: Kind::Kpis,
        shown: Shown::Other("KpiSeries", schema),
        tags: |marks, asked| {
            let board = asked.asks("board_id").unwrap_or_default();
            vec![marks.table("kpis"), marks.rows("boards", "id", board), asked.membership(marks)]
        },
        run: |reading, asked| Box::pin(series(reading, asked)),
        noted: None,
    }]
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["kpi", "unit", "resolution", "series"],
        "properties": {
            "kpi": {"type": "string"},
            "unit": {"type": "string"},
            "resolution": {"type": "string", "enum": ["raw", "hour", "day", "month"]},
            "series": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["item", "points"],
                    "properties": {
                        "item": {"type": "string", "description": "The part; empty for the whole."},
                        "points": {
                            "type": "array",
                            "description": "Where it changed: between two of them it stayed.",
                            "items": {
                                "type": "array",
                                "description": "Seconds since 1970-01-01 00:00 UTC, and the value.",
                                "prefixItems": [{"type": "integer"}, {"type": "number"}],
                                "minItems": 2,
                                "maxItems": 2,
                            },
                        },
                    },
                },
            },
        },
    })
}

/// What it is, if whoever asks may see it: as any member does, as an admin, or as they see its values now.
const DEFINITION: &str = "
select k.unit
from public.kpis as k
where k.name = $1
  and (
    (k.audience = 'members' and exists (select from public.boards as b where b.id = $2::bigint))
    or exists (select from public.kpi_values as v where v.kpi = k.name and v.board_id = $2::bigint)
    or app.is_admin($2::bigint)
  )";
/// What is more is too much for one answer: a year by the hour of eleven parts is less.
const MOST_POINTS: u64 = 100_000;
/// What a board's measure has values of now: a part that has none any more is not drawn on from before a span.
const PARTS: &str = "
select coalesce(json_agg(item), '[]')::text
from public.kpi_values
where board_id = $1::bigint
  and kpi = $2";
/// Values within a span, and those that held at its beginning: from the finest that is kept still of the time before it,
/// since only changes are kept. The second word is how long a span is that nobody bounds.
macro_rules! points {
    ($table:literal, $back:literal) => {
        concat!(
            "
with span as materialized (
  select
    coalesce($3::timestamptz, coalesce($4::timestamptz, now()) - interval '",
            $back,
            "') as since,
    coalesce($4::timestamptz, now()) as until
),
point as materialized (
  select v.item, v.at, v.value
  from span
  join analytics.kpi_values_",
            $table,
            " as v
    on v.board_id = $1::bigint and v.kpi = $2 and v.at >= span.since and v.at < span.until
  where $5::text is null
    or v.item = $5
  order by v.item, v.at
  limit 100001
),
part as (
  select item from point
  union
  select item
  from jsonb_array_elements_text($6) as live (item)
  where $5::text is null
    or item = $5
),
before as (
  select p.item, span.since as at, coalesce(
    (
      select v.value
      from analytics.kpi_values_raw as v
      where v.board_id = $1::bigint and v.kpi = $2 and v.item = p.item and v.at < span.since
      order by v.at desc
      limit 1
    ),
    -- The last value of an hour, a day or a month that had ended.
    (
      select v.value
      from analytics.kpi_values_hour as v
      where v.board_id = $1::bigint and v.kpi = $2 and v.item = p.item and v.at <= span.since - interval '1 hour'
      order by v.at desc
      limit 1
    ),
    (
      select v.value
      from analytics.kpi_values_day as v
      where v.board_id = $1::bigint and v.kpi = $2 and v.item = p.item and v.at <= span.since - interval '1 day'
      order by v.at desc
      limit 1
    ),
    (
      select v.value
      from analytics.kpi_values_month as v
      where v.board_id = $1::bigint and v.kpi = $2 and v.item = p.item and v.at <= span.since - interval '1 month'
      order by v.at desc
      limit 1
    )
  ) as value
  from span
  cross join part as p
  where isfinite(span.since)
)
select
  item,
  json_agg(json_build_array(floor(extract(epoch from at))::bigint, value) order by at)::text,
  count(*)::text
from (
  select item, at, value from point
  union all
  select item, at, value from before where value is not null
) as points
group by item
order by item"
        )
    };
}

async fn series(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let Which { board_id, from, to, resolution, item } = asked.query()?;
    let name = asked.part(0);
    let board = board_id.as_str();
    if name.contains('\0') {
        return Err(Fault::not_found("measure", name));
    }
    let definition = reading.work.first(DEFINITION, &[Some(name), Some(board)]).await?;
    let definition = definition.ok_or_else(|| Fault::not_found("measure", name))?;
    let resolution = resolution.unwrap_or_default();
    let statement = match resolution {
        Resolution::Raw => points!("raw", "1 day"),
        Resolution::Hour => points!("hour", "30 days"),
        Resolution::Day => points!("day", "1 year"),
        Resolution::Month => points!("month", "100 years"),
    };
    let parts = reading.work.first(PARTS, &[Some(board), Some(name)]).await?;
    let parts = parts.as_ref().and_then(|row| row.text(0));
    let work = warehouse(reading).await?;
    let values = [Some(board), Some(name), from.as_deref(), to.as_deref(), item.as_deref(), parts];
    let rows = work.rows(statement, &values).await.map_err(asked_for("from"))?;
    work.end().await?;
    let points: u64 = rows.iter().filter_map(|row| row.text(2)?.parse::<u64>().ok()).sum();
    if points > MOST_POINTS {
        let more = "is too fine for this span: ask for a coarser one, a shorter span, or one `item`";
        return Err(Fault::field("resolution", more));
    }
    let series = rows.iter().map(|row| {
        let item = Value::from(row.text(0).unwrap_or_default());
        format!("{{\"item\":{item},\"points\":{}}}", row.text(1).unwrap_or("[]"))
    });
    let series: Vec<_> = series.collect();
    let (kpi, unit) = (Value::from(name), Value::from(definition.text(0).unwrap_or_default()));
    let resolution = format!("{resolution:?}").to_lowercase();
    let answer = format!(
        "{{\"kpi\":{kpi},\"unit\":{unit},\"resolution\":\"{resolution}\",\"series\":[{}]}}",
        series.join(",")
    );
    Ok(Answer::other(answer.into_bytes()))
}

/// Whose audience a chart has: whoever may see the measure may see what it was.
pub(super) fn measure_of(chart: &str) -> Option<&'static str> {
    Some(match chart {
        "states" | "flow" | "time_in_state" => "entries_by_state",
        "assignees" => "entries_by_assignee",
        "categories" => "entries_by_category",
        "throughput" => "throughput",
        "lead_time" => "lead_time_p50",
        "cycle_time" => "cycle_time_p50",
        "sla" => "sla_attainment",
        _ => return None,
    })
}

/// Refuses a chart of what whoever asks may not see.
pub(super) async fn may_see(reading: Reading<'_>, chart: &str, board: Option<&Id>) -> Result<(), Fault> {
    const EVERYBODY: &str = "select '' from public.kpis where name = $1 and audience = 'members'";
    let Some(measure) = measure_of(chart) else { return Ok(()) };
    let seen = match board {
        Some(board) => reading.work.first(DEFINITION, &[Some(measure), Some(board.as_str())]).await?,
        None => reading.work.first(EVERYBODY, &[Some(measure)]).await?,
    };
    seen.map(drop).ok_or_else(|| Fault::not_found("chart", chart))
}

/// Series of a board that are states: as these are called now, or as they were when they went. One that another is called like
/// has its number beside it.
macro_rules! of_states {
    ($rest:literal) => {
        concat!(
            "
with state as materialized (
  select
    f.series,
    k.ordinal,
    k.gone,
    coalesce(k.name, f.series) as name,
    row_number() over (
      partition by coalesce(k.name, f.series) order by k.gone nulls last, k.state_id desc, f.series
    ) as number
  from (select distinct series from analytics.chart_data where chart = $3::text and board_id = $1::bigint) as f
  left join analytics.dim_states as k on k.board_id = $1::bigint and k.state_id::text = f.series
),
shown as materialized (
  select series, case when number = 1 then name else name || ' (' || series || ')' end as name,
    case when not gone then ordinal end as ordinal
  from state
)",
            $rest
        )
    };
}

/// What was in each state at the end of each day: on days without a change as on the day before.
const FLOW: &str = of_states!(
    "
select d.day::date::text, s.name, c.y::text
from generate_series(current_date - ($2::integer - 1), current_date, '1 day') as d (day)
cross join shown as s
cross join lateral (
  select y
  from analytics.chart_data as c
  where c.chart = $3::text
    and c.board_id = $1::bigint
    and c.series = s.series
    and c.day <= d.day
  order by c.day desc
  limit 1
) as c
order by d.day, s.ordinal nulls last, s.name"
);
const TIME_IN_STATE: &str = of_states!(
    "
select c.day::text, s.name, c.y::text
from analytics.chart_data as c
join shown as s on s.series = c.series
where c.chart = $3::text
  and c.board_id = $1::bigint
  and c.day > current_date - $2::integer
order by c.day, s.ordinal nulls last, s.name
limit 50000"
);
const DRAWN: &str = "
select day::text, series, y::text
from analytics.chart_data
where chart = $3
  and board_id = $1::bigint
  and day > current_date - $2::integer
order by day, series
limit 50000";

/// A chart of a board by day.
pub(super) async fn chart(
    reading: Reading<'_>,
    name: &str,
    board: Option<&Id>,
    days: &str,
) -> Result<Answer, Fault> {
    let board = board.ok_or_else(|| Fault::field("board_id", "is needed: this chart is of one board"))?;
    let work = warehouse(reading).await?;
    let statement = match name {
        "flow" => FLOW,
        "time_in_state" => TIME_IN_STATE,
        _ => DRAWN,
    };
    let rows = work.rows(statement, &[Some(board.as_str()), Some(days), Some(name)]).await?;
    work.end().await?;
    let points: Vec<Value> = rows
        .iter()
        .map(|row| {
            let y: f64 = row.text(2).and_then(|y| y.parse().ok()).unwrap_or(0.0);
            json!({"x": row.text(0), "series": row.text(1), "y": y})
        })
        .collect();
    Ok(Answer::other(json!({"name": name, "points": points}).to_string().into_bytes()))
}

/// The history's database, as the server: what may be seen of it was asked of the application's before.
async fn warehouse(reading: Reading<'_>) -> Result<Work, Fault> {
    let none = || Fault::new(Code::NotFound, "no history is kept: analytics.enabled is false");
    let (pool, timeout) = reading.warehouse.ok_or_else(none)?;
    let Begun { work, .. } = Work::begin(pool, None, "pg_catalog", Access::Read, timeout).await?;
    Ok(work)
}
