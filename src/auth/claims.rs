use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::{Identity, Refusal, strict};

/// What the claims of a token whose signature holds must say.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who must have issued it; `None` for anyone who has the key.
    pub issuer: Option<String>,
    /// For whom it must be, one of these; whoever it is for if there are none.
    pub audience: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// The claim that names the role.
    pub role: ClaimPath,
    /// The roles that it may name.
    pub roles: Vec<String>,
}

/// The path of a claim.
///
/// Text form: `role`, or `app.role` for a member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl FromStr for ClaimPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<_> = text.split('.').map(str::to_owned).collect();
        let whole = names.iter().all(|name| !name.is_empty());
        whole.then_some(Self(names)).ok_or("must be a claim's name, or names with dots between them")
    }
}

impl ClaimPath {
    /// The claim of that path.
    pub(super) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (last, path) = self.0.split_last()?;
        let within = path.iter().try_fold(claims, |object, name| object.get(name)?.as_object())?;
        within.get(last)
    }

    /// Has `claims` name `role` at that path; what stands in its way is replaced.
    pub(super) fn put(&self, claims: &mut Map<String, Value>, role: &str) {
        let Some((last, path)) = self.0.split_last() else { return };
        let within = path.iter().fold(claims, |object, name| {
            let member = object.entry(name.clone()).or_insert_with(|| Map::new().into());
            if !member.is_object() {
                *member = Map::new().into();
            }
            member.as_object_mut().expect("made one")
        });
        within.insert(last.clone(), role.into());
    }
}

impl Rules {
    /// Whom claims name that were signed with a key that is known, if all of them hold at `now`.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn judge(&self, text: &str, now: SystemTime) -> Result<Identity, Refusal> {
        let claims = strict::object(text.as_bytes())?;
        // Beyond what a time can hold is later than any.
        let ends = time(&claims, "exp")?.map(|exp| exp.checked_add(self.leeway).unwrap_or(exp));
        if ends.is_some_and(|ends| ends <= now) {
            return Err(Refusal::Expired);
        }
        if time(&claims, "nbf")?.is_some_and(|begins| begins > now + self.leeway) {
            return Err(Refusal::NotYet);
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Refusal::Issuer);
        }
        if !self.audience.is_empty() && !self.is_meant(claims.get("aud")) {
            return Err(Refusal::Audience);
        }
        // A number would be one person here and another in SQL, where `->>` makes a text of it.
        if claims.get("sub").is_some_and(|subject| !subject.is_string()) {
            return Err(Refusal::Malformed);
        }
        let role = self.role.find(&claims).and_then(Value::as_str);
        let role = role.filter(|role| self.roles.iter().any(|allowed| allowed == role));
        Ok(Identity::verified(role.ok_or(Refusal::Role)?, text, ends))
    }

    /// See <https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3>.
    fn is_meant(&self, audience: Option<&Value>) -> bool {
        let is_own =
            |value: &Value| value.as_str().is_some_and(|text| self.audience.iter().any(|own| own == text));
        match audience {
            Some(Value::Array(several)) => several.iter().any(is_own),
            Some(one) => is_own(one),
            None => false,
        }
    }
}

/// A time in seconds since 1970, which may have a fraction.
///
/// See <https://www.rfc-editor.org/rfc/rfc7519#section-2>.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<SystemTime>, Refusal> {
    /// The year 9999: beyond it `SystemTime` may not reach, and nobody waits for it.
    const MOST_SECONDS: f64 = 253_402_300_799.0;
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(Refusal::Malformed)?;
            Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds.min(MOST_SECONDS))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            issuer: Some("https://login.example.com".into()),
            audience: vec!["live".into(), "other".into()],
            leeway: Duration::from_secs(5),
            role: "app.role".parse().expect("a path"),
            roles: vec!["member".into(), "admin".into()],
        }
    }

    fn judge(claims: &str) -> Result<Identity, Refusal> {
        rules().judge(claims, UNIX_EPOCH + Duration::from_secs(1_000))
    }

    #[test]
    fn every_claim_is_held_to_its_rule() {
        let with = |rest: &str| {
            format!(r#"{{"iss":"https://login.example.com","aud":"live","app":{{"role":"member"}}{rest}}}"#)
        };
        for (claims, outcome) in [
            (with(""), Ok(())),
            (with(r#","exp":1000.5,"nbf":1005,"sub":"7""#), Ok(())),
            (with(r#","exp":996"#), Ok(())),
            (with(r#","exp":995"#), Err(Refusal::Expired)),
            (with(r#","exp":1e300"#), Ok(())),
            (with(r#","exp":"2000""#), Err(Refusal::Malformed)),
            (with(r#","exp":null"#), Err(Refusal::Malformed)),
            (with(r#","exp":-1"#), Err(Refusal::Malformed)),
            (with(r#","nbf":1006"#), Err(Refusal::NotYet)),
            (with(r#","sub":7"#), Err(Refusal::Malformed)),
            (with(r#","sub":null"#), Err(Refusal::Malformed)),
            (with(r#","sub":"7","sub":"8""#), Err(Refusal::Duplicate)),
            (with("").replace("\"live\"", r#"["x","other"]"#), Ok(())),
            (with("").replace("\"live\"", r#"["x"]"#), Err(Refusal::Audience)),
            (with("").replace("\"live\"", "7"), Err(Refusal::Audience)),
            (with("").replace(r#""aud":"live","#, ""), Err(Refusal::Audience)),
            (with("").replace("login", "evil"), Err(Refusal::Issuer)),
            (
                with("").replace("https://login.example.com", "https://login.example.com/"),
                Err(Refusal::Issuer),
            ),
            (with("").replace("member", "postgres"), Err(Refusal::Role)),
            (with("").replace("member", "member\\u0000"), Err(Refusal::Role)),
            (with("").replace("member", "Member"), Err(Refusal::Role)),
            (with("").replace("member", "none"), Err(Refusal::Role)),
            (with("").replace("\"app\"", "\"role\""), Err(Refusal::Role)),
            (with("").replace(r#"{"role":"member"}"#, "\"member\""), Err(Refusal::Role)),
            ("[]".into(), Err(Refusal::Malformed)),
        ] {
            assert_eq!(judge(&claims).map(drop), outcome, "{claims}");
        }
    }

    #[test]
    fn an_identity_ends_with_its_token_and_carries_its_claims_to_the_letter() {
        let claims =
            r#"{ "aud":"live","iss":"https://login.example.com", "app":{"role":"admin"},"exp":1001.5 }"#;
        let identity = judge(claims).expect("valid");
        let impersonation = identity.impersonation().expect("a role");
        assert_eq!((&*impersonation.role, &*impersonation.claims), ("admin", claims));
        assert_eq!(identity.expires_at(), Some(UNIX_EPOCH + Duration::from_millis(1_006_500)));
    }

    #[test]
    fn a_role_is_put_where_it_is_looked_for() {
        for path in ["role", "app.role", "a.b.c"] {
            let path: ClaimPath = path.parse().expect("a path");
            let mut claims =
                Map::from_iter([("app".into(), serde_json::json!({"tenant": 7})), ("a".into(), 1.into())]);
            path.put(&mut claims, "member");
            assert_eq!(path.find(&claims), Some(&"member".into()));
            assert_eq!(claims["app"]["tenant"], 7);
        }
        assert!("".parse::<ClaimPath>().is_err() && "a..b".parse::<ClaimPath>().is_err());
    }
}
