//! Which records of a stream count.
//!
//! Several processes may write to one stream at the same time: one that holds the slot, and others that do not know yet
//! that they have lost it, or whose messages were on their way. So every reader, wherever in the stream it started,
//! takes the same records by the same two rules:
//!
//! - A process that has got hold of the slot opens a *term*. From its opening on, what comes of the terms before does
//!   not count. Of two openings of one term the first counts.
//! - Within a life of the journal each record names the end of its predecessor. What ends at or before the present end
//!   is known, what reaches beyond it is trimmed, and what begins behind it does not count: the broker has lost what
//!   lies between, and the writer will notice, open another term, and tell it again.
//!
//! A writer reads its own opening come round before it writes anything else. So it knows the end that its records have
//! to follow, as every other reader does.

#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};

use super::message::{Author, Body, Entries, Entry, InvalidMessage, Message, Term, entries};
use crate::event::{Chunk, Incarnation, Lsn, Mark, Position, Record, Relations};

/// What a reader knows of the journal at one place of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Who writes; `None` before the first opening or record.
    pub(super) author: Option<Author>,
    /// The end of the last record that counts.
    pub(super) end: Position,
    /// Whether a transaction is open there.
    pub(super) within: bool,
    /// What of the log is in the stream up to there.
    pub(super) reaches: Lsn,
    /// Records of the present writer do not follow this end: something of its own is not in the stream.
    pub(super) holed: bool,
}

/// What a message brought.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Another life: positions of the one before mean nothing any more.
    Begin(Incarnation),
    /// What follows starts at this place: the first that was seen of a life, or behind something that is not in the stream
    /// for this reader.
    Start(Incarnation, Position),
    /// A record that follows what was taken before.
    Take(Record),
}

/// Takes messages in the order of the stream.
#[derive(Debug, Default)]
pub(super) struct Order {
    state: State,
    anchor: Anchor,
    /// What was seen of the present term.
    met: Met,
    /// Pieces of what was too large for a message.
    parts: Parts,
    relations: Relations,
}

/// What was seen of the present term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Met {
    /// Not even its opening: there may have been records before the first that comes.
    #[default]
    Nothing,
    /// Its opening.
    Opening,
    /// Records.
    Records,
}

/// Whether an end is known that records can follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Anchor {
    /// Not yet.
    #[default]
    None,
    /// It is, and what follows it starts anew.
    Placed,
    /// It is, and within a transaction whose head was not seen: what follows starts anew behind it.
    Within,
    /// It is, and all records since then were taken.
    Held,
}

#[derive(Debug, Default)]
struct Parts {
    next: u32,
    bytes: BytesMut,
}

impl Order {
    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Whether an end is known that a writer's records can follow.
    pub(super) fn is_anchored(&self) -> bool {
        self.anchor != Anchor::None
    }

    /// Reads a message; its records share their tables' descriptions with those before.
    pub(super) fn decode(&mut self, bytes: Bytes) -> Result<Message, InvalidMessage> {
        Message::decode(bytes, &mut self.relations)
    }

    /// Takes the next message; what it brought is appended to `steps`.
    pub(super) fn take(&mut self, message: Message, steps: &mut Vec<Step>) -> Result<(), InvalidMessage> {
        let Message { author, body } = message;
        match body {
            Body::Question => {}
            Body::Opening { starts_at } => {
                if self.term().is_none_or(|term| author.term > term) {
                    self.begin(author, steps);
                    self.met = Met::Opening;
                    if author.begins_life() {
                        self.place(Position::default());
                        self.state.reaches = starts_at;
                        self.say_start(steps);
                    }
                }
            }
            Body::Entries(entries) => {
                if self.counts(author, steps) {
                    self.parts = Parts::default();
                    self.entries(entries, steps);
                }
            }
            Body::Part { index, count, piece } => {
                if self.counts(author, steps)
                    && let Some(whole) = self.parts.take(index, count, &piece)
                {
                    let entries = entries(whole, &mut self.relations)?;
                    self.entries(entries, steps);
                }
            }
        }
        Ok(())
    }

