use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

/// An RSA key of 2048 bits, in PKCS #1: `ring` makes none. It protects nothing but these tests.
const RSA: &str = include_str!("rsa.base64");

/// A key that signs tokens.
pub(super) struct Signer {
    id: Option<String>,
    key: Key,
}

enum Key {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self { id: None, key: Key::Secret(secret.to_vec()) }
    }

    pub(super) fn rsa() -> Self {
        let key = RsaKeyPair::from_der(&STANDARD.decode(RSA.trim()).expect("base64"));
        Self { id: None, key: Key::Rsa(key.expect("a key")) }
    }

    pub(super) fn p256() -> Self {
        Self { id: None, key: Key::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)) }
    }

    pub(super) fn p384() -> Self {
        Self { id: None, key: Key::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)) }
    }

    pub(super) fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("randomness");
        Self { id: None, key: Key::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("just made")) }
    }

    /// The same key under a name.
    pub(super) fn named(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// The algorithms that it signs with; the first is what [`Signer::token`] takes.
    pub(super) const fn algorithms(&self) -> &'static [&'static str] {
        match self.key {
            Key::Secret(_) => &["HS256", "HS384", "HS512"],
            Key::Rsa(_) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Key::P256(_) => &["ES256"],
            Key::P384(_) => &["ES384"],
            Key::Ed25519(_) => &["EdDSA"],
        }
    }

    /// A token with these claims.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_by(self.algorithms()[0], claims)
    }

    /// The same by another algorithm of the key's.
    pub(super) fn token_by(&self, algorithm: &str, claims: &Value) -> String {
        let mut header = json!({"alg": algorithm, "typ": "JWT"});
        if let Some(id) = &self.id {
            header["kid"] = json!(id);
        }
        self.sign(algorithm, &header.to_string(), &claims.to_string())
    }

    /// Any header and any payload, signed.
    pub(super) fn sign(&self, algorithm: &str, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(self.signature(algorithm, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Secret(secret) => {
                let hash = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
            Key::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signature).expect("randomness");
                signature
            }
            Key::P256(key) | Key::P384(key) => {
                key.sign(&random, message).expect("randomness").as_ref().to_vec()
            }
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// What the other side needs, as a JSON Web Key.
    pub(super) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |curve: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
        };
        let mut jwk = match &self.key {
            Key::Secret(secret) => json!({"kty": "oct", "k": encode(secret)}),
            Key::Rsa(key) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "n": encode(&n), "e": encode(&e), "use": "sig"})
            }
            Key::P256(key) => point("P-256", key.public_key().as_ref()),
            Key::P384(key) => point("P-384", key.public_key().as_ref()),
            Key::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
        };
        if let Some(id) = &self.id {
            jwk["kid"] = json!(id);
        }
        jwk
    }

    /// The same in PEM.
    pub(super) fn pem(&self) -> String {
        // The heads of a `SubjectPublicKeyInfo`: all but the key itself.
        let (head, key): (&[u8], &[u8]) = match &self.key {
            Key::Secret(_) => panic!("a secret has no public key"),
            Key::Rsa(key) => (
                b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00",
                key.public().as_ref(),
            ),
            Key::P256(key) => (
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
                key.public_key().as_ref(),
            ),
            Key::P384(key) => (
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
                key.public_key().as_ref(),
            ),
            Key::Ed25519(key) => {
                (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", key.public_key().as_ref())
            }
        };
        let encoded = STANDARD.encode([head, key].concat());
        let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

fn ecdsa(algorithm: &'static ring::signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("randomness");
    EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("just made")
}

/// The time so many seconds from now, as tokens have it.
pub(super) fn in_seconds(seconds: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("far away") + seconds
}
