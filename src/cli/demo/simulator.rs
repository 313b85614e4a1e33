//! The application beside Tidegate: a small team at work on its boards, as transactions against the database.
//!
//! ```text
//!  rate ──▶ pause ──▶ work ── one thing that somebody does: rows and their activity in one transaction
//! ```
//!
//! It knows nothing of Tidegate, and holds no state but its connection and who is at work where just now: what to do next is
//! read from the tables, so whoever else writes to them takes part. The tables stay small, since old cards and activities are
//! deleted.

mod place;
mod seed;
mod texts;
mod work;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::{Client, NoTls};

use crate::shutdown::Scope;
use crate::telemetry::Chain;

pub(super) use seed::plant;

/// What the codes of violated constraints begin with.
const INTEGRITY: &str = "23";
/// Between two attempts to reach the database.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// How many things happen a second, on average; zero is a quiet team.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

/// More than this is a load test, and no longer one connection's work.
pub(super) const HIGHEST_RATE: f64 = 500.0;

/// A team that does nothing for longer than this is as good as none.
const LONGEST: Duration = Duration::from_hours(24);

/// A rate that no team works at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number from 0 to 500, in transactions a second")]
pub struct InvalidRate;

impl std::str::FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        Self::new(text.parse().map_err(|_| InvalidRate)?)
    }
}

impl Rate {
    /// So many a second.
    ///
    /// # Errors
    /// [`InvalidRate`] below 0 and above 500.
    pub fn new(per_second: f64) -> Result<Self, InvalidRate> {
        if (0.0..=HIGHEST_RATE).contains(&per_second) { Ok(Self(per_second)) } else { Err(InvalidRate) }
    }

    /// How many a second.
    pub const fn per_second(self) -> f64 {
        self.0
    }

    /// How long it takes until the next thing happens: now and then several at once, now and then nothing.
    fn pause(self) -> Option<Duration> {
        // 1 - x lies in (0, 1], where the logarithm is finite; a rate can be so small that no clock goes that far.
        let seconds = -(1.0 - fastrand::f64()).ln() / self.0;
        (self.0 > 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST))
    }
}

/// Works until the scope closes, as fast as `pace` says just then; a lost connection is made again.
pub(super) async fn run(url: String, mut pace: watch::Receiver<Rate>, scope: Scope) {
    while !scope.is_closing() {
        let worked = tokio::select! {
            () = scope.closing() => return,
            worked = work_on(&url, &mut pace) => worked,
        };
        if let Err(error) = worked {
            tracing::warn!(error = %Chain(&error), "the simulated team lost the database; trying again");
        }
        tokio::select! {
            () = scope.closing() => {}
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
    }
}

async fn work_on(url: &str, pace: &mut watch::Receiver<Rate>) -> Result<(), tokio_postgres::Error> {
    let (mut client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::select! {
        // Whichever ends, the other is of no use.
        worked = keep_working(&mut client, pace) => worked,
        lost = connection => lost,
    }
}

async fn keep_working(
    client: &mut Client,
    pace: &mut watch::Receiver<Rate>,
) -> Result<(), tokio_postgres::Error> {
    let mut stint = None;
    let mut next = moment(pace);
    loop {
        tokio::select! {
            biased;
            // 1. What is wanted of the team: from now on, however long the pause would have been.
            Ok(()) = pace.changed() => next = moment(pace),
            // 2. The next thing that somebody does.
            () = at(next) => {
                attempted(work::something(client, &mut stint).await)?;
                next = moment(pace);
            }
        }
    }
}

/// Somebody else who took the same place, or a rule of theirs, is in the way of this one thing, and of no other.
fn attempted(outcome: Result<(), tokio_postgres::Error>) -> Result<(), tokio_postgres::Error> {
    match outcome {
        Err(error) if error.code().is_some_and(|state| state.code().starts_with(INTEGRITY)) => Ok(()),
        outcome => outcome,
    }
}

/// When the next thing happens.
fn moment(pace: &mut watch::Receiver<Rate>) -> Option<Instant> {
    pace.borrow_and_update().pause().map(|pause| Instant::now() + pause)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cluster::{Cluster, Options};
    use super::*;
    use crate::postgres::migrate::Schema;
    use crate::postgres::{Settings, migrate};

    #[test]
    fn a_rate_is_a_number_that_a_team_can_work_at() {
        for text in ["0", "0.5", "3", "500"] {
            assert!(text.parse::<Rate>().is_ok(), "{text}");
        }
        for text in ["", "-1", "501", "NaN", "inf", "fast"] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text}");
        }
        for slow in [1e-19, 1e-30, 5e-324] {
            let pause = Rate::new(slow).expect("a number").pause().expect("it comes");
            assert!(pause <= LONGEST, "{slow}: {pause:?}");
        }
    }

    #[tokio::test]
    async fn a_team_does_everything_and_leaves_no_more_than_it_should() {
        let cluster =
            Cluster::start(&Options::default().with("fsync", "off")).expect("PostgreSQL is installed");
        let url = cluster.url("postgres");
        migrate::run(Schema::Application, &Settings::parse(&url).expect("valid"))
            .await
            .expect("the schema fits");
        let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("it runs");
        let work = async {
            plant(&mut client).await?;
            let mut stint = None;
            for _ in 0..2_000 {
                work::something(&mut client, &mut stint).await?;
            }
            let row = client.query_one(SUMMARY, &[]).await?;
            assert_eq!(row.get::<_, i64>("actions"), 8, "every action happened");
            assert!((1..=400).contains(&row.get::<_, i64>("activities")), "{row:?}");
            assert!((10..=22).contains(&row.get::<_, i64>("fewest_open")), "{row:?}");
            assert!((10..=22).contains(&row.get::<_, i64>("most_open")), "{row:?}");
            assert!(row.get::<_, i64>("most_done") <= 8, "{row:?}");
            let at_work: Vec<String> = row.get("at_work");
            assert_eq!(at_work, ["daria", "emeka", "freya", "gael", "hana"], "whoever logs in works alone");
            assert!(row.get::<_, i64>("mentions") > 0, "{row:?}");
            Ok::<_, tokio_postgres::Error>(())
        };
        tokio::select! {
            done = work => done.expect("valid SQL"),
            lost = connection => panic!("the server hung up: {lost:?}"),
        }
    }

    const SUMMARY: &str = "
        with cards as (
          select
            count(*) filter (where closed_at is null) as open,
            count(*) filter (where closed_at is not null) as done
          from public.entries
          group by board_id
        )
        select
          (select count(distinct action) from public.activities) as actions,
          (select max(count) from (select count(*) from public.activities group by board_id) as each) as activities,
          (select min(open) from cards) as fewest_open,
          (select max(open) from cards) as most_open,
          (select max(done) from cards) as most_done,
          (select array_agg(distinct actor_id order by actor_id) from public.activities where action = 'moved') as at_work,
          (select count(*) from public.notifications where kind = 'mention') as mentions";

    #[test]
    fn the_pauses_average_to_the_rate() {
        let rate = Rate(4.0);
        let total: Duration = (0..10_000).filter_map(|_| rate.pause()).sum();
        assert!((2_300..2_700).contains(&total.as_secs()), "{total:?}");
        assert_eq!(Rate(0.0).pause(), None);
    }
}