    fn term(&self) -> Option<Term> {
        self.state.author.map(|author| author.term)
    }

    /// Whether records of this author count. Whoever starts to read within a term has not seen its opening.
    fn counts(&mut self, author: Author, steps: &mut Vec<Step>) -> bool {
        match self.state.author {
            Some(present) if present == author => true,
            Some(present) if present.term >= author.term => false,
            _ => {
                self.begin(author, steps);
                true
            }
        }
    }

    fn begin(&mut self, author: Author, steps: &mut Vec<Step>) {
        let goes_on = self.term().is_some_and(|term| term.incarnation == author.term.incarnation);
        self.state.author = Some(author);
        self.state.holed = false;
        self.met = Met::Nothing;
        self.parts = Parts::default();
        if !goes_on {
            self.state.end = Position::default();
            self.state.within = false;
            self.state.reaches = Lsn::ZERO;
            self.anchor = Anchor::None;
            steps.push(Step::Begin(author.term.incarnation));
        }
    }

    fn place(&mut self, end: Position) {
        self.state.end = end;
        self.anchor = Anchor::Placed;
    }

    fn say_start(&mut self, steps: &mut Vec<Step>) {
        self.anchor = Anchor::Held;
        let Some(Term { incarnation, .. }) = self.term() else { return };
        steps.push(Step::Start(incarnation, self.state.end));
    }

    fn entries(&mut self, Entries { base, entries }: Entries, steps: &mut Vec<Step>) {
        let Some(first) = entries.first() else { return };
        let start = match (self.anchor, self.met) {
            (Anchor::None, _) => Some(first.record.previous()),
            (_, Met::Nothing) => Some(first.record.previous()).filter(|previous| *previous > self.state.end),
            // The writer knows of records that were not in the stream for this reader.
            (_, Met::Opening) => Some(base).filter(|base| *base > self.state.end),
            (_, Met::Records) => None,
        };
        if let Some(start) = start {
            self.place(start);
        }
        self.met = Met::Records;
        for entry in entries {
            self.entry(entry, steps);
        }
    }

    fn entry(&mut self, Entry { reaches, record }: Entry, steps: &mut Vec<Step>) {
        self.state.holed |= record.previous() > self.state.end;
        let Some(record) = follow(self.state.end, record) else { return };
        if self.anchor == Anchor::Placed {
            if matches!(&record, Record::Chunk(chunk) if chunk.first_index > 0) {
                self.anchor = Anchor::Within;
            } else {
                self.say_start(steps);
            }
        }
        self.state.end = record.end();
        self.state.within = !record.ends_transaction();
        self.state.reaches = reaches;
        match self.anchor {
            Anchor::Within if record.ends_transaction() => self.say_start(steps),
            Anchor::Within => {}
            _ => steps.push(Step::Take(record)),
        }
    }
}

impl Parts {
    /// Takes a piece; gives the whole with the last one.
    fn take(&mut self, index: u32, count: u32, piece: &Bytes) -> Option<Bytes> {
        if index == 0 {
            *self = Self::default();
        }
        if self.next != index {
            *self = Self::default();
            return None;
        }
        self.next += 1;
        self.bytes.extend_from_slice(piece);
        (self.next == count).then(|| std::mem::take(self).bytes.freeze())
    }
}

/// What of `record` lies behind `end`, if it follows without a gap.
fn follow(end: Position, record: Record) -> Option<Record> {
    if record.previous() == end {
        return Some(record);
    }
    if record.previous() > end || record.end() <= end {
        return None;
    }
    match record {
        Record::Mark(mark) => Some(Record::Mark(Mark { previous: end, ..mark })),
        Record::Chunk(chunk) => {
            let known = if chunk.commit_lsn == end.commit_lsn {
                end.index.saturating_sub(chunk.first_index)
            } else {
                0
            };
            let changes = chunk.changes.get(known as usize..)?.into();
            Some(Record::Chunk(Chunk {
                previous: end,
                first_index: chunk.first_index + known,
                changes,
                ..chunk
            }))
        }
    }
}
