use serde::Deserialize;
use serde_json::Value;

use super::key::{InvalidKey, Key, KeySet, Material};
use super::{Algorithm, base64url};

/// More keys than this are not looked at: each of them may have to be tried.
const MOST_KEYS: usize = 64;

/// A text that is no JSON Web Key Set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeySet {
    /// Not JSON, or of another form.
    #[error("it is no JSON Web Key Set: an object with `keys`, a list of objects")]
    Form(#[source] serde_json::Error),
    /// More keys than anyone needs.
    #[error("it has {0} keys, and at most {MOST_KEYS} are taken")]
    TooMany(usize),
}

/// Whether a set may hold secrets: what everybody can read must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    Taken,
    PassedOver,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Raw {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// Reads a set. Keys that are for something else, or of a kind that is not known here, are passed over, as the standard
/// has it.
///
/// See <https://www.rfc-editor.org/rfc/rfc7517#section-5>.
///
/// # Errors
/// [`InvalidKeySet`] if it is none at all.
pub(super) fn read(text: &[u8], secrets: Secrets) -> Result<KeySet, InvalidKeySet> {
    let RawSet { keys } = serde_json::from_slice(text).map_err(InvalidKeySet::Form)?;
    if keys.len() > MOST_KEYS {
        return Err(InvalidKeySet::TooMany(keys.len()));
    }
    let usable = keys.into_iter().filter_map(|value| serde_json::from_value(value).ok());
    Ok(KeySet(usable.filter_map(|raw| key(raw, secrets)).collect()))
}

fn key(raw: Raw, secrets: Secrets) -> Option<Key> {
    let verifies = raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let for_signatures = raw.r#use.as_ref().is_none_or(|purpose| purpose == "sig");
    if !verifies || !for_signatures {
        return None;
    }
    // A key for an algorithm that is not known here serves none.
    let algorithm: Option<Algorithm> = raw.alg.as_deref().map(str::parse).transpose().ok()?;
    let part = |part: &Option<String>| base64url::decode(part.as_deref()?);
    let point = |size: usize| {
        let (x, y) = (part(&raw.x)?, part(&raw.y)?);
        (x.len() == size && y.len() == size).then(|| [&[4][..], &x, &y].concat())
    };
    let material: Result<Material, InvalidKey> = match (&*raw.kty, raw.crv.as_deref()) {
        ("RSA", _) => Material::rsa(part(&raw.n)?, part(&raw.e)?),
        ("EC", Some("P-256")) => Material::p256(point(32)?),
        ("EC", Some("P-384")) => Material::p384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::ed25519(part(&raw.x)?),
        ("oct", _) if secrets == Secrets::Taken => Ok(Material::Secret(part(&raw.k)?)),
        _ => return None,
    };
    Some(Key { id: raw.kid, algorithm, material: material.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_for_something_else_are_passed_over() {
        let point = base64url::encode([1; 32]);
        let with =
            |rest: &str| format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{point}"{rest}}}]}}"#);
        for (rest, taken) in [
            ("", 1),
            (r#","use":"sig","alg":"EdDSA","key_ops":["verify"],"extra":{}"#, 1),
            (r#","use":"enc""#, 0),
            (r#","key_ops":["sign"]"#, 0),
            (r#","alg":"ES256K""#, 0),
            (r#","kid":7"#, 0),
        ] {
            let set = read(with(rest).as_bytes(), Secrets::Taken).expect("a set");
            assert_eq!(set.0.len(), taken, "{rest}");
        }
        let secret =
            br#"{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AAAA","e":"AQAB"},{"kty":"X"},3]}"#;
        assert_eq!(read(secret, Secrets::Taken).expect("a set").0.len(), 1, "an RSA key of 24 bits is none");
        assert!(read(secret, Secrets::PassedOver).expect("a set").0.is_empty());
    }

    #[test]
    fn what_is_no_set_is_said_to_be_none() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(matches!(read(text.as_bytes(), Secrets::Taken), Err(InvalidKeySet::Form(_))), "{text}");
        }
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 65].join(","));
        assert!(matches!(read(many.as_bytes(), Secrets::Taken), Err(InvalidKeySet::TooMany(65))));
    }
}
