use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use ring::digest::{Context, SHA256};
use tokio::time::timeout;

use super::operation::Reading;
use super::store::{Kept, Name};
use super::{Answer, Asked, Kind, Queries, Read, Shared};
use crate::auth::Identity;
use crate::cache::{Point, Tag};
use crate::event::Lsn;
use crate::limit::Turn;
use crate::policy::Granted;
use crate::postgres::{Access, Work};
use crate::telemetry::metric;
use crate::workspace::{Code, Fault};

/// Which form answers have: another one with every change of what is in a row, so that none of an older server is served.
const FORM: u32 = 1;

/// One read, as asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// What it is.
    pub read: &'a Read,
    /// What it says.
    pub asked: Asked,
    /// What the caller has seen already: the answer is no older.
    pub least: Option<Lsn>,
}

/// An answer, and what tells it from others.
#[derive(Debug)]
pub struct Answered {
    kept: Arc<Kept>,
    /// Whether it was there already.
    cached: bool,
}

impl Answered {
    /// What is answered.
    pub fn answer(&self) -> &Answer {
        &self.kept.answer
    }

    /// Its entity tag, with its quotes.
    pub fn tag(&self) -> &str {
        &self.kept.tag
    }
}

impl Queries {
    /// Makes a read, or finds it made.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn read(&self, request: Request<'_>) -> Result<Answered, Fault> {
        let shared = &*self.0;
        let Request { read, asked, least, .. } = &request;
        let tags = (read.tags)(&shared.marks, asked);
        // What the stream has passed its marks tell of; beyond it nothing that is kept can be trusted. In this order: what it
        // passes meanwhile is marked before.
        let passed = least.is_none_or(|least| shared.hub.here().position.commit_lsn >= least);
        let since = shared.marks.since(&tags);
        let granted = self.granted(&request).await?;
        let name = name(&request, granted.digest);
        let answered = match (self.lives(read.kind), passed) {
            (Some(lives), true) => {
                let will_do =
                    |kept: &Kept| kept.as_of.incarnation == since.incarnation && kept.as_of.lsn >= since.lsn;
                if let Some(kept) = shared.store.known(&name, will_do).await {
                    Answered { kept, cached: true }
                } else {
                    let make = self.make(&request, &tags, None, granted.since);
                    // Boxed: what makes one is large, and what is known needs none of it.
                    let answer = Box::pin(shared.store.get_or_make(name, lives, will_do, make));
                    // Those who ask for the same wait for each other, and no longer than for PostgreSQL.
                    let answer = timeout(shared.config.timeout, answer).await.map_err(|_| unavailable())?;
                    let (kept, is_new) = answer?;
                    Answered { kept, cached: !is_new }
                }
            }
            (lives, _) => {
                let held = match read.kind {
                    Kind::Large => Some(shared.large.take(asked.user.as_deref())),
                    _ => None,
                };
                let held = timeout(shared.config.timeout, OptionFuture::from(held)).await;
                let held = held.map_err(|_| busy())?;
                let (as_of, mut answer) = self.make(&request, &tags, *least, granted.since).await?;
                if let Some(turn) = held {
                    answer.body = Bytes::from_owner(Held { bytes: answer.body, _turn: turn });
                }
                let kept = Kept::new(as_of, answer, lives.unwrap_or_default());
                Answered { kept: Arc::new(kept), cached: false }
            }
        };
        let counted = if answered.cached { metric::READ_HITS } else { metric::READ_MISSES };
        metrics::counter!(counted).increment(1);
        if let (Some(noted), Some(user)) = (read.noted, &asked.user) {
            shared.actions.note(user, noted(asked));
        }
        Ok(answered)
    }

    /// Asks PostgreSQL: a server that follows the primary and has come far enough, else the primary. Gives what the answer
    /// is as of.
    async fn make(
        &self,
        request: &Request<'_>,
        tags: &[Tag],
        least: Option<Lsn>,
        granted: Lsn,
    ) -> Result<(Point, Answer), Fault> {
        let shared = &*self.0;
        let config = &shared.config;
        let who = request.identity.impersonation();
        // Before anything is read: what comes later may be in it or not.
        let here = shared.hub.here();
        let since = shared.marks.since(tags);
        // A commit that begins where the server ends is not there yet. What the role was granted is not told of by marks.
        let behind = Lsn::new(since.lsn.get() + 1).max(least.unwrap_or(Lsn::ZERO)).max(granted);
        let as_of =
            |lsn: Lsn| Point { incarnation: here.incarnation, lsn: lsn.min(here.position.commit_lsn) };
        let followed = match request.read.kind {
            Kind::Secret => None,
            _ => shared.replicas.begin(who, &config.search_path, behind, config.timeout).await,
        };
        if let Some((work, reached)) = followed {
            match self.run(request, work).await {
                // One that goes away, or has to take back what is being read, is no reason to answer nothing; and what is not there
                // may have come just now, as whoever asks for the first time has.
                Err(fault) if matches!(fault.code, Code::Unavailable | Code::NotFound) => {}
                done => {
                    metrics::counter!(metric::READ_REPLICA).increment(1);
                    return Ok((as_of(Lsn::new(reached.get().saturating_sub(1))), done?));
                }
            }
        }
        let turn = timeout(config.timeout, shared.turns.take(request.asked.user.as_deref())).await;
        let _turn = turn.map_err(|_| busy())?;
        let begun =
            Work::begin(&shared.primary, who, &config.search_path, Access::Read, config.timeout).await?;
        Ok((as_of(here.position.commit_lsn), self.run(request, begun.work).await?))
    }

    async fn run(&self, request: &Request<'_>, work: Work) -> Result<Answer, Fault> {
        let Shared { vault, warehouse, config, .. } = &*self.0;
        let warehouse = warehouse.as_ref().map(|pool| (pool, config.timeout));
        let reading = Reading { work: &work, vault, warehouse };
        let answer = (request.read.run)(reading, &request.asked).await?;
        work.end().await?;
        Ok(answer)
    }

    /// What the caller's role may see.
    async fn granted(&self, request: &Request<'_>) -> Result<Granted, Fault> {
        let Some(who) = request.identity.impersonation() else { return Ok(Granted::default()) };
        self.0.policies.granted(&who.role).await.map_err(|error| {
            tracing::warn!(error = %crate::telemetry::Chain(&error), "grants cannot be read now");
            unavailable()
        })
    }

    /// For how long an answer may be kept: not at all where the stream does not carry what it is made from.
    fn lives(&self, kind: Kind) -> Option<std::time::Duration> {
        let lifetimes = &self.0.config.lifetimes;
        let lives = match kind {
            Kind::Rows => lifetimes.rows,
            Kind::Categories => lifetimes.categories,
            Kind::Kpis => lifetimes.kpis,
            Kind::Charts => lifetimes.charts,
            Kind::Large | Kind::Secret => return None,
        };
        (!lives.is_zero() && self.0.policies.follows(&self.0.tables)).then_some(lives)
    }
}

/// What the read is known by: all that is asked, who asks, and what their role may see.
fn name(request: &Request<'_>, digest: u64) -> Name {
    let mut hash = Context::new(&SHA256);
    hash.update(&FORM.to_be_bytes());
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(request.read.id.as_bytes());
    request.asked.path.iter().for_each(|text| part(text.as_bytes()));
    part(request.asked.query.to_string().as_bytes());
    match request.identity.impersonation() {
        None => part(b"server"),
        Some(who) => {
            part(b"role");
            part(who.role.as_bytes());
            part(&digest.to_be_bytes());
            // As they are: policies may go by any of them.
            part(who.claims.as_bytes());
        }
    }
    hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What is counted as long as somebody has it.
struct Held {
    bytes: Bytes,
    _turn: Turn,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn busy() -> Fault {
    Fault::new(Code::Unavailable, "all connections for reads are in use")
}

fn unavailable() -> Fault {
    Fault::new(Code::Unavailable, "the database cannot be asked now")
}
