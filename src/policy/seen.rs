use std::collections::HashMap;
use std::sync::Arc;

use super::scene::Rights;
use crate::event::Lsn;
use crate::postgres::catalog::Catalog;

/// What catalog and grants come to, as long as they are these.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) catalog: Option<Arc<Catalog>>,
    pub(super) current: Arc<Current>,
    pub(super) granted: HashMap<Arc<str>, Granted>,
    pub(super) follows: Option<bool>,
}

/// What was last seen of each role.
pub(super) type Current = HashMap<Arc<str>, Seen>;

/// What was seen of a role; nothing of one that cannot be taken on.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) rights: Option<Arc<Rights>>,
    /// A position in the log behind what made it so, as far as is known.
    pub(super) since: Option<Lsn>,
}

/// What a role may see, as a number that changes whenever that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The number.
    pub digest: u64,
    /// A server that follows has to have come so far to go by it.
    pub since: Lsn,
}

impl Seen {
    /// Of rights that are seen now: since when they are as they are, if they were seen before.
    pub(super) fn new(rights: Option<Arc<Rights>>, before: Option<&Self>) -> Self {
        let mut seen = Self { rights, since: None };
        seen.since = before.filter(|before| before.digest() == seen.digest()).and_then(|before| before.since);
        seen
    }

    fn digest(&self) -> u64 {
        self.rights.as_ref().map_or(0, |rights| rights.digest())
    }

    /// What it comes to.
    pub(super) fn granted(&self) -> Granted {
        // Where it is not known since when, none that follows has come so far.
        Granted { digest: self.digest(), since: self.since.unwrap_or(Lsn::new(u64::MAX)) }
    }
}
