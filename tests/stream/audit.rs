//! The audit: what the stream yields to whoever reads it, wherever they start, against what PostgreSQL has committed.
//!
//! ```text
//!  history, turns in PostgreSQL ──────────────▶ Committed ─┐
//!  stream ─▶ from its beginning ──────────────▶ Yield ─────┴─ the same transactions, once, in the same order
//!        └─▶ from later offsets, from cursors ─▶ Yield ─────── a tail of that one, change by change
//! ```
//!
//! The stream is read as every process reads it: through a [`journal::Journal`] that nobody writes.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join_all;
use tidegate::event::{Change, Chunk, Incarnation, Position, Record, Xid};
use tidegate::journal::{self, Backend, Bounds, Follower, Journal, Ledger, Step, StreamConfig};
use tidegate::shutdown::Scope;
use tokio::sync::watch;
use tokio::time::timeout;

use super::house::House;
use crate::fixture::Database;
use crate::stage::spawn;

/// From so many places the stream is read again, by offset and by cursor.
const LATER_STARTS: usize = 4;
const CURSORS: usize = 16;
/// The whole of it, in a debug build on a loaded machine.
const READ_WITHIN: Duration = Duration::from_mins(1);
const RECORDS_AT_ONCE: usize = 64;
/// The channel of the event with which the audit ends.
const END: &str = "audit";
/// For one who is to hold as little as possible, and for one who is to hold everything.
const SMALL: usize = 64 << 10;
const LARGE: usize = 1 << 30;

/// What PostgreSQL has committed since a moment.
pub(crate) struct Committed {
    /// How many changes each transaction made.
    changes: BTreeMap<u64, u32>,
    /// Transactions that took turns, in the order in which they were committed.
    turns: Vec<u64>,
}

/// Which of what was committed the stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// What was committed from some moment on: the stream was made anew in between.
    Tail,
}

/// What an audit has seen.
#[derive(Debug)]
#[expect(dead_code, reason = "for whoever reads what the test has printed")]
pub(crate) struct Audited {
    pub(crate) transactions: usize,
    pub(crate) changes: usize,
    /// Of which the order of commits is known.
    pub(crate) in_turns: usize,
    /// How many readers started elsewhere than at the beginning, by offset and by cursor.
    pub(crate) later_starts: usize,
    pub(crate) cursors: usize,
}

/// The transactions that begin from now on.
pub(crate) async fn moment(database: &Database) -> u64 {
    let next = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    u64::try_from(database.number(next).await).expect("an xid")
}

/// Fails the test unless the stream yields every transaction of `since` and later that is committed, once and in commit
/// order, to whoever reads it; of a stream that was made anew, every one from some moment on.
pub(crate) async fn audit(house: &House, since: u64, extent: Extent) -> Audited {
    let committed = Committed::read(&house.database, since).await;
    let end = format!("select pg_logical_emit_message(true, 'tidegate:{END}', '\"{}\"')", fastrand::u64(..));
    house.database.execute(&end).await;

    let whole = Auditor::open(house, LARGE).follow().await;
    assert_eq!(whole.start, Position::default(), "the stream is read from where its life began");
    committed.compare(&whole, since, extent);

    for start in 0..LATER_STARTS {
        // So much is read of what was there before: the smaller, the nearer to the end.
        let tail = Auditor::open(house, SMALL << (3 * start)).follow().await;
        whole.compare(&tail, &format!("an offset, {start}"));
    }
    let resumed = Auditor::open(house, SMALL).resume(&whole).await;
    for (place, tail) in &resumed {
        whole.compare(tail, &format!("the cursor {place:?}"));
    }
    let counted = whole.transactions.iter().filter(|transaction| transaction.xid != Xid::NONE);
    let (transactions, changes) =
        counted.fold((0, 0), |(count, changes), it| (count + 1, changes + it.changes as usize));
    let in_turns = committed.turns.len();
    Audited { transactions, changes, in_turns, later_starts: LATER_STARTS, cursors: resumed.len() }
}

impl Committed {
    async fn read(database: &Database, since: u64) -> Self {
        let client = database.client().await;
        let number = |row: &tokio_postgres::Row, index| {
            u64::try_from(row.get::<_, i64>(index)).expect("ids and counts are not negative")
        };
        let since = i64::try_from(since).expect("an xid");
        let changes = "select xid::text::bigint, count(*)
            from history
            where xid::text::bigint >= $1
            group by 1";
        let rows = client.query(changes, &[&since]).await.expect("the load's history");
        let count = |row| u32::try_from(number(row, 1)).expect("a transaction is small");
        let changes = rows.iter().map(|row| (number(row, 0), count(row))).collect();
        let turns = "select xid::text::bigint
            from turns
            where xid in (select xid from history)
              and xid::text::bigint >= $1
            order by turn";
        let rows = client.query(turns, &[&since]).await.expect("the load's turns");
        Self { changes, turns: rows.iter().map(|row| number(row, 0)).collect() }
    }

