use super::{Etl, count};
use crate::postgres::Error;

/// How many days of each are kept; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Values by the minute.
    pub raw_days: Option<u32>,
    /// By the hour.
    pub hour_days: Option<u32>,
    /// By the day.
    pub day_days: Option<u32>,
    /// What happened, one row each: a month at least, as the last days are compared with what is there.
    pub fact_days: Option<u32>,
    /// How many days of activities the application keeps: what is older than that is gone there and stays here.
    pub activities_days: Option<u32>,
    /// The same of user actions.
    pub user_actions_days: Option<u32>,
}

/// For the time that comes.
const AHEAD: &str = "
select
  analytics.prepare('kpi_values_raw', now(), now() + interval '3 days')::text,
  analytics.prepare('kpi_values_hour', now(), now() + interval '40 days')::text,
  analytics.prepare('kpi_values_day', now(), now() + interval '40 days')::text,
  analytics.prepare('fact_activities', now(), now() + interval '40 days')::text,
  analytics.prepare('fact_user_actions', now(), now() + interval '40 days')::text";
const RETIRE: &str = "select analytics.retire($1, now() - $2::integer * interval '1 day')::text";
/// Spans and charts are made of activities before these go, and not after.
const RETIRE_ACTIVITIES: &str = "
select analytics.retire('fact_activities', now() - $1::integer * interval '1 day')::text
where not exists (
  select
  from analytics.touched
  where isfinite(since)
    and since < now() - $1::integer * interval '1 day'
)";

/// Measures whose definition says for how long.
const DEFINED: &str = "
select name, retention_days::text
from public.kpis
where retention_days is not null
order by name";
/// By what they are rolled up to: an hour, a day or a month that is made anew has all of its rows.
macro_rules! forget {
    ($table:literal, $unit:literal) => {
        concat!(
            "with gone as (delete from analytics.kpi_values_",
            $table,
            " where kpi = $1 and date_trunc('",
            $unit,
            "', at) + interval '1 ",
            $unit,
            "' <= now() - $2::integer * interval '1 day' returning 1)
            select count(*)::text from gone"
        )
    };
}
const FORGET: [&str; 4] =
    [forget!("raw", "hour"), forget!("hour", "day"), forget!("day", "month"), forget!("month", "month")];

impl Etl {
    /// Makes room for what comes, and lets go what is too old; how many parts went.
    ///
    /// # Errors
    /// Those of the conversation with the analytics database.
    pub async fn retain(&self) -> Result<u64, Error> {
        let Retention { raw_days, hour_days, day_days, fact_days, .. } = self.retention;
        // Nothing goes of which nothing was made yet.
        self.derive().await?;
        self.roll_up(None).await?;
        let work = self.values_step().await?;
        work.rows(AHEAD, &[]).await?;
        let mut dropped = 0;
        for (table, days) in [
            ("kpi_values_raw", raw_days),
            ("kpi_values_hour", hour_days),
            ("kpi_values_day", day_days),
            ("fact_user_actions", fact_days),
        ] {
            if let Some(days) = days {
                dropped += count(&work, RETIRE, &[Some(table), Some(&days.to_string())]).await?;
            }
        }
        if let Some(days) = fact_days {
            dropped += count(&work, RETIRE_ACTIVITIES, &[Some(&days.to_string())]).await?;
        }
        work.commit().await?;
        self.forget_values().await?;
        Ok(dropped)
    }

    /// Lets values of measures go that are kept for less long than those of others.
    async fn forget_values(&self) -> Result<(), Error> {
        let read = self.read().await?;
        let defined = read.rows(DEFINED, &[]).await?;
        read.end().await?;
        for row in &defined {
            let work = self.values_step().await?;
            for forget in FORGET {
                work.rows(forget, &[row.text(0), row.text(1)]).await?;
            }
            work.commit().await?;
        }
        Ok(())
    }
}
