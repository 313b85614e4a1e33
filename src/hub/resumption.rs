#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::found::{Gone, Step};
use super::memo::{Memo, Told};
use super::outbox::{Delivery, Fall, Outbox};
use super::place::Place;
use super::replay::Replayer;
use super::selection::{Rows, Selection};
use super::subject::Subject;
use crate::event::Position;
use crate::journal::Stretch;

/// Tells one reader what it missed, stretch by stretch of the journal: what a `Replayer` would tell it, and as far as
/// it can from what others of the same selection are told.
///
/// On its own it goes where a snapshot has shown it some of the transactions already, where it is conflated, and
/// through pieces of a transaction over the limit.
#[derive(Debug)]
pub struct Resumption {
    replayer: Replayer,
    /// Where the last record ended that it took.
    read: Position,
    memo: Memo,
    subject: Arc<Subject>,
    guards: Vec<Arc<Subject>>,
    /// What it is told next, and nothing after it.
    fall: Option<Fall>,
}

/// What a reader is told of a stretch.
#[derive(Debug)]
#[must_use]
pub enum Missed {
    /// These frames, or none; where there is more in the stretch, it comes next.
    Frames(Vec<Arc<Delivery>>),
    /// The stretch is no longer kept where it was: look for it again.
    Gone,
}

/// Of how many transactions a reader is told at once: it keeps the frames while it waits for room.
const STEPS_AT_ONCE: usize = 64;
/// How many records it takes at once on its own.
const RECORDS_AT_ONCE: usize = 64;

impl Resumption {
    /// Of a reader of `selection` who stands at `place`.
    pub fn new(selection: Selection, place: Place, memo: Memo) -> Self {
        let guards = match &selection {
            Selection::Rows(Rows { visibility: Some(visibility), .. }) => {
                visibility.guards.iter().map(|guard| Arc::new(Subject::Guard(guard.clone()))).collect()
            }
            _ => Vec::new(),
        };
        let subject = Arc::new(Subject::of_selection(&selection));
        let read = place.position;
        let replayer = Replayer::new(selection, place, memo.config());
        Self { replayer, read, memo, subject, guards, fall: None }
    }

    /// Where the reader stands once it has all that was given back so far.
    pub fn place(&self) -> &Place {
        self.replayer.place()
    }

    /// Where the last record ended that it took: the next stretch is to follow it.
    pub const fn read(&self) -> Position {
        self.read
    }

    /// Takes a stretch that holds what follows, and gives back what the reader sees of it.
    ///
    /// # Errors
    /// Why the reader cannot be told.
    pub async fn feed(&mut self, stretch: &Stretch) -> Result<Missed, Fall> {
        if let Some(fall) = self.fall.take() {
            return Err(fall);
        }
        let frames = if stretch.is_whole() && self.replayer.is_like_others() {
            self.share(stretch).await
        } else {
            self.replay(stretch)
        };
        match (frames, &self.fall) {
            (Ok(frames), Some(_)) if frames.is_empty() => self.fall.take().map_or(Ok(Missed::Gone), Err),
            (Ok(frames), _) => Ok(Missed::Frames(frames)),
            (Err(Gone), _) => Ok(Missed::Gone),
        }
    }

    /// What a conflating reader is owed at its place; nothing for others.
    ///
    /// # Errors
    /// Why the reader cannot be told.
    pub fn finish(&mut self) -> Result<Vec<Arc<Delivery>>, Fall> {
        self.replayer.finish()
    }

    /// Takes what was found for all.
    async fn share(&mut self, stretch: &Stretch) -> Result<Vec<Arc<Delivery>>, Gone> {
        let place = self.replayer.place();
        let subjects = || self.guards.iter().chain([&self.subject]);
        let relations = subjects().map(|subject| subject.relation());
        let touched = self.memo.touched(stretch, place, relations).await?;
        // Of a transaction that changes what the reader may see, it is told nothing but that.
        let mut until: Option<(Position, Fall)> = None;
        for guard in self.guards.iter().filter(|guard| touched.contains(&guard.relation())) {
            let first = self.memo.told(stretch, place, guard, 1).await?.steps.pop();
            if let Some(Step { end, told: Err(fall) }) = first
                && until.as_ref().is_none_or(|(until, _)| end < *until)
            {
                until = Some((end, fall));
            }
        }
        let told = if touched.contains(&self.subject.relation()) {
            self.memo.told(stretch, place, &self.subject, STEPS_AT_ONCE).await?
        } else {
            Told { steps: Vec::new(), complete: true }
        };
        let last = told.steps.last().map_or(place.position, |step| step.end);
        let passed = if told.complete { stretch.end() } else { last };
        let mut frames = Vec::new();
        for Step { end, told } in told.steps {
            match told {
                _ if until.as_ref().is_some_and(|(until, _)| *until <= end) => break,
                Ok(told) => frames.extend(told.iter().cloned()),
                Err(fall) => until = Some((end, fall)),
            }
        }
        match until {
            Some((end, fall)) if end <= passed => self.fall = Some(fall),
            _ => {
                self.replayer.pass(passed);
                self.read = passed;
            }
        }
        Ok(frames)
    }

    /// Works out on its own what follows.
    fn replay(&mut self, stretch: &Stretch) -> Result<Vec<Arc<Delivery>>, Gone> {
        let records = stretch.after(self.read, RECORDS_AT_ONCE).ok_or(Gone)?;
        let mut frames = Vec::new();
        for record in &records {
            match self.replayer.feed(record) {
                Ok(more) => frames.extend(more),
                Err(fall) => {
                    self.fall = Some(fall);
                    break;
                }
            }
            self.read = record.end();
            if Outbox::cost(&frames) >= self.memo.config().frame_bytes {
                break;
            }
        }
        if records.is_empty() { Err(Gone) } else { Ok(frames) }
    }
}
