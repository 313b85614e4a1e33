use std::time::Duration;

use tokio::time::timeout;

use super::reading::{Lost, Reading};
use super::statements::{BEGIN, COUNT, DRIFT, EMPTY, HORIZON, PROGRESS, TABLES};
use super::tally::{RULES, Tally, rows};
use super::{Error, Live};
use crate::event::{Cursor, Position, Seen, Snapshot, Timestamp};
use crate::hub::Place;
use crate::journal::Hold;
use crate::postgres::{self, Access, Begun, Fields, marker};
use crate::telemetry::metric;

/// How long a mark may take to come round; one that was written just before the slot was made never does, and another one
/// is written then. What is counted meanwhile holds a transaction open, which who makes a slot waits for.
const PASS_WITHIN: Duration = Duration::from_secs(5);
const MARKS: usize = 4;

/// Counters that are not what the tables come to, or that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// Some are wrong.
    #[error("{count} counters are not what the tables come to; {first}")]
    Drift {
        /// How many.
        count: u64,
        /// One of them, and both numbers.
        first: String,
    },
    /// They are being counted anew, or this process does not read the journal as far.
    #[error("the counters cannot be looked at now: {0}")]
    NotNow(String),
    /// PostgreSQL could not be asked.
    #[error("could not compare counters with the tables")]
    Postgres(#[from] postgres::Error),
}

impl Live {
    /// Counts all there is, as of one moment, and gives the place from which the journal leads on, and holds it; and from
    /// when on all is counted.
    pub(super) async fn count_anew(&self) -> Result<(Place, Hold, Timestamp), Error> {
        let began = std::time::Instant::now();
        // The place comes first: what is committed behind it is either counted here, or comes from there.
        let here = self.hub.here();
        let hold = self.hub.journal().hold(here.incarnation, here.position);
        let Begun { work, mark } = self.begin(Access::Consistent(TABLES), self.config.count_timeout).await?;
        let snapshot: Snapshot =
            mark.parse().map_err(|_| postgres::Error::Answer { operation: "read a moment" })?;
        let horizon = moment(work.first(HORIZON, &[]).await?.as_ref(), 0);
        work.rows(EMPTY, &[]).await?;
        work.rows(COUNT, &[]).await?;
        let settled = self.mark().await?;
        let place = Place { seen: Some(Seen { snapshot, settled }), ..here };
        let cursor = place.cursor().encode();
        work.rows(BEGIN, &[Some(&cursor), Some(&RULES.to_string())]).await?;
        work.commit().await?;
        metrics::counter!(metric::KPI_COUNTS).increment(1);
        tracing::info!(seconds = began.elapsed().as_secs_f64(), "measures were counted");
        Ok((place, hold, horizon))
    }

    /// Waits until the hub has passed all that is visible now.
    async fn mark(&self) -> Result<Position, Error> {
        for _ in 0..MARKS {
            let session = self.pool.get().await?;
            let (token, mut mark) = self.hub.expect_mark();
            marker::emit_mark(&session, Some(token)).await?;
            drop(session);
            if let Ok(Ok(position)) = timeout(PASS_WITHIN, mark.passed()).await {
                return Ok(position);
            }
        }
        Err(Error::NoMark)
    }

    /// Compares the counters with the tables, as of one moment, while both go on: what was counted between where the
    /// counters stand and that moment is read in the journal once more. Gives how many there are.
    ///
    /// # Errors
    /// [`DriftError`]
    pub async fn check(&self) -> Result<u64, DriftError> {
        let not_now = |error: Error| match error {
            Error::Postgres(error) => DriftError::Postgres(error),
            error => DriftError::NotNow(error.to_string()),
        };
        let lost = |lost: Lost| DriftError::NotNow(lost.to_string());
        let Begun { work, mark } = self.begin(Access::Consistent(TABLES), self.config.count_timeout).await?;
        let snapshot: Snapshot =
            mark.parse().map_err(|_| postgres::Error::Answer { operation: "read a moment" })?;
        let progress = work.first(PROGRESS, &[]).await?;
        let horizon = moment(progress.as_ref(), 2);
        let place = progress.and_then(|row| Cursor::decode(row.text(0)?).ok());
        let place = place.map(Place::of_cursor);
        let place = place.ok_or_else(|| DriftError::NotNow("they are being counted anew".to_owned()))?;
        let passed = self.mark().await.map_err(not_now)?;
        let mut reading = Reading::new(&self.hub, place);
        let mut tally = Tally::new(horizon);
        while reading.place().position < passed {
            let until = self.hub.here();
            reading.next_seen(&until, |chunk| snapshot.sees(chunk.xid), &mut tally).await.map_err(lost)?;
        }
        let between = rows(&tally.take().counts);
        let found = work.first(DRIFT, &[Some(&between)]).await?;
        work.end().await?;
        let text = |place| found.as_ref().and_then(|row| row.text(place));
        let number = |place| text(place).and_then(|count: &str| count.parse().ok()).unwrap_or(0);
        let count = number(0);
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^52")]
        metrics::gauge!(metric::KPI_DRIFT).set(count as f64);
        match count {
            0 => Ok(number(2)),
            count => Err(DriftError::Drift { count, first: text(1).unwrap_or_default().to_owned() }),
        }
    }
}

/// Microseconds since 2000 in a place of a row.
pub(super) fn moment(row: Option<&Fields>, place: usize) -> Timestamp {
    let micros = row.and_then(|row| row.text(place)?.parse().ok());
    Timestamp::new(micros.unwrap_or(i64::MIN))
}
