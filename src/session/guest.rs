use crate::audit::{Action, Trail, Verdict};
use crate::auth::Identity;
use crate::limit::{Key, Meter};
use crate::protocol::{ErrorCode, Target};

/// Who came: how much it may ask, and where that is told.
#[derive(Debug)]
pub struct Guest {
    /// What it asks is counted by this.
    pub meter: Meter,
    /// And told by this.
    pub trail: Trail,
}

impl Guest {
    /// It is known who it is.
    pub fn identify(&mut self, identity: &Identity) {
        let Some(name) = identity.name() else { return };
        self.meter.identify(Key::identity(&name));
        self.trail.identify(&name);
    }

    /// Tells whether a subscription was allowed: `Err` with why it was not.
    pub(super) fn tell(&self, target: &Target, outcome: Result<(), ErrorCode>) {
        let object = match target {
            Target::Table(select) => &select.table,
            Target::Channel(channel) => channel,
        };
        let verdict = outcome.map_or_else(|code| Verdict::Denied(code.as_str()), |()| Verdict::Allowed);
        self.trail.tell(Action::Subscribe, object, verdict);
    }

    /// Tells that a conversation begins.
    pub(super) fn came(&self, route: &str) {
        self.trail.tell(Action::Connect, route, Verdict::Allowed);
    }

    /// Tells that one ends since the client is too fast.
    pub(super) fn too_fast(&self) {
        self.trail.tell(Action::Send, "/v1/socket", Verdict::Denied(ErrorCode::RateLimited.as_str()));
    }
}
