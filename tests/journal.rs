//! The contract of the journal, held against both of its backends: in memory, and in a RabbitMQ stream.

use std::sync::Arc;
use std::time::Duration;

use tidegate::event::{
    Attributes, Change, Chunk, Incarnation, Lsn, Mark, Position, Publication, Record, Timestamp, Xid,
};
use tidegate::journal::{
    self, Appended, Backend, Bounds, Follower, History, Known, Ledger, Opened, Parts, Read, Step,
    StreamConfig,
};
use tidegate::protocol::ResyncReason;
use tidegate::shutdown::Scope;
use tidegate::source::{Continuity, Reason};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::fixture::{DEADLINE, Vhost, scenario};

/// One journal of either kind, by all of its ends.
struct Bench {
    parts: Parts,
    confirmed: watch::Receiver<Lsn>,
    scope: Scope,
    /// What the follower has taken, since the last start.
    followed: Vec<Arc<Record>>,
}

const BOUNDS: Bounds = Bounds {
    memory_bytes: 1 << 20,
    held_bytes: 1 << 20,
    max_age: Duration::from_mins(10),
    block_bytes: 1 << 16,
};

fn history(starts_at: u64, continuity: Continuity) -> History {
    History {
        system_id: 7,
        timeline: 1,
        starts_at: Lsn::new(starts_at),
        flushed: Lsn::new(1 << 40),
        continuity,
    }
}

impl Bench {
    fn open(backend: Backend) -> Self {
        let scope = Scope::new();
        let (tell, confirmed) = watch::channel(Lsn::ZERO);
        let parts = journal::open(BOUNDS, backend, Ledger::new(tell), &scope);
        Self { parts, confirmed, scope, followed: Vec::new() }
    }

    fn backend(vhost: Option<&Vhost>) -> Backend {
        let Some(vhost) = vhost else { return Backend::Memory };
        Backend::Stream(Box::new(StreamConfig {
            url: vhost.url().parse().expect("valid"),
            stream: "tidegate.journal".into(),
            max_age: Duration::from_hours(1),
            max_bytes: 1 << 30,
            confirm_delay: Duration::ZERO,
            window_bytes: BOUNDS.memory_bytes,
            event_bytes: 1 << 18,
        }))
    }

    async fn begin(&mut self, history: &History) -> Opened {
        timeout(DEADLINE, self.parts.writer.open(history)).await.expect("in time").expect("it can be written")
    }

    fn tail(&self) -> Position {
        self.parts.writer.tail().position
    }

    fn life(&self) -> Incarnation {
        self.parts.writer.tail().incarnation
    }

    async fn put(&mut self, record: Record, reaches: Option<u64>) -> oneshot::Receiver<()> {
        let (tell, stored) = oneshot::channel();
        let reaches = reaches.map(Lsn::new);
        let appended = Appended { record, reaches, stored: vec![tell] };
        self.parts.writer.append(appended).await.expect("it takes it");
        stored
    }

    /// A part of the transaction that commits at `lsn`.
    async fn chunk(&mut self, lsn: u64, first_index: u32, changes: u32, last: bool) {
        let chunk = Chunk {
            previous: self.tail(),
            commit_lsn: Lsn::new(lsn),
            xid: Xid::new(lsn),
            committed_at: Timestamp::new(i64::try_from(lsn).expect("small")),
            first_index,
            changes: vec![Change::Schema; changes as usize].into(),
            last,
        };
        _ = self.put(Record::Chunk(chunk), last.then_some(lsn + 5)).await;
    }

    /// A transaction of one change.
    fn next(&self, lsn: u64) -> Appended {
        let chunk = Chunk {
            previous: self.tail(),
            commit_lsn: Lsn::new(lsn),
            xid: Xid::new(lsn),
            committed_at: Timestamp::default(),
            first_index: 0,
            changes: vec![Change::Schema].into(),
            last: true,
        };
        Appended { record: Record::Chunk(chunk), reaches: Some(Lsn::new(lsn + 5)), stored: Vec::new() }
    }

    /// Follows until the tail.
    async fn follow(&mut self) {
        let (life, tail) = (self.life(), self.tail());
        let arrived = async {
            let mut here = None;
            while here != Some((life, tail)) {
                match self.parts.follower.next().await {
                    Step::Reset(start) => {
                        self.followed.clear();
                        here = Some((start.incarnation, start.position));
                    }
                    Step::Records(records) => {
                        here = records.last().map(|record| (life, record.end()));
                        self.followed.extend(records);
                    }
                }
            }
        };
        timeout(DEADLINE, arrived).await.expect("everything comes");
        self.check();
    }

