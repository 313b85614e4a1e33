use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Services;
use super::action::Action;
use super::conversation::Conversation;
use super::open::Opener;
use super::term::{Due, Term};
use crate::auth::{self, Identity, Refusal};
use crate::event::Lsn;
use crate::hub::{Batch, Note, Outbox, ReaderKey, Report};
use crate::protocol::{CloseCode, ErrorCode, ErrorFrame, Frame};

/// Does what a conversation wants done, whatever it is carried by.
///
/// What it asks of others is boxed: it is asked seldom, and the room that it needs would be in every session, all its life.
pub(super) struct Driver {
    pub(super) services: Arc<Services>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) conversation: Conversation,
    /// News of readers that the conversation has not taken yet: behind what is being written.
    news: VecDeque<(ReaderKey, Note)>,
    /// How long the client is taken for who it is; `None` for ever. Boxed: where nobody is asked nobody has one.
    term: Option<Box<Term>>,
    /// Ends the watch over the session that the client is known by.
    watched: Option<DropGuard>,
}

/// How soon a report is tried again that something withheld prevented.
const RETRY: Duration = Duration::from_millis(50);

impl Driver {
    pub(super) fn new(services: Arc<Services>, outbox: Arc<Outbox>, conversation: Conversation) -> Self {
        Self { services, outbox, conversation, news: VecDeque::new(), term: None, watched: None }
    }

    /// The client is known, or is another one from now on, or stays who it is for longer.
    pub(super) async fn identify(&mut self, identity: &Arc<Identity>) {
        self.term = Term::of(identity).map(Box::new);
        self.watched = identity.session().map(|session| self.watch(session.clone()));
        for action in self.conversation.identify(identity) {
            self.act(action).await;
        }
    }

    /// Has the client told, and the conversation woken, once the session is revoked that it is known by.
    fn watch(&self, session: Arc<auth::Session>) -> DropGuard {
        let watched = CancellationToken::new();
        let (given_up, outbox, closing) = (watched.clone(), self.outbox.clone(), self.services.scope.clone());
        self.services.scope.spawn("revocation", async move {
            tokio::select! {
                biased;
                () = closing.closing() => {}
                () = given_up.cancelled() => {}
                () = session.ended() => {
                    let error = ErrorFrame::new(ErrorCode::Unauthenticated, "the session was ended");
                    outbox.push_frame(Frame::error(&error));
                }
            }
        });
        watched.drop_guard()
    }

    /// How to close if the session was revoked that the client is known by.
    pub(super) fn revoked(&self) -> Option<CloseCode> {
        let session = self.conversation.identity()?.session()?;
        session.has_ended().then_some(CloseCode::Unauthorized(Refusal::Session.as_str()))
    }

    /// The client has this long to say who it is.
    pub(super) fn await_identity(&mut self, patience: Duration) {
        self.term = Some(Box::new(Term::Unknown(Instant::now() + patience)));
    }

    /// Finds out whose token this is, and that the conversation is that client's from now on.
    pub(super) async fn authenticate(&mut self, token: &str) -> Result<(), Refusal> {
        let identity = self.services.verify(token).await?;
        self.identify(&identity).await;
        Ok(())
    }

