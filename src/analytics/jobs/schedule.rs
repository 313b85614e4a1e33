use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// When something is due: a cron expression of five fields, as in `5 * * * *`.
///
/// See <https://man7.org/linux/man-pages/man5/crontab.5.html>.
#[derive(Clone)]
pub struct Schedule(Arc<Cron>);

/// The time zone in which schedules are meant, by its name in the IANA database, as in `Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text that is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no cron expression ({0}): write minute, hour, day of month, month and day of week, as in `5 * * * *`"
)]
pub struct InvalidSchedule(String);

/// A name that no time zone has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone: write a name of the IANA database, as in `UTC` or `Europe/Berlin`")]
pub struct InvalidZone;

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| InvalidSchedule(error.to_string()))?;
        Ok(Self(Arc::new(cron)))
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        TimeZone::get(text).map(Self).map_err(|_| InvalidZone)
    }
}

impl Schedule {
    /// When it is due next, after `since`; `None` if never again.
    pub fn next(&self, since: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let since = since.to_zoned(zone.0.clone());
        self.0.find_next_occurrence(&since, false).ok().map(|next: Zoned| next.timestamp())
    }

    /// When it was due last, at `until` at the latest, and how often between `since` and then; `None` if not at all.
    ///
    /// What was missed is counted up to a thousand times.
    pub fn last(&self, since: Timestamp, until: Timestamp, zone: &Zone) -> Option<(Timestamp, u32)> {
        const MOST: u32 = 1_000;
        let until = until.to_zoned(zone.0.clone());
        let last: Zoned = self.0.find_previous_occurrence(&until, true).ok()?;
        let last = last.timestamp();
        if last <= since {
            return None;
        }
        let (mut missed, mut at) = (0, since);
        while missed < MOST {
            match self.next(at, zone) {
                Some(next) if next < last => (missed, at) = (missed + 1, next),
                _ => break,
            }
        }
        Some((last, missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn zone(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_a_word() {
        for text in ["", "* * * *", "60 * * * *", "* * * * * *", "every day", "5 25 * * *"] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
        assert!("Nowhere/Else".parse::<Zone>().is_err());
    }

    #[test]
    fn a_daily_job_is_due_once_on_each_day_also_when_clocks_are_changed() {
        let daily: Schedule = "30 2 * * *".parse().expect("valid");
        for name in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"] {
            let zone = zone(name);
            let mut now = at("2026-01-01T12:00:00Z");
            let mut days = std::collections::BTreeSet::new();
            for _ in 0..365 {
                now = daily.next(now, &zone).expect("every day");
                let day = now.to_zoned(zone.0.clone()).date();
                assert!(days.insert(day), "{name}: twice on {day}");
            }
            let (first, last) = (days.first().expect("some"), days.last().expect("some"));
            assert_eq!(first.until(*last).expect("in order").get_days(), 364, "{name}: {first} to {last}");
        }
    }

    #[test]
    fn an_hourly_job_is_due_each_hour_that_passes_also_when_clocks_are_changed() {
        let hourly: Schedule = "5 * * * *".parse().expect("valid");
        let zone = zone("Europe/Berlin");
        for start in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
            let mut now = at(start);
            for _ in 0..12 {
                let next = hourly.next(now, &zone).expect("every hour");
                assert!((1..=3_600).contains(&(next.as_second() - now.as_second())), "{now} to {next}");
                now = next;
            }
            assert_eq!(now.as_second() - at(start).as_second(), 11 * 3_600 + 300);
        }
    }

    #[test]
    fn what_was_missed_is_counted_and_the_last_of_it_is_due() {
        let hourly: Schedule = "5 * * * *".parse().expect("valid");
        let utc = zone("UTC");
        let last = |since, until| hourly.last(at(since), at(until), &utc);
        assert_eq!(last("2026-11-26T10:05:00Z", "2026-11-26T11:04:59Z"), None);
        assert_eq!(
            last("2026-11-26T10:05:00Z", "2026-11-26T11:05:00Z"),
            Some((at("2026-11-26T11:05:00Z"), 0))
        );
        assert_eq!(
            last("2026-11-26T10:05:00Z", "2026-11-26T15:30:00Z"),
            Some((at("2026-11-26T15:05:00Z"), 4))
        );
    }
}
