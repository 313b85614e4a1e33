use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{timeout, timeout_at};

use super::order::Order;
use super::{Marker, SnapshotConfig};
use crate::auth::Identity;
use crate::event::Seen;
use crate::event::{Datum, Lsn, Row};
use crate::hub::{self, Delivery, Place, Rows, Selection};
use crate::journal::Hold;
use crate::postgres::Pool;
use crate::postgres::policy::Proof;
use crate::postgres::snapshot::{self, Condition, Query};
use crate::protocol::Frame;
use crate::shutdown::Scope;
use crate::telemetry::metric;

/// The snapshots in flight: equal ones are read once. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Snapshots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: SnapshotConfig,
    pool: Pool,
    hub: hub::Handle,
    marker: Marker,
    scope: Scope,
    permits: Semaphore,
    flights: DashMap<Wanted, Weak<Flight>>,
}

/// What a snapshot reads: equal ones are shared, where the same was known of who sees what.
#[derive(Clone, Debug, Eq)]
pub(super) struct Wanted {
    /// As whom. Who sees the same as somebody else reads it for himself all the same: PostgreSQL has the last word.
    pub(super) identity: Arc<Identity>,
    pub(super) selection: Selection,
    pub(super) order: Option<Arc<Order>>,
    pub(super) limit: Option<u32>,
}

impl Wanted {
    /// What the snapshot proves while it is read.
    fn proof(&self) -> Option<&Proof> {
        match &self.selection {
            Selection::Rows(rows) => rows.visibility.as_ref().map(|visibility| &*visibility.proof),
            Selection::Channel(_) => None,
        }
    }
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        let of = |wanted: &Self| (wanted.identity.clone(), wanted.order.clone(), wanted.limit);
        of(self) == of(other) && self.selection == other.selection && self.proof() == other.proof()
    }
}

impl Hash for Wanted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.identity, &self.selection, &self.order, self.limit).hash(state);
    }
}

/// A snapshot on its way to its readers.
#[derive(Debug)]
struct Flight {
    state: Mutex<State>,
    /// A chunk, or the end, was added: for the readers.
    added: Notify,
    /// A reader has taken a chunk, or has gone: for the producer.
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Chunks kept, oldest first.
    chunks: VecDeque<Arc<Delivery>>,
    /// How many were dropped before them.
    dropped: usize,
    /// The next chunk that the fastest reader wants.
    wanted: usize,
    /// Where the hub stood when the moment was about to be fixed; what follows is kept for as long as anybody may have to
    /// read it.
    held: Option<(Place, Hold)>,
    end: Option<Result<End, Failure>>,
}

/// Where a snapshot ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// From where its readers are owed changes.
    pub(super) place: Place,
    /// How far the log had been written.
    pub(super) lsn: Lsn,
}

/// Why a snapshot came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// PostgreSQL said no, or was away.
    Postgres(Arc<snapshot::Error>),
    /// The log lost the moment, or the journal began a new life: read again.
    Lost,
    /// The server is going down.
    Stopping,
}

/// What a reader of a flight gets.
#[derive(Debug)]
pub(super) enum Next {
    /// The next rows.
    Chunk(Arc<Delivery>),
    /// There are no more.
    End(End),
    /// It was slower than the others: its next rows are no longer kept.
    TooSlow,
    /// There will be none.
    Failed(Failure),
}

/// One reader of a snapshot.
#[derive(Debug)]
pub(super) struct Passenger {
    flight: Arc<Flight>,
    next: usize,
}

/// How many chunks are read ahead of the fastest reader.
const AHEAD: usize = 2;
/// How much of a snapshot is kept for readers slower than the fastest, in chunks.
const KEPT_CHUNKS: usize = 64;
/// How long it may go unnoticed that the last reader has gone.
const LAST_READER_GONE: Duration = Duration::from_millis(200);

impl Snapshots {
    /// None in flight yet.
    pub fn new(config: SnapshotConfig, pool: Pool, hub: hub::Handle, marker: Marker, scope: Scope) -> Self {
        let permits = Semaphore::new(config.concurrent);
        Self(Arc::new(Shared { config, pool, hub, marker, scope, permits, flights: DashMap::new() }))
    }

