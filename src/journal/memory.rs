use tokio::sync::watch;

use super::ledger::{Ledger, Party};
use super::recent::Recent;
use super::window::{Feed, Start};
use super::{Appended, History, Known, Opened, Status, Tail, new_life, tell};
use crate::event::{EventKey, Position};
use crate::source::Continuity;

/// Appends to a journal that is nowhere but in this process: the window is all of it.
#[derive(Debug)]
pub struct Writer {
    feed: Feed,
    ledger: Ledger,
    status: watch::Sender<Status>,
    /// It has been open before: somebody may follow it.
    opened: bool,
    recent: Recent,
}

impl Writer {
    pub(super) fn new(feed: Feed, ledger: Ledger, status: watch::Sender<Status>) -> Self {
        Self { feed, ledger, status, opened: false, recent: Recent::default() }
    }

    /// Begins a new life unless `history` goes on where the last one stopped, or nobody has seen this life: before it is
    /// open for the first time, nobody can subscribe.
    pub(super) fn open(&mut self, history: &History) -> Opened {
        let first = !std::mem::replace(&mut self.opened, true);
        let opened = match history.continuity {
            Continuity::Continued => Opened::Continued,
            Continuity::Reset(reason) => {
                if first {
                    Opened::Continued
                } else {
                    let incarnation = new_life(self.feed.tail().incarnation);
                    self.feed.reset(Start { incarnation, position: Position::default() });
                    Opened::Reset(reason.as_str())
                }
            }
        };
        self.status.send_replace(Status::Streaming);
        opened
    }

    pub(super) fn forget(&self) {
        self.ledger.reset();
    }

    pub(super) fn close(&mut self) {
        self.status.send_replace(Status::Connecting);
    }

    pub(super) fn tail(&self) -> Tail {
        self.feed.tail()
    }

    pub(super) fn ends_transaction(&self) -> bool {
        self.feed.ends_transaction()
    }

    pub(super) fn knows(&self, key: &EventKey) -> Known {
        if self.recent.knows(key) { Known::Stored } else { Known::No }
    }

    pub(super) async fn append(&mut self, Appended { record, reaches, stored }: Appended) {
        if !stored.is_empty() {
            self.recent.note(&record);
        }
        self.feed.append(record).await;
        tell(stored);
        if let Some(end_lsn) = reaches {
            self.ledger.page(Party::Journal).confirm(end_lsn);
        }
    }
}
