use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::message::{Author, Term};
use super::publisher::{Link, Publisher};
use super::reader::Seen;
use super::{Config, Error, say_again};
use crate::event::{Change, EventKey, Incarnation, Mark, Position, Record};
use crate::journal::ledger::{Ledger, Party};
use crate::journal::recent::Recent;
use crate::journal::{Appended, History, Known, Opened, Tail, new_life};
use crate::shutdown::Scope;
use crate::source::{Continuity, Reason};

/// Appends to the stream, for as long as this process holds the slot and no other has opened the journal.
#[derive(Debug)]
pub struct Writer {
    config: Arc<Config>,
    seen: watch::Receiver<Seen>,
    ledger: Ledger,
    /// Whether this process writes.
    writing: watch::Sender<bool>,
    scope: Scope,
    session: Option<Session>,
    tail: Tail,
    /// A transaction is open at the tail.
    within: bool,
    recent: Arc<Mutex<Recent>>,
    /// Events of this term that may not have come round yet.
    pending: HashMap<EventKey, Position>,
}

/// One term of ours.
#[derive(Debug)]
struct Session {
    queue: mpsc::Sender<Appended>,
    ended: oneshot::Receiver<Error>,
}

/// Records that wait for the publisher: as many as the relay is given at once.
const QUEUED: usize = 64;
/// Events that are remembered until they have come round; a round trip takes milliseconds.
const PENDING: usize = 4_096;
/// How long what was written may take to come round: it waits behind whatever this process has not read yet.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// A term's first record leaves so many positions free at most.
const STEP: u32 = 1 << 16;
/// How long the slot is held for a broker that cannot be used, unless the one attempt takes longer: about as long as the
/// slot takes to be handed over, and shorter than a broker takes to restart, when nobody can use it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first and the longest pause between attempts to reach the broker.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

impl Writer {
    pub(super) fn new(
        config: Arc<Config>,
        seen: watch::Receiver<Seen>,
        recent: Arc<Mutex<Recent>>,
        ledger: Ledger,
        writing: watch::Sender<bool>,
        scope: Scope,
    ) -> Self {
        let tail = Tail { incarnation: Incarnation::default(), position: Position::default() };
        let pending = HashMap::new();
        Self { config, seen, ledger, writing, scope, session: None, tail, within: false, recent, pending }
    }

    pub(in crate::journal) fn term(&self) -> (Incarnation, u64) {
        let term = self.seen.borrow().state.author.map(|last| last.term).unwrap_or_default();
        (term.incarnation, term.number)
    }

    pub(in crate::journal) fn forget(&self) {
        self.ledger.reset();
    }

    pub(in crate::journal) fn close(&mut self) {
        self.session = None;
        self.pending.clear();
        self.writing.send_replace(false);
    }

    pub(in crate::journal) const fn ends_transaction(&self) -> bool {
        !self.within
    }

    pub(in crate::journal) fn knows(&self, key: &EventKey) -> Known {
        let passed = self.seen.borrow().state.end;
        if self.recent.lock().knows(key) {
            Known::Stored
        } else if self.pending.get(key).is_some_and(|end| *end > passed) {
            Known::OnItsWay
        } else {
            Known::No
        }
    }

    /// Remembers the events of a record until they have come round.
    fn expect(&mut self, record: &Record) {
        if self.pending.len() >= PENDING {
            let passed = self.seen.borrow().state.end;
            self.pending.retain(|_, end| *end > passed);
        }
        if let Record::Chunk(chunk) = record {
            let end = record.end();
            self.pending.extend(chunk.changes.iter().filter_map(|change| match change {
                Change::Event(event) => EventKey::of(event).map(|key| (key, end)),
                _ => None,
            }));
        }
    }

