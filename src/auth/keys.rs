use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::fetch::{FetchError, Fetcher};
use super::jwk::{self, InvalidKeySet, Secrets};
use super::key::KeySet;
use super::{InvalidUrl, Refusal, SecureUrl};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// The keys that tokens are verified with, now.
pub(super) enum Keys {
    /// Of the configuration: they never change.
    Fixed(Arc<KeySet>),
    /// From elsewhere, as last fetched.
    Fetched { state: watch::Receiver<State>, wanted: Arc<Notify> },
}

/// Where a set of keys comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file in the form of a JSON Web Key Set.
    File(PathBuf),
    /// The same, over the network.
    Url(SecureUrl),
    /// What the provider's own document says.
    Discovery(SecureUrl),
}

/// How often keys are fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// At least, while all goes well.
    pub(super) refresh: Duration,
    /// At most, for a token whose key is not known.
    pub(super) least_interval: Duration,
}

/// What has been fetched so far.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The last set that came; none until the first has.
    keys: Option<Arc<KeySet>>,
    /// Attempts that have ended.
    attempts: u64,
    /// From when on an unknown key may cause the next one.
    on_demand_from: Instant,
}

/// Keys that could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the file `{}` could not be read", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{url} could not be fetched")]
    Fetch { url: SecureUrl, source: FetchError },
    #[error("what {from} has cannot be used")]
    Set { from: String, source: InvalidKeySet },
    #[error("{url} is no provider's document")]
    Document { url: SecureUrl, source: serde_json::Error },
    #[error("{url} is the document of another issuer")]
    OtherIssuer { url: SecureUrl },
    #[error("{url} names keys at an address that is not secure")]
    Insecure { url: SecureUrl, source: InvalidUrl },
}

/// The pauses after failures: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long a token waits for keys: as long as they may take, and a moment.
const PATIENCE: Duration = Duration::from_secs(12);

/// See <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Keys {
    /// Fetches keys in `scope`, and goes on doing so.
    pub(super) fn fetched(source: Source, fetcher: Fetcher, pace: Pace, scope: &Scope) -> Self {
        let state = State { keys: None, attempts: 0, on_demand_from: Instant::now() };
        let (sender, receiver) = watch::channel(state);
        let wanted = Arc::new(Notify::new());
        let keeper = Keeper { source, fetcher, pace, state: sender, wanted: wanted.clone() };
        let closing = scope.clone();
        scope.spawn("keys", async move {
            tokio::select! {
                biased;
                () = closing.closing() => {}
                () = keeper.run() => {}
            }
        });
        Self::Fetched { state: receiver, wanted }
    }

    /// The keys that there are.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if none have come yet, nor come in time.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, Refusal> {
        match self {
            Self::Fixed(keys) => Ok(keys.clone()),
            Self::Fetched { state, .. } => {
                let state = state.borrow().clone();
                match state.keys {
                    Some(keys) => Ok(keys),
                    None if state.attempts == 0 => self.fresher().await?.ok_or(Refusal::Unavailable),
                    None => Err(Refusal::Unavailable),
                }
            }
        }
    }

    /// Keys that were fetched from now on, or by what is under way; `None` if it is too early for that, or there can be
    /// none.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if they do not come in time.
    pub(super) async fn fresher(&self) -> Result<Option<Arc<KeySet>>, Refusal> {
        let Self::Fetched { state, wanted } = self else { return Ok(None) };
        let mut state = state.clone();
        let State { attempts, on_demand_from, .. } = *state.borrow_and_update();
        if attempts > 0 && Instant::now() < on_demand_from {
            return Ok(None);
        }
        wanted.notify_one();
        let ended = timeout(PATIENCE, state.wait_for(|state| state.attempts > attempts)).await;
        match ended {
            Ok(Ok(state)) => Ok(state.keys.clone()),
            Ok(Err(_)) | Err(_) => Err(Refusal::Unavailable),
        }
    }
}

/// Fetches keys, one attempt at a time.
struct Keeper {
    source: Source,
    fetcher: Fetcher,
    pace: Pace,
    state: watch::Sender<State>,
    wanted: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut pause = PAUSES.0;
        let mut well = true;
        loop {
            let begun_at = Instant::now();
            let outcome = Box::pin(self.fetch()).await;
            metrics::counter!(metric::AUTH_KEY_FETCHES, metric::REASON => if outcome.is_ok() { "ok" } else { "failed" })
                .increment(1);
            let next = match &outcome {
                Ok(keys) => {
                    if !well {
                        tracing::info!(keys = keys.0.len(), "the keys of tokens could be fetched again");
                    }
                    (well, pause) = (true, PAUSES.0);
                    self.pace.refresh
                }
                Err(error) => {
                    // Once until it is mended: those that there are stay in use.
                    if well {
                        tracing::warn!(error = %Chain(error), "the keys of tokens could not be fetched");
                    }
                    well = false;
                    let wait = pause.min(self.pace.refresh);
                    pause = (pause * 2).min(PAUSES.1);
                    wait.mul_f64(0.5 + fastrand::f64() / 2.0)
                }
            };
            let on_demand_from = begun_at + self.pace.least_interval;
            self.state.send_modify(|state| {
                if let Ok(keys) = outcome {
                    state.keys = Some(Arc::new(keys));
                }
                state.attempts += 1;
                state.on_demand_from = on_demand_from;
            });
            self.rest(Instant::now() + next, on_demand_from).await;
        }
    }

    /// Waits until the next attempt is due, or wanted and not too early.
    async fn rest(&self, due_at: Instant, on_demand_from: Instant) {
        loop {
            tokio::select! {
                biased;
                // 1. It is due.
                () = sleep_until(due_at) => return,
                // 2. A token names a key that is not known; a wish from before the last attempt is answered by that.
                () = self.wanted.notified() => if Instant::now() >= on_demand_from { return },
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, Failed> {
        match &self.source {
            Source::File(path) => {
                let read = tokio::fs::read(path).await;
                let text = read.map_err(|source| Failed::File { path: path.clone(), source })?;
                set(&text, Secrets::Taken, &path.display())
            }
            Source::Url(url) => self.fetch_set(url).await,
            Source::Discovery(issuer) => {
                let url =
                    issuer.discovery().map_err(|source| Failed::Insecure { url: issuer.clone(), source })?;
                let text = self.get(&url).await?;
                let document: Document = serde_json::from_slice(&text)
                    .map_err(|source| Failed::Document { url: url.clone(), source })?;
                // What stands at one issuer's address must not speak for another.
                if document.issuer.trim_end_matches('/') != issuer.to_string().trim_end_matches('/') {
                    return Err(Failed::OtherIssuer { url });
                }
                let keys = document.jwks_uri.parse().map_err(|source| Failed::Insecure { url, source })?;
                self.fetch_set(&keys).await
            }
        }
    }

    async fn fetch_set(&self, url: &SecureUrl) -> Result<KeySet, Failed> {
        set(&self.get(url).await?, Secrets::PassedOver, url)
    }

    async fn get(&self, url: &SecureUrl) -> Result<bytes::Bytes, Failed> {
        self.fetcher.get(url).await.map_err(|source| Failed::Fetch { url: url.clone(), source })
    }
}

fn set(text: &[u8], secrets: Secrets, from: &dyn Display) -> Result<KeySet, Failed> {
    jwk::read(text, secrets).map_err(|source| Failed::Set { from: from.to_string(), source })
}
