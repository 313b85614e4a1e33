use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::Algorithm;
use super::algorithm::Hash;

/// See <https://www.rfc-editor.org/rfc/rfc8017#appendix-A.1>, <https://www.rfc-editor.org/rfc/rfc5480#section-2.1.1> and
/// <https://www.rfc-editor.org/rfc/rfc8410#section-3>.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The moduli that signatures are verified with, in bytes: below it an RSA key is breakable, above it one signature costs
/// too much.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// A key that tokens are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The `kid`; `None` for one that serves whatever a token calls its key.
    pub(super) id: Option<String>,
    /// The only algorithm that it serves, where it says so itself.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) material: Material,
}

/// What a key is made of; it decides which algorithms there can be.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Material {
    Secret(Vec<u8>),
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point, uncompressed.
    P256(Vec<u8>),
    /// A point, uncompressed.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Keys that are good at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeySet(pub(super) Vec<Key>);

impl KeySet {
    /// The keys that a token may mean: all, unless it says which.
    pub(super) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let meant = move |key: &&Key| match (id, &key.id) {
            (Some(id), Some(own)) => id == own,
            _ => true,
        };
        self.0.iter().filter(meant)
    }
}

impl Key {
    /// Whether it can be used with an algorithm.
    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        let of_its_kind = match (&self.material, algorithm) {
            (Material::Secret(secret), Algorithm::Hmac(hash)) => secret.len() >= hash.bytes(),
            (Material::Rsa { .. }, Algorithm::Rsa(_) | Algorithm::RsaPss(_))
            | (Material::P256(_), Algorithm::Es256)
            | (Material::P384(_), Algorithm::Es384)
            | (Material::Ed25519(_), Algorithm::EdDsa) => true,
            _ => false,
        };
        of_its_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` is its signature of `message`; never with an algorithm that it does not serve.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.serves(algorithm) {
            return false;
        }
        let holds = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Secret(secret), Algorithm::Hmac(hash)) => {
                hmac::verify(&hmac::Key::new(of_hash(hash), secret), message, signature).is_ok()
            }
            (Material::Rsa { modulus, exponent }, Algorithm::Rsa(hash)) => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(pkcs1(hash), message, signature).is_ok()
            }
            (Material::Rsa { modulus, exponent }, Algorithm::RsaPss(hash)) => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(pss(hash), message, signature).is_ok()
            }
            (Material::P256(point), Algorithm::Es256) => holds(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Material::P384(point), Algorithm::Es384) => holds(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Material::Ed25519(point), Algorithm::EdDsa) => holds(&signature::ED25519, point),
            _ => false,
        }
    }
}

pub(super) fn of_hash(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}

fn pkcs1(hash: Hash) -> &'static signature::RsaParameters {
    match hash {
        Hash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    }
}

fn pss(hash: Hash) -> &'static signature::RsaParameters {
    match hash {
        Hash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
        Hash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
        Hash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
    }
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Behind `base64:` stands something else.
    #[error("must be base64 behind `base64:`")]
    Base64,
    /// No PEM, or of another kind.
    #[error("must be a public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    Pem,
    /// A kind of key that signs no tokens here.
    #[error("must be a key of RSA, P-256, P-384 or Ed25519")]
    Kind,
    /// An RSA key that is too short or too long.
    #[error("must be an RSA key of 2048 to 8192 bits")]
    RsaSize,
    /// Its parts are not those of a key of its kind.
    #[error("is not a key of the kind that it says")]
    Parts,
}

/// A secret that signs and verifies. Never shows itself.
///
/// Text form: the secret itself, or `base64:` and its bytes in base64, of either alphabet, padded or not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) Vec<u8>);

impl Secret {
    /// How long it is, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::str::FromStr for Secret {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let Some(encoded) = text.strip_prefix("base64:") else { return Ok(Self(text.as_bytes().to_vec())) };
        [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(encoded).ok())
            .map(Self)
            .ok_or(InvalidKey::Base64)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(not shown)",
            Self::Rsa { .. } => "Rsa",
            Self::P256(_) => "P256",
            Self::P384(_) => "P384",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

/// A public key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub(super) Material);

impl std::str::FromStr for PublicKey {
    type Err = InvalidKey;

    /// See <https://www.rfc-editor.org/rfc/rfc7468#section-13>.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| InvalidKey::Pem)?;
        let info = SubjectPublicKeyInfoRef::try_from(&*der).map_err(|_| InvalidKey::Pem)?;
        let bits = info.subject_public_key.as_bytes().ok_or(InvalidKey::Parts)?;
        let curve = info.algorithm.parameters.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
        match (info.algorithm.oid, curve) {
            (RSA, _) => {
                let (modulus, exponent) = rsa_parts(bits).map_err(|_| InvalidKey::Parts)?;
                Material::rsa(modulus, exponent)
            }
            (EC, Some(P256)) => Material::p256(bits.to_vec()),
            (EC, Some(P384)) => Material::p384(bits.to_vec()),
            (ED25519, _) => Material::ed25519(bits.to_vec()),
            _ => Err(InvalidKey::Kind),
        }
        .map(Self)
    }
}

/// `RSAPublicKey`: modulus, then exponent.
fn rsa_parts(der: &[u8]) -> x509_cert::der::Result<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|reader| {
        let (modulus, exponent) = (UintRef::decode(reader)?, UintRef::decode(reader)?);
        Ok((modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec()))
    })?;
    reader.finish(parts)
}

impl Material {
    pub(super) fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, InvalidKey> {
        let significant =
            |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
        let (modulus, exponent) = (significant(modulus), significant(exponent));
        if !RSA_BYTES.contains(&modulus.len()) {
            return Err(InvalidKey::RsaSize);
        }
        if exponent.is_empty() || exponent.len() > 4 {
            return Err(InvalidKey::Parts);
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    /// A point is judged when it is used: one that is not on the curve has signed nothing.
    pub(super) fn p256(point: Vec<u8>) -> Result<Self, InvalidKey> {
        if point.len() == 65 && point[0] == 4 { Ok(Self::P256(point)) } else { Err(InvalidKey::Parts) }
    }

    pub(super) fn p384(point: Vec<u8>) -> Result<Self, InvalidKey> {
        if point.len() == 97 && point[0] == 4 { Ok(Self::P384(point)) } else { Err(InvalidKey::Parts) }
    }

    pub(super) fn ed25519(point: Vec<u8>) -> Result<Self, InvalidKey> {
        if point.len() == 32 { Ok(Self::Ed25519(point)) } else { Err(InvalidKey::Parts) }
    }
}
