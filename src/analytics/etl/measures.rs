use super::statements::WATERMARK;
use super::{Etl, Range, count};
use crate::postgres::Error;

/// Values that have changed since, a while before included.
const READ: &str = "
select
  jsonb_agg(jsonb_build_object(
    'board_id', board_id, 'kpi', kpi, 'item', item, 'at', measured_at, 'value', value))::text,
  max(measured_at)::text
from public.kpi_values
where measured_at >= $1::timestamptz";
const PREPARE: &str = "
select analytics.prepare('kpi_values_raw', min(at), max(at))::text
from jsonb_to_recordset($1) as d (at timestamptz)
having count(*) > 0";
/// The last of each minute.
const LOAD: &str = "
with loaded as (
  insert into analytics.kpi_values_raw as kept (board_id, kpi, item, at, value, least, most, samples)
  select distinct on (board_id, kpi, item, date_trunc('minute', at))
    board_id, kpi, item, date_trunc('minute', at), value, value, value, 1
  from jsonb_to_recordset($1) as d (board_id bigint, kpi text, item text, at timestamptz, value double precision)
  order by board_id, kpi, item, date_trunc('minute', at), at desc
  on conflict (board_id, kpi, item, at) do update set
    value = excluded.value,
    least = least(kept.least, excluded.value),
    most = greatest(kept.most, excluded.value)
  where kept.value <> excluded.value
  returning 1
),
marked as (
  update analytics.watermarks
  set settled_at = greatest(settled_at, $2::timestamptz)
  where source = 'kpi_values'
)
select count(*)::text
from loaded";
/// From one table to the next, since the beginning of the hour, day or month that a moment is in: the last value of each,
/// the least and the most that it changed to, and how often it did.
macro_rules! roll_up {
    ($from:literal, $to:literal, $unit:literal) => {
        concat!(
            "
with loaded as (
  insert into analytics.kpi_values_",
            $to,
            " as kept (board_id, kpi, item, at, value, least, most, samples)
  select
    board_id, kpi, item, date_trunc('",
            $unit,
            "', at),
    (array_agg(value order by at desc))[1],
    min(least), max(most), sum(samples)
  from analytics.kpi_values_",
            $from,
            "
  where at >= date_trunc('",
            $unit,
            "', $1::timestamptz)
    and at < coalesce(date_trunc('",
            $unit,
            "', $2::timestamptz) + interval '1 ",
            $unit,
            "', 'infinity')
  group by board_id, kpi, item, date_trunc('",
            $unit,
            "', at)
  on conflict (board_id, kpi, item, at) do update set
    value = excluded.value, least = excluded.least, most = excluded.most, samples = excluded.samples
  where (kept.value, kept.least, kept.most, kept.samples)
    is distinct from (excluded.value, excluded.least, excluded.most, excluded.samples)
  returning 1
)
select count(*)::text
from loaded"
        )
    };
}

const TO_HOUR: &str = roll_up!("raw", "hour", "hour");
const TO_DAY: &str = roll_up!("hour", "day", "day");
const TO_MONTH: &str = roll_up!("day", "month", "month");
/// Where values are rolled up from, and until when there is room for them.
const SINCE: &str = "
select coalesce($1, case when isfinite(w.settled_at) then (w.settled_at - interval '1 hour')::text end,
  (select min(at) from analytics.kpi_values_raw)::text)
from analytics.watermarks as w
where source = 'roll_up'";
const ROOM: &str = "
select
  analytics.prepare('kpi_values_hour', $1::timestamptz, now())::text,
  analytics.prepare('kpi_values_day', $1::timestamptz, now())::text";
const ROLLED: &str = "
update analytics.watermarks
set settled_at = now()
where source = 'roll_up'
returning ''";

impl Etl {
    /// Takes the values that have changed into the history.
    ///
    /// # Errors
    /// Those of the conversations with both databases.
    pub async fn sample(&self) -> Result<u64, Error> {
        let work = self.step().await?;
        let since = work.first(WATERMARK, &[Some("kpi_values"), Some("15 minutes")]).await?;
        work.commit().await?;
        let read = self.read().await?;
        let rows = read.first(READ, &[since.as_ref().and_then(|row| row.text(0))]).await?;
        read.end().await?;
        let Some(rows) = rows.filter(|rows| rows.text(0).is_some()) else { return Ok(0) };
        let work = self.step().await?;
        work.rows(PREPARE, &[rows.text(0)]).await?;
        let loaded = count(&work, LOAD, &[rows.text(0), rows.text(1)]).await?;
        work.commit().await?;
        Ok(loaded)
    }

    /// Rolls values up by hour, day and month: those of a range, or what may have changed since the last time.
    pub(super) async fn roll_up(&self, range: Option<&Range>) -> Result<u64, Error> {
        let work = self.step().await?;
        work.rows(WATERMARK, &[Some("roll_up"), Some("1 hour")]).await?;
        let since = work.first(SINCE, &[range.map(|range| &*range.from)]).await?;
        let Some(since) = since.as_ref().and_then(|row| row.text(0)) else {
            work.commit().await?;
            return Ok(0);
        };
        work.rows(ROOM, &[Some(since)]).await?;
        let values = [Some(since), range.map(|range| &*range.to)];
        let mut rolled = 0;
        for step in [TO_HOUR, TO_DAY, TO_MONTH] {
            rolled += count(&work, step, &values).await?;
        }
        if range.is_none() {
            work.rows(ROLLED, &[]).await?;
        }
        work.commit().await?;
        Ok(rolled)
    }
}
