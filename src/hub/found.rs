use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};

use super::memo::Told;
use super::outbox::{Delivery, Fall, Outbox};
use super::subject::{Finder, Finding, Subject};
use super::{Config, Place};
use crate::event::{Position, Record};
use crate::journal::Stretch;

/// Looks through one stretch of the journal for one subject, as far as anybody has asked; each record once.
#[derive(Debug, Default)]
pub(super) struct Search {
    found: Mutex<Option<Found>>,
    /// Whoever has it goes on with the search; the others wait for what is found.
    hand: tokio::sync::Mutex<Option<Hand>>,
    moved: Notify,
}

#[derive(Debug)]
struct Hand {
    finder: Finder,
    /// Where the last record ended that was looked at.
    read: Position,
}

/// What was found, between two ends of transactions.
#[derive(Debug)]
pub(super) struct Found {
    from: Position,
    until: Position,
    steps: Vec<Step>,
    relations: HashSet<u32>,
    bytes: usize,
}

/// What there is to tell of one transaction.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) end: Position,
    pub(super) told: Result<Arc<[Arc<Delivery>]>, Fall>,
}

/// The records are no longer kept where the stretch had them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The hand, and who is woken when it is let go: after that.
struct Held<'a> {
    hand: MutexGuard<'a, Option<Hand>>,
    _wake: Wake<'a>,
}

struct Wake<'a>(&'a Notify);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

/// How many records are looked at between two looks at who else wants the thread.
const RECORDS_AT_ONCE: usize = 64;

impl Search {
    /// Looks at what was found, if it reaches from `place` to `end`.
    pub(super) fn look<T>(
        &self,
        place: Position,
        end: Position,
        look: &mut Option<impl FnOnce(&Found) -> T>,
    ) -> Option<T> {
        let found = self.found.lock();
        let found = found.as_ref().filter(|found| found.from <= place && end <= found.until)?;
        look.take().map(|look| look(found))
    }

    /// Roughly what was found, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.found.lock().as_ref().map_or(0, |found| found.bytes)
    }

    /// Searches up to the end of the stretch, or waits for whoever does; tells whether it was this call.
    ///
    /// Cancel safe: whoever comes next goes on.
    pub(super) async fn go_on(
        &self,
        stretch: &Stretch,
        place: &Place,
        subject: &Subject,
        config: Config,
    ) -> Result<bool, Gone> {
        let moved = self.moved.notified();
        let Ok(hand) = self.hand.try_lock() else {
            moved.await;
            return Ok(false);
        };
        let mut held = Held { hand, _wake: Wake(&self.moved) };
        self.search(&mut held.hand, stretch, place, subject, config).await?;
        Ok(true)
    }

    async fn search(
        &self,
        hand: &mut Option<Hand>,
        stretch: &Stretch,
        place: &Place,
        subject: &Subject,
        config: Config,
    ) -> Result<(), Gone> {
        loop {
            // What was found may begin behind the reader, or end before all that is left.
            let from = self.found.lock().as_ref().map(|found| found.from);
            let fits =
                |hand: &&Hand| from.is_some_and(|from| from <= place.position) && hand.read >= stretch.from();
            let read = hand.as_ref().filter(fits).map(|hand| hand.read);
            if read.is_some_and(|read| read >= stretch.end()) {
                return Ok(());
            }
            let records = stretch.after(read.unwrap_or(stretch.from()), RECORDS_AT_ONCE).ok_or(Gone)?;
            if records.is_empty() {
                return Err(Gone);
            }
            if read.is_none() {
                let place = Place { position: stretch.from(), seen: None, ..place.clone() };
                *self.found.lock() = Some(Found::new(place.position));
                *hand = Some(Hand { read: place.position, finder: subject.finder(place, config) });
            }
            let hand = hand.as_mut().ok_or(Gone)?;
            let findings: Vec<_> = records.iter().map(|record| hand.finder.take(record)).collect();
            if let Some(found) = self.found.lock().as_mut() {
                records.iter().zip(findings).for_each(|(record, finding)| found.add(record, finding));
            }
            hand.read = records.last().map_or(hand.read, |record| record.end());
            tokio::task::yield_now().await;
        }
    }
}

impl Found {
    fn new(from: Position) -> Self {
        Self { from, until: from, steps: Vec::new(), relations: HashSet::new(), bytes: 0 }
    }

    fn add(&mut self, record: &Record, finding: Finding) {
        let end = record.end();
        match finding {
            Finding::Nothing => {}
            Finding::Relations(oids) => self.relations.extend(oids),
            Finding::Told(told) => {
                let told: Result<Arc<[_]>, _> = told.map(Into::into);
                self.bytes += size_of::<Step>() + told.as_deref().map_or(0, Outbox::cost);
                self.steps.push(Step { end, told });
            }
        }
        if record.ends_transaction() {
            self.until = end;
        }
    }

    /// Whether a relation is touched.
    pub(super) fn touches(&self, oid: u32) -> bool {
        self.relations.contains(&oid)
    }

    /// What there is to tell behind `place` and up to `end`, of at most `limit` transactions.
    pub(super) fn told(&self, place: Position, end: Position, limit: usize) -> Told {
        let first = self.steps.partition_point(|step| step.end <= place);
        let behind = self.steps[first..].iter().take_while(|step| step.end <= end);
        let steps: Vec<_> = behind.take(limit).cloned().collect();
        let complete = self.steps.get(first + steps.len()).is_none_or(|next| next.end > end);
        Told { steps, complete }
    }
}
