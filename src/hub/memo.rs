use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::found::{Found, Gone, Search, Step};
use super::subject::Subject;
use super::{Config, Place};
use crate::journal::Stretch;
use crate::telemetry::metric;

/// What was found in stretches of the journal for those who catch up: worked out once for all who look for the same,
/// wherever they come from. Cloning shares it.
///
/// It is bounded in bytes; what nobody has asked for in the meantime goes first.
#[derive(Clone, Debug)]
pub struct Memo(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    limit_bytes: usize,
    kept: Mutex<Kept>,
    relations: Arc<Subject>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    /// In the order in which they get their second chance.
    queue: VecDeque<Key>,
    bytes: usize,
}

/// Of which stretch, by its number, and for whom.
type Key = (u64, Arc<Subject>);

#[derive(Debug)]
struct Entry {
    search: Arc<Search>,
    bytes: usize,
    /// Asked for since it was last looked at.
    asked: bool,
}

/// What somebody is to be told of a stretch.
#[derive(Debug)]
pub(super) struct Told {
    /// In order.
    pub(super) steps: Vec<Step>,
    /// There is no more in the stretch.
    pub(super) complete: bool,
}

/// What an entry takes besides what was found.
const ENTRY_BYTES: usize = 1_024;

impl Memo {
    /// One that holds as much as one transaction may, or one entry that is larger.
    pub(super) fn new(config: Config) -> Self {
        Self::keeping(config, config.transaction_bytes)
    }

    /// One that holds so many bytes, or one entry that is larger.
    pub(super) fn keeping(config: Config, limit_bytes: usize) -> Self {
        let relations = Arc::new(Subject::Relations);
        Self(Arc::new(Shared { config, limit_bytes, kept: Mutex::default(), relations }))
    }

    /// The limits that all that is found obeys.
    pub(super) fn config(&self) -> Config {
        self.0.config
    }

    /// Which of `relations` a stretch touches.
    pub(super) async fn touched(
        &self,
        stretch: &Stretch,
        place: &Place,
        relations: impl Iterator<Item = u32>,
    ) -> Result<Vec<u32>, Gone> {
        let touched = |found: &Found| relations.filter(|oid| found.touches(*oid)).collect();
        self.look(stretch, place, &self.0.relations, touched).await
    }

    /// What there is to tell behind `place`, which lies in the stretch: of at most `limit` transactions.
    pub(super) async fn told(
        &self,
        stretch: &Stretch,
        place: &Place,
        subject: &Arc<Subject>,
        limit: usize,
    ) -> Result<Told, Gone> {
        self.look(stretch, place, subject, |found| found.told(place.position, stretch.end(), limit)).await
    }

    async fn look<T>(
        &self,
        stretch: &Stretch,
        place: &Place,
        subject: &Arc<Subject>,
        look: impl FnOnce(&Found) -> T,
    ) -> Result<T, Gone> {
        let key = (stretch.number(), subject.clone());
        let search = self.0.kept.lock().search(&key);
        let mut look = Some(look);
        let mut grown = false;
        loop {
            let seen = search.look(place.position, stretch.end(), &mut look);
            if let Some(seen) = seen {
                if grown {
                    let bytes = search.size_bytes();
                    self.0.kept.lock().charge(&key, &search, bytes, self.0.limit_bytes);
                }
                return Ok(seen);
            }
            grown |= search.go_on(stretch, place, subject, self.0.config).await?;
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.kept.lock().bytes
    }
}

impl Kept {
    fn search(&mut self, key: &Key) -> Arc<Search> {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.asked = true;
            return entry.search.clone();
        }
        let search = Arc::new(Search::default());
        let entry = Entry { search: search.clone(), bytes: ENTRY_BYTES, asked: false };
        self.bytes += entry.bytes;
        self.queue.push_back(key.clone());
        self.entries.insert(key.clone(), entry);
        search
    }

    /// Notes how large an entry has become, and makes room for it, unless it has gone already.
    fn charge(&mut self, key: &Key, search: &Arc<Search>, bytes: usize, limit_bytes: usize) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if !Arc::ptr_eq(&entry.search, search) {
            return;
        }
        let bytes = bytes + ENTRY_BYTES;
        self.bytes = self.bytes - entry.bytes + bytes;
        (entry.bytes, entry.asked) = (bytes, true);
        // Each gets its second chance at most once a round, and the new one stays, however large.
        while self.bytes > limit_bytes
            && let Some(next) = self.queue.pop_front()
        {
            if next == *key && self.queue.is_empty() {
                self.queue.push_back(next);
                break;
            }
            match self.entries.get_mut(&next) {
                Some(entry) if next == *key || entry.asked => {
                    entry.asked = false;
                    self.queue.push_back(next);
                }
                _ => {
                    let gone = self.entries.remove(&next);
                    self.bytes -= gone.map_or(0, |entry| entry.bytes);
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "gauges are floats; sizes stay far below 2^52")]
        metrics::gauge!(metric::HUB_MEMO_BYTES).set(self.bytes as f64);
    }
}
