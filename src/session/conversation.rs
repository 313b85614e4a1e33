use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::awaited::Awaited;
use super::open::From;
use super::subscriptions::{State, Subscriptions};
use super::{Config, Guest};
use crate::auth::Identity;
use crate::event::Lsn;
use crate::hub::{Delivery, Entry, Fall, Note, Outbox, ReaderKey, Ticket};
use crate::limit::{Denied, Subject};
use crate::protocol::{
    ClientFrame, CloseCode, ErrorCode, ErrorFrame, Frame, FrameError, Page, ResyncReason, SnapshotOptions,
    Subscribe, Target,
};
use crate::telemetry::metric;

/// One client's conversation as a value: frames and notes in, answers into the outbox, actions out.
#[derive(Debug)]
pub(super) struct Conversation {
    outbox: Arc<Outbox>,
    /// Who the client is; `None` until it has said so.
    identity: Option<Arc<Identity>>,
    subscriptions: Subscriptions,
    awaited: Awaited,
    guest: Guest,
    max_subscriptions: usize,
    /// Frames were refused for their pace since the last one that was not.
    refused: u32,
    /// Why the last one was.
    denied: Option<Denied>,
}

/// A client whose frames are refused this often in a row does not listen: it is closed.
const MOST_REFUSED: u32 = 100;
/// How long a client that was too fast stays away, at least.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Conversation {
    /// Nobody knows yet who the client is.
    pub(super) fn new(outbox: Arc<Outbox>, config: &Config, guest: Guest) -> Self {
        Self {
            outbox,
            identity: None,
            subscriptions: Subscriptions::default(),
            awaited: Awaited::default(),
            guest,
            max_subscriptions: config.max_subscriptions,
            refused: 0,
            denied: None,
        }
    }

    /// Who the client is, if that is known.
    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The client is known, or is another one now. Then whatever it follows is judged anew: it starts over, under a reader
    /// of its own, so that nothing of what the old one was owed reaches the new one.
    #[must_use]
    pub(super) fn identify(&mut self, identity: &Arc<Identity>) -> Vec<Action> {
        let before = self.identity.replace(identity.clone());
        self.guest.identify(identity);
        if before.is_some_and(|before| before.is_renewed_by(identity)) {
            return Vec::new();
        }
        let mut actions = Vec::new();
        let mut unread = Vec::new();
        for (before, subscription) in self.subscriptions.renamed() {
            match &subscription.state {
                State::Live(ticket, _) => actions.push(Action::Detach { key: before, ticket: *ticket }),
                State::Opening(opener) => opener.cancel(),
            }
            let resync = Frame::resync(ResyncReason::PermissionsChanged);
            self.outbox.push(Some(subscription.key()), Delivery::plain(resync));
            if subscription.page.take().is_some() {
                unread.push(subscription.id.clone());
            }
            actions.push(subscription.open(identity.clone(), From::Again));
        }
        let error = ErrorFrame::new(ErrorCode::Unavailable, "who asks has changed meanwhile: ask again");
        let error = ErrorFrame { request: Some("page"), ..error };
        for id in unread {
            self.refuse(Some(&id), &error);
        }
        actions
    }

    /// Counts a frame of so many bytes; too many of those end the conversation, also if they say nothing.
    pub(super) fn count(&mut self, bytes: usize) -> Option<Action> {
        self.denied = self.guest.meter.frame(bytes).err();
        self.refused = if self.denied.is_some() { self.refused + 1 } else { 0 };
        let wait = self.denied?.retry_after().max(RETRY_AFTER);
        (self.refused > MOST_REFUSED).then(|| {
            self.guest.too_fast();
            Action::Close(CloseCode::TooFast, Some(wait))
        })
    }

    /// Takes what the client says.
    pub(super) fn receive(&mut self, text: &[u8]) -> Option<Action> {
        if let Some(close) = self.count(text.len()) {
            return Some(close);
        }
        match ClientFrame::parse(text) {
            Err(FrameError::NotAnObject(_)) => Some(Action::Close(CloseCode::NotAnObject, None)),
            Err(FrameError::BadRequest { id, message, field }) => {
                self.misunderstand(
                    id,
                    &ErrorFrame { field, ..ErrorFrame::new(ErrorCode::BadRequest, message) },
                );
                None
            }
            Ok(frame) => match self.denied {
                None => self.obey(frame),
                Some(denied) => {
                    let id = match &frame {
                        ClientFrame::Subscribe(subscribe) => Some(subscribe.id.as_str()),
                        _ => None,
                    };
                    self.slow_down(id, &denied);
                    None
                }
            },
        }
    }

    /// Tells the client that a frame with this `id` was not understood.
    pub(super) fn misunderstand(&self, id: Option<String>, error: &ErrorFrame) {
        // A subscription of that name has nothing to do with it: named, it would count as ended.
        let id = id.filter(|id| !self.subscriptions.holds(id));
        self.refuse(id.as_deref(), error);
    }

    /// Tells the client that it asks too much.
    fn slow_down(&self, id: Option<&str>, denied: &Denied) {
        let error = ErrorFrame {
            retry_after: Some(denied.retry_after().max(RETRY_AFTER)),
            request: id.filter(|id| self.subscriptions.holds(id)).map(|_| "subscribe"),
            ..ErrorFrame::new(ErrorCode::RateLimited, denied.to_string())
        };
        self.refuse(id, &error);
    }

    /// Starts a subscription, which has been counted.
    pub(super) fn subscribe(&mut self, subscribe: Subscribe) -> Option<Action> {
        let Subscribe { id, target, start } = subscribe;
        let Some(identity) = self.identity.clone() else {
            self.refuse(Some(&id), &unknown());
            return None;
        };
        if self.subscriptions.holds(&id) {
            let message =
                format!("the subscription `{id}` is open already: end it first, or take another `id`");
            let error = ErrorFrame::new(ErrorCode::DuplicateId, message);
            let error = ErrorFrame { field: Some("id"), request: Some("subscribe"), ..error };
            self.refuse(Some(&id), &error);
            return None;
        }
        if self.subscriptions.len() >= self.max_subscriptions {
            let message = format!("a connection holds at most {} subscriptions", self.max_subscriptions);
            self.guest.tell(&target, Err(ErrorCode::TooManySubscriptions));
            self.refuse(Some(&id), &ErrorFrame::new(ErrorCode::TooManySubscriptions, message));
            return None;
        }
        Some(self.subscriptions.add(id, target, start, identity))
    }

    /// Takes the news of a reader.
    pub(super) fn note(&mut self, key: ReaderKey, note: Note) -> Option<Action> {
        if let Note::Passed(lsn) = note {
            self.awaited.passed(lsn);
            return None;
        }
        let Some(subscription) = self.subscriptions.of(key) else {
            // It was ended while the news was on its way.
            return match note {
                Note::Live(ticket, _) => Some(Action::Detach { key, ticket }),
                Note::Fell(_) | Note::Passed(_) => None,
            };
        };
        match note {
            Note::Live(ticket, selection) => {
                if !std::mem::replace(&mut subscription.told, true) {
                    self.guest.tell(&subscription.target, Ok(()));
                }
                subscription.state = State::Live(ticket, selection);
                subscription.page.is_some().then_some(Action::Release { key, ticket })
            }
            Note::Fell(Fall::Failed(error)) => {
                let subscription = self.subscriptions.remove(key)?;
                self.guest.tell(&subscription.target, Err(error.code));
                self.refuse(Some(&subscription.id), &error);
                None
            }
            Note::Fell(Fall::Resync(reason)) => match subscription.state {
                // An opener that gives up has tried often enough.
                State::Opening(_) => Some(Action::Close(CloseCode::TooSlow, Some(RETRY_AFTER))),
                State::Live(..) => {
                    self.outbox.push(Some(key), Delivery::plain(Frame::resync(reason)));
                    Some(subscription.open(known(self.identity.as_ref()), From::Again))
                }
            },
            Note::Fell(Fall::Behind(place)) => match &subscription.state {
                State::Opening(_) => None,
                State::Live(_, selection) => {
                    let selection = selection.clone();
                    let from = match subscription.page.take() {
                        None => From::Place(selection, place),
                        Some(page) => From::Page(selection, place, page),
                    };
                    Some(subscription.open(known(self.identity.as_ref()), from))
                }
            },
            Note::Passed(_) => None,
        }
    }

    /// The `id` under which a queued frame is written; `None` if its subscription has ended.
    #[expect(clippy::option_option, reason = "the connection's own frames have no `id`, and are written")]
    pub(super) fn id_of(&self, entry: &Entry) -> Option<Option<&str>> {
        self.subscriptions.id_of(entry)
    }

    /// All readers and where the hub has them; `None` while one of them is on its way.
    pub(super) fn tickets(&self) -> Option<Vec<(ReaderKey, Ticket)>> {
        self.subscriptions.tickets()
    }

    /// A position that the hub has passed and the client has not been told of.
    pub(super) fn owed(&self) -> Option<Lsn> {
        self.awaited.owed()
    }

    /// The client is told of a position.
    pub(super) fn told(&mut self, lsn: Lsn) {
        self.awaited.told(lsn);
    }

    /// Whether the subscription has not ended.
    pub(super) fn follows(&self, reader: ReaderKey) -> bool {
        self.subscriptions.follows(reader)
    }

    /// Whether nothing is subscribed.
    pub(super) fn is_idle(&self) -> bool {
        self.subscriptions.len() == 0
    }

    /// Ends all subscriptions; gives back the readers to be taken out of the hub.
    pub(super) fn end(&mut self) -> Vec<(ReaderKey, Ticket)> {
        self.subscriptions.end()
    }

    fn obey(&mut self, frame: ClientFrame) -> Option<Action> {
        match frame {
            ClientFrame::Auth { token } => Some(Action::Authenticate(token)),
            ClientFrame::Ping => {
                self.outbox.push(None, Delivery::plain(Frame::pong()));
                None
            }
            ClientFrame::Subscribe(subscribe) => match self.guest.meter.take(Subject::Subscribes, 1) {
                Ok(_) => self.subscribe(subscribe),
                Err(denied) => {
                    self.guest.tell(&subscribe.target, Err(ErrorCode::RateLimited));
                    self.slow_down(Some(&subscribe.id), &denied);
                    None
                }
            },
            ClientFrame::Unsubscribe { id } => self.unsubscribe(&id),
            ClientFrame::Page(page) => self.page(page),
            ClientFrame::Await(_) if self.identity.is_none() => {
                self.refuse(None, &unknown());
                None
            }
            ClientFrame::Await(lsn) => self.expect(lsn),
        }
    }

    /// Notes a position that the client wants to be told of.
    pub(super) fn expect(&mut self, lsn: Lsn) -> Option<Action> {
        if !self.awaited.add(lsn) {
            let message = format!("at most {} positions are awaited at once", Awaited::MOST);
            self.refuse(None, &ErrorFrame::new(ErrorCode::RateLimited, message));
            return None;
        }
        Some(Action::Await(lsn))
    }

    fn unsubscribe(&mut self, id: &str) -> Option<Action> {
        let Some(key) = self.subscriptions.called(id).map(|subscription| subscription.key()) else {
            return self.unknown_subscription(id);
        };
        let subscription = self.subscriptions.remove(key)?;
        self.outbox.push(None, Delivery::plain(Frame::unsubscribed().named(id)));
        subscription.ticket().map(|(key, ticket)| Action::Detach { key, ticket })
    }

    /// A page is read while the hub does not deliver: what happens meanwhile follows it.
    fn page(&mut self, page: Page) -> Option<Action> {
        let Some(subscription) = self.subscriptions.called(&page.id) else {
            return self.unknown_subscription(&page.id);
        };
        let refusal = match &*subscription.target {
            Target::Channel(_) => "a channel has no pages",
            Target::Table(select) if select.snapshot == SnapshotOptions::default() => {
                "pages need an order: subscribe with `\"snapshot\":{\"order_by\":…,\"limit\":…}`"
            }
            Target::Table(_) if subscription.page.is_some() => {
                "one page at a time: the last one has not been answered"
            }
            Target::Table(_) => {
                subscription.page = Some(Box::new(page));
                return subscription.ticket().map(|(key, ticket)| Action::Release { key, ticket });
            }
        };
        let error = ErrorFrame { request: Some("page"), ..ErrorFrame::new(ErrorCode::BadRequest, refusal) };
        self.refuse(Some(&page.id), &error);
        None
    }

    fn unknown_subscription(&self, id: &str) -> Option<Action> {
        let message = format!("there is no subscription `{id}`");
        self.refuse(Some(id), &ErrorFrame::new(ErrorCode::UnknownSubscription, message));
        None
    }

    fn refuse(&self, id: Option<&str>, error: &ErrorFrame) {
        metrics::counter!(metric::SESSION_ERRORS, metric::REASON => error.code.as_str()).increment(1);
        let frame = Frame::error(error);
        let frame = match id {
            Some(id) => frame.named(id),
            None => frame,
        };
        self.outbox.push(None, Delivery::plain(frame));
    }
}

/// Who subscribed.
fn known(identity: Option<&Arc<Identity>>) -> Arc<Identity> {
    identity.expect("nobody subscribes before it is known").clone()
}

/// What a client is told that wants something before it has said who it is.
fn unknown() -> ErrorFrame {
    ErrorFrame::new(ErrorCode::Unauthenticated, "a token comes first: send an `auth` frame")
}
