use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::Session;
use crate::postgres::Impersonation;

/// Who a client is, as verified.
///
/// Two are equal if the same statements run as the same role with the same claims: what one may see, the other may. When
/// they end is no part of that.
#[derive(Clone, Debug)]
pub struct Identity {
    impersonation: Option<Impersonation>,
    expires_at: Option<SystemTime>,
    /// The session that it is known by, if that is not a token.
    session: Option<Arc<Session>>,
}

/// Claims that say when and by which token, and not who.
const OF_THE_TOKEN: [&str; 4] = ["exp", "iat", "nbf", "jti"];

impl Identity {
    /// The server's own: what everybody is where nobody is asked (`auth.mode = "none"`).
    pub const fn server() -> Self {
        Self { impersonation: None, expires_at: None, session: None }
    }

    /// Whoever brings no token.
    pub(super) fn anonymous(role: &str) -> Self {
        let claims = json!({"role": role}).to_string();
        Self::verified(role, &claims, None)
    }

    /// Whom a token names; `claims` is the text that was signed.
    pub(super) fn verified(role: &str, claims: &str, expires_at: Option<SystemTime>) -> Self {
        let impersonation = Impersonation { role: role.into(), claims: claims.into() };
        Self { impersonation: Some(impersonation), expires_at, session: None }
    }

    /// The same, known by a session.
    pub(super) fn by(self, session: Arc<Session>) -> Self {
        Self { session: Some(session), ..self }
    }

    /// As whom its statements run; `None` for the server's own role, which no policy binds.
    pub const fn impersonation(&self) -> Option<&Impersonation> {
        self.impersonation.as_ref()
    }

    /// What it is called where who asks is counted or told: the role, and the subject that the token names; `None` for the
    /// server's own.
    pub fn name(&self) -> Option<String> {
        let Impersonation { role, claims } = self.impersonation.as_ref()?;
        let claims: Map<String, Value> = serde_json::from_str(claims).unwrap_or_default();
        Some(match claims.get("sub").and_then(Value::as_str) {
            Some(subject) => format!("{role}/{subject}"),
            None => role.to_string(),
        })
    }

    /// Who it is to the provider (`sub`); `None` for the server's own, and for who is nobody in particular.
    pub fn subject(&self) -> Option<String> {
        let claims: Map<String, Value> = serde_json::from_str(&self.impersonation.as_ref()?.claims).ok()?;
        claims.get("sub")?.as_str().map(str::to_owned)
    }

    /// When it ends; `None` for never.
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// The session that it is known by, if that is not a token: it may be revoked before its end.
    pub const fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// What it says of who it is: its claims but for those that every new token has of its own, by name. `None` for the
    /// server's own.
    pub fn lasting_claims(&self) -> Option<Map<String, Value>> {
        lasting(&self.impersonation.as_ref()?.claims)
    }

    /// When its token was issued (`iat`), in seconds since 1970; `None` if that is not said.
    pub fn issued_at(&self) -> Option<f64> {
        let claims: Map<String, Value> = serde_json::from_str(&self.impersonation.as_ref()?.claims).ok()?;
        claims.get("iat")?.as_f64()
    }

    /// Whether another token says the same of the same person: role and claims are equal but for those that every new
    /// token has of its own.
    pub fn is_renewed_by(&self, other: &Self) -> bool {
        match (&self.impersonation, &other.impersonation) {
            (Some(one), Some(two)) => one.role == two.role && lasting(&one.claims) == lasting(&two.claims),
            (None, None) => true,
            _ => false,
        }
    }
}

fn lasting(claims: &str) -> Option<Map<String, Value>> {
    let mut claims: Map<String, Value> = serde_json::from_str(claims).ok()?;
    claims.retain(|name, _| !OF_THE_TOKEN.contains(&name.as_str()));
    Some(claims)
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.impersonation == other.impersonation
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.impersonation.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_of_the_same_person_renews_and_any_other_does_not() {
        let old = Identity::verified("member", r#"{"sub":"7","exp":1,"iat":0,"jti":"a","nbf":0}"#, None);
        for (role, claims, renews) in [
            ("member", r#"{"exp":9,"jti":"b","sub":"7"}"#, true),
            ("member", r#"{"exp":9,"sub":"8"}"#, false),
            ("member", r#"{"exp":9,"sub":"7","tenant":1}"#, false),
            ("admin", r#"{"exp":9,"sub":"7"}"#, false),
        ] {
            let new = Identity::verified(role, claims, None);
            assert_eq!(old.is_renewed_by(&new), renews, "{role} {claims}");
        }
        assert!(!old.is_renewed_by(&Identity::server()) && !Identity::server().is_renewed_by(&old));
    }
}
