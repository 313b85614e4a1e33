use super::{Etl, Range, WATERMARK, count};
use crate::postgres::Error;

/// Values that have changed since, behind the one that was read last: 20,000 at most, the last moment, and that one's key.
const READ: &str = "
select
  json_agg(v)::text,
  max(at)::text,
  (array_agg(board_id order by at desc, board_id desc, kpi desc, item desc))[1]::text,
  (array_agg(kpi order by at desc, board_id desc, kpi desc, item desc))[1],
  (array_agg(item order by at desc, board_id desc, kpi desc, item desc))[1]
from (
  select board_id, kpi, item, measured_at as at, value
  from public.kpi_values
  where (measured_at, board_id, kpi, item) > ($1::timestamptz, $2::bigint, $3::text, $4::text)
  order by measured_at, board_id, kpi, item
  limit 20000
) as v";
const PREPARE: &str = "
select analytics.prepare('kpi_values_raw', min(at), max(at))::text
from json_to_recordset($1) as d (at timestamptz)
having count(*) > 0";
/// The last of each minute. One that comes late is rolled up with its own hour, day and month, however long that is ago.
const LOAD: &str = "
with loaded as (
  insert into analytics.kpi_values_raw as kept (board_id, kpi, item, at, value, least, most, samples)
  select distinct on (board_id, kpi, item, date_trunc('minute', at))
    board_id, kpi, item, date_trunc('minute', at), value, value, value, 1
  from json_to_recordset($1) as d (board_id bigint, kpi text, item text, at timestamptz, value double precision)
  order by board_id, kpi, item, date_trunc('minute', at), at desc
  on conflict (board_id, kpi, item, at) do update set
    value = excluded.value,
    least = least(kept.least, excluded.value),
    most = greatest(kept.most, excluded.value)
  where kept.value <> excluded.value
  returning at
),
late as (
  update analytics.watermarks as w
  set settled_at = l.at
  from (select min(at) as at from loaded) as l
  where w.source = 'roll_up'
    and l.at < w.settled_at
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
    -- What was made of rows that were let go is not made anew from what is left of them.
    and kept.at >= (select retired_before from analytics.partitioned where parent = 'kpi_values_",
            $from,
            "')
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
/// Where values are rolled up from: of a range, where there are any.
const SINCE: &str = "
select case
  when $1::timestamptz is not null then (
    select greatest($1::timestamptz, least(raw.at, hour.at, day.at))
    from (select min(at) from analytics.kpi_values_raw) as raw (at)
    cross join (select min(at) from analytics.kpi_values_hour) as hour (at)
    cross join (select min(at) from analytics.kpi_values_day) as day (at)
    where least(raw.at, hour.at, day.at) is not null
  )
  when isfinite(w.settled_at) then w.settled_at - interval '1 hour'
  else (select min(at) from analytics.kpi_values_raw)
end::text
from analytics.watermarks as w
where source = 'roll_up'";
/// Room for what is rolled up, where there is something.
macro_rules! room {
    ($from:literal, $to:literal, $unit:literal) => {
        concat!(
            "
select analytics.prepare('kpi_values_",
            $to,
            "', min(at), max(at))::text
from analytics.kpi_values_",
            $from,
            "
where at >= date_trunc('",
            $unit,
            "', $1::timestamptz)
having count(*) > 0"
        )
    };
}

const HOUR_ROOM: &str = room!("raw", "hour", "hour");
const DAY_ROOM: &str = room!("hour", "day", "day");
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
        let work = self.sample_step().await?;
        let since = work.first(WATERMARK, &[Some("kpi_values"), Some("15 minutes")]).await?;
        work.commit().await?;
        let since = since.as_ref().and_then(|row| row.text(0)).unwrap_or("-infinity").to_owned();
        let mut after = [since, "0".to_owned(), String::new(), String::new()];
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let rows = read.first(READ, &after.each_ref().map(|text| Some(&**text))).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(0).is_some()) else { return Ok(loaded) };
            let work = self.sample_step().await?;
            work.rows(PREPARE, &[rows.text(0)]).await?;
            loaded += count(&work, LOAD, &[rows.text(0), rows.text(1)]).await?;
            work.commit().await?;
            after = [1, 2, 3, 4].map(|place| rows.text(place).unwrap_or_default().to_owned());
        }
    }

    /// Rolls values up by hour, day and month: those of a range, or what may have changed since the last time.
    pub(super) async fn roll_up(&self, range: Option<&Range>) -> Result<u64, Error> {
        let work = self.values_step().await?;
        work.rows(WATERMARK, &[Some("roll_up"), Some("1 hour")]).await?;
        let since = work.first(SINCE, &[range.map(|range| &*range.from)]).await?;
        let Some(since) = since.as_ref().and_then(|row| row.text(0)) else {
            work.commit().await?;
            return Ok(0);
        };
        let values = [Some(since), range.map(|range| &*range.to)];
        work.rows(HOUR_ROOM, &[Some(since)]).await?;
        let hours = count(&work, TO_HOUR, &values).await?;
        work.rows(DAY_ROOM, &[Some(since)]).await?;
        let rolled = hours + count(&work, TO_DAY, &values).await? + count(&work, TO_MONTH, &values).await?;
        if range.is_none() {
            work.rows(ROLLED, &[]).await?;
        }
        work.commit().await?;
        Ok(rolled)
    }
}
