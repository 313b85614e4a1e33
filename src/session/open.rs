use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::deliver::{Missed, catch_up, offer};
use super::flight::{End, Failure, Next, Wanted};
use super::resolve::{Resolved, channel, resolve, unavailable};
use super::{Services, page};
use crate::auth::Identity;
use crate::event::Cursor;
use crate::hub::{Delivery, Fall, Fingerprint, Note, Outbox, Place, ReaderKey, Selection, Stamp};
use crate::journal::NotYet;
use crate::postgres::snapshot;
use crate::protocol::{Again, ErrorCode, ErrorFrame, Frame, Page, ResyncReason, Select, Start, Target};
use crate::telemetry::{Chain, metric};

/// Brings one subscription up to the hub, and ends.
pub(super) struct Opener {
    pub(super) services: Arc<Services>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) key: ReaderKey,
    /// For whom.
    pub(super) identity: Arc<Identity>,
    pub(super) target: Arc<Target>,
    /// How it starts over.
    pub(super) again: Again,
    /// Closed when the client no longer wants it.
    pub(super) cancelled: CancellationToken,
    /// Whether the client was told `subscribed` in this attempt.
    pub(super) begun: bool,
    /// The shape that it was told.
    pub(super) shape: Option<Fingerprint>,
    /// PostgreSQL has refused the rows, although the grants that were known allow them.
    pub(super) denied: bool,
}

/// From where an opener brings its subscription up.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// As the client asked.
    Start(Start),
    /// From a place that the hub dropped it at.
    Place(Selection, Place),
    /// From a place that it was taken out at, after a page of older rows.
    Page(Selection, Place, Box<Page>),
    /// Over again: the client has been told so.
    Again,
}

/// Why bringing it up came to nothing.
enum Failed {
    /// Start over.
    Resync(ResyncReason),
    /// The same may succeed soon: the table was redefined meanwhile, and the catalog has been read again.
    Redefined,
    /// The reader did not take the rows in time, or not as fast as others, or the journal has moved on meanwhile.
    TooSlow,
    /// The subscription ends; or, while PostgreSQL is away, waits.
    Error(Box<ErrorFrame>),
    /// Nobody is there any more.
    Gone,
}

/// How often a snapshot is begun for a reader before it counts as unable to keep up.
const ATTEMPTS: u32 = 3;
/// The pauses between attempts at what PostgreSQL's absence prevents: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a new subscription waits for a PostgreSQL that is away before it is refused: about a restart. One that was
/// live waits for as long as it takes.
const WAITS: Duration = Duration::from_secs(10);
/// How long a cursor of another process waits until this one has read as far.
const CURSOR_WITHIN: Duration = Duration::from_secs(10);

impl Opener {
    /// Runs until the subscription is live, has failed, or is no longer wanted.
    pub(super) async fn run(mut self, from: From) {
        let (cancelled, scope) = (self.cancelled.clone(), self.services.scope.clone());
        tokio::select! {
            biased;
            () = cancelled.cancelled() => {}
            () = scope.closing() => {}
            () = self.bring_up(from) => {}
        }
    }

    async fn bring_up(&mut self, mut from: From) {
        let patient = !matches!(from, From::Start(_));
        let asked_at = Instant::now();
        let (mut pause, mut slow, mut started_over) = (PAUSES.0, 0, false);
        loop {
            let failed = match Box::pin(self.attempt(&from, slow > 0)).await {
                Ok(()) => return,
                Err(failed) => failed,
            };
            let reason = match failed {
                Failed::Gone => return,
                Failed::Resync(ResyncReason::CursorExpired) if matches!(from, From::Place(..)) => {
                    from = From::Again;
                    Some(ResyncReason::SlowReader)
                }
                Failed::Resync(reason) => {
                    // What has it start over each time does not get better by haste.
                    if std::mem::replace(&mut started_over, true) {
                        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                        pause = (pause * 2).min(PAUSES.1);
                    }
                    from = From::Again;
                    Some(reason)
                }
                Failed::Redefined => {
                    // A catalog that cannot be read leaves the old definition in place.
                    sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(PAUSES.1);
                    self.begun.then_some(ResyncReason::SchemaChanged)
                }
                Failed::TooSlow => {
                    slow += 1;
                    if slow == ATTEMPTS {
                        return self.give_up(Fall::Resync(ResyncReason::SlowReader));
                    }
                    self.begun.then_some(ResyncReason::SlowReader)
                }
                Failed::Error(error)
                    if error.code == ErrorCode::Unavailable && (patient || asked_at.elapsed() < WAITS) =>
                {
                    sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(PAUSES.1);
                    self.begun.then_some(ResyncReason::SourceReset)
                }
                Failed::Error(error) => return self.give_up(Fall::Failed(error)),
            };
            if let Some(reason) = reason {
                metrics::counter!(metric::HUB_RESYNCS, metric::REASON => reason.as_str()).increment(1);
                self.push(Frame::resync(reason), None);
                self.begun = false;
            }
        }
    }

