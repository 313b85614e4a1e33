//! A client of the protocol, written from `docs/protocol.md` and from nothing else.
//!
//! ```text
//!  Client   a socket: frames out, frames in, a cut
//!  Mirror   one subscription's rows, held as the protocol says, and checked while it does
//!  Browser  what logs people in at a provider: cookies, redirections, PKCE
//! ```

mod browser;
mod mirror;
mod socket;

pub(crate) use browser::{Browser, claims};
pub(crate) use mirror::{Mirror, Told};
pub(crate) use socket::{Client, Closed};