    /// Boards the snapshot that is in flight for this, or starts one.
    pub(super) fn board(&self, wanted: &Wanted) -> Passenger {
        let here = self.0.hub.here();
        let mut entry = self.0.flights.entry(wanted.clone()).or_default();
        let boarding = entry.upgrade().filter(|flight| flight.takes_passengers(&here));
        let flight = if let Some(flight) = boarding {
            metrics::counter!(metric::SNAPSHOT_SHARED).increment(1);
            flight
        } else {
            let flight = Arc::new(Flight::new());
            *entry = Arc::downgrade(&flight);
            self.start(wanted, &flight);
            flight
        };
        Passenger { flight, next: 0 }
    }

    /// A place among the few that read from PostgreSQL at once.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.0.permits.acquire().await.ok()
    }

    /// Starts one for a single reader: who was too slow for others.
    pub(super) fn alone(&self, wanted: &Wanted) -> Passenger {
        let flight = Arc::new(Flight::new());
        self.start(wanted, &flight);
        Passenger { flight, next: 0 }
    }

    fn start(&self, wanted: &Wanted, flight: &Arc<Flight>) {
        let (shared, wanted, flight) = (self.0.clone(), wanted.clone(), Arc::downgrade(flight));
        let task = async move {
            let end = tokio::select! {
                biased;
                () = shared.scope.closing() => Err(Failure::Stopping),
                end = shared.fly(&wanted, &flight) => end,
            };
            if end.is_err() {
                metrics::counter!(metric::SNAPSHOT_FAILURES).increment(1);
            }
            if let Some(flight) = flight.upgrade() {
                flight.end(end);
            }
            shared.flights.remove_if(&wanted, |_, other| other.ptr_eq(&flight));
        };
        self.0.scope.spawn("snapshot", task);
    }
}

impl Shared {
    /// Reads a snapshot at the pace of its fastest reader; nobody's, if all have gone.
    async fn fly(&self, wanted: &Wanted, flight: &Weak<Flight>) -> Result<End, Failure> {
        let Selection::Rows(rows) = &wanted.selection else { return Err(Failure::Lost) };
        metrics::gauge!(metric::SNAPSHOT_WAITING).increment(1.0);
        let permit = self.permits.acquire().await;
        metrics::gauge!(metric::SNAPSHOT_WAITING).decrement(1.0);
        let _permit = permit.map_err(|_| Failure::Stopping)?;
        if flight.strong_count() == 0 {
            return Err(Failure::Lost);
        }
        let started = Instant::now();
        let deadline = (started + self.config.timeout).into();
        // The place is held before the moment is fixed, and both within one life of the server.
        let life = self.marker.life().await.map_err(|_| Failure::Lost)?;
        let here = timeout_at(deadline, self.hold()).await.unwrap_or(None);
        let (mut place, hold) = here.ok_or(Failure::Lost)?;
        let Some(boarding) = flight.upgrade() else { return Err(Failure::Lost) };
        boarding.state.lock().held = Some((place.clone(), hold));
        drop(boarding);
        let postgres = |error| Failure::Postgres(Arc::new(error));
        let sql = rows.filter.as_ref().map(|filter| filter.to_sql());
        let order = wanted.order.as_ref().map(|order| order.to_sql());
        let query = Query {
            acting: rows.acting(&wanted.identity),
            table: &rows.table,
            columns: &rows.projection.columns,
            condition: sql.as_ref().map(|sql| Condition { sql: &sql.text, values: &sql.params }),
            order: order.as_deref(),
            limit: wanted.limit.map(u64::from),
            timeout: self.config.timeout,
        };
        let mut reader = snapshot::open(&self.pool, &query).await.map_err(postgres)?;
        metrics::gauge!(metric::SNAPSHOT_OPEN).increment(1.0);
        let _open = Open;
        let (moment, lsn) = (reader.snapshot().clone(), reader.lsn());
        let passing = async { self.marker.pass(Some(life)).await.map_err(|_| Failure::Lost) };
        let reading = async {
            while let Some(chunk) = reader.next_chunk(self.config.chunk_bytes).await.map_err(postgres)? {
                metrics::counter!(metric::SNAPSHOT_ROWS).increment(chunk.len() as u64);
                let frame = Frame::snapshot(&rows_json(rows, &chunk));
                Flight::add(flight, Arc::new(Delivery::plain(frame))).await?;
            }
            Ok(())
        };
        // The reader watches PostgreSQL's pace only: a snapshot that nobody takes holds back vacuum just the same.
        let reading = async {
            timeout_at(deadline, reading).await.unwrap_or_else(|_| {
                let (table, timeout) = (rows.table.name.clone(), self.config.timeout);
                Err(postgres(snapshot::Error::Timeout { table, timeout }))
            })
        };
        let (settled, ()) = tokio::try_join!(passing, reading)?;
        metrics::histogram!(metric::SNAPSHOT_SECONDS).record(started.elapsed());
        if self.hub.here().incarnation != place.incarnation {
            return Err(Failure::Lost);
        }
        place.seen = Some(Seen { snapshot: moment, settled });
        Ok(End { place, lsn })
    }
}