    async fn attempt(&mut self, from: &From, alone: bool) -> Result<(), Failed> {
        match from {
            From::Start(start) => self.start(start, alone).await,
            From::Place(selection, place) => self.go_live(selection, place.clone()).await,
            From::Page(selection, place, page) => Box::pin(self.page(selection, place.clone(), page)).await,
            From::Again => match self.again {
                Again::Snapshot => self.start(&Start::Snapshot, alone).await,
                Again::Live => self.start(&Start::Now, alone).await,
            },
        }
    }

    async fn start(&mut self, start: &Start, alone: bool) -> Result<(), Failed> {
        match start {
            Start::Snapshot => match &*self.target.clone() {
                Target::Table(select) => self.snapshot(select, alone).await,
                Target::Channel(_) => self.now().await,
            },
            Start::Now => self.now().await,
            Start::Cursor { cursor, shape, .. } => {
                let (selection, subscribed) = self.select().await?;
                let place = match self.check_cursor(&selection, cursor, shape.as_deref()).await {
                    Ok(place) => place,
                    Err(reason) => return Err(Failed::Resync(reason)),
                };
                metrics::counter!(metric::HUB_RESUMES).increment(1);
                self.begin(&selection, subscribed, Some(stamp(&place)));
                self.go_live(&selection, place).await
            }
        }
    }

    async fn now(&mut self) -> Result<(), Failed> {
        // Held before it is worked out who sees what: what changes that in between comes after the place.
        let place = self.services.hub.here();
        let (selection, subscribed) = self.select().await?;
        self.begin(&selection, subscribed, Some(stamp(&place)));
        self.go_live(&selection, place).await
    }

    /// What is selected, and the frame that says so.
    async fn select(&self) -> Result<(Selection, Frame), Failed> {
        match &*self.target {
            Target::Channel(name) => {
                channel(&self.services, &self.identity, name)
                    .map_err(|error| Failed::Error(Box::new(error)))?;
                self.services.catalogs.ready().map_err(|error| Failed::Error(Box::new(error)))?;
                Ok((Selection::Channel(name.as_str().into()), Frame::subscribed_channel()))
            }
            Target::Table(select) => {
                let Resolved { rows, .. } = self.resolve(select).await?;
                let shape = rows.fingerprint.to_string();
                let frame = Frame::subscribed(&shape, &rows.table, &rows.projection.columns);
                Ok((Selection::Rows(rows), frame))
            }
        }
    }

    async fn resolve(&self, select: &Select) -> Result<Resolved, Failed> {
        resolve(&self.services, &self.identity, select).await.map_err(|error| Failed::Error(Box::new(error)))
    }

    /// The place that a cursor names, if the reader can go on from there.
    async fn check_cursor(
        &self,
        selection: &Selection,
        text: &str,
        shape: Option<&str>,
    ) -> Result<Place, ResyncReason> {
        let cursor = Cursor::decode(text).map_err(|_| ResyncReason::CursorInvalid)?;
        self.await_cursor(&cursor).await?;
        match (selection, shape) {
            (Selection::Rows(rows), Some(shape)) if shape != rows.fingerprint.to_string() => {
                let same = rows.fingerprint.asks_as(shape);
                Err(if same { ResyncReason::PermissionsChanged } else { ResyncReason::SchemaChanged })
            }
            (Selection::Rows(_), None) => Err(ResyncReason::CursorInvalid),
            _ => Ok(Place::of_cursor(cursor)),
        }
    }

    /// Waits until this process has come as far as the one that gave the cursor.
    async fn await_cursor(&self, cursor: &Cursor) -> Result<(), ResyncReason> {
        let hub = &self.services.hub;
        let mut moves = hub.moves();
        let arrived = async {
            loop {
                moves.mark_unchanged();
                match hub.journal().refuse(cursor.incarnation, cursor.position) {
                    Ok(None) => return Ok(()),
                    Ok(Some(reason)) => return Err(reason),
                    Err(NotYet) => moves.changed().await.map_err(|_| ResyncReason::SourceReset)?,
                }
            }
        };
        // Whatever this process has not read by then, the other one cannot have told of.
        timeout(CURSOR_WITHIN, arrived).await.unwrap_or(Err(ResyncReason::CursorInvalid))
    }

