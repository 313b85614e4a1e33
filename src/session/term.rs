use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::auth::Identity;
use crate::protocol::{CloseCode, Frame};

/// How much longer a client is taken for who it is, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Term {
    /// It has yet to say who it is.
    Unknown(Instant),
    /// Its token ends, and it has not been told.
    Untold { tell_at: Instant, ends_at: Instant, expires_at: SystemTime },
    /// It has been told.
    Told(Instant),
}

/// What is due.
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Tell the client, and go on.
    Tell(Frame, Term),
    /// Its time is over.
    Over(CloseCode),
}

/// How long before its token's end a client is told: enough for a round to its provider, by hand even.
const TOLD_BEFORE: Duration = Duration::from_mins(1);

impl Term {
    /// That of an identity from now on; `None` if it never ends.
    ///
    /// The clock is looked at here only: one that is set meanwhile moves no end.
    pub(super) fn of(identity: &Identity) -> Option<Self> {
        let expires_at = identity.expires_at()?;
        let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        let now = Instant::now();
        Some(Self::Untold {
            tell_at: now + left.saturating_sub(TOLD_BEFORE),
            ends_at: now + left,
            expires_at,
        })
    }

    /// When something is due.
    pub(super) const fn due_at(&self) -> Instant {
        match *self {
            Self::Unknown(by) => by,
            Self::Untold { tell_at, .. } => tell_at,
            Self::Told(ends_at) => ends_at,
        }
    }

    /// What is due now.
    pub(super) fn due(&self, now: Instant) -> Due {
        if now < self.due_at() {
            return Due::Nothing;
        }
        match *self {
            Self::Unknown(_) => Due::Over(CloseCode::TimedOut),
            Self::Told(_) => Due::Over(CloseCode::Unauthorized("expired")),
            Self::Untold { ends_at, expires_at, .. } => {
                Due::Tell(Frame::token_expiring(expires_at.into()), Self::Told(ends_at))
            }
        }
    }
}