    /// Each record follows the one before.
    fn check(&self) {
        for pair in self.followed.windows(2) {
            assert_eq!(pair[1].previous(), pair[0].end());
        }
    }

    fn read(&self, position: Position) -> Option<Vec<u64>> {
        match self.parts.journal.read(self.life(), position, 1_000) {
            Read::Records(records) => {
                Some(records.iter().map(|record| record.end().commit_lsn.get()).collect())
            }
            Read::Gap => None,
        }
    }

    async fn close(self) {
        drop(self.parts);
        let drained = self.scope.drain(Duration::from_secs(10)).await;
        assert_eq!(drained, tidegate::shutdown::Drained::Clean);
    }
}

fn at(lsn: u64, index: u32) -> Position {
    Position { commit_lsn: Lsn::new(lsn), index }
}

/// Runs `claim` against both.
fn both(claim: impl AsyncFn(Bench)) {
    scenario(async |test| {
        claim(Bench::open(Bench::backend(None))).await;
        let vhost = test.vhost().await;
        claim(Bench::open(Bench::backend(Some(&vhost)))).await;
    });
}

#[test]
fn what_is_appended_is_followed_and_read_in_order_and_confirmed() {
    both(async |mut bench| {
        assert_ne!(
            bench.begin(&history(1, Continuity::Reset(Reason::SlotCreated))).await,
            Opened::Reset("x")
        );
        let start = bench.tail();
        bench.chunk(10, 0, 3, true).await;
        bench.chunk(20, 0, 2, false).await;
        bench.chunk(20, 2, 2, true).await;
        let mark = Mark { previous: bench.tail(), commit_lsn: Lsn::new(30), index: 1, token: Some(9) };
        let stored = bench.put(Record::Mark(mark), Some(31)).await;
        timeout(DEADLINE, stored).await.expect("in time").expect("it is safe");
        bench.follow().await;
        let tokens: Vec<_> = bench
            .followed
            .iter()
            .filter_map(|record| match &**record {
                Record::Mark(mark) => mark.token,
                Record::Chunk(_) => None,
            })
            .collect();
        assert_eq!(tokens, [9]);
        assert_eq!(bench.read(start), Some(vec![10, 20, 20, 30]));
        assert_eq!(bench.read(at(10, 3)), Some(vec![20, 20, 30]));
        assert_eq!(bench.read(at(20, 2)), None, "within a transaction");
        assert_eq!(bench.read(at(15, 1)), None, "where nothing ends");
        let journal = &bench.parts.journal;
        assert_eq!(journal.refuse(bench.life(), at(20, 4)), Ok(None));
        assert_eq!(journal.refuse(bench.life(), at(20, 3)), Ok(Some(ResyncReason::CursorInvalid)));
        assert_eq!(journal.refuse(Incarnation(1), at(20, 4)), Ok(Some(ResyncReason::SourceReset)));
        let mut confirmed = bench.confirmed.clone();
        let told = timeout(DEADLINE, confirmed.wait_for(|confirmed| confirmed.get() == 31)).await;
        told.expect("in time").expect("it is told");
        bench.close().await;
    });
}

#[test]
fn a_journal_goes_on_where_it_was_and_begins_anew_where_changes_may_be_missing() {
    both(async |mut bench| {
        _ = bench.begin(&history(1, Continuity::Reset(Reason::SlotCreated))).await;
        bench.chunk(10, 0, 1, true).await;
        bench.follow().await;
        let (life, tail) = (bench.life(), bench.tail());
        bench.parts.writer.close();
        assert_eq!(bench.begin(&history(10, Continuity::Continued)).await, Opened::Continued);
        assert_eq!((bench.life(), bench.tail().commit_lsn), (life, tail.commit_lsn));
        bench.chunk(40, 0, 1, true).await;
        bench.follow().await;
        bench.parts.writer.close();
        let lost = bench.begin(&history(90, Continuity::Reset(Reason::SlotLost))).await;
        assert_eq!(lost, Opened::Reset("slot_lost"));
        assert!(bench.life() > life);
        bench.chunk(95, 0, 1, true).await;
        bench.follow().await;
        let changes = bench.followed.iter().filter(|record| matches!(&***record, Record::Chunk(_))).count();
        assert_eq!(changes, 1, "of the new life alone");
        assert_eq!(bench.parts.journal.refuse(life, tail), Ok(Some(ResyncReason::SourceReset)));
        bench.close().await;
    });
}

