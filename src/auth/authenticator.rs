use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::fetch::Fetcher;
use super::key::{Key, KeySet, Material};
use super::keys::{Keys, Pace, Source};
use super::sessions::{Begun, Sessions};
use super::token::Token;
use super::{
    Algorithm, ChannelRight, ChannelRules, Identity, InvalidKey, PublicKey, Refusal, Rules, Secret, SecureUrl,
};
use crate::cache::Cache;
use crate::shutdown::Scope;
use crate::telemetry::metric;

/// How clients prove who they are.
#[derive(Clone, Debug)]
pub enum Config {
    /// Not at all: everybody is the server itself.
    None,
    /// By a token.
    Jwt(Box<Jwt>),
}

/// What tokens must be like.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Where the keys come from.
    pub keys: KeySource,
    /// The algorithms that may be used, of those that the keys serve.
    pub algorithms: Vec<Algorithm>,
    /// What the claims must say.
    pub rules: Rules,
    /// The largest token that is looked at, in bytes.
    pub max_bytes: usize,
    /// The role of those who bring none; `None` if nobody is let in without.
    pub anonymous_role: Option<String>,
    /// How often keys are fetched, where they are.
    pub refresh: Duration,
    /// How often at most for a token whose key is not known.
    pub least_interval: Duration,
    /// How long a session lasts at most.
    pub session_lifetime: Duration,
    /// Who may do what on channels.
    pub channels: ChannelRules,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A secret that the issuer knows too.
    Secret(Secret),
    /// The issuer's public key.
    PublicKey(PublicKey),
    /// The same in a file in PEM, read once.
    PublicKeyFile(PathBuf),
    /// A file in the form of a JSON Web Key Set, read as often as keys are fetched.
    KeySetFile(PathBuf),
    /// The same at an address.
    KeySetUrl(SecureUrl),
    /// What the document at the issuer says (OpenID Connect).
    Discovery(SecureUrl),
}

/// Tokens cannot be verified at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key's file is not there.
    #[error("the public key `{}` could not be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The key's file holds something else.
    #[error("the public key `{}` cannot be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What it must be.
        #[source]
        source: InvalidKey,
    },
    /// No protocol version that rustls and this build share.
    #[error("TLS to the provider of keys could not be set up")]
    Tls(#[source] rustls::Error),
}

/// Tells who a client is. Cloning shares it.
#[derive(Clone)]
pub struct Authenticator(Arc<Mode>);

enum Mode {
    None(Arc<Identity>),
    Jwt(Box<Verifier>),
}

