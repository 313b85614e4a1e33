//! Messages into transactions: whole, in commit order, in chunks of bounded size.

mod emitted;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use self::emitted::{Emitted, Rejected};
use super::{Delivery, Error};
use crate::event::{Change, ChannelEvent, Datum, EventForm, Image, Lsn, Operation, Relation, Row, RowChange};
use crate::pgoutput::{Begin, Commit, LogicalMessage, Message, OldTuple, Tuple, Update};

/// One transaction takes this many marks; each is a client or a hub that waits, and they write one a transaction.
const MOST_MARKS: usize = 1024;

/// Puts the messages of one connection together.
///
/// Holds the descriptions of tables and at most one chunk.
#[derive(Debug)]
pub struct Assembler {
    chunk_bytes: usize,
    relations: HashMap<u32, Arc<Relation>>,
    /// Most rows are of the same table as the row before.
    latest: Option<Arc<Relation>>,
    transaction: Option<Transaction>,
    passed: Option<Passed>,
    rejected: Rejected,
}

/// What has come of the transaction that is being received.
#[derive(Debug)]
struct Transaction {
    begin: Begin,
    first_index: u32,
    changes: Vec<Change>,
    bytes: usize,
    tokens: Vec<u64>,
}

/// A position that was passed and has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed {
    commit_lsn: Lsn,
    end_lsn: Lsn,
}

impl Assembler {
    /// For a connection that starts now. A chunk is cut before it holds more than `chunk_bytes`, unless a single
    /// change does.
    pub fn new(chunk_bytes: usize) -> Self {
        Self {
            chunk_bytes,
            relations: HashMap::new(),
            latest: None,
            transaction: None,
            passed: None,
            rejected: Rejected::default(),
        }
    }

    /// Whether a transaction has started and not ended.
    pub const fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Takes one message, and puts what is complete at the end of `out`: at most one chunk, and the marks of a
    /// transaction at its end.
    ///
    /// # Errors
    /// If the messages contradict each other. The stream cannot be trusted further: close the connection.
    pub fn push(&mut self, message: Message, out: &mut VecDeque<Delivery>) -> Result<(), Error> {
        match message {
            Message::Insert { relation, new } => {
                let relation = self.relation(relation)?;
                let operation = Operation::Insert { new: row(&relation, new)? };
                self.change(Change::Row(RowChange { relation, operation }), out)
            }
            Message::Update(update) => self.update(update, out),
            Message::Delete { relation, old } => {
                let relation = self.relation(relation)?;
                let operation = Operation::Delete { old: image(&relation, old)? };
                self.change(Change::Row(RowChange { relation, operation }), out)
            }
            Message::Truncate { relations, .. } => relations.into_iter().try_for_each(|oid| {
                let relation = self.relation(oid)?;
                self.change(Change::Truncate(relation), out)
            }),
            Message::Message(message) => self.emitted(message, out),
            Message::Begin(begin) => self.begin(begin),
            Message::Commit(commit) => self.commit(commit, out),
            Message::Relation(relation) => {
                self.describe(relation);
                Ok(())
            }
            Message::Origin { .. } | Message::Type { .. } => Ok(()),
        }
    }

    /// Notes that all commits before `wal_end` have been received, as a keepalive tells.
    pub fn pass(&mut self, wal_end: Lsn) {
        let newer = self.passed.is_none_or(|passed| wal_end > passed.end_lsn);
        if self.transaction.is_none() && newer && wal_end > Lsn::ZERO {
            self.passed = Some(Passed { commit_lsn: just_before(wal_end), end_lsn: wal_end });
        }
    }

    /// Takes the position that was passed last, if it lies behind `told` and nothing delivered since tells of it.
    pub fn take_passed(&mut self, told: Lsn) -> Option<Delivery> {
        let Passed { commit_lsn, end_lsn } = self.passed.take()?;
        (end_lsn > told).then_some(Delivery::Mark { commit_lsn, end_lsn, token: None })
    }

    /// Whether a position was passed that is not told yet.
    pub const fn has_passed(&self) -> bool {
        self.passed.is_some()
    }

    fn begin(&mut self, begin: Begin) -> Result<(), Error> {
        if self.transaction.is_some() {
            return Err(Error::Order("a transaction starts inside another"));
        }
        self.transaction =
            Some(Transaction { begin, first_index: 0, changes: Vec::new(), bytes: 0, tokens: Vec::new() });
        Ok(())
    }

    fn commit(&mut self, commit: Commit, out: &mut VecDeque<Delivery>) -> Result<(), Error> {
        let mut transaction =
            self.transaction.take().ok_or(Error::Order("a transaction ends that has not started"))?;
        let Commit { commit_lsn, end_lsn, .. } = commit;
        if commit_lsn != transaction.begin.commit_lsn || end_lsn <= commit_lsn {
            return Err(Error::Order("a transaction ends elsewhere than its start said"));
        }
        let tokens = std::mem::take(&mut transaction.tokens);
        let has_rows = !transaction.changes.is_empty();
        if has_rows {
            self.passed = None;
            out.push_back(transaction.take_chunk(Some(end_lsn))?);
        } else if tokens.is_empty() {
            self.passed = Some(Passed { commit_lsn, end_lsn });
        }
        // Behind the rows of the same transaction, before any other's commit record.
        let commit_lsn = if has_rows { just_before(end_lsn) } else { commit_lsn };
        for token in tokens {
            self.passed = None;
            out.push_back(Delivery::Mark { commit_lsn, end_lsn, token: Some(token) });
        }
        Ok(())
    }

