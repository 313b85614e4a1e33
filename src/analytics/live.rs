//! Counters that are kept from the journal, exactly once.

mod count;
mod reading;
mod settle;
mod statements;
mod tally;
mod write;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::event::{Cursor, Timestamp};
use crate::hub::{self, Place};
use crate::journal::{Hold, NotYet, Status};
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
    streaming: watch::Receiver<Status>,
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
/// More counters than this are written at once, and are no reason to count anew.
const GATHERED: usize = 50_000;
/// After so many looks without changes coming in, another process may try.
const SILENT: u32 = 5;
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
    #[error("no changes come in here")]
    Silent,
    #[error("a mark did not come round")]
    NoMark,
    #[error("this process has not read as far as the one before")]
    Behind,
}

impl Live {
    /// On sessions of `pool`, from what `hub` has passed, while changes come in.
    pub const fn new(
        config: Config,
        pool: Pool,
        hub: hub::Handle,
        streaming: watch::Receiver<Status>,
    ) -> Self {
        Self { config, pool, hub, streaming }
    }

    /// Keeps them, while no other process does, until `scope` closes.
    pub async fn keep(self, scope: Scope) {
        let mut pause = PAUSES.0;
        loop {
            let began = Instant::now();
            let ended = self.turn(&scope).await;
            metrics::gauge!(metric::KPI_KEEPER).set(0.0);
            pause = if began.elapsed() > PAUSES.1 { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            match ended {
                Ok(()) => return,
                // Another one may be gone any moment.
                Err(Error::Overtaken) => pause = STANDBY,
                Err(Error::Behind | Error::Silent | Error::NoMark) => {}
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
            tokio::select! {
                biased;
                () = scope.closing() => return,
                () = sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            }
        }
    }

    /// Keeps them from when this process is the one that does.
    async fn turn(&self, scope: &Scope) -> Result<(), Error> {
        let begun = tokio::select! {
            biased;
            () = scope.closing() => return Ok(()),
            begun = self.begin_turn() => begun?,
        };
        let Some((exclusive, (place, hold, horizon))) = begun else { return Ok(()) };
        metrics::gauge!(metric::KPI_KEEPER).set(1.0);
        let written = place.cursor().encode();
        let reading = Reading::new(&self.hub, place);
        let now = Instant::now();
        let turn = Turn {
            live: self,
            exclusive,
            reading,
            written,
            hold,
            tally: Tally::new(horizon),
            due: None,
            rest: now,
            looked: now,
            sampled: now,
            hour: String::new(),
            silent: 0,
        };
        turn.follow(scope).await
    }

    /// Waits until changes come in here and no other process does it; `None` at the end.
    async fn begin_turn(&self) -> Result<Option<(Exclusive, Standing)>, Error> {
        let mut streaming = self.streaming.clone();
        // What is committed before the slot is there comes round to nobody.
        if streaming.wait_for(|status| *status == Status::Streaming).await.is_err() {
            return Ok(None);
        }
        let exclusive = Exclusive::take(&self.pool, NUMBER).await?.ok_or(Error::Overtaken)?;
        let standing = match self.standing().await? {
            Some((place, horizon)) => {
                let hold = self.hub.journal().hold(place.incarnation, place.position);
                (place, hold, horizon)
            }
            None => self.count_anew().await?,
        };
        Ok(Some((exclusive, standing)))
    }

    /// Where the counters stand, if the journal leads on from there.
    async fn standing(&self) -> Result<Option<(Place, Timestamp)>, Error> {
        let Some((cursor, rules, horizon)) = self.progress().await? else { return Ok(None) };
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
            Ok(Some(None)) => Ok(Some((place, horizon))),
            Ok(Some(Some(reason))) => {
                tracing::info!(%reason, "measures are counted anew: the journal does not lead on");
                Ok(None)
            }
            Ok(None) | Err(_) => Err(Error::Behind),
        }
    }
}

/// Where the counters stand, what keeps the journal from there on, and from when on all is counted.
type Standing = (Place, Hold, Timestamp);

/// While this process keeps the counters.
struct Turn<'a> {
    live: &'a Live,
    exclusive: Exclusive,
    reading: Reading,
    /// The cursor that is written.
    written: String,
    /// What follows the place stays in the journal, within its bounds.
    hold: Hold,
    tally: Tally,
    /// When what has gathered is written.
    due: Option<Instant>,
    /// Before this nothing is: what was written last took its time.
    rest: Instant,
    /// When it was looked last, and when values were sampled last.
    looked: Instant,
    sampled: Instant,
    /// The hour that values were worked out in for all boards, by PostgreSQL.
    hour: String,
    /// How many looks in a row no changes came in.
    silent: u32,
}

impl Turn<'_> {
    async fn follow(mut self, scope: &Scope) -> Result<(), Error> {
        let mut moves = self.live.hub.moves();
        self.settle_all().await?;
        loop {
            let here = self.live.hub.here();
            let place = self.reading.place();
            let behind = here.position > place.position || here.incarnation != place.incarnation;
            let next = self.next_deadline();
            tokio::select! {
                biased;
                // 1. The end: what has gathered is written.
                () = scope.closing() => {
                    if self.reading.is_between() {
                        self.write().await?;
                    }
                    return Ok(());
                }
                // 2. More. It is not broken off for what can wait a moment: a place in a reading of the stream is hard to get.
                counted = self.reading.next(&here, &mut self.tally), if behind => {
                    counted?;
                    if self.due.is_none() && !self.tally.is_empty() {
                        self.due = Some(self.rest.max(Instant::now() + self.live.config.interval));
                    }
                    tokio::task::consume_budget().await;
                }
                on = moves.changed(), if !behind => if on.is_err() { return Ok(()) },
                // 3. What is due by the clock.
                () = sleep_until(next), if !behind => {}
            }
            self.tend().await?;
        }
    }

    fn next_deadline(&self) -> Instant {
        let due = self.due.unwrap_or(self.looked + LOOK);
        due.min(self.looked + LOOK).min(self.sampled + SAMPLE)
    }

    /// Does what is due.
    async fn tend(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if self.reading.is_between() {
            if self.due.is_some_and(|due| due <= now) || self.tally.len() > GATHERED {
                self.write().await?;
            }
            if self.sampled + SAMPLE <= now {
                self.sampled = now;
                self.sample().await?;
            }
        }
        if self.looked + LOOK <= now {
            self.looked = now;
            self.look().await?;
        }
        Ok(())
    }

    /// Looks whether this process is the one still, and whether somebody has had the place forgotten.
    async fn look(&mut self) -> Result<(), Error> {
        let Place { incarnation, position, .. } = *self.reading.place();
        self.hold = self.live.hub.journal().hold(incarnation, position);
        self.silent = if *self.live.streaming.borrow() == Status::Streaming { 0 } else { self.silent + 1 };
        if self.silent >= SILENT {
            // Another process may have what this one has lost.
            return Err(Error::Silent);
        }
        self.exclusive.holds().await?;
        match self.live.progress().await? {
            Some((cursor, ..)) if cursor == self.written => Ok(()),
            _ => Err(Error::Overtaken),
        }
    }
}
