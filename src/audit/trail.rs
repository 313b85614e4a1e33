use std::net::IpAddr;
use std::sync::Arc;

use super::event::{Entry, session};
use super::{Action, Audit, Verdict};

/// What one client asks for, told under its name and address.
#[derive(Clone, Debug)]
pub struct Trail {
    audit: Audit,
    from: IpAddr,
    session: u64,
    who: Option<Arc<str>>,
}

impl Audit {
    /// The trail of a client at `from`, of whom nothing is known yet.
    pub fn trail(&self, from: IpAddr) -> Trail {
        Trail { audit: self.clone(), from, session: fastrand::u64(..), who: None }
    }
}

impl Trail {
    /// From here on it is `who`: a role and a subject, as whoever verified them names them.
    pub fn identify(&mut self, who: &str) {
        self.who = Some(who.into());
    }

    /// The session's name.
    pub fn session(&self) -> String {
        session(self.session)
    }

    /// Tells of one thing that was asked for.
    pub fn tell(&self, action: Action, object: &str, verdict: Verdict) {
        let Self { audit, from, session, who } = self;
        audit.tell(Entry { session: *session, who: who.as_deref(), from: *from, action, object, verdict });
    }
}