    /// Fails the test unless the stream has yielded this.
    fn compare(&self, yielded: &Yield, since: u64, extent: Extent) {
        let mut told = BTreeMap::new();
        for Transaction { xid, changes, .. } in &yielded.transactions {
            if *xid == Xid::NONE || xid.get() < since || *changes == 0 {
                continue;
            }
            assert_eq!(told.insert(xid.get(), *changes), None, "transaction {} twice", xid.get());
        }
        for (xid, changes) in &told {
            assert_eq!(self.changes.get(xid), Some(changes), "transaction {xid}, as PostgreSQL has it");
        }
        let order = yielded.transactions.iter().map(|transaction| transaction.xid.get());
        let took_turns: std::collections::BTreeSet<_> = self.turns.iter().copied().collect();
        let order: Vec<_> = order.filter(|xid| took_turns.contains(xid)).collect();
        let before = match extent {
            Extent::Whole => 0,
            Extent::Tail => self.turns.len().checked_sub(order.len()).expect("no more than was committed"),
        };
        assert_eq!(order, self.turns[before..], "commit order");
        assert!(!order.is_empty(), "the load had nothing to tell");
        if extent == Extent::Whole {
            let missing: Vec<_> = self.changes.keys().filter(|xid| !told.contains_key(xid)).collect();
            assert!(missing.is_empty(), "not in the stream: {missing:?}");
        }
    }
}

/// What a reader got.
#[derive(Debug)]
struct Yield {
    incarnation: Incarnation,
    start: Position,
    /// Published events among them, each record as one of nobody's.
    transactions: Vec<Transaction>,
    /// Where the last record ends.
    end: Position,
    /// The last transaction is not complete.
    open: Option<Transaction>,
    is_complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Transaction {
    xid: Xid,
    end: Position,
    /// Rows that it changed, and tables that it emptied.
    changes: u32,
    /// Of everything in it.
    hash: u64,
}

impl Yield {
    fn starting(incarnation: Incarnation, start: Position) -> Self {
        Self { incarnation, start, transactions: Vec::new(), end: start, open: None, is_complete: false }
    }

    /// Takes what comes next, up to the end.
    fn take_all(&mut self, records: &[Arc<Record>]) {
        for record in records {
            if !self.is_complete {
                self.take(record);
            }
        }
    }

    /// Takes the next record, which has to follow the last one.
    fn take(&mut self, record: &Record) {
        assert_eq!(record.previous(), self.end, "no record follows another's end than the last one's");
        assert!(record.end() > self.end, "{:?} does not lie behind {:?}", record.end(), self.end);
        if let Record::Chunk(chunk) = record {
            self.take_chunk(chunk);
        } else {
            assert_eq!(self.open, None, "a mark within a transaction");
        }
        self.end = record.end();
    }

    fn take_chunk(&mut self, chunk: &Chunk) {
        let mut transaction = match self.open.take() {
            Some(open) => {
                let here = (chunk.xid, chunk.commit_lsn, chunk.first_index);
                assert_eq!(here, (open.xid, open.end.commit_lsn, open.end.index), "the next part");
                open
            }
            None => Transaction { xid: chunk.xid, end: Position::default(), changes: 0, hash: 0 },
        };
        if chunk.xid != Xid::NONE && transaction.end == Position::default() {
            assert_eq!(chunk.first_index, 0, "a transaction comes from its beginning: {chunk:?}");
            assert!(chunk.commit_lsn > self.end.commit_lsn, "commits in the order of the log");
        }
        for (index, change) in chunk.changes.iter().enumerate() {
            transaction.changes += u32::from(matches!(change, Change::Row(_) | Change::Truncate(_)));
            transaction.hash = hash(transaction.hash, chunk, index);
            self.is_complete |= matches!(change, Change::Event(event) if &*event.channel == END);
        }
        transaction.end = chunk.end();
        if chunk.last {
            self.transactions.push(transaction);
        } else {
            self.open = Some(transaction);
        }
    }

