//! Who asks: from a token to an [`Identity`].
//!
//! ```text
//!  token ──Token::parse──▶ header ──Keys──▶ signature ──▶ claims ──Rules──▶ Identity { role, claims, end }
//!          size, shape,     kid      ▲       algorithm      iss, aud,
//!          `crit`, doubles           │       of the key's   exp, nbf, role
//!                                    │       own family
//!            configuration, file, JWKS, OIDC discovery: cached, refreshed, rotated by `kid`
//! ```
//!
//! A browser that cannot keep a token trades it for a session: a cookie's random name, of which the cache knows whom it
//! stands for, until it is revoked.
//!
//! Only verification makes an [`Identity`] other than the server's own: what holds one has been proven, and nothing else
//! in the tree can. A key decides by its kind which algorithms it serves, never the token: `none`, or an HMAC with a
//! public key, finds no key that serves it. What a token's header says of keys (`jwk`, `jku`, `x5u`) is not looked at.
//!
//! Never here: a token or a claim in a log line, an error or a label. A [`Refusal`] is one word.

mod algorithm;
mod authenticator;
mod base64url;
mod channels;
mod claims;
mod fetch;
mod identity;
mod jwk;
mod key;
mod keys;
mod mint;
mod refusal;
mod sessions;
mod strict;
mod token;
mod url;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use authenticator::{Authenticator, Config, Error, Jwt, KeySource};
pub use channels::{ChannelPattern, ChannelRight, ChannelRule, ChannelRules};
pub use claims::{ClaimPath, Rules};
pub use identity::Identity;
pub use jwk::InvalidKeySet;
pub use key::{InvalidKey, PublicKey, Secret};
pub use mint::mint;
pub use refusal::Refusal;
pub use sessions::{Begun, Session};
pub use url::{InvalidUrl, SecureUrl};