    /// Sends a snapshot, then everything after it.
    async fn snapshot(&mut self, select: &Select, alone: bool) -> Result<(), Failed> {
        let Resolved { rows, order } = self.resolve(select).await?;
        let shape = rows.fingerprint.to_string();
        let subscribed = Frame::subscribed(&shape, &rows.table, &rows.projection.columns);
        let wanted = Wanted {
            selection: Selection::Rows(rows),
            order,
            limit: select.snapshot.limit,
            identity: self.identity.clone(),
        };
        let snapshots = &self.services.snapshots;
        let mut passenger = if alone { snapshots.alone(&wanted) } else { snapshots.board(&wanted) };
        self.begin(&wanted.selection, subscribed, None);
        loop {
            match passenger.next().await {
                Next::Chunk(chunk) => offer(&self.outbox, self.key, &[chunk]).await.map_err(Failed::from)?,
                Next::End(End { place, lsn }) => {
                    self.push(Frame::snapshot_end(lsn), Some(stamp(&place)));
                    return match self.go_live(&wanted.selection, place).await {
                        Err(Failed::Resync(ResyncReason::CursorExpired)) => {
                            let table = select.table.as_str();
                            tracing::warn!(
                                table,
                                "a snapshot took longer than the journal reaches back: raise journal.held_bytes"
                            );
                            Err(Failed::TooSlow)
                        }
                        outcome => outcome,
                    };
                }
                Next::TooSlow => return Err(Failed::TooSlow),
                Next::Failed(failure) => return Err(self.explain(failure).await),
            }
        }
    }

    async fn explain(&mut self, failure: Failure) -> Failed {
        let error = match failure {
            Failure::Stopping => return Failed::Gone,
            Failure::Lost => return Failed::Error(Box::new(unavailable("PostgreSQL went away meanwhile"))),
            Failure::Postgres(error) => error,
        };
        let told = Chain(&*error).to_string();
        let frame = match &*error {
            snapshot::Error::SchemaChanged { .. } => {
                self.services.catalogs.refresh().await;
                return Failed::Redefined;
            }
            snapshot::Error::Timeout { .. } => return Failed::TooSlow,
            snapshot::Error::Filter { .. } => {
                ErrorFrame { field: Some("where"), ..ErrorFrame::new(ErrorCode::FilterError, told) }
            }
            // A grant was taken back in between: what is left is found out anew, once.
            snapshot::Error::Forbidden { .. } if !self.denied => {
                self.denied = true;
                self.services.policies.refresh().await;
                return Failed::Resync(ResyncReason::PermissionsChanged);
            }
            snapshot::Error::Forbidden { .. } => ErrorFrame::new(ErrorCode::Forbidden, told),
            _ => {
                tracing::warn!(error = %told, "a snapshot could not be read");
                unavailable("the rows could not be read now")
            }
        };
        Failed::Error(Box::new(frame))
    }

    /// Sends older rows, then what happened since the reader was taken out.
    async fn page(&self, selection: &Selection, place: Place, page: &Page) -> Result<(), Failed> {
        if let (Selection::Rows(rows), Target::Table(select)) = (selection, &*self.target) {
            let frame = page::read(&self.services, &self.identity, rows, select, page).await;
            // A page that is refused leaves the subscription as it is.
            let refused = |error| Frame::error(&ErrorFrame { request: Some("page"), ..error });
            let frame = Arc::new(Delivery::plain(frame.unwrap_or_else(refused)));
            offer(&self.outbox, self.key, &[frame]).await?;
        }
        self.go_live(selection, place).await
    }

    async fn go_live(&self, selection: &Selection, place: Place) -> Result<(), Failed> {
        catch_up(&self.services, selection, place, &self.outbox, self.key).await.map_err(Failed::from)
    }

    fn give_up(&self, fall: Fall) {
        // A session that has ended needs no telling.
        _ = self.outbox.note(self.key, Note::Fell(fall));
    }

    /// Sends `subscribed`: from here on, starting over has to be told.
    fn begin(&mut self, selection: &Selection, subscribed: Frame, cursor: Option<Stamp>) {
        self.begun = true;
        self.shape = matches!(selection, Selection::Rows(_)).then(|| selection.fingerprint());
        self.push(subscribed, cursor);
    }

    fn push(&self, frame: Frame, cursor: Option<Stamp>) {
        self.outbox.push(Some(self.key), Delivery { frame, cursor, shape: self.shape });
    }
}

fn stamp(place: &Place) -> Stamp {
    Stamp { position: place.position, text: place.cursor().encode().into() }
}

impl std::convert::From<Missed> for Failed {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Gone => Self::Gone,
            Missed::Fell(Fall::Resync(reason)) => Self::Resync(reason),
            Missed::Fell(Fall::Failed(error)) => Self::Error(error),
            // Only the hub lets a reader fall behind, and it did not have it yet.
            Missed::Fell(Fall::Behind(_)) => Self::Resync(ResyncReason::SlowReader),
        }
    }
}
