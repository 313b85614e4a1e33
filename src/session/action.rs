use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::open::From;
use crate::auth::Identity;
use crate::event::Lsn;
use crate::hub::{ReaderKey, Ticket};
use crate::protocol::{Again, CloseCode, Target};

/// What the conversation wants done.
#[derive(Debug)]
pub(super) enum Action {
    /// Bring a subscription up.
    Open {
        key: ReaderKey,
        identity: Arc<Identity>,
        target: Arc<Target>,
        again: Again,
        opener: CancellationToken,
        from: From,
    },
    /// Find out whose token this is, and have [`Conversation::identify`](super::conversation::Conversation::identify) told.
    Authenticate(String),
    /// Take a reader out of the hub.
    Detach { key: ReaderKey, ticket: Ticket },
    /// Take a reader out of the hub, which notes where it stands then.
    Release { key: ReaderKey, ticket: Ticket },
    /// Tell when a position has been passed.
    Await(Lsn),
    /// End the conversation.
    Close(CloseCode, Option<Duration>),
}

impl Action {
    /// The reader that it brings up.
    pub(super) const fn opens(&self) -> Option<ReaderKey> {
        match self {
            Self::Open { key, .. } => Some(*key),
            _ => None,
        }
    }
}
