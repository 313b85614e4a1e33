//! Who asks: from a token to an [`Identity`].
//!
//! Only verification makes an [`Identity`]: what holds one has been proven, and nothing else in the tree can.

mod identity;

pub use identity::Identity;
