use std::time::SystemTime;

use crate::postgres::Impersonation;

/// Who a client is, as verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    impersonation: Option<Impersonation>,
    expires_at: Option<SystemTime>,
}

impl Identity {
    /// The server's own: what everybody is where nobody is asked (`auth.mode = "none"`).
    pub const fn server() -> Self {
        Self { impersonation: None, expires_at: None }
    }

    /// As whom its statements run; `None` for the server's own role, which no policy binds.
    pub const fn impersonation(&self) -> Option<&Impersonation> {
        self.impersonation.as_ref()
    }

    /// When it ends; `None` for never.
    pub const fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }
}
