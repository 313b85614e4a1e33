use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Value;

use super::{count, flag, list, milliseconds, parsed, text};
use crate::auth::{
    self, Algorithm, ChannelRule, ChannelRules, ClaimPath, KeySource, PublicKey, Rules, Secret, SecureUrl,
};
use crate::http;
use crate::postgres::profile::FunctionName;

/// `[auth]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Auth {
    /// How clients prove who they are.
    #[serde(deserialize_with = "parsed")]
    pub mode: AuthMode,
    /// Whether to listen beyond loopback although nobody is authenticated.
    #[serde(deserialize_with = "flag")]
    pub allow_insecure: bool,
    /// The roles that a token may name.
    #[serde(deserialize_with = "roles")]
    pub roles: Vec<String>,
    /// The role of those who bring none.
    #[serde(deserialize_with = "role")]
    pub anonymous_role: Option<String>,
    /// The function that is told who comes.
    #[serde(deserialize_with = "set")]
    pub profile_function: Option<FunctionName>,
    /// How long a session of a browser lasts.
    #[serde(rename = "session_lifetime_ms", deserialize_with = "milliseconds::<1_000, 2_592_000_000, _>")]
    pub session_lifetime: Duration,
    /// Who may do what on channels.
    #[serde(deserialize_with = "channels")]
    pub channels: ChannelRules,
    /// What tokens must be like.
    pub jwt: Jwt,
    /// How the page logs in.
    pub login: Login,
}

/// `[auth.login]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Login {
    /// What the issuer knows the page as; none for a page without a login.
    #[serde(deserialize_with = "set")]
    pub client_id: Option<String>,
    /// What the page asks for.
    #[serde(deserialize_with = "text")]
    pub scope: String,
}

/// `[auth.jwt]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Jwt {
    /// A secret that the issuer knows too.
    #[serde(deserialize_with = "set")]
    pub secret: Option<Secret>,
    /// The issuer's public key.
    #[serde(deserialize_with = "set")]
    pub public_key: Option<PublicKey>,
    /// The same in a file.
    #[serde(deserialize_with = "set")]
    pub public_key_file: Option<PathBuf>,
    /// A set of keys in a file.
    #[serde(deserialize_with = "set")]
    pub jwks_file: Option<PathBuf>,
    /// The same at an address.
    #[serde(deserialize_with = "set")]
    pub jwks_url: Option<SecureUrl>,
    /// Who must have issued the token.
    #[serde(deserialize_with = "set")]
    pub issuer: Option<String>,
    /// For whom it must be.
    #[serde(deserialize_with = "one_or_more")]
    pub audience: Vec<String>,
    /// The claim that names the role.
    #[serde(deserialize_with = "parsed")]
    pub role_claim: ClaimPath,
    /// The algorithms that may be used.
    #[serde(deserialize_with = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may be apart.
    #[serde(rename = "leeway_ms", deserialize_with = "milliseconds::<0, 300_000, _>")]
    pub leeway: Duration,
    /// The largest token.
    #[serde(deserialize_with = "count::<256, 65_536, _>")]
    pub max_bytes: usize,
    /// How often keys are fetched.
    #[serde(rename = "refresh_ms", deserialize_with = "milliseconds::<100, 86_400_000, _>")]
    pub refresh: Duration,
    /// How often at most for a token whose key is not known.
    #[serde(rename = "refresh_least_ms", deserialize_with = "milliseconds::<100, 86_400_000, _>")]
    pub refresh_least: Duration,
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Not at all.
    None,
    /// By a token.
    Jwt,
}

impl FromStr for AuthMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "jwt" => Ok(Self::Jwt),
            _ => Err("must be none or jwt"),
        }
    }
}

impl Auth {
    /// What verifies tokens, if anything does.
    pub fn authenticator(&self) -> auth::Config {
        match self.mode {
            AuthMode::None => auth::Config::None,
            AuthMode::Jwt => auth::Config::Jwt(Box::new(auth::Jwt {
                keys: self.jwt.sources().next().expect("a configuration without one is refused").1,
                algorithms: self.jwt.algorithms.clone(),
                rules: self.rules(),
                max_bytes: self.jwt.max_bytes,
                anonymous_role: self.anonymous_role.clone(),
                refresh: self.jwt.refresh,
                least_interval: self.jwt.refresh_least,
                session_lifetime: self.session_lifetime,
                channels: self.channels.clone(),
            })),
        }
    }

    /// The roles that clients may have; none where nobody is asked who they are.
    pub fn known_roles(&self) -> Vec<String> {
        let anonymous = self.anonymous_role.iter().filter(|role| !self.roles.contains(role));
        match self.mode {
            AuthMode::None => Vec::new(),
            AuthMode::Jwt => self.roles.iter().chain(anonymous).cloned().collect(),
        }
    }

    /// What the claims of a token must say.
    pub fn rules(&self) -> Rules {
        Rules {
            issuer: self.jwt.issuer.clone(),
            audience: self.jwt.audience.clone(),
            leeway: self.jwt.leeway,
            role: self.jwt.role_claim.clone(),
            roles: self.roles.clone(),
        }
    }

