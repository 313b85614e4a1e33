//! Whom the database knows: a function of the user's own, called as whoever has proven who it is, before that one reads
//! anything.
//!
//! ```text
//!  Identity ──▶ Profiles ── told already ──▶ goes on
//!                  │ not yet: one call at a time for each person, and few at a time in all
//!                  ▼
//!               select app.sync_profile()    as that role, with those claims, in a transaction of its own
//! ```
//!
//! What was told is remembered for some minutes: 10,000 reconnects of one person make one call, and those who come
//! while it is made wait for it. So does how it failed, for a moment.
//!
//! Never here: a claim, or PostgreSQL's message, in a log line or an error.

mod check;
mod told;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::auth::{Identity, Refusal};
use crate::postgres::profile::{FunctionName, call};
use crate::postgres::{Impersonation, Pool};
use crate::telemetry::{Chain, metric};

pub use check::check;
use told::{Claims, Due, Told};

/// What is called, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The function.
    pub function: FunctionName,
    /// Where it looks for names unless it has a `search_path` of its own, as `search_path` has it.
    pub search_path: String,
}

/// Tells the database who comes. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Profiles(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    config: Config,
    pool: Pool,
    told: Told,
    /// How many calls may be made at once.
    calls: Semaphore,
}

/// Calls at once: some hundred people a second, and the pool's other connections are left to those who read.
const CALLS: usize = 2;
/// How long somebody waits until the database was told: as long as for keys or a connection. Then it comes again.
const WITHIN: Duration = Duration::from_secs(10);

impl Profiles {
    /// Tells nobody if there is no function.
    pub fn new(config: Option<Config>, pool: Pool) -> Self {
        let shared =
            config.map(|config| Shared { config, pool, told: Told::default(), calls: Semaphore::new(CALLS) });
        Self(shared.map(Arc::new))
    }

    /// Returns once the database knows of an identity. Cancel safe: what was under way is rolled back, or done.
    ///
    /// # Errors
    /// [`Refusal::Profile`] if the function raises, [`Refusal::Unavailable`] if it cannot be called now.
    pub async fn tell(&self, identity: &Identity) -> Result<(), Refusal> {
        match (&self.0, identity.impersonation()) {
            (Some(shared), Some(impersonation)) => {
                let claims = Claims::of(identity, impersonation);
                let told = timeout(WITHIN, shared.tell(impersonation, &claims)).await;
                told.unwrap_or(Err(Refusal::Unavailable))
            }
            _ => Ok(()),
        }
    }
}

impl Shared {
    async fn tell(&self, impersonation: &Impersonation, claims: &Claims) -> Result<(), Refusal> {
        let person = self.told.person(claims, Instant::now());
        // Held while the function is called: whoever else comes as this person waits for the same call.
        let mut person = person.lock().await;
        match person.due(claims, Instant::now()) {
            Due::Nothing => Ok(()),
            Due::Refused(refusal) => Err(refusal),
            Due::Call => {
                let outcome = self.call(impersonation).await;
                person.note(claims, outcome, Instant::now());
                outcome
            }
        }
    }

    async fn call(&self, impersonation: &Impersonation) -> Result<(), Refusal> {
        let _one_of_few = self.calls.acquire().await.expect("it is never closed");
        let Config { function, search_path } = &self.config;
        let (outcome, reason) = match call(&self.pool, impersonation, search_path, function).await {
            Ok(Ok(())) => (Ok(()), "ok"),
            Ok(Err(raised)) => {
                tracing::warn!(%function, sql_state = %raised.sql_state, "the profile function raised");
                (Err(Refusal::Profile), "refused")
            }
            Err(error) => {
                // With a code its message is the function's own, or quotes what the function did.
                match error.sql_state() {
                    Some(state) => tracing::debug!(sql_state = state.code(), "{error}"),
                    None => {
                        tracing::debug!(error = %Chain(&error), "the profile function cannot be called now");
                    }
                }
                (Err(Refusal::Unavailable), "unavailable")
            }
        };
        metrics::counter!(metric::AUTH_PROFILE_CALLS, metric::REASON => reason).increment(1);
        outcome
    }
}
