//! The stream behind the window, for clients that were away for longer than the window is long.
//!
//! A *run* reads the stream from one place up to the window, and carries all who resume somewhere on its way. There are
//! few runs at once, each with few records in memory; whoever is too slow for its run gets off, and waits for another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::index::Index;
use super::passengers::Passengers;
use super::run;
use super::{Config, Error};
use crate::event::{Incarnation, Position, Record};
use crate::journal::stretch::{BLOCK_BYTES, Block, Cutter};
use crate::journal::window::Window;
use crate::protocol::ResyncReason;
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// The stream behind the window. Cloning shares it.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Archive(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) window: Window,
    runs: Mutex<Vec<Arc<Run>>>,
    /// A run has begun, gone on or ended.
    changed: Notify,
    scope: Scope,
}

/// One reading of the stream.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) incarnation: Incarnation,
    state: Mutex<State>,
    /// Something was read, or the run has ended.
    read: Notify,
    /// A passenger has taken something, or got off.
    taken: Notify,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Where its first block, of those that are still here, begins.
    start: Position,
    /// What passengers may have, oldest first.
    blocks: VecDeque<Arc<Block>>,
    /// How much is in `blocks`.
    bytes: usize,
    /// What is not a block yet.
    cutter: Cutter,
    passengers: Passengers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not begun to read: who is further behind may get on.
    Gathering,
    /// It reads.
    Reading,
    /// It has come up to the window.
    Arrived,
    /// It cannot go on: what follows its last record is not in the stream.
    Failed(ResyncReason),
}

/// A place in a run.
#[derive(Debug)]
pub(in crate::journal) struct Passage {
    archive: Archive,
    run: Arc<Run>,
    number: u64,
}

/// What a passenger gets.
#[derive(Debug)]
#[must_use]
pub(in crate::journal) enum Ride {
    /// The block that follows.
    Block(Arc<Block>),
    /// From here on the window has them.
    Arrived,
    /// It was too slow: look for another run.
    Left,
}

/// Runs at once: each is a connection, some megabytes, and the broker's disk.
const RUNS: usize = 4;
/// What a run holds for its passengers, besides what is not a block yet.
const RUN_BYTES: usize = 8 << 20;
/// The largest transaction that stays in one block: what `hub.transaction_bytes` is by default. Of a larger one each
/// passenger finds out for itself whether it is touched.
const WHOLE_BYTES: usize = 32 << 20;
/// How long a run waits for its slowest passenger before it leaves without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a run is tried, and the first and the longest pause in between: about as long as a broker takes to restart.
const ATTEMPTS: u32 = 12;
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a run gathers passengers before it starts: clients that were cut off together come back together.
const GATHERING: Duration = Duration::from_millis(20);
/// So near to each other in the log, in bytes, two clients take one run, though there were another to be had.
const NEAR_BYTES: u64 = 64 << 20;

impl Archive {
    pub(super) fn new(config: Arc<Config>, index: Arc<Mutex<Index>>, window: Window, scope: Scope) -> Self {
        Self(Arc::new(Shared {
            config,
            index,
            window,
            runs: Mutex::default(),
            changed: Notify::new(),
            scope,
        }))
    }

    /// Finds a run that comes by `position`, or starts one, once there may be one more.
    pub(in crate::journal) async fn board(&self, incarnation: Incarnation, position: Position) -> Passage {
        loop {
            let changed = self.0.changed.notified();
            if let Some(passage) = self.try_board(incarnation, position) {
                return passage;
            }
            changed.await;
        }
    }

    fn try_board(&self, incarnation: Incarnation, position: Position) -> Option<Passage> {
        let mut runs = self.0.runs.lock();
        let free = runs.len() < RUNS;
        let number = fastrand::u64(..);
        let run = runs
            .iter()
            .find(|run| run.incarnation == incarnation && run.admit(number, position, free))
            .cloned();
        let run = run.or_else(|| {
            let whole = WHOLE_BYTES.min(self.0.config.window_bytes);
            let run = free.then(|| Arc::new(Run::new(incarnation, position, number, whole)))?;
            runs.push(run.clone());
            self.0.scope.spawn("catch-up", self.clone().drive(run.clone()));
            Some(run)
        })?;
        Some(Passage { archive: self.clone(), run, number })
    }

    async fn drive(self, run: Arc<Run>) {
        metrics::counter!(metric::JOURNAL_CATCH_UPS).increment(1);
        tokio::select! {
            biased;
            () = self.0.scope.closing() => {}
            () = async {
                sleep(GATHERING).await;
                run.end(self.read(&run).await);
            } => {}
        }
        self.0.runs.lock().retain(|other| !Arc::ptr_eq(other, &run));
        self.0.changed.notify_waiters();
    }
}