struct Verifier {
    keys: Keys,
    algorithms: Vec<Algorithm>,
    rules: Rules,
    max_bytes: usize,
    anonymous: Option<Arc<Identity>>,
    sessions: Sessions,
    channels: ChannelRules,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("asks", &self.asks()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Lets everybody in as the server itself.
    pub fn none() -> Self {
        Self(Arc::new(Mode::None(Arc::new(Identity::server()))))
    }

    /// Starts it, with sessions in `cache`; what fetches keys runs in `scope`.
    ///
    /// # Errors
    /// [`Error`] if there can never be a key. Keys that are away now are waited for, token by token.
    pub async fn start(config: Config, cache: Cache, scope: &Scope) -> Result<Self, Error> {
        let Config::Jwt(jwt) = config else { return Ok(Self::none()) };
        let pace = Pace { refresh: jwt.refresh, least_interval: jwt.least_interval };
        let fetched = |source| -> Result<Keys, Error> {
            Ok(Keys::fetched(source, Fetcher::new().map_err(Error::Tls)?, pace, scope))
        };
        let fixed = |material| {
            let key = Key { id: None, algorithm: None, material };
            Keys::Fixed(Arc::new(KeySet(vec![key])))
        };
        let keys = match jwt.keys {
            KeySource::Secret(Secret(secret)) => fixed(Material::Secret(secret)),
            KeySource::PublicKey(PublicKey(material)) => fixed(material),
            KeySource::PublicKeyFile(path) => fixed(read(path).await?.0),
            KeySource::KeySetFile(path) => fetched(Source::File(path))?,
            KeySource::KeySetUrl(url) => fetched(Source::Url(url))?,
            KeySource::Discovery(issuer) => fetched(Source::Discovery(issuer))?,
        };
        let anonymous = jwt.anonymous_role.map(|role| Arc::new(Identity::anonymous(&role)));
        let (algorithms, rules, max_bytes) = (jwt.algorithms, jwt.rules, jwt.max_bytes);
        let sessions = Sessions::start(cache, jwt.session_lifetime, scope);
        let channels = jwt.channels;
        let verifier = Verifier { keys, algorithms, rules, max_bytes, anonymous, sessions, channels };
        Ok(Self(Arc::new(Mode::Jwt(Box::new(verifier)))))
    }

    /// Whether tokens are looked at.
    pub fn asks(&self) -> bool {
        matches!(*self.0, Mode::Jwt(_))
    }

    /// Who brings no token; `None` if nobody is let in without.
    pub fn anonymous(&self) -> Option<&Arc<Identity>> {
        match &*self.0 {
            Mode::None(server) => Some(server),
            Mode::Jwt(verifier) => verifier.anonymous.as_ref(),
        }
    }

    /// Who brings this token. Where nobody is asked it may say anything.
    ///
    /// Waits for keys, some seconds at most, if there are none yet or a fresher set may have the one that is named.
    ///
    /// # Errors
    /// Why it is refused, counted and logged.
    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>, Refusal> {
        let verified = match &*self.0 {
            Mode::None(server) => return Ok(server.clone()),
            Mode::Jwt(verifier) => verifier.verify(token).await,
        };
        match verified {
            Ok(identity) => Ok(Arc::new(identity)),
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }

    /// Whether somebody may do this on a channel. Where nobody is asked who they are, everybody may.
    pub fn allows(&self, identity: &Identity, right: ChannelRight, channel: &str) -> bool {
        match (&*self.0, identity.impersonation()) {
            (Mode::None(_), _) => true,
            (Mode::Jwt(verifier), Some(it)) => verifier.channels.allow(right, &it.role, &it.claims, channel),
            (Mode::Jwt(_), None) => false,
        }
    }

    /// Begins a session for whoever has proven who it is.
    ///
    /// # Errors
    /// [`Refusal::Missing`] where nobody is asked, [`Refusal::Unavailable`] while the cache is away.
    pub async fn begin_session(&self, identity: &Identity) -> Result<Begun, Refusal> {
        match &*self.0 {
            Mode::None(_) => Err(Refusal::Missing),
            Mode::Jwt(verifier) => verifier.sessions.begin(identity).await.map_err(|it| self.refuse(it)),
        }
    }

    /// Whose session a cookie names. Where nobody is asked it may name anything.
    ///
    /// # Errors
    /// [`Refusal::Session`], [`Refusal::Role`] if its role is no longer allowed, [`Refusal::Unavailable`] while the
    /// cache is away.
    pub async fn by_session(&self, id: &str) -> Result<Arc<Identity>, Refusal> {
        let verifier = match &*self.0 {
            Mode::None(server) => return Ok(server.clone()),
            Mode::Jwt(verifier) => verifier,
        };
        let found = verifier.sessions.find(id).await.and_then(|identity| verifier.still_allows(identity));
        found.map(Arc::new).map_err(|refusal| self.refuse(refusal))
    }

    /// Revokes a session: whoever is connected by it is closed within a second.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] while the cache is away: then it goes on.
    pub async fn end_session(&self, id: &str) -> Result<(), Refusal> {
        match &*self.0 {
            Mode::None(_) => Ok(()),
            Mode::Jwt(verifier) => verifier.sessions.end(id).await.map_err(|it| self.refuse(it)),
        }
    }

    /// Counts and logs that somebody was not let in; gives back why.
    pub fn refuse(&self, refusal: Refusal) -> Refusal {
        metrics::counter!(metric::AUTH_REFUSED, metric::REASON => refusal.as_str()).increment(1);
        tracing::debug!(reason = refusal.as_str(), "somebody was not let in");
        refusal
    }
}

impl Verifier {
    /// The configuration may be another one than when the session began.
    fn still_allows(&self, identity: Identity) -> Result<Identity, Refusal> {
        let allowed =
            identity.impersonation().is_some_and(|it| self.rules.roles.iter().any(|role| **role == *it.role));
        if allowed { Ok(identity) } else { Err(Refusal::Role) }
    }

    async fn verify(&self, text: &str) -> Result<Identity, Refusal> {
        let token = Token::parse(text, self.max_bytes)?;
        let keys = self.keys.current().await?;
        let claims = match token.claims(&keys, &self.algorithms) {
            Err(refusal) if may_pass(refusal, &token) => match self.keys.fresher().await? {
                Some(fresher) => token.claims(&fresher, &self.algorithms),
                None => Err(refusal),
            },
            claims => claims,
        }?;
        self.rules.judge(&claims, SystemTime::now())
    }
}

/// Whether a fresher set of keys may judge otherwise.
fn may_pass(refusal: Refusal, token: &Token<'_>) -> bool {
    match refusal {
        Refusal::UnknownKey => true,
        Refusal::Signature => !token.names_key(),
        _ => false,
    }
}

async fn read(path: PathBuf) -> Result<PublicKey, Error> {
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => text.parse().map_err(|source| Error::Key { path, source }),
        Err(source) => Err(Error::File { path, source }),
    }
}
