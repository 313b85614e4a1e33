use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Identity, Refusal, base64url};
use crate::cache::{self, Cache};
use crate::shutdown::Scope;
use crate::telemetry::Chain;

/// Sessions for browsers that cannot keep a token: the cookie holds a random name, the cache what it stands for.
///
/// The cache's own name of a session is the hash of that, so that whoever reads the cache can use none of them.
pub(super) struct Sessions {
    cache: Cache,
    lifetime: Duration,
    open: Arc<Open>,
}

/// The sessions that somebody is connected by, in this process.
type Open = DashMap<String, Weak<Session>>;

/// A session as an identity carries it, for as long as anybody is connected by it.
#[derive(Debug)]
pub struct Session {
    name: String,
    csrf: String,
    ended: CancellationToken,
    open: Weak<Open>,
}

/// A session that has begun.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// What the cookie holds.
    pub id: String,
    /// What a request must show that changes something.
    pub csrf: String,
    /// When it ends.
    pub expires_at: SystemTime,
}

#[derive(Serialize, Deserialize)]
struct Record {
    role: String,
    claims: String,
    csrf: String,
    /// Milliseconds since 1970.
    expires_at_ms: u64,
}

/// How often it is looked whether a session has ended elsewhere: an open socket is closed within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const ID_BYTES: usize = 32;

impl Session {
    /// Waits until it is revoked. Cancel safe.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether it was revoked.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether a request shows that it comes from a page that was told the session's token.
    pub fn is_shown(&self, token: &str) -> bool {
        // What the time tells that hashes take to be compared tells nothing of the token.
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        hash(&self.csrf).as_ref() == hash(token).as_ref()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(open) = self.open.upgrade() {
            open.remove_if(&self.name, |_, session| session.strong_count() == 0);
        }
    }
}

impl Sessions {
    /// None yet; what looks for those that have ended elsewhere runs in `scope`.
    pub(super) fn start(cache: Cache, lifetime: Duration, scope: &Scope) -> Self {
        let open: Arc<Open> = Arc::default();
        let watched = (cache.clone(), open.clone());
        let closing = scope.clone();
        scope.spawn("revocations", async move {
            tokio::select! {
                biased;
                () = closing.closing() => {}
                () = watch(watched.0, watched.1) => {}
            }
        });
        Self { cache, lifetime, open }
    }

    pub(super) async fn begin(&self, identity: &Identity) -> Result<Begun, Refusal> {
        let impersonation = identity.impersonation().ok_or(Refusal::Missing)?;
        let (id, csrf) = (random()?, random()?);
        let now = SystemTime::now();
        let ends = now + self.lifetime;
        let expires_at = identity.expires_at().map_or(ends, |end| end.min(ends));
        let lives = expires_at.duration_since(now).map_err(|_| Refusal::Expired)?;
        let record = Record {
            role: impersonation.role.to_string(),
            claims: impersonation.claims.to_string(),
            csrf: csrf.clone(),
            expires_at_ms: millis(expires_at),
        };
        let record = serde_json::to_string(&record).expect("texts and a number always serialize");
        self.cache.put(&name(&id), &record, lives).await.map_err(|error| away(&error))?;
        Ok(Begun { id, csrf, expires_at })
    }

    pub(super) async fn find(&self, id: &str) -> Result<Identity, Refusal> {
        let name = name(id);
        let record = self.cache.get(&name).await.map_err(|error| away(&error))?.ok_or(Refusal::Session)?;
        let record: Record = serde_json::from_str(&record).map_err(|_| Refusal::Session)?;
        let expires_at = UNIX_EPOCH + Duration::from_millis(record.expires_at_ms);
        if expires_at <= SystemTime::now() {
            return Err(Refusal::Session);
        }
        let session = self.opened(name, record.csrf);
        Ok(Identity::verified(&record.role, &record.claims, Some(expires_at)).by(session))
    }

    pub(super) async fn end(&self, id: &str) -> Result<(), Refusal> {
        let name = name(id);
        self.cache.remove(&name).await.map_err(|error| away(&error))?;
        cut(&self.open, &name);
        Ok(())
    }

    /// The session of that name, which all share who are connected by it.
    fn opened(&self, name: String, csrf: String) -> Arc<Session> {
        let mut entry = self.open.entry(name.clone()).or_default();
        if let Some(session) = entry.upgrade() {
            return session;
        }
        let open = Arc::downgrade(&self.open);
        let session = Arc::new(Session { name, csrf, ended: CancellationToken::new(), open });
        *entry = Arc::downgrade(&session);
        session
    }
}

fn cut(open: &Open, name: &str) {
    let session = open.get(name).and_then(|session| session.upgrade());
    if let Some(session) = session {
        session.ended.cancel();
    }
}

async fn watch(cache: Cache, open: Arc<Open>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let names: Vec<_> = open.iter().map(|entry| entry.key().clone()).collect();
        if names.is_empty() {
            continue;
        }
        // What cannot be told now is told when the cache is back; a session's own end needs no cache.
        for name in cache.missing(names).await.unwrap_or_default() {
            cut(&open, &name);
        }
    }
}

fn away(error: &cache::Error) -> Refusal {
    tracing::debug!(error = %Chain(error), "a session could not be told of");
    Refusal::Unavailable
}

fn name(id: &str) -> String {
    format!("session:{}", base64url::encode(digest(&SHA256, id.as_bytes())))
}

fn random() -> Result<String, Refusal> {
    let mut bytes = [0; ID_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refusal::Unavailable)?;
    Ok(base64url::encode(bytes))
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