    fn update(&mut self, update: Update, out: &mut VecDeque<Delivery>) -> Result<(), Error> {
        let relation = self.relation(update.relation)?;
        let old = update.old.map(|old| image(&relation, old)).transpose()?;
        let mut new = row(&relation, update.new)?;
        if let Some(old) = &old {
            new = filled(new, old, &relation);
        }
        self.change(Change::Row(RowChange { relation, operation: Operation::Update { old, new } }), out)
    }

    fn emitted(&mut self, message: LogicalMessage, out: &mut VecDeque<Delivery>) -> Result<(), Error> {
        let lsn = message.lsn;
        match Emitted::read(message) {
            Ok(Emitted::Event { channel, data }) => {
                self.change(Change::Event(ChannelEvent { channel, data, form: EventForm::Data }), out)
            }
            Ok(Emitted::Schema) => self.change(Change::Schema, out),
            Ok(Emitted::Token(token)) => {
                let transaction = self.open()?;
                if transaction.tokens.len() < MOST_MARKS {
                    transaction.tokens.push(token);
                } else {
                    self.rejected.note(emitted::Reason::TooManyMarks, lsn);
                }
                Ok(())
            }
            Ok(Emitted::Heartbeat | Emitted::Foreign) => Ok(()),
            Err(reason) => {
                self.rejected.note(reason, lsn);
                Ok(())
            }
        }
    }

    fn change(&mut self, change: Change, out: &mut VecDeque<Delivery>) -> Result<(), Error> {
        let limit = self.chunk_bytes;
        let transaction = self.open()?;
        let bytes = change.size_bytes();
        if !transaction.changes.is_empty() && transaction.bytes.saturating_add(bytes) > limit {
            let capacity = transaction.changes.len();
            out.push_back(transaction.take_chunk(None)?);
            // The rows of one transaction are alike: the next chunk holds about as many.
            transaction.changes.reserve(capacity);
        }
        transaction.changes.push(change);
        transaction.bytes += bytes;
        Ok(())
    }

    fn open(&mut self) -> Result<&mut Transaction, Error> {
        self.transaction.as_mut().ok_or(Error::Order("a change outside a transaction"))
    }

    fn describe(&mut self, relation: Relation) {
        self.latest = None;
        // The server describes a table again after each DDL of any: an equal description stays the same one.
        if self.relations.get(&relation.oid).is_none_or(|known| **known != relation) {
            self.relations.insert(relation.oid, Arc::new(relation));
        }
    }

    fn relation(&mut self, oid: u32) -> Result<Arc<Relation>, Error> {
        match &self.latest {
            Some(latest) if latest.oid == oid => Ok(Arc::clone(latest)),
            _ => {
                let relation = self.relations.get(&oid).ok_or(Error::UnknownRelation { oid })?;
                self.latest = Some(Arc::clone(relation));
                Ok(Arc::clone(relation))
            }
        }
    }
}

impl Transaction {
    /// Takes what has come so far; `end_lsn` if the transaction ends with it.
    fn take_chunk(&mut self, end_lsn: Option<Lsn>) -> Result<Delivery, Error> {
        let Begin { commit_lsn, committed_at, xid } = self.begin;
        let changes = std::mem::take(&mut self.changes);
        let first_index = self.first_index;
        let length = u32::try_from(changes.len()).map_err(|_| Error::TooLong { xid })?;
        self.first_index = first_index.checked_add(length).ok_or(Error::TooLong { xid })?;
        self.bytes = 0;
        let (end_lsn, last) = end_lsn.map_or((commit_lsn, false), |end_lsn| (end_lsn, true));
        Ok(Delivery::Chunk { commit_lsn, end_lsn, xid, committed_at, first_index, changes, last })
    }
}

/// A position behind every commit record that starts before `end`, and before every one that does not.
const fn just_before(end: Lsn) -> Lsn {
    Lsn::new(end.get().saturating_sub(1))
}

fn image(relation: &Relation, old: OldTuple) -> Result<Image, Error> {
    match old {
        OldTuple::Key(tuple) => row(relation, tuple).map(Image::Key),
        OldTuple::Full(tuple) => row(relation, tuple).map(Image::Full),
    }
}

fn row(relation: &Relation, tuple: Tuple) -> Result<Row, Error> {
    if usize::from(tuple.columns) == relation.columns.len() {
        return Ok(tuple.row);
    }
    Err(Error::ColumnCount {
        table: format!("{}.{}", relation.schema, relation.name),
        described: relation.columns.len(),
        received: tuple.columns.into(),
    })
}

/// `new` with the values that the stream left out, as far as `old` carries them.
fn filled(new: Row, old: &Image, relation: &Relation) -> Row {
    if !new.columns().any(|datum| datum == Datum::Unchanged) {
        return new;
    }
    let full = matches!(old, Image::Full(_));
    let columns = new.columns().zip(old.row().columns()).zip(&relation.columns);
    columns
        .map(|((new, old), column)| match new {
            // A value left out as unchanged is never NULL: a NULL there is a partition's whose identity is less than
            // its root's, and which sends the other columns as NULL.
            Datum::Unchanged if (full || column.key) && old != Datum::Null => old,
            carried => carried,
        })
        .collect()
}

#[cfg(test)]
mod tests;