impl Archive {
    /// Reads for a run, and goes on where it was when the broker goes away for a while.
    async fn read(&self, run: &Run) -> Stage {
        let mut pause = PAUSES.0;
        for _ in 0..ATTEMPTS {
            match run::run(&self.0, run).await {
                Ok(()) => return Stage::Arrived,
                Err(run::Broken::Gap(reason)) => return Stage::Failed(reason),
                Err(run::Broken::Stream(error)) => {
                    let pause_ms = pause.as_millis();
                    tracing::info!(error = %Chain(&error), pause_ms, "clients that catch up from the stream wait");
                }
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        tracing::warn!("the stream cannot be read: clients that catch up from it start over");
        Stage::Failed(ResyncReason::CursorExpired)
    }
}

impl Run {
    fn new(incarnation: Incarnation, position: Position, passenger: u64, whole_bytes: usize) -> Self {
        let mut state = State {
            stage: Stage::Gathering,
            start: position,
            blocks: VecDeque::new(),
            bytes: 0,
            cutter: Cutter::new(BLOCK_BYTES, whole_bytes),
            passengers: Passengers::default(),
        };
        state.passengers.put(passenger, position);
        Self { incarnation, state: Mutex::new(state), read: Notify::new(), taken: Notify::new() }
    }

    /// Takes a passenger whose place it comes by, if it is near, or there is no other.
    fn admit(&self, passenger: u64, position: Position, other: bool) -> bool {
        let mut state = self.state.lock();
        let end = state.end();
        let near = |from: Position| !other || position.commit_lsn.since(from.commit_lsn) <= NEAR_BYTES;
        let admitted = match state.stage {
            Stage::Gathering if position < state.start => {
                let near = !other || state.start.commit_lsn.since(position.commit_lsn) <= NEAR_BYTES;
                if near {
                    state.start = position;
                }
                near
            }
            Stage::Gathering => near(state.start),
            Stage::Reading => position >= state.start && (position <= end || near(end)),
            Stage::Arrived | Stage::Failed(_) => false,
        };
        if admitted {
            state.passengers.put(passenger, position);
        }
        admitted
    }

    /// Begins to read, or goes on; gives the place from which on somebody needs the records.
    pub(super) fn depart(&self) -> Position {
        let mut state = self.state.lock();
        state.stage = Stage::Reading;
        state.end()
    }

    /// The run reads from here on, at or before what was needed.
    pub(super) fn starts_at(&self, position: Position) {
        let mut state = self.state.lock();
        if state.end() == state.start {
            state.start = state.start.min(position);
        }
    }

    /// Where what was read ends.
    pub(super) fn end_position(&self) -> Position {
        self.state.lock().end()
    }

    /// Whether nobody is left.
    pub(super) fn is_deserted(&self) -> bool {
        self.state.lock().passengers.is_empty()
    }

    /// Takes the next record, and waits for the passengers if they are far behind.
    pub(super) async fn push(&self, record: Record) {
        {
            let mut state = self.state.lock();
            let blocks = state.cutter.push(record);
            if blocks.is_empty() {
                return;
            }
            state.add(blocks);
            state.evict(Which::Unneeded);
        }
        self.read.notify_waiters();
        // However often others take something meanwhile.
        let deadline = Instant::now() + PATIENCE;
        let mut waited = Ok(());
        loop {
            let taken = self.taken.notified();
            {
                let mut state = self.state.lock();
                state.evict(if waited.is_ok() { Which::Unneeded } else { Which::All });
                if !state.is_full() {
                    return;
                }
            }
            waited = timeout_at(deadline, taken).await;
        }
    }

    fn end(&self, stage: Stage) {
        let mut reading = self.state.lock();
        let rest = reading.cutter.finish();
        reading.add(rest);
        reading.stage = stage;
        drop(reading);
        self.read.notify_waiters();
    }
}

/// Which records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// Those that no passenger needs.
    Unneeded,
    /// The oldest, whoever needs them.
    All,
}

impl State {
    /// Where what was read ends.
    fn end(&self) -> Position {
        self.cutter.end().or(self.blocks.back().map(|block| block.end())).unwrap_or(self.start)
    }

    fn add(&mut self, blocks: Vec<Block>) {
        self.bytes += blocks.iter().map(Block::bytes).sum::<usize>();
        self.blocks.extend(blocks.into_iter().map(Arc::new));
    }

    /// Whether it waits for its passengers. One block alone may be larger than all that it holds else.
    fn is_full(&self) -> bool {
        self.bytes > RUN_BYTES && self.blocks.len() > 1
    }

    fn evict(&mut self, which: Which) {
        let needed = self.passengers.hindmost();
        while self.is_full()
            && let Some(front) = self.blocks.front()
        {
            let end = front.end();
            if which == Which::Unneeded && needed.is_some_and(|needed| needed < end) {
                return;
            }
            self.bytes -= front.bytes();
            self.blocks.pop_front();
            self.start = end;
        }
        if which == Which::All {
            self.passengers.leave_behind(self.start);
        }
    }

    /// What follows `position`; `None` if that is not known yet.
    fn after(&self, position: Position) -> Option<Result<Ride, ResyncReason>> {
        if position < self.start {
            return Some(Ok(Ride::Left));
        }
        let index = self.blocks.partition_point(|block| block.end() <= position);
        match self.blocks.get(index) {
            Some(block) if position == self.start || block.index_after(position).is_some() => {
                Some(Ok(Ride::Block(block.clone())))
            }
            // No record ends there, and later ones do.
            Some(_) => Some(Err(ResyncReason::CursorInvalid)),
            None => match self.stage {
                Stage::Gathering | Stage::Reading => None,
                Stage::Arrived => Some(Ok(Ride::Arrived)),
                Stage::Failed(reason) => Some(Err(reason)),
            },
        }
    }
}

impl Passage {
    /// The block that holds what follows `position`, where a record ends.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(in crate::journal) async fn next(&self, position: Position) -> Result<Ride, ResyncReason> {
        loop {
            let read = self.run.read.notified();
            {
                let mut state = self.run.state.lock();
                if !state.passengers.go_on(self.number, position) {
                    return Ok(Ride::Left);
                }
                if let Some(ride) = state.after(position) {
                    drop(state);
                    self.run.taken.notify_waiters();
                    return ride;
                }
            }
            self.run.taken.notify_waiters();
            tokio::select! {
                biased;
                () = self.archive.0.scope.closing() => return Err(ResyncReason::CursorExpired),
                () = read => {}
            }
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.run.state.lock().passengers.get_off(self.number);
        self.run.taken.notify_waiters();
    }
}

/// What went wrong with the stream, for [`run`].
impl From<Error> for run::Broken {
    fn from(error: Error) -> Self {
        Self::Stream(error)
    }
}
