use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who may be at something at the same time: so many in all, and half of them for one person, so that nobody keeps everybody
/// else from it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: Arc<Semaphore>,
    share: usize,
    /// Of those who are at it or wait for it.
    own: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _of_all: OwnedSemaphorePermit,
    _own: Option<Own>,
}

/// A person's own part of it. The last one that goes takes the entry along.
#[derive(Debug)]
struct Own {
    turns: Arc<Shared>,
    user: String,
    permit: Option<OwnedSemaphorePermit>,
    semaphore: Arc<Semaphore>,
}

impl Turns {
    /// So many at the same time.
    pub fn new(concurrent: usize) -> Self {
        let share = concurrent.div_ceil(2);
        Self(Arc::new(Shared { all: Arc::new(Semaphore::new(concurrent)), share, own: Mutex::default() }))
    }

    /// Waits for a turn; whoever is nobody in particular has no share. Dropped while it waits, it has taken none.
    pub async fn take(&self, user: Option<&str>) -> Turn {
        let own = match user {
            Some(user) => Some(self.own(user).await),
            None => None,
        };
        let of_all = self.0.all.clone().acquire_owned().await.expect("it is never closed");
        Turn { _of_all: of_all, _own: own }
    }

    async fn own(&self, user: &str) -> Own {
        let new = || Arc::new(Semaphore::new(self.0.share));
        let semaphore = self.0.own.lock().entry(user.to_owned()).or_insert_with(new).clone();
        // From here on whatever happens it is let go.
        let mut own = Own { turns: self.0.clone(), user: user.to_owned(), permit: None, semaphore };
        let permit = own.semaphore.clone().acquire_owned().await;
        own.permit = Some(permit.expect("it is never closed"));
        own
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut own = self.turns.own.lock();
        // The permit holds another.
        drop(self.permit.take());
        // This one and the map's: who comes next takes the lock first.
        if Arc::strong_count(&self.semaphore) == 2 {
            own.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_person_has_half_of_the_turns_and_leaves_nothing_behind() {
        let turns = Turns::new(4);
        let mut of_ada: Vec<_> =
            (0..2).map(|_| turns.take(Some("ada")).now_or_never().expect("free")).collect();
        assert!(turns.take(Some("ada")).now_or_never().is_none(), "the third one waits");
        let of_ben = turns.take(Some("ben")).now_or_never().expect("free");
        let of_the_server = turns.take(None).now_or_never().expect("free");
        assert!(turns.take(Some("cleo")).now_or_never().is_none(), "all four are taken");
        drop(of_ada.pop());
        assert!(turns.take(Some("ada")).now_or_never().is_some());
        drop((of_ada, of_ben, of_the_server));
        assert!(turns.0.own.lock().is_empty());
    }
}