impl Shared {
    /// Holds the place where the hub is; `None` if it has stopped.
    async fn hold(&self) -> Option<(Place, Hold)> {
        let mut moves = self.hub.moves();
        loop {
            moves.mark_unchanged();
            let place = self.hub.here();
            let hold = self.hub.journal().hold(place.incarnation, place.position);
            if self.hub.journal().refuse(place.incarnation, place.position) == Ok(None) {
                return Some((place, hold));
            }
            // The hub is within a transaction whose beginning the journal holds no more: there is a place at its end.
            moves.changed().await.ok()?;
        }
    }
}

/// Counts a snapshot as open while it lives.
struct Open;

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(metric::SNAPSHOT_OPEN).decrement(1.0);
    }
}

/// Rows of a projection as a JSON array.
pub(super) fn rows_json(rows: &Rows, chunk: &[Row]) -> Vec<u8> {
    let mut json = vec![b'['];
    let mut datums = vec![Datum::Null; rows.table.columns.len()];
    for row in chunk {
        for (datum, column) in row.columns().zip(&rows.projection.columns) {
            datums[*column] = datum;
        }
        if json.len() > 1 {
            json.push(b',');
        }
        rows.projection.write_row(&rows.table, &datums, &mut json);
    }
    json.push(b']');
    json
}

impl Flight {
    fn new() -> Self {
        Self { state: Mutex::default(), added: Notify::new(), taken: Notify::new() }
    }

    /// Whether one who boards now still gets every chunk, and all that the hub has passed: what was read before would
    /// take a reader back behind changes that it was told of already.
    fn takes_passengers(&self, here: &Place) -> bool {
        let state = self.state.lock();
        let fresh = state.held.as_ref().is_none_or(|(held, _)| held == here);
        fresh && state.dropped == 0 && state.end.is_none()
    }

    /// Adds a chunk, once no more than [`AHEAD`] wait for the fastest reader.
    async fn add(flight: &Weak<Self>, chunk: Arc<Delivery>) -> Result<(), Failure> {
        loop {
            // Held while waiting, the last reader's going would not be noticed: so only a moment at a time.
            let Some(flight) = flight.upgrade() else { return Err(Failure::Lost) };
            let taken = flight.taken.notified();
            if flight.state.lock().push(&chunk) {
                flight.added.notify_waiters();
                return Ok(());
            }
            _ = timeout(LAST_READER_GONE, taken).await;
        }
    }

    fn end(&self, end: Result<End, Failure>) {
        self.state.lock().end = Some(end);
        self.added.notify_waiters();
    }
}

impl State {
    /// Takes a chunk, if the fastest reader is not too far behind; tells whether it did.
    fn push(&mut self, chunk: &Arc<Delivery>) -> bool {
        if self.dropped + self.chunks.len() >= self.wanted + AHEAD {
            return false;
        }
        self.chunks.push_back(chunk.clone());
        if self.chunks.len() > KEPT_CHUNKS {
            self.chunks.pop_front();
            self.dropped += 1;
        }
        true
    }
}

impl Passenger {
    /// The next rows. Cancel safe.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            let added = self.flight.added.notified();
            tokio::pin!(added);
            added.as_mut().enable();
            {
                let mut state = self.flight.state.lock();
                state.wanted = state.wanted.max(self.next);
                let Some(index) = self.next.checked_sub(state.dropped) else { return Next::TooSlow };
                if let Some(chunk) = state.chunks.get(index) {
                    self.next += 1;
                    let chunk = chunk.clone();
                    drop(state);
                    self.flight.taken.notify_one();
                    return Next::Chunk(chunk);
                }
                match &state.end {
                    Some(Ok(end)) => return Next::End(end.clone()),
                    Some(Err(failure)) => return Next::Failed(failure.clone()),
                    None => {}
                }
            }
            self.flight.taken.notify_one();
            added.await;
        }
    }
}

impl Drop for Passenger {
    fn drop(&mut self) {
        self.flight.taken.notify_one();
    }
}
