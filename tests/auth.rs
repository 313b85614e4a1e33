//! Who asks: tokens as clients bring them, and as attackers do.
//!
//! ```text
//!  Signer   a key, and the tokens it signs, whatever they say
//!  House    a database with roles of its own, and a server that asks for tokens
//!  Realm    a real OpenID Connect provider, and a House that takes its tokens
//!  Provider a server of a key set, which is changed, and goes away, while tokens are verified
//! ```

mod algorithms;
mod attacks;
mod channels;
mod house;
mod https;
mod minted;
mod oidc;
mod profiles;
mod provider;
mod renewal;
mod roles;
mod sessions;
mod rotation;
mod signer;
mod transports;

use signer::{Signer, in_seconds};
