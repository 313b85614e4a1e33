use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::action::Action;
use super::open::From;
use crate::auth::Identity;
use crate::hub::{Entry, ReaderKey, Selection, Ticket};
use crate::protocol::{Again, Page, Start, Target};
use crate::telemetry::metric;

/// What one client follows.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    held: Vec<Subscription>,
    next_key: u32,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: Box<str>,
    key: ReaderKey,
    pub(super) target: Arc<Target>,
    again: Again,
    pub(super) state: State,
    /// Whether it was told that this is allowed.
    pub(super) told: bool,
    /// Older rows asked for and not yet being read.
    pub(super) page: Option<Box<Page>>,
}

#[derive(Debug)]
pub(super) enum State {
    /// An opener brings it up.
    Opening(CancellationToken),
    /// The hub delivers to it.
    Live(Ticket, Selection),
}

impl Subscriptions {
    /// Adds one, and has it brought up.
    pub(super) fn add(
        &mut self,
        id: String,
        target: Target,
        start: Start,
        identity: Arc<Identity>,
    ) -> Action {
        let mut added = Subscription {
            id: id.into(),
            key: next(&mut self.next_key),
            target: Arc::new(target),
            again: start.again(),
            state: State::Opening(CancellationToken::new()),
            told: false,
            page: None,
        };
        let action = added.open(identity, From::Start(start));
        // Of many connections each has one: room for the four that a vector starts with would be unused.
        self.held.reserve_exact(usize::from(self.held.is_empty()));
        self.held.push(added);
        metrics::gauge!(metric::SESSION_SUBSCRIPTIONS).increment(1.0);
        action
    }

    /// All of them, each under a reader of its own from now on, with the one that it had.
    pub(super) fn renamed(&mut self) -> impl Iterator<Item = (ReaderKey, &mut Subscription)> {
        let next_key = &mut self.next_key;
        self.held.iter_mut().map(|subscription| {
            let before = std::mem::replace(&mut subscription.key, next(next_key));
            (before, subscription)
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether one is called so.
    pub(super) fn holds(&self, id: &str) -> bool {
        self.held.iter().any(|subscription| *subscription.id == *id)
    }

    /// The one called so.
    pub(super) fn called(&mut self, id: &str) -> Option<&mut Subscription> {
        self.held.iter_mut().find(|subscription| *subscription.id == *id)
    }

    /// The one with this reader.
    pub(super) fn of(&mut self, reader: ReaderKey) -> Option<&mut Subscription> {
        self.held.iter_mut().find(|subscription| subscription.key == reader)
    }

    /// Whether there is one with this reader.
    pub(super) fn follows(&self, reader: ReaderKey) -> bool {
        self.held.iter().any(|subscription| subscription.key == reader)
    }

    /// The `id` under which a queued frame is written; `None` if its subscription has ended.
    #[expect(clippy::option_option, reason = "the connection's own frames have no `id`, and are written")]
    pub(super) fn id_of(&self, entry: &Entry) -> Option<Option<&str>> {
        match entry.reader {
            None => Some(None),
            Some(key) => self.held.iter().find(|it| it.key == key).map(|it| Some(&*it.id)),
        }
    }

    /// All readers and where the hub has them; `None` while one of them is on its way.
    pub(super) fn tickets(&self) -> Option<Vec<(ReaderKey, Ticket)>> {
        self.held.iter().map(Subscription::ticket).collect()
    }

    /// Takes one out. Whoever brings it up stops.
    pub(super) fn remove(&mut self, reader: ReaderKey) -> Option<Subscription> {
        let index = self.held.iter().position(|subscription| subscription.key == reader)?;
        metrics::gauge!(metric::SESSION_SUBSCRIPTIONS).decrement(1.0);
        let subscription = self.held.swap_remove(index);
        if let State::Opening(opener) = &subscription.state {
            opener.cancel();
        }
        Some(subscription)
    }

    /// Takes all of them out; gives back the readers to be taken out of the hub.
    pub(super) fn end(&mut self) -> Vec<(ReaderKey, Ticket)> {
        let readers: Vec<_> = self.held.iter().map(|subscription| subscription.key).collect();
        readers.into_iter().filter_map(|reader| self.remove(reader)?.ticket()).collect()
    }
}

impl Subscription {
    /// Its reader.
    pub(super) const fn key(&self) -> ReaderKey {
        self.key
    }

    /// Its reader and where the hub has it, if the hub delivers to it.
    pub(super) const fn ticket(&self) -> Option<(ReaderKey, Ticket)> {
        match &self.state {
            State::Live(ticket, _) => Some((self.key, *ticket)),
            State::Opening(_) => None,
        }
    }

    /// Has it brought up as somebody.
    pub(super) fn open(&mut self, identity: Arc<Identity>, from: From) -> Action {
        let opener = CancellationToken::new();
        self.state = State::Opening(opener.clone());
        Action::Open { key: self.key, identity, target: self.target.clone(), again: self.again, opener, from }
    }
}

fn next(key: &mut u32) -> ReaderKey {
    let new = ReaderKey(*key);
    *key += 1;
    new
}
