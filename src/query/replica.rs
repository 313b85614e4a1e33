use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::event::Lsn;
use crate::postgres::{Access, Begun, Error, Impersonation, Pool, Work};
use crate::telemetry::Chain;

/// Servers that follow the primary, asked in turn.
#[derive(Debug)]
pub(super) struct Replicas {
    servers: Vec<Server>,
    next: AtomicUsize,
    wait: Duration,
}

#[derive(Debug)]
struct Server {
    pool: Pool,
    /// Until when it is not asked, since it has failed.
    resting: Mutex<Option<Instant>>,
}

/// A server that has failed is asked again after this.
const RESPITE: Duration = Duration::from_secs(5);
/// How often one that is waited for is asked how far it has come.
const AGAIN: Duration = Duration::from_millis(10);

impl Replicas {
    pub(super) fn new(pools: Vec<Pool>, wait: Duration) -> Self {
        let servers = pools.into_iter().map(|pool| Server { pool, resting: Mutex::default() }).collect();
        Self { servers, next: AtomicUsize::new(0), wait }
    }

    /// A transaction on a server that has come at least as far as `least`, and how far it had come; `None` if none is there
    /// in a moment, and the primary is to be asked.
    pub(super) async fn begin(
        &self,
        who: Option<&Impersonation>,
        search_path: &str,
        least: Lsn,
        timeout: Duration,
    ) -> Option<(Work, Lsn)> {
        if self.servers.is_empty() {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.servers.len();
        let server =
            (0..count).map(|more| &self.servers[(first + more) % count]).find(|server| server.is_up())?;
        // It may have gone without a word: then there is time left to ask the primary.
        let patience = timeout / 4;
        let deadline = Instant::now() + self.wait.min(patience);
        loop {
            let asked = Work::begin(&server.pool, who, search_path, Access::Follow, timeout);
            let late = Error::Timeout { operation: "begin a read on a replica", timeout: patience };
            let begun = tokio::time::timeout(patience, asked).await.unwrap_or(Err(late));
            let Begun { work, mark } = match begun {
                Ok(begun) => begun,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a replica cannot be asked: reads go elsewhere");
                    server.rest();
                    return None;
                }
            };
            let reached = mark.parse().unwrap_or(Lsn::ZERO);
            if reached == Lsn::ZERO {
                tracing::warn!("a server of postgres.replica_urls is no standby: reads go elsewhere");
                server.rest();
                return None;
            }
            if reached >= least {
                return Some((work, reached));
            }
            drop(work);
            if Instant::now() >= deadline {
                return None;
            }
            sleep(AGAIN).await;
        }
    }
}

impl Server {
    fn rest(&self) {
        *self.resting.lock() = Some(Instant::now() + RESPITE);
    }

    fn is_up(&self) -> bool {
        let mut resting = self.resting.lock();
        let up = resting.is_none_or(|until| Instant::now() >= until);
        if up {
            *resting = None;
        }
        up
    }
}
