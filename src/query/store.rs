use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache as Memory;
use moka::ops::compute::{CompResult, Op};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Answer;
use crate::cache::{Cache, Point};
use crate::event::{Incarnation, Lsn};
use crate::telemetry::Chain;
use crate::workspace::hex;

/// What a read is known by: a hash of what is asked and of all that decides what the caller may see.
pub(super) type Name = [u8; 32];

/// Answers that are kept: in this process's memory and, where there is a Redis, for all processes.
///
/// One that is away is not asked for a while, and told of once.
pub(super) struct Store {
    memory: Memory<Name, Arc<Kept>>,
    shared: Option<Cache>,
    away_since: Mutex<Option<Instant>>,
}

/// An answer that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// All that was committed up to there is in it.
    pub(super) as_of: Point,
    pub(super) answer: Answer,
    /// What tells it from others, for `ETag`.
    pub(super) tag: String,
    until: Instant,
}

/// A Redis that has failed is asked again after this.
const RESPITE: Duration = Duration::from_secs(1);
/// What an entry takes beside its body.
const OVERHEAD: usize = 256;
/// Answers larger than this are made each time.
const MOST_BYTES: usize = 1 << 20;

/// As Redis has it.
#[derive(Deserialize, Serialize)]
struct Text {
    incarnation: u64,
    lsn: u64,
    version: Option<i32>,
    tag: String,
    body: String,
}

impl Store {
    pub(super) fn new(bytes: usize, cache: Cache) -> Self {
        let weigh =
            |_: &Name, kept: &Arc<Kept>| u32::try_from(kept.answer.body.len() + OVERHEAD).unwrap_or(u32::MAX);
        let memory = Memory::builder().max_capacity(bytes as u64).weigher(weigh).build();
        let shared = cache.is_shared().then_some(cache);
        Self { memory, shared, away_since: Mutex::default() }
    }

    /// What is kept under a name in this process, if it will do.
    pub(super) async fn known(&self, name: &Name, will_do: impl Fn(&Kept) -> bool) -> Option<Arc<Kept>> {
        self.memory.get(name).await.filter(|kept| kept.is_fresh() && will_do(kept))
    }

    /// What is kept under a name if it will do; else what is made, once for all who ask at the same time.
    ///
    /// # Errors
    /// Those of making it: then nothing is kept, and the next who asks makes it anew.
    pub(super) async fn get_or_make<E: Send + Sync + 'static>(
        &self,
        name: Name,
        lives: Duration,
        will_do: impl Fn(&Kept) -> bool + Sync,
        make: impl Future<Output = Result<(Point, Answer), E>>,
    ) -> Result<(Arc<Kept>, bool), E> {
        let mut is_new = false;
        let outcome = self
            .memory
            .entry(name)
            .and_try_compute_with(async |entry| {
                let known = entry.map(moka::Entry::into_value);
                if known.is_some_and(|kept| kept.is_fresh() && will_do(&kept)) {
                    return Ok(Op::Nop);
                }
                if let Some(kept) = self.shared_one(&name, lives).await.filter(|kept| will_do(kept)) {
                    return Ok(Op::Put(Arc::new(kept)));
                }
                is_new = true;
                let (as_of, answer) = make.await?;
                let kept = Arc::new(Kept::new(as_of, answer, lives));
                self.share(&name, &kept, lives).await;
                Ok(Op::Put(kept))
            })
            .await?;
        let kept = match outcome {
            CompResult::Inserted(entry)
            | CompResult::ReplacedWith(entry)
            | CompResult::Unchanged(entry)
            | CompResult::Removed(entry) => entry.into_value(),
            CompResult::StillNone(_) => unreachable!("something is put, or was there"),
        };
        if kept.answer.body.len() > MOST_BYTES {
            self.memory.invalidate(&name).await;
        }
        Ok((kept, is_new))
    }

    async fn shared_one(&self, name: &Name, lives: Duration) -> Option<Kept> {
        let text = self.asked(self.reachable()?.get(&key(name)).await)??;
        let Text { incarnation, lsn, version, tag, body } = serde_json::from_str(&text).ok()?;
        let as_of = Point { incarnation: Incarnation(incarnation), lsn: Lsn::new(lsn) };
        let answer = Answer { body: body.into(), version };
        // Redis itself ends it in time: here it lives on for a part of that.
        Some(Kept { as_of, answer, tag, until: Instant::now() + lives / 10 })
    }

    async fn share(&self, name: &Name, kept: &Kept, lives: Duration) {
        let Some(cache) = self.reachable() else { return };
        let Ok(body) = String::from_utf8(kept.answer.body.to_vec()) else { return };
        if body.len() > MOST_BYTES {
            return;
        }
        let text = Text {
            incarnation: kept.as_of.incarnation.0,
            lsn: kept.as_of.lsn.get(),
            version: kept.answer.version,
            tag: kept.tag.clone(),
            body,
        };
        let text = serde_json::to_string(&text).expect("texts and numbers");
        self.asked(cache.put(&key(name), &text, lives).await);
    }

    /// The shared cache; while it is away for one caller at a time, so that no more than one waits in vain.
    fn reachable(&self) -> Option<&Cache> {
        let cache = self.shared.as_ref()?;
        let mut away = self.away_since.lock();
        match *away {
            None => Some(cache),
            Some(since) if since.elapsed() >= RESPITE && cache.is_connected() => {
                *away = Some(Instant::now());
                Some(cache)
            }
            Some(_) => None,
        }
    }

    /// Notes whether Redis has answered.
    fn asked<T>(&self, answer: Result<T, crate::cache::Error>) -> Option<T> {
        let mut away = self.away_since.lock();
        match answer {
            Ok(answer) => {
                if away.take().is_some() {
                    tracing::info!("the cache is back");
                }
                Some(answer)
            }
            Err(error) => {
                if away.replace(Instant::now()).is_none() {
                    tracing::warn!(error = %Chain(&error), "the cache is away: reads go to the database");
                }
                None
            }
        }
    }
}

impl Kept {
    pub(super) fn new(as_of: Point, answer: Answer, lives: Duration) -> Self {
        let tag = tag(&answer);
        // By chance a little sooner: what was kept at the same time does not end at the same time.
        let lives = lives.mul_f64(1.0 - fastrand::f64() / 10.0);
        Self { as_of, answer, tag, until: Instant::now() + lives }
    }

    fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

/// What tells an answer from others: a hash of it, behind the row's version if it has one. Not all that a row shows is in its
/// version: a rule is past its threshold or not, and a row may be gone and made anew.
fn tag(answer: &Answer) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, &answer.body);
    let hash = hex(&hash.as_ref()[..12]);
    match answer.version {
        Some(version) => format!("\"{version}-{hash}\""),
        None => format!("\"{hash}\""),
    }
}

fn key(name: &Name) -> String {
    format!("read:{}", hex(name))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("entries", &self.memory.entry_count()).finish_non_exhaustive()
    }
}