    /// Fails the test unless `tail` is the end of this one, from where it starts on.
    fn compare(&self, tail: &Self, of: &str) {
        assert_eq!(tail.incarnation, self.incarnation, "of one life");
        let behind = self.transactions.iter().skip_while(|transaction| transaction.end <= tail.start);
        let expected: Vec<_> = behind.collect();
        assert!(!expected.is_empty(), "{of}: it had something to read");
        for (expected, told) in expected.iter().zip(&tail.transactions) {
            assert_eq!(*expected, told, "from {of}, which starts at {:?}", tail.start);
        }
        assert_eq!(expected.len(), tail.transactions.len(), "from {of}, which starts at {:?}", tail.start);
    }
}

/// Of one change behind what came before it, wherever records were cut.
fn hash(before: u64, chunk: &Chunk, index: usize) -> u64 {
    let record = Record::Chunk(Chunk {
        previous: Position::default(),
        first_index: chunk.first_index + u32::try_from(index).expect("a chunk is small"),
        changes: vec![chunk.changes[index].clone()].into(),
        last: false,
        ..chunk.clone()
    });
    let mut bytes = BytesMut::new();
    record.encode(&mut bytes);
    BuildHasherDefault::<DefaultHasher>::default().hash_one((before, &bytes[..]))
}

/// A reader of the stream as every process has one.
struct Auditor {
    follower: Follower,
    journal: Journal,
    scope: Scope,
    // Nothing comes of it, and it may not be gone.
    _writer: journal::Writer,
}

impl Auditor {
    /// One that holds so much of the stream, and reads at its start what fills that.
    fn open(house: &House, window_bytes: usize) -> Self {
        let scope = Scope::new();
        let bounds = Bounds {
            memory_bytes: window_bytes,
            held_bytes: 0,
            max_age: Duration::from_hours(1),
            block_bytes: journal::BLOCK_BYTES,
        };
        let config = StreamConfig {
            url: house.broker.url("/").parse().expect("valid"),
            stream: "tidegate.journal".into(),
            // As the servers have them by default.
            max_age: Duration::from_hours(24),
            max_bytes: 10 << 30,
            confirm_delay: Duration::ZERO,
            window_bytes,
            event_bytes: 1 << 18,
        };
        let (confirmed, _) = watch::channel(tidegate::event::Lsn::ZERO);
        let ledger = Ledger::new(confirmed);
        let parts = journal::open(bounds, Backend::Stream(Box::new(config)), ledger, &scope);
        Self { follower: parts.follower, journal: parts.journal, scope, _writer: parts.writer }
    }

    /// Reads from where it starts up to the end.
    async fn follow(mut self) -> Yield {
        let told = timeout(READ_WITHIN, self.read()).await.expect("the stream is read in time");
        self.close().await;
        told
    }

    async fn read(&mut self) -> Yield {
        let mut told = Yield::starting(Incarnation::default(), Position::default());
        while !told.is_complete {
            match self.follower.next().await {
                // Of a stream that holds several lives the last one counts.
                Step::Reset(start) => told = Yield::starting(start.incarnation, start.position),
                Step::Records(records) => told.take_all(&records),
            }
        }
        told
    }

    /// Reads from ends of transactions all over the stream, all at once, while it holds hardly any of it itself.
    async fn resume(mut self, whole: &Yield) -> Vec<(Position, Yield)> {
        timeout(READ_WITHIN, self.read()).await.expect("the stream is read in time");
        let step = (whole.transactions.len() / CURSORS).max(1);
        let places = whole.transactions.iter().step_by(step).map(|transaction| transaction.end);
        // The last one is the end itself, behind which there is nothing.
        let places: Vec<_> = std::iter::once(whole.start)
            .chain(places.filter(|place| *place < whole.transactions[whole.transactions.len() - 1].end))
            .collect();
        let Self { mut follower, journal, scope, _writer } = self;
        let drain = spawn(async move {
            loop {
                _ = follower.next().await;
            }
        });
        let readings = places.iter().map(|place| resume(&journal, whole.incarnation, *place));
        let told = timeout(READ_WITHIN, join_all(readings)).await.expect("cursors are resumed in time");
        drain.abort();
        _ = scope.drain(READ_WITHIN).await;
        places.into_iter().zip(told).collect()
    }

    async fn close(self) {
        drop((self.follower, self.journal));
        _ = self.scope.drain(READ_WITHIN).await;
    }
}

/// Reads from a cursor as a session does for whoever returns with it.
async fn resume(journal: &Journal, incarnation: Incarnation, place: Position) -> Yield {
    assert_eq!(journal.refuse(incarnation, place), Ok(None), "the cursor {place:?}");
    let mut told = Yield::starting(incarnation, place);
    let mut catch_up = journal.catch_up(incarnation);
    while !told.is_complete {
        let until = journal.tail().position;
        if until <= told.end {
            // The end itself, or what this reader has yet to read.
            tokio::task::yield_now().await;
            continue;
        }
        let stretch = catch_up
            .next(told.end, until)
            .await
            .unwrap_or_else(|reason| panic!("no more after {:?}: {reason:?}", told.end));
        // Gone from the window meanwhile: then it is read from the stream.
        while !told.is_complete
            && let Some(records) = stretch.after(told.end, RECORDS_AT_ONCE)
            && !records.is_empty()
        {
            told.take_all(&records);
        }
        tokio::task::yield_now().await;
    }
    told
}
