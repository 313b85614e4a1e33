use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::event::{Snapshot, Xid};
use crate::postgres::visibility::{self, Visibility};
use crate::postgres::{self, Connection, Pool};
use crate::source::Cut;
use crate::telemetry::{Chain, metric};

/// Asks PostgreSQL whether it shows a transaction yet.
pub(super) struct Visible {
    pool: Pool,
    session: Option<(Connection, Visibility)>,
    /// What PostgreSQL showed when it was asked last: what it shows once, it shows from then on.
    shown: Option<Snapshot>,
    /// The cluster of the stream, and its timeline.
    server: (u64, u32),
    /// When the stream ends.
    cut: Option<Cut>,
}

/// PostgreSQL may never show the transaction, or another of the same id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lost {
    /// The stream that it came with has ended.
    Cut,
    /// Another cluster answers, or the same one on another timeline.
    OtherServer,
}

/// A transaction that is not yet shown is on its way out of the list of running ones, or waits for a standby: the
/// pauses start at the length of the former and double up to a delay that nobody notices beside the latter.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));
/// The longest pause between attempts to reach a server that is away.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

impl Visible {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, session: None, shown: None, server: (0, 0), cut: None }
    }

    /// The stream was opened, on this cluster and timeline.
    pub(super) fn opened(&mut self, system_id: u64, timeline: u32, cut: Cut) {
        self.cut = Some(cut);
        if self.server != (system_id, timeline) {
            self.server = (system_id, timeline);
            self.shown = None;
            self.session = None;
        }
    }

    /// The stream was cut. If PostgreSQL crashed, ids of commits that it took back are given out again: what it showed
    /// before says nothing of them.
    pub(super) fn closed(&mut self) {
        self.shown = None;
    }

    /// Waits until PostgreSQL shows the transaction, and gives its id in 64 bits. Cancel safe.
    ///
    /// # Errors
    /// [`Lost`] if it may never do.
    pub(super) async fn wait_for(&mut self, xid: u32) -> Result<Xid, Lost> {
        if let Some(xid) = self.shows(xid) {
            return Ok(xid);
        }
        let Some(mut cut) = self.cut.clone() else { return Err(Lost::Cut) };
        tokio::select! {
            biased;
            // 1. The end of the stream, which may be the end of the server that would have shown it.
            () = cut.wait() => Err(Lost::Cut),
            // 2. The server's word.
            shown = self.ask_until_shown(xid) => shown,
        }
    }

    async fn ask_until_shown(&mut self, xid: u32) -> Result<Xid, Lost> {
        let asked_at = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            self.ask().await?;
            if let Some(xid) = self.shows(xid) {
                metrics::histogram!(metric::RELAY_VISIBILITY_WAIT_SECONDS).record(asked_at.elapsed());
                return Ok(xid);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn shows(&self, xid: u32) -> Option<Xid> {
        let shown = self.shown.as_ref()?;
        let xid = Xid::widen(xid, shown.xmax());
        shown.sees(xid).then_some(xid)
    }

    /// Asks once, however long it takes to find a server that answers.
    async fn ask(&mut self) -> Result<(), Lost> {
        let mut retry = Duration::from_millis(50);
        loop {
            match self.try_ask().await {
                Ok(Answer::Shown(snapshot)) => {
                    self.shown = Some(snapshot);
                    return Ok(());
                }
                Ok(Answer::OtherServer) => return Err(Lost::OtherServer),
                Err(error) => {
                    self.session = None;
                    tracing::warn!(error = %Chain(&error), "cannot ask which transactions are visible; asking again");
                }
            }
            sleep(retry.mul_f64(0.5 + fastrand::f64())).await;
            retry = (retry * 2).min(LONGEST_RETRY);
        }
    }

    async fn try_ask(&mut self) -> Result<Answer, postgres::Error> {
        let (client, visibility) = if let Some(session) = &mut self.session {
            session
        } else {
            let client = self.pool.dedicated().await?;
            let (system_id, timeline) = self.server;
            let is_another = visibility::system_id(&client).await?.is_some_and(|id| id != system_id)
                || visibility::timeline(&client).await? != timeline;
            if is_another {
                return Ok(Answer::OtherServer);
            }
            let visibility = Visibility::prepare(&client).await?;
            self.session.insert((client, visibility))
        };
        metrics::counter!(metric::RELAY_VISIBILITY_QUERIES).increment(1);
        visibility.current(client).await.map(Answer::Shown)
    }
}

enum Answer {
    Shown(Snapshot),
    OtherServer,
}
