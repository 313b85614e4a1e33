//! Row-level security, with PostgreSQL as the oracle: what is judged here is what `SELECT` gives that role with those claims.

mod examples;
mod house;
mod stream;

use serde_json::Value;
use tidegate::auth::{Algorithm, ClaimPath, Rules, Secret, mint};

/// Long enough for every hash.
const SECRET: &str = "a secret of the tests, and of nobody else: long enough for each of the hashes.";

/// The settings of a server that asks for tokens, and `more`.
pub(crate) fn jwt(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("auth.mode", "jwt"),
        ("auth.jwt.secret", SECRET),
        ("auth.roles", r#"["authenticated","editor","anon"]"#),
    ];
    own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A token for a role with these claims.
pub(crate) fn token(role: &str, claims: &Value) -> String {
    let secret: Secret = SECRET.parse().expect("long enough");
    let rules = Rules {
        issuer: None,
        audience: Vec::new(),
        leeway: std::time::Duration::ZERO,
        role: "role".parse::<ClaimPath>().expect("a path"),
        roles: vec![role.to_owned()],
    };
    let claims = claims.as_object().expect("an object").clone();
    let allowed: Vec<Algorithm> = vec!["HS256".parse().expect("one")];
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    mint(&secret, &allowed, &rules, role, Some(end), claims).expect("the secret serves")
}
