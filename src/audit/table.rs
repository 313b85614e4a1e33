use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::event::{Entry, session, short};
use crate::event::TableName;
use crate::postgres::audit::{self, Row};
use crate::postgres::{self, Pool};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// Events that are written together, at most.
const BATCH: usize = 500;
/// How long the writer waits before it tries again to write what it could not.
const PAUSE: Duration = Duration::from_secs(1);

/// Events on their way to the table.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Row>,
    /// It was full, and that was said.
    full: AtomicBool,
}

impl Queue {
    pub(super) const fn new(sender: mpsc::Sender<Row>) -> Self {
        Self { sender, full: AtomicBool::new(false) }
    }

    /// Takes an event, if there is room.
    pub(super) fn offer(&self, entry: &Entry<'_>) {
        let Ok(place) = self.sender.try_reserve() else {
            metrics::counter!(metric::AUDIT_LOST).increment(1);
            if !self.full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "the audit table takes less than happens: events from here on are in the log only"
                );
            }
            return;
        };
        self.full.store(false, Ordering::Relaxed);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        place.send(Row {
            at: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            session: session(entry.session),
            who: entry.who.map(short),
            address: entry.from.to_string(),
            action: entry.action.as_str(),
            object: short(entry.object),
            allowed: entry.reason().is_none(),
            reason: entry.reason(),
        });
    }
}

/// Writes them.
pub(super) struct Writer {
    pool: Pool,
    insert: String,
    interval: Duration,
}

impl Writer {
    pub(super) fn new(table: &TableName, pool: Pool, interval: Duration) -> Self {
        let insert = audit::insert(table);
        Self { pool, insert, interval }
    }

    /// Writes what comes until `scope` closes, and then what is left.
    pub(super) async fn run(self, mut rows: mpsc::Receiver<Row>, scope: Scope) {
        let mut batch = Vec::new();
        let mut failing = false;
        loop {
            let room = BATCH - batch.len();
            let closing = tokio::select! {
                biased;
                // 1. Told to stop: nothing new comes, what waits is written once.
                () = scope.closing() => true,
                // 2. What happened.
                taken = rows.recv_many(&mut batch, room), if room > 0 => match taken {
                    0 => true,
                    // What came does not mend what is wrong.
                    _ if failing => continue,
                    _ => false,
                },
                // 3. What could not be written.
                () = sleep(PAUSE), if failing => false,
            };
            if closing {
                return self.finish(batch, rows).await;
            }
            if !failing && batch.len() < BATCH {
                // Others may come meanwhile, and are written with it.
                _ = timeout(self.interval, scope.closing()).await;
                while batch.len() < BATCH
                    && let Ok(row) = rows.try_recv()
                {
                    batch.push(row);
                }
            }
            match self.write(&batch).await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the audit table is written again");
                    }
                    batch.clear();
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(error = %Chain(&error), "the audit table cannot be written: events wait for it");
                    }
                }
            }
        }
    }

    async fn finish(&self, mut batch: Vec<Row>, mut rows: mpsc::Receiver<Row>) {
        rows.close();
        loop {
            while batch.len() < BATCH
                && let Some(row) = rows.recv().await
            {
                batch.push(row);
            }
            if batch.is_empty() {
                return;
            }
            if let Err(error) = self.write(&batch).await {
                let lost = batch.len() + rows.len();
                metrics::counter!(metric::AUDIT_LOST).increment(lost as u64);
                tracing::error!(error = %Chain(&error), lost, "the audit table was not written at the end");
                return;
            }
            batch.clear();
        }
    }

    async fn write(&self, batch: &[Row]) -> Result<(), postgres::Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let client = self.pool.get().await?;
        audit::append(&client, &self.insert, batch).await
    }
}