    /// When the client's time is over, or nearly so; `None` if never.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.term.as_ref().map(|term| term.due_at())
    }

    /// Tells the client that its time is nearly over; how to close if it is.
    pub(super) fn expire(&mut self, now: Instant) -> Option<CloseCode> {
        loop {
            match self.term.as_ref()?.due(now) {
                Due::Nothing => return None,
                Due::Over(code) => return Some(code),
                Due::Tell(frame, told) => {
                    self.outbox.push_frame(frame);
                    self.term = Some(Box::new(told));
                }
            }
        }
    }

    /// Takes all that waits: frames into `batch`, to be written; news for [`Driver::news`], afterwards.
    pub(super) fn take(&mut self, batch: &mut Batch) {
        self.outbox.take(batch);
        self.news.extend(batch.notes.drain(..));
    }

    /// What the next piece of news asks for; `None` once there is none.
    pub(super) fn news(&mut self) -> Option<Action> {
        while let Some((key, note)) = self.news.pop_front() {
            if let Some(action) = self.conversation.note(key, note) {
                return Some(action);
            }
        }
        // Of many connections hardly one has news now: room for it would be unused.
        self.news = VecDeque::new();
        None
    }

    pub(super) async fn act(&mut self, action: Action) {
        let (hub, outbox) = (&self.services.hub, self.outbox.clone());
        match action {
            Action::Open { key, identity, target, again, opener, from } => {
                let opener = Opener {
                    services: self.services.clone(),
                    outbox,
                    key,
                    identity,
                    target,
                    again,
                    cancelled: opener,
                    begun: false,
                    shape: None,
                    denied: false,
                };
                self.services.scope.spawn("opener", opener.run(from));
            }
            // A hub that has stopped holds no readers.
            Action::Detach { key, ticket } => _ = Box::pin(hub.detach(ticket, outbox, key)).await,
            Action::Release { key, ticket } => _ = Box::pin(hub.release(ticket, outbox, key)).await,
            Action::Await(lsn) => {
                let services = self.services.clone();
                self.services.scope.spawn("await", async move {
                    let closing = services.scope.clone();
                    tokio::select! {
                        biased;
                        () = closing.closing() => {}
                        () = outbox.closed() => {}
                        () = passed(&services, lsn) => {
                            // A session that has ended needs no telling.
                            _ = outbox.note(ReaderKey::NONE, Note::Passed(lsn));
                        }
                    }
                });
            }
            // For whoever carries the conversation.
            Action::Close(..) | Action::Authenticate(_) => {}
        }
    }

    /// When a report that is owed is due again; `None` if none is.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.conversation.owed().map(|_| Instant::now() + RETRY)
    }

    /// Tells the client of awaited positions, where nothing is owed any more.
    pub(super) async fn report_owed(&mut self) {
        while let Some(lsn) = self.conversation.owed() {
            let Some(tickets) = self.conversation.tickets() else { return };
            let report = self.services.hub.report(tickets, self.outbox.clone(), Report::Reached(lsn));
            if Box::pin(report).await != Ok(true) {
                return;
            }
            self.conversation.told(lsn);
        }
    }

    /// Tells the client how far it is, unless something is owed to it.
    pub(super) async fn report_progress(&mut self) {
        if self.conversation.is_idle() {
            return;
        }
        if let Some(tickets) = self.conversation.tickets() {
            // Told or not: there is another heartbeat.
            _ = Box::pin(self.services.hub.report(tickets, self.outbox.clone(), Report::Progress)).await;
        }
    }

    /// Takes all readers out of the hub.
    pub(super) async fn end(&mut self) {
        let late = std::mem::take(&mut self.news).into_iter().chain(self.outbox.close());
        let late = late.filter_map(|(key, note)| match note {
            Note::Live(ticket, _) => Some((key, ticket)),
            Note::Fell(_) | Note::Passed(_) => None,
        });
        for (key, ticket) in self.conversation.end().into_iter().chain(late) {
            // A hub that has stopped holds no readers.
            _ = Box::pin(self.services.hub.detach(ticket, self.outbox.clone(), key)).await;
        }
    }
}

/// Waits until the hub has passed `lsn`.
async fn passed(services: &Services, lsn: Lsn) {
    let mut moves = services.hub.moves();
    // On a quiet database nothing passes by itself: a mark does.
    if moves.borrow().position.commit_lsn < lsn {
        // PostgreSQL away: then nothing is committed either, until it is back.
        _ = services.marker.pass(None).await;
    }
    _ = moves.wait_for(|tail| tail.position.commit_lsn >= lsn).await;
}