    pub(in crate::journal) async fn open(&mut self, history: &History) -> Result<Opened, Error> {
        self.close();
        let (mut pause, since) = (PAUSES.0, Instant::now());
        loop {
            let error = match self.attempt(history).await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            if matches!(error, Error::Closed) || since.elapsed() >= PATIENCE {
                return Err(error);
            }
            say_again(&error, pause, "the journal cannot be opened");
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Waits until the broker can be used, as far as can be seen without the slot.
    pub(in crate::journal) fn reachable(&self) -> impl Future<Output = ()> + Send + use<> {
        let config = self.config.clone();
        async move {
            let mut pause = PAUSES.0;
            while let Err(error) = Link::open(&config).await {
                say_again(&error, pause, "the broker cannot be used");
                sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    async fn attempt(&mut self, history: &History) -> Result<Opened, Error> {
        let mut link = Link::open(&self.config).await?;
        let own = fastrand::u64(1..);
        let mut author = Author {
            writer: own,
            system_id: history.system_id,
            timeline: history.timeline,
            ..Author::default()
        };
        // What was there before this question is what the stream ends with, and nobody else can know it better.
        link.publish_alone(author.question()).await?;
        let seen = self.wait_until(&mut link, |seen| seen.asked == own).await?;
        let last = seen.state.author.map(|last| last.term);
        let opened = continuity(&seen, history)?;
        author.term = match (last, opened) {
            (Some(last), Opened::Continued) => Term { number: last.number + 1, ..last },
            _ => Term { incarnation: new_life(last.unwrap_or_default().incarnation), number: 0 },
        };
        link.publish_alone(author.opening(history.starts_at)).await?;
        let seen = self
            .wait_until(&mut link, |seen| seen.state.author.is_some_and(|last| last.term >= author.term))
            .await?;
        if seen.state.author != Some(author) {
            return Err(Error::Fenced);
        }
        let incarnation = author.term.incarnation;
        self.tail = Tail { incarnation, position: seen.state.end };
        self.within = seen.state.within;
        let (queue, queued) = mpsc::channel(QUEUED);
        let (end, ended) = oneshot::channel();
        let publisher = Publisher::new(
            &self.config,
            link,
            author,
            &seen.state,
            self.seen.clone(),
            self.ledger.page(Party::Journal),
        );
        self.scope.spawn("journal publisher", publisher.run(queued, end, self.scope.clone()));
        self.session = Some(Session { queue, ended });
        self.writing.send_replace(true);
        tracing::info!(
            stream = self.config.stream,
            incarnation = incarnation.0,
            term = author.term.number,
            commit_lsn = %seen.state.end.commit_lsn,
            index = seen.state.end.index,
            "writing the journal"
        );
        self.step().await?;
        Ok(opened)
    }

    /// Leaves some positions free, by chance. A broker may have forgotten events that were published behind the last
    /// transaction, and told of: a cursor that names one of them is to find nothing there, and not another event.
    async fn step(&mut self) -> Result<(), Error> {
        if self.within {
            return Ok(());
        }
        let previous = self.tail.position;
        let index = previous.index.saturating_add(fastrand::u32(1..=STEP));
        let mark = Mark { previous, commit_lsn: previous.commit_lsn, index, token: None };
        self.append(Appended { record: Record::Mark(mark), reaches: None, stored: Vec::new() }).await
    }

    /// Waits until this process has read as far as `there`.
    async fn wait_until(&mut self, link: &mut Link, there: impl Fn(&Seen) -> bool) -> Result<Seen, Error> {
        let (doing, seconds) = ("send back what was written to it", READ_WITHIN.as_secs());
        tokio::select! {
            biased;
            error = link.lost() => Err(error),
            seen = self.seen.wait_for(|seen| there(seen)) => {
                seen.map(|seen| *seen).map_err(|_| Error::Closed)
            }
            // Another's question may have hidden ours, or this process is far behind: it is asked again.
            () = sleep(READ_WITHIN) => Err(Error::NoAnswer { doing, seconds }),
        }
    }

    pub(in crate::journal) const fn tail(&self) -> Tail {
        self.tail
    }

    pub(in crate::journal) async fn append(&mut self, appended: Appended) -> Result<(), Error> {
        let (end, ends_transaction) = (appended.record.end(), appended.record.ends_transaction());
        if !appended.stored.is_empty() {
            self.expect(&appended.record);
        }
        let sent = match &self.session {
            Some(session) => session.queue.send(appended).await.is_ok(),
            None => false,
        };
        if !sent {
            return Err(self.lost().await);
        }
        self.tail.position = end;
        self.within = !ends_transaction;
        Ok(())
    }

    pub(in crate::journal) async fn lost(&mut self) -> Error {
        let Some(session) = &mut self.session else { return Error::Closed };
        let error = (&mut session.ended).await.unwrap_or(Error::Closed);
        self.close();
        error
    }
}

/// Whether the stream's records lead to what comes of `history`.
///
/// # Errors
/// [`Error::Outdated`] if it is the stream that is ahead.
fn continuity(seen: &Seen, history: &History) -> Result<Opened, Error> {
    let state = &seen.state;
    let Some(last) = state.author else { return Ok(Opened::Created) };
    let same_cluster = last.system_id == history.system_id;
    if same_cluster && last.timeline > history.timeline {
        return Err(Error::Outdated { theirs: last.timeline, ours: history.timeline });
    }
    let reason = match history.continuity {
        _ if !same_cluster => Some(Reason::SystemChanged.as_str()),
        _ if last.timeline != history.timeline => Some(Reason::TimelineChanged.as_str()),
        // Another process may have read from the slot meanwhile: the stream tells whether it has.
        Continuity::Continued | Continuity::Reset(Reason::SlotAdvanced) => None,
        Continuity::Reset(reason) => Some(reason.as_str()),
    };
    Ok(match reason {
        Some(reason) => Opened::Reset(reason),
        None if !seen.anchored || state.reaches < history.starts_at => Opened::Reset("journal_short"),
        None if state.end.commit_lsn > history.flushed => Opened::Reset(Reason::LogWentBack.as_str()),
        None => Opened::Continued,
    })
}
