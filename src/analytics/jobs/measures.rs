//! Measures that a query gives, whenever its schedule says.

use jiff::Timestamp;

use super::{Failure, Jobs, Schedule};
use crate::postgres::{Access, Begun, Error, Work};
use crate::telemetry::Chain;

const PATH: &str = "pg_catalog";
/// With when each was read last.
const DEFINITIONS: &str = "
select k.name, k.refresh, to_char(m.measured_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
from public.kpis as k
left join app.kpi_queries as m on m.kpi = k.name
where k.query is not null
  and k.enabled
order by k.name";
/// Reads one and writes what has changed. The query stands in a row of `public.kpis`, which only the database's owner
/// writes.
const MEASURE: &str = "select app.measure($1)::text";

impl Jobs {
    /// Reads the measures that are due; how many values have changed.
    pub(super) async fn measure(&self) -> Result<u64, Failure> {
        let now = Timestamp::now();
        let Begun { work, .. } =
            Work::begin(&self.pool, None, PATH, Access::Read, self.config.measure_timeout).await?;
        let definitions = work.rows(DEFINITIONS, &[]).await?;
        work.end().await?;
        let (mut changed, mut wrong) = (0, Vec::new());
        for definition in &definitions {
            let (name, refresh) =
                (definition.text(0).unwrap_or_default(), definition.text(1).unwrap_or_default());
            let since = definition.text(2).and_then(|text| text.parse::<Timestamp>().ok());
            match refresh.parse::<Schedule>() {
                Ok(schedule) => {
                    let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
                    let due = since == Timestamp::UNIX_EPOCH
                        || schedule.last(since, now, &self.config.zone).is_some();
                    if !due {
                        continue;
                    }
                }
                Err(error) => {
                    wrong.push(format!("`{name}`: {error}"));
                    continue;
                }
            }
            match self.measure_one(name).await {
                Ok(count) => changed += count,
                // The others are measured all the same.
                Err(error) if error.sql_state().is_some() || matches!(error, Error::Timeout { .. }) => {
                    wrong.push(format!("`{name}`: {}", Chain(&error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if wrong.is_empty() { Ok(changed) } else { Err(Failure::Measures(wrong.join("; "))) }
    }

    async fn measure_one(&self, name: &str) -> Result<u64, Error> {
        let Begun { work, .. } =
            Work::begin(&self.pool, None, PATH, Access::Write, self.config.measure_timeout).await?;
        let changed = work.first(MEASURE, &[Some(name)]).await?;
        work.commit().await?;
        Ok(changed.and_then(|row| row.text(0)?.parse().ok()).unwrap_or(0))
    }
}