#[test]
fn an_event_that_was_stored_is_known_again() {
    both(async |mut bench| {
        _ = bench.begin(&history(1, Continuity::Reset(Reason::SlotCreated))).await;
        let mut attributes = Attributes::default();
        attributes.set("id", "7").expect("a name");
        let Publication { event, key } =
            Publication::binary("c", attributes, b"[1]", Timestamp::default(), 1).expect("valid");
        assert_eq!(bench.parts.writer.knows(&key), Known::No);
        let previous = bench.tail();
        let chunk = Chunk {
            previous,
            commit_lsn: previous.commit_lsn,
            xid: Xid::NONE,
            committed_at: Timestamp::default(),
            first_index: previous.index,
            changes: vec![Change::Event(event)].into(),
            last: true,
        };
        let stored = bench.put(Record::Chunk(chunk), None).await;
        timeout(DEADLINE, stored).await.expect("in time").expect("it is safe");
        assert_eq!(bench.parts.writer.knows(&key), Known::Stored);
        bench.follow().await;
        bench.close().await;
    });
}

#[test]
fn what_is_larger_than_a_message_comes_through_whole() {
    both(async |mut bench| {
        _ = bench.begin(&history(1, Continuity::Reset(Reason::SlotCreated))).await;
        let data = format!("\"{}\"", "x".repeat(9 << 20));
        let event = Publication::binary("c", Attributes::default(), data.as_bytes(), Timestamp::default(), 1);
        let event = event.expect("valid").event;
        let previous = bench.tail();
        let chunk = Chunk {
            previous,
            commit_lsn: Lsn::new(50),
            xid: Xid::new(5),
            committed_at: Timestamp::default(),
            first_index: 0,
            changes: vec![Change::Event(event.clone())].into(),
            last: true,
        };
        _ = bench.put(Record::Chunk(chunk), Some(51)).await;
        bench.follow().await;
        bench.chunk(60, 0, 1, true).await;
        bench.follow().await;
        let whole = bench.followed.iter().any(|record| match &**record {
            Record::Chunk(chunk) => chunk.changes.contains(&Change::Event(event.clone())),
            Record::Mark(_) => false,
        });
        assert!(whole, "nine megabytes in one record");
        bench.close().await;
    });
}

#[test]
fn a_second_process_reads_what_the_first_has_written_and_writes_after_it() {
    scenario(async |test| {
        test.expect_in_log("the journal cannot be written");
        let vhost = test.vhost().await;
        let mut first = Bench::open(Bench::backend(Some(&vhost)));
        _ = first.begin(&history(1, Continuity::Reset(Reason::SlotCreated))).await;
        for lsn in [10, 20, 30] {
            first.chunk(lsn, 0, 2, true).await;
        }
        first.follow().await;
        let mut second = Bench::open(Bench::backend(Some(&vhost)));
        assert_eq!(second.begin(&history(20, Continuity::Continued)).await, Opened::Continued);
        assert_eq!((second.life(), second.tail().commit_lsn), (first.life(), Lsn::new(30)));
        // Until the first knows that its time is over, it goes on.
        let mut lsn = 40;
        while first.parts.writer.append(first.next(lsn)).await.is_ok() {
            lsn += 10;
        }
        second.chunk(40, 0, 1, true).await;
        second.chunk(50, 0, 1, true).await;
        second.follow().await;
        let chunks: Vec<_> = second
            .followed
            .iter()
            .filter(|record| matches!(&***record, Record::Chunk(_)))
            .map(|record| record.end().commit_lsn.get())
            .collect();
        assert_eq!(chunks, [10, 20, 30, 40, 50]);
        follow_to(&mut first.parts.follower, second.tail()).await;
        // A slot that was told of more than the stream has: something is missing.
        second.parts.writer.close();
        let short = second.begin(&history(500, Continuity::Continued)).await;
        assert_eq!(short, Opened::Reset("journal_short"));
        second.close().await;
        first.close().await;
    });
}

async fn follow_to(follower: &mut Follower, position: Position) {
    let arrived = async {
        loop {
            if let Step::Records(records) = follower.next().await
                && records.last().is_some_and(|record| record.end() == position)
            {
                return;
            }
        }
    };
    timeout(DEADLINE, arrived).await.expect("everything comes");
}
