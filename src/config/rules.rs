use super::layers::Tree;
use super::{Auth, AuthMode, Backend, CacheBackend, Config, Error};
use crate::auth::{Algorithm, SecureUrl};

/// What no value can be asked by itself: how they go together.
pub(super) fn check(config: &Config, tree: &Tree) -> Result<(), Error> {
    if config.postgres.url.settings().is_none() {
        return Err(Error::NoDatabase);
    }
    let needs_broker = config.journal.backend == Backend::Rabbitmq || config.exchange.enabled;
    if needs_broker && config.journal.url.get().is_none() {
        return Err(Error::NoBroker);
    }
    let at = |key: &str| Box::new(tree.setting(key));
    if config.cache.backend == CacheBackend::Redis && config.cache.url.is_none() {
        let needs = "needs to know where Redis is: cache.url".to_owned();
        return Err(Error::Incomplete { setting: at("cache.backend"), needs });
    }
    match config.auth.mode {
        AuthMode::None if !config.http.listen.ip().is_loopback() && !config.auth.allow_insecure => {
            return Err(Error::Exposed { listen: at("http.listen"), mode: at("auth.mode") });
        }
        AuthMode::None => {}
        AuthMode::Jwt => tokens(&config.auth)
            .map_or(Ok(()), |(key, needs)| Err(Error::Incomplete { setting: at(key), needs }))?,
    }
    let tls = &config.http.tls;
    if tls.certificate_file.is_some() != tls.key_file.is_some() {
        let keys = ["http.tls.certificate_file", "http.tls.key_file"];
        let [set, missing] = if tls.key_file.is_some() { [keys[1], keys[0]] } else { keys };
        return Err(Error::Half { set: at(set), missing });
    }
    match conflicts(config).into_iter().find(|(holds, ..)| !holds) {
        Some((_, key, relation, other)) => {
            Err(Error::Conflict { setting: at(key), relation, other: at(other) })
        }
        None => Ok(()),
    }
}

/// What keeps tokens from being verified: the key, and what has to be done about it.
fn tokens(auth: &Auth) -> Option<(&'static str, String)> {
    let jwt = &auth.jwt;
    let mut sources = jwt.sources().map(|(key, _)| key);
    match (sources.next(), sources.next()) {
        (Some(one), Some(another)) => {
            return Some((another, format!("goes with no `{one}`: keys come from one place")));
        }
        (Some(_), None) => {}
        (None, _) if jwt.issuer.is_some() => {
            let needs = "is no address to fetch keys from: set one of auth.jwt.secret, public_key, public_key_file, \
                         jwks_file and jwks_url";
            return Some(("auth.jwt.issuer", needs.to_owned()));
        }
        (None, _) => {
            let needs = "needs a key: set one of auth.jwt.secret, public_key, public_key_file, jwks_file and \
                         jwks_url, or auth.jwt.issuer for OpenID Connect";
            return Some(("auth.mode", needs.to_owned()));
        }
    }
    if auth.roles.is_empty() {
        return Some(("auth.mode", "needs the roles that a token may name: auth.roles = [\"…\"]".to_owned()));
    }
    let is_provider = |issuer: &String| issuer.parse::<SecureUrl>().is_ok();
    if auth.login.client_id.is_some() && !jwt.issuer.as_ref().is_some_and(is_provider) {
        let needs =
            "needs a provider: auth.jwt.issuer, that begins with https:// (http:// only on this machine)";
        return Some(("auth.login.client_id", needs.to_owned()));
    }
    let named = auth.channels.0.iter().flat_map(|rule| &rule.roles);
    let is_known = |role: &&String| auth.roles.contains(role) || auth.anonymous_role.as_ref() == Some(role);
    if let Some(role) = named.clone().find(|role| !is_known(role)) {
        let needs = format!("names the role `{role}`, that nobody can have: add it to auth.roles");
        return Some(("auth.channels", needs));
    }
    let secret = jwt.secret.as_ref()?;
    let hashes = jwt.algorithms.iter().filter_map(|algorithm| match algorithm {
        Algorithm::Hmac(hash) => Some(hash.bytes()),
        _ => None,
    });
    match hashes.min() {
        None => Some((
            "auth.jwt.algorithms",
            "needs one of HS256, HS384 and HS512: a secret serves no other".to_owned(),
        )),
        Some(least) if secret.len() < least => {
            let needs = format!("has {} bytes: it must have {least} or more, and be random", secret.len());
            Some(("auth.jwt.secret", needs))
        }
        Some(_) => None,
    }
}

/// Whether a rule holds; the key that must yield, its relation, and the key that it is held against.
type Rule = (bool, &'static str, &'static str, &'static str);

fn conflicts(config: &Config) -> [Rule; 9] {
    let Config { postgres, source, journal, hub, snapshot, session, limits, publish, .. } = config;
    [
        // Snapshots would leave the catalog and the visibility queries without a connection.
        (postgres.pool_size > snapshot.concurrent, "postgres.pool_size", "more than", "snapshot.concurrent"),
        // PostgreSQL would end the connection while a report is only late.
        (
            source.wal_sender_timeout >= source.status_interval * 2,
            "source.wal_sender_timeout_ms",
            "at least twice",
            "source.status_interval_ms",
        ),
        (
            source.chunk_bytes <= hub.transaction_bytes,
            "source.chunk_bytes",
            "at most",
            "hub.transaction_bytes",
        ),
        // The head of a transaction would leave the journal before its end is there.
        (
            hub.transaction_bytes <= journal.memory_bytes,
            "hub.transaction_bytes",
            "at most",
            "journal.memory_bytes",
        ),
        (
            session.frame_bytes <= session.outbox_bytes,
            "session.frame_bytes",
            "at most",
            "session.outbox_bytes",
        ),
        (
            snapshot.chunk_bytes <= session.outbox_bytes,
            "snapshot.chunk_bytes",
            "at most",
            "session.outbox_bytes",
        ),
        // One frame, or one event, would ask for more than there ever is.
        (
            limits.bytes_per_second == 0 || limits.bytes_burst >= session.max_frame_bytes,
            "limits.bytes_burst",
            "at least",
            "session.max_frame_bytes",
        ),
        (
            limits.bytes_per_second == 0 || limits.bytes_burst >= publish.max_bytes,
            "limits.bytes_burst",
            "at least",
            "publish.max_bytes",
        ),
        // A client is heard from only when it answers a ping.
        (
            session.heartbeat < session.idle_timeout,
            "session.heartbeat_ms",
            "less than",
            "session.idle_timeout_ms",
        ),
    ]
}
