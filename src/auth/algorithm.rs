use std::fmt;
use std::str::FromStr;

/// A signature's algorithm, as in the header's `alg`. There is no `none`.
///
/// See <https://www.rfc-editor.org/rfc/rfc7518#section-3.1> and <https://www.rfc-editor.org/rfc/rfc8037#section-3.1>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with a secret that both sides know.
    Hmac(Hash),
    /// RSA in the form of PKCS #1 v1.5.
    Rsa(Hash),
    /// RSA with the probabilistic padding.
    RsaPss(Hash),
    /// ECDSA on P-256, with SHA-256.
    Es256,
    /// ECDSA on P-384, with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// SHA-2 of so many bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// 256.
    Sha256,
    /// 384.
    Sha384,
    /// 512.
    Sha512,
}

/// A text that names no [`Algorithm`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no algorithm; there are HS, RS and PS with 256, 384 and 512, ES256, ES384 and EdDSA")]
pub struct UnknownAlgorithm(String);

impl Algorithm {
    /// Every one there is.
    pub const ALL: [Self; 12] = [
        Self::Hmac(Hash::Sha256),
        Self::Hmac(Hash::Sha384),
        Self::Hmac(Hash::Sha512),
        Self::Rsa(Hash::Sha256),
        Self::Rsa(Hash::Sha384),
        Self::Rsa(Hash::Sha512),
        Self::RsaPss(Hash::Sha256),
        Self::RsaPss(Hash::Sha384),
        Self::RsaPss(Hash::Sha512),
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// As in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hmac(Hash::Sha256) => "HS256",
            Self::Hmac(Hash::Sha384) => "HS384",
            Self::Hmac(Hash::Sha512) => "HS512",
            Self::Rsa(Hash::Sha256) => "RS256",
            Self::Rsa(Hash::Sha384) => "RS384",
            Self::Rsa(Hash::Sha512) => "RS512",
            Self::RsaPss(Hash::Sha256) => "PS256",
            Self::RsaPss(Hash::Sha384) => "PS384",
            Self::RsaPss(Hash::Sha512) => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl Hash {
    /// The length of the hash in bytes, which is also the least length of a secret for it.
    ///
    /// See <https://www.rfc-editor.org/rfc/rfc7518#section-3.2>.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// As in `alg`, to the letter: the names are case-sensitive.
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let named = |algorithm: &Self| algorithm.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
