use std::sync::Arc;

use super::tally::{Counted, Tally, Uncounted};
use crate::event::{Change, Chunk, Position, Record, Relation};
use crate::hub::{self, Place};
use crate::journal::CatchUp;
use crate::protocol::ResyncReason;

/// Follows the journal from a place, and counts what comes.
#[derive(Debug)]
pub(super) struct Reading {
    /// Behind the last transaction that was counted whole.
    place: Place,
    /// Behind the last record.
    read: Position,
    /// How much there was when the transaction began that is being read.
    before: usize,
    catch_up: CatchUp,
    /// Relations that have come: few, so that they are looked for one by one.
    known: Vec<(Arc<Relation>, Option<Counted>)>,
}

/// Why counting cannot go on from where it stands: all is counted anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("the journal does not lead on from there (`{}`)", .0.as_str())]
    Journal(ResyncReason),
    #[error("all rows of `{0}` were removed at once")]
    Truncated(String),
    #[error(transparent)]
    Uncounted(#[from] Uncounted),
    #[error("a transaction is too large to be counted change by change")]
    Large,
}

/// Counters that wait in one transaction at most, some 100 bytes each.
const MOST_COUNTERS: usize = 500_000;
/// Records that are taken at once.
const RECORDS: usize = 256;

impl Reading {
    pub(super) fn new(hub: &hub::Handle, place: Place) -> Self {
        let catch_up = hub.journal().catch_up(place.incarnation);
        Self { read: place.position, place, before: 0, catch_up, known: Vec::new() }
    }

    /// Where it stands: behind a whole transaction.
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether what was counted is of whole transactions.
    pub(super) fn is_between(&self) -> bool {
        self.read == self.place.position
    }

    /// Counts what comes next, up to `until` at most, the end of a transaction; some of it, where there is much.
    pub(super) async fn next(&mut self, until: &Place, tally: &mut Tally) -> Result<(), Lost> {
        self.next_seen(until, |_| true, tally).await
    }

    /// The same with transactions that are chosen.
    pub(super) async fn next_seen(
        &mut self,
        until: &Place,
        wanted: impl Fn(&Chunk) -> bool,
        tally: &mut Tally,
    ) -> Result<(), Lost> {
        if until.incarnation != self.place.incarnation {
            return Err(Lost::Journal(ResyncReason::SourceReset));
        }
        if until.position <= self.read {
            return Ok(());
        }
        let stretch = self.catch_up.next(self.read, until.position).await.map_err(Lost::Journal)?;
        // Gone already: the next look says why.
        let records = stretch.after(self.read, RECORDS).unwrap_or_default();
        for record in &records {
            if let Record::Chunk(chunk) = &**record {
                if self.is_between() {
                    self.before = tally.len();
                }
                let seen = self.place.seen.as_ref().is_some_and(|seen| seen.snapshot.sees(chunk.xid));
                if !seen && wanted(chunk) {
                    self.count(chunk, tally)?;
                }
            }
            self.read = record.end();
            if record.ends_transaction() {
                self.place.advance(self.read);
            }
        }
        Ok(())
    }

    fn count(&mut self, chunk: &Chunk, tally: &mut Tally) -> Result<(), Lost> {
        for change in chunk.changes.iter() {
            match change {
                Change::Row(row) => {
                    if let Some(counted) = self.known(&row.relation)? {
                        counted.count(&row.operation, tally)?;
                    }
                }
                Change::Truncate(relation) => {
                    if self.known(relation)?.is_some_and(Counted::is_counted) {
                        return Err(Lost::Truncated(format!("{}.{}", relation.schema, relation.name)));
                    }
                }
                Change::Event(_) | Change::Schema => {}
            }
        }
        if tally.len() > self.before.saturating_add(MOST_COUNTERS) { Err(Lost::Large) } else { Ok(()) }
    }

    fn known(&mut self, relation: &Arc<Relation>) -> Result<Option<&Counted>, Uncounted> {
        let same = |(known, _): &(Arc<Relation>, _)| Arc::ptr_eq(known, relation) || known == relation;
        let place = if let Some(place) = self.known.iter().position(same) {
            place
        } else {
            // Described anew: what was known of it before will not come again.
            self.known.retain(|(known, _)| known.oid != relation.oid);
            self.known.push((relation.clone(), Counted::of(relation)?));
            self.known.len() - 1
        };
        Ok(self.known[place].1.as_ref())
    }
}
