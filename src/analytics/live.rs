//! Counters that are kept from the journal, exactly once.

mod count;
mod reading;
mod settle;
mod statements;
mod tally;
mod write;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::event::Cursor;
use crate::hub::{self, Place};
use crate::journal::NotYet;
use crate::postgres::{self, Exclusive, Pool};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

pub use count::DriftError;
use reading::{Lost, Reading};
use tally::{RULES, Tally};

/// How counters are kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long changes gather before they are written.
    pub interval: Duration,
    /// How long counting all tables anew may take.
    pub count_timeout: Duration,
}

/// Keeps the counters of the application's measures. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Live {
    config: Config,
    pool: Pool,
    hub: hub::Handle,
}

/// Any number: of all processes one does it.
const NUMBER: i64 = 7_126_113_470_022;
/// How often others look whether the one is gone.
const STANDBY: Duration = Duration::from_secs(2);
/// The pauses between attempts: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often it is looked whether this process is the one still, and whether somebody wants all to be counted anew.
const LOOK: Duration = Duration::from_secs(1);
/// Values are sampled this often; what is about the last hours or days is worked out anew for all boards.
const SAMPLE: Duration = Duration::from_mins(1);
/// What is written takes at most this part of the time: whoever changes more than that sees it together.
const PART: u32 = 4;
/// How long this process may take to read as far as the one before it.
const BEHIND: Duration = Duration::from_secs(30);

/// Why keeping them was interrupted.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("PostgreSQL was lost")]
    Postgres(#[from] postgres::Error),
    #[error("counters have to be counted anew")]
    Lost(#[from] Lost),
    #[error("another process keeps the counters, or they are to be counted anew")]
    Overtaken,
    #[error("a mark did not come round")]
    NoMark,
    #[error("this process has not read as far as the one before")]
    Behind,
}

impl Live {
    /// On sessions of `pool`, from what `hub` has passed.
    pub const fn new(config: Config, pool: Pool, hub: hub::Handle) -> Self {
        Self { config, pool, hub }
    }

    /// Keeps them, while no other process does, until `scope` closes.
    pub async fn keep(self, scope: Scope) {
        let mut pause = PAUSES.0;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                biased;
                () = scope.closing() => return,
                ended = self.turn(&scope) => ended,
            };
            metrics::gauge!(metric::KPI_KEEPER).set(0.0);
            match ended {
                Ok(()) => return,
                Err(Error::Overtaken | Error::Behind | Error::NoMark) => {}
                Err(Error::Lost(lost)) => {
                    // The next turn counts anew: nothing leads on from what is written.
                    tracing::info!(reason = %lost, "measures are counted anew");
                    if let Err(error) = self.forget().await {
                        tracing::debug!(error = %Chain(&error), "counters could not be given up");
                    }
                }
                Err(Error::Postgres(error)) if error.recovery() == postgres::Recovery::Retry => {
                    tracing::debug!(error = %Chain(&error), "counters wait for PostgreSQL");
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "measures are not kept: has `tidegate migrate` been run?");
                }
            }
            pause = if began.elapsed() > PAUSES.1 { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            tokio::select! {
                biased;
                () = scope.closing() => return,
                () = sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            }
        }
    }

    /// Keeps them from when this process is the one that does.
    async fn turn(&self, scope: &Scope) -> Result<(), Error> {
        let exclusive = loop {
            match Exclusive::take(&self.pool, NUMBER).await? {
                Some(exclusive) => break exclusive,
                None => sleep(STANDBY).await,
            }
        };
        metrics::gauge!(metric::KPI_KEEPER).set(1.0);
        let place = match self.standing().await? {
            Some(place) => place,
            None => self.count_anew().await?,
        };
        let written = place.cursor().encode();
        let reading = Reading::new(&self.hub, place);
        let turn = Turn {
            live: self,
            exclusive,
            reading,
            written,
            tally: Tally::default(),
            due: None,
            rest: Instant::now(),
            hour: hour(),
        };
        turn.follow(scope).await
    }

    /// Where the counters stand, if the journal leads on from there.
    async fn standing(&self) -> Result<Option<Place>, Error> {
        let Some((cursor, rules)) = self.progress().await? else { return Ok(None) };
        let place = match Cursor::decode(&cursor) {
            Ok(cursor) if rules == RULES => Place::of_cursor(cursor),
            _ => return Ok(None),
        };
        let mut moves = self.hub.moves();
        let came = timeout(BEHIND, async {
            loop {
                _ = moves.borrow_and_update();
                match self.hub.journal().refuse(place.incarnation, place.position) {
                    Ok(refused) => return Some(refused),
                    // Of another process that has read more of the journal.
                    Err(NotYet) => moves.changed().await.ok()?,
                }
            }
        });
        match came.await {
            Ok(Some(None)) => Ok(Some(place)),
            Ok(Some(Some(reason))) => {
                tracing::info!(%reason, "measures are counted anew: the journal does not lead on");
                Ok(None)
            }
            Ok(None) | Err(_) => Err(Error::Behind),
        }
    }
}

/// While this process keeps the counters.
struct Turn<'a> {
    live: &'a Live,
    exclusive: Exclusive,
    reading: Reading,
    /// The cursor that is written.
    written: String,
    tally: Tally,
    /// When what has gathered is written.
    due: Option<Instant>,
    /// Before this nothing is: what was written last took its time.
    rest: Instant,
    /// The hour that values were worked out in for all boards.
    hour: u64,
}

/// Which hour it is, by this machine.
fn hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() / 3_600
}

impl Turn<'_> {
    async fn follow(mut self, scope: &Scope) -> Result<(), Error> {
        let every = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut looks, mut samples) = (every(LOOK), every(SAMPLE));
        let mut moves = self.live.hub.moves();
        self.settle_all().await?;
        loop {
            let here = self.live.hub.here();
            let behind = here.position > self.reading.place().position
                || here.incarnation != self.reading.place().incarnation;
            let due = self.due.filter(|_| self.reading.is_between());
            tokio::select! {
                biased;
                // 1. The end: what has gathered is written.
                () = scope.closing() => {
                    if self.reading.is_between() {
                        self.write().await?;
                    }
                    return Ok(());
                }
                // 2. What has gathered for long enough.
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.write().await?,
                // 3. Whether this is still to be done, and here.
                _ = looks.tick() => self.look().await?,
                _ = samples.tick(), if self.reading.is_between() => self.sample().await?,
                // 4. More.
                counted = self.reading.next(&here, &mut self.tally), if behind => {
                    counted?;
                    if self.due.is_none() && !self.tally.is_empty() {
                        self.due = Some(self.rest.max(Instant::now() + self.live.config.interval));
                    }
                }
                on = moves.changed(), if !behind => if on.is_err() { return Ok(()) },
            }
        }
    }

    /// Looks whether this process is the one still, and whether somebody has had the place forgotten.
    async fn look(&self) -> Result<(), Error> {
        self.exclusive.holds().await?;
        match self.live.progress().await? {
            Some((cursor, _)) if cursor == self.written => Ok(()),
            _ => Err(Error::Overtaken),
        }
    }
}
