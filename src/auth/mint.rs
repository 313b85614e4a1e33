use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use serde_json::{Map, Value, json};

use super::algorithm::Hash;
use super::key::of_hash;
use super::{Algorithm, Rules, Secret, base64url};

/// A token for development, signed with the server's own secret: `claims`, a role, and what else [`Rules`] ask for
/// unless `claims` say otherwise.
///
/// The longest hash that is allowed and that the secret suffices for is taken; `None` if there is none.
pub fn mint(
    secret: &Secret,
    allowed: &[Algorithm],
    rules: &Rules,
    role: &str,
    expires_at: Option<SystemTime>,
    claims: Map<String, Value>,
) -> Option<String> {
    let serves = |hash: &Hash| allowed.contains(&Algorithm::Hmac(*hash)) && secret.len() >= hash.bytes();
    let hash = [Hash::Sha512, Hash::Sha384, Hash::Sha256].into_iter().find(serves)?;
    let mut payload = claims;
    rules.role.put(&mut payload, role);
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let asked = [
        ("iat", Some(seconds(SystemTime::now()).into())),
        ("exp", expires_at.map(|at| seconds(at).into())),
        ("iss", rules.issuer.as_deref().map(Value::from)),
        ("aud", rules.audience.first().map(|audience| audience.as_str().into())),
    ];
    for (name, value) in asked {
        if let Some(value) = value {
            payload.entry(name).or_insert(value);
        }
    }
    let header = json!({"alg": Algorithm::Hmac(hash).as_str(), "typ": "JWT"}).to_string();
    let payload = Value::Object(payload).to_string();
    let signed = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let tag = hmac::sign(&hmac::Key::new(of_hash(hash), &secret.0), signed.as_bytes());
    Some(format!("{signed}.{}", base64url::encode(tag)))
}