    /// How the page logs in, if it does.
    pub fn login(&self) -> Option<http::Login> {
        let Login { client_id, scope } = self.login.clone();
        let client_id = client_id.filter(|_| self.mode == AuthMode::Jwt)?;
        let issuer = self.jwt.issuer.clone()?;
        let origin = issuer.parse::<SecureUrl>().ok()?.origin();
        Some(http::Login { issuer, origin, client_id, scope, resource: self.jwt.audience.first().cloned() })
    }
}

impl Jwt {
    /// Where keys come from, each with its key: those that are set, or else the issuer.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&'static str, KeySource)> + use<> {
        let set = [
            ("auth.jwt.secret", self.secret.clone().map(KeySource::Secret)),
            ("auth.jwt.public_key", self.public_key.clone().map(KeySource::PublicKey)),
            ("auth.jwt.public_key_file", self.public_key_file.clone().map(KeySource::PublicKeyFile)),
            ("auth.jwt.jwks_file", self.jwks_file.clone().map(KeySource::KeySetFile)),
            ("auth.jwt.jwks_url", self.jwks_url.clone().map(KeySource::KeySetUrl)),
        ];
        let is_set = set.iter().any(|(_, source)| source.is_some());
        let issuer = self.issuer.as_deref().filter(|_| !is_set).and_then(|issuer| issuer.parse().ok());
        let discovery = ("auth.jwt.issuer", issuer.map(KeySource::Discovery));
        set.into_iter().chain([discovery]).filter_map(|(key, source)| Some((key, source?)))
    }
}

/// A text that the type's own `FromStr` takes; `None` if it is empty.
pub(super) fn set<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    let text = text(deserializer)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        // A list that a variable could not be read as.
        Value::String(one) if !one.starts_with('[') => {
            Ok(Some(one).filter(|one| !one.is_empty()).into_iter().collect())
        }
        several => list(several).map_err(D::Error::custom),
    }
}

fn algorithms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Algorithm>, D::Error> {
    let names = list(deserializer)?;
    if names.is_empty() {
        return Err(D::Error::custom("must name at least one algorithm"));
    }
    names.iter().map(|name| name.parse().map_err(D::Error::custom)).collect()
}

fn roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let roles = list(deserializer)?;
    roles.into_iter().map(|role| checked(role).map_err(D::Error::custom)).collect()
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let role = text(deserializer)?;
    if role.is_empty() { Ok(None) } else { checked(role).map(Some).map_err(D::Error::custom) }
}

/// Rules as tables: `{ pattern = "…", roles = ["…"], claims = { name = "…" }, subscribe = true, publish = true }`.
fn channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelRules, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        pattern: String,
        #[serde(default)]
        roles: Vec<String>,
        #[serde(default)]
        claims: toml::Table,
        #[serde(default)]
        subscribe: bool,
        #[serde(default)]
        publish: bool,
    }
    let Value::Array(written) = Value::deserialize(deserializer)? else {
        return Err(D::Error::custom(
            "must be a list of tables; in a variable or a flag a JSON array, as in \
             [{\"pattern\":\"news.#\",\"subscribe\":true}]",
        ));
    };
    let read = |(number, rule): (usize, Value)| {
        let of_rule = |why: String| D::Error::custom(format_args!("rule {number}: {why}"));
        let Text { pattern, roles, claims, subscribe, publish } =
            rule.try_into().map_err(|error: toml::de::Error| of_rule(error.message().to_owned()))?;
        if !subscribe && !publish {
            return Err(of_rule("allows nothing: set `subscribe` or `publish` to true".to_owned()));
        }
        let roles = roles.into_iter().map(checked).collect::<Result<_, _>>().map_err(of_rule)?;
        let claim = |(path, value): (String, Value)| {
            let path = path.parse().map_err(|why| of_rule(format!("the claim `{path}` {why}")))?;
            let value = match value {
                Value::String(text) => text.into(),
                Value::Integer(number) => number.into(),
                Value::Boolean(flag) => flag.into(),
                _ => return Err(of_rule("a claim is a text, a whole number, true or false".to_owned())),
            };
            Ok((path, value))
        };
        let claims = claims.into_iter().map(claim).collect::<Result<_, _>>()?;
        let pattern = pattern.parse().map_err(|why| of_rule(format!("the pattern {why}")))?;
        Ok(ChannelRule { pattern, roles, claims, subscribe, publish })
    };
    (1..).zip(written).map(read).collect::<Result<_, _>>().map(ChannelRules)
}

/// A role's name. `none` is not one: `set role none` would be the server's own role, which no policy binds.
///
/// See <https://www.postgresql.org/docs/current/sql-set-role.html>.
fn checked(role: String) -> Result<String, String> {
    const MOST_BYTES: usize = 63;
    let reserved = ["none", "public"].contains(&&*role.to_ascii_lowercase());
    if (1..=MOST_BYTES).contains(&role.len()) && !role.contains('\0') && !reserved {
        Ok(role)
    } else {
        Err(format!("`{role}` is no role's name: 1 to {MOST_BYTES} bytes, and neither `none` nor `public`"))
    }
}
