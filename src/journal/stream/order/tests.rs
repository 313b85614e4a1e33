use std::sync::Arc;

use fastrand::Rng;

use super::super::message::Batch;
use super::*;
use crate::event::{Change, Timestamp, Xid};

/// A write-ahead log: how many changes each transaction has. Transaction `n` commits at `10 × (n + 1)`; one without
/// changes is a mark.
struct Log(Vec<u32>);

impl Log {
    fn any(random: &mut Rng, transactions: usize) -> Self {
        Self((0..transactions).map(|_| if random.u8(..5) == 0 { 0 } else { random.u32(1..9) }).collect())
    }

    fn end(&self) -> Position {
        let last = self.0.len() - 1;
        at(last as u64, self.0[last].max(1))
    }

    /// The record that follows `end`, cut somewhere, as each writer cuts for itself.
    fn next(&self, end: Position, random: &mut Rng) -> Option<Record> {
        let (mut transaction, mut first_index) = match end.commit_lsn.get() {
            0 => (0, 0),
            lsn => (usize::try_from(lsn / 10 - 1).expect("small"), end.index),
        };
        if self.0.get(transaction).is_some_and(|count| (*count).max(1) == first_index) {
            (transaction, first_index) = (transaction + 1, 0);
        }
        let count = *self.0.get(transaction)?;
        let commit_lsn = at(transaction as u64, 0).commit_lsn;
        if count == 0 {
            return Some(Record::Mark(Mark { previous: end, commit_lsn, index: 1, token: None }));
        }
        let length = random.u32(1..=count - first_index);
        Some(Record::Chunk(Chunk {
            previous: end,
            commit_lsn,
            xid: Xid::new(commit_lsn.get()),
            committed_at: Timestamp::default(),
            first_index,
            changes: Arc::from(vec![Change::Schema; length as usize]),
            last: first_index + length == count,
        }))
    }
}

fn at(transaction: u64, index: u32) -> Position {
    Position { commit_lsn: Lsn::new(10 * (transaction + 1)), index }
}

/// What a reader has that reads `stream` from an offset on.
struct Reader {
    order: Order,
    /// Where it started, the last time that it did.
    start: Option<Position>,
    starts: usize,
    taken: Vec<Record>,
}

impl Reader {
    fn of(stream: &[Bytes]) -> Self {
        let mut reader = Self { order: Order::default(), start: None, starts: 0, taken: Vec::new() };
        let mut steps = Vec::new();
        for message in stream {
            let message = reader.order.decode(message.clone()).expect("ours");
            reader.order.take(message, &mut steps).expect("ours");
            for step in steps.drain(..) {
                match step {
                    Step::Begin(_) => reader.taken.clear(),
                    Step::Start(_, position) => {
                        reader.start = Some(position);
                        reader.starts += 1;
                        reader.taken.clear();
                    }
                    Step::Take(record) => reader.taken.push(record),
                }
            }
        }
        reader
    }

    /// Holds what was taken to the log: every change behind the start once, in order, and nothing else.
    fn check(&self, log: &Log) {
        let Some(start) = self.start else {
            assert!(self.taken.is_empty());
            return;
        };
        let mut end = start;
        for record in &self.taken {
            assert_eq!(record.previous(), end);
            end = record.end();
        }
        assert_eq!(end, log.end());
        let first = if start.commit_lsn == Lsn::ZERO { 0 } else { start.commit_lsn.get() / 10 };
        let changes: u64 =
            log.0[usize::try_from(first).expect("small")..].iter().map(|n| u64::from(*n)).sum();
        let chunk = |record: &Record| match record {
            Record::Chunk(chunk) => chunk.changes.len() as u64,
            Record::Mark(_) => 0,
        };
        assert_eq!(self.taken.iter().map(chunk).sum::<u64>(), changes, "from {start:?}");
    }
}

/// A process that writes.
struct Writer {
    author: Author,
    base: Position,
    tail: Position,
}

impl Writer {
    /// Opens a term as the real one does: it reads its opening come round, from not too far behind.
    fn open(stream: &mut Vec<Bytes>, random: &mut Rng) -> Option<Self> {
        let from = |stream: &[Bytes], random: &mut Rng| match random.u8(..3) {
            0 => 0,
            _ => stream.len().saturating_sub(120 + random.usize(..40)),
        };
        let seen = Reader::of(&stream[from(stream, random)..]).order;
        let mut author = Author { writer: random.u64(1..), ..Author::default() };
        author.term = match seen.term() {
            Some(term) => Term { number: term.number + 1, ..term },
            None => Term { incarnation: Incarnation(7), number: 0 },
        };
        stream.push(author.opening(Lsn::ZERO));
        let seen = Reader::of(&stream[from(stream, random)..]).order;
        let end = seen.state().end;
        (seen.state().author == Some(author)).then_some(Self { author, base: end, tail: end })
    }

    fn messages(&mut self, log: &Log, random: &mut Rng) -> Vec<Bytes> {
        let mut batch = Batch::new(self.author, self.base);
        for _ in 0..random.usize(1..4) {
            let Some(record) = log.next(self.tail, random) else { break };
            self.tail = record.end();
            batch.push(&record, Lsn::ZERO);
        }
        if batch.is_empty() {
            return Vec::new();
        }
        // Small enough now and then that it has to be told in parts.
        batch.take(if random.u8(..8) == 0 { 30 } else { 1 << 20 })
    }
}

#[test]
fn wherever_a_reader_starts_it_takes_every_transaction_once_though_writers_collide_and_messages_are_lost() {
    let mut sound = 0;
    for seed in 0..120 {
        let mut random = Rng::with_seed(seed);
        let log = Log::any(&mut random, 60);
        let mut stream = Vec::new();
        // Of those who have lost the slot, on their way at any time.
        let mut late: Vec<Bytes> = Vec::new();
        loop {
            let Some(mut writer) = Writer::open(&mut stream, &mut random) else { continue };
            let mut broken = false;
            let mut left = if stream.len() > 400 { usize::MAX } else { random.usize(1..12) };
            while left > 0 {
                left -= 1;
                let messages = writer.messages(&log, &mut random);
                if messages.is_empty() {
                    break;
                }
                for message in messages {
                    let lost = left < 1_000 && random.u8(..10) == 0;
                    broken |= lost;
                    if !lost {
                        stream.push(message);
                    }
                }
                if broken {
                    // The refusal is noticed only after some more.
                    left = left.min(3);
                }
                while !late.is_empty() && random.u8(..3) == 0 {
                    stream.push(late.remove(0));
                }
            }
            if writer.tail == log.end() && !broken {
                stream.append(&mut late);
                break;
            }
            // The connection hangs: what was written last arrives later, or never.
            for _ in 0..random.usize(..3) {
                late.extend(writer.messages(&log, &mut random));
            }
        }
        let whole = Reader::of(&stream);
        assert_eq!(whole.starts, 1, "seed {seed}");
        whole.check(&log);
        for offset in 0..stream.len() {
            let reader = Reader::of(&stream[offset..]);
            // Behind the last message that counts there is nothing to be known.
            if reader.order.state().author == whole.order.state().author && reader.order.is_anchored() {
                reader.check(&log);
                sound += 1;
            }
        }
    }
    assert!(sound > 5_000, "{sound} readers had anything to take");
}

#[test]
fn a_term_that_follows_what_a_reader_has_not_seen_has_it_start_over_there() {
    let log = Log(vec![1; 9]);
    let mut random = Rng::with_seed(1);
    let author = |number| Author {
        term: Term { incarnation: Incarnation(1), number },
        writer: number + 1,
        ..Author::default()
    };
    let entries = |number, base, random: &mut Rng| {
        let mut batch = Batch::new(author(number), base);
        batch.push(&log.next(base, random).expect("not the last"), Lsn::ZERO);
        batch.take(1 << 20).remove(0)
    };
    let mut stream = vec![author(0).opening(Lsn::ZERO), entries(0, Position::default(), &mut random)];
    // The broker came back without what was confirmed in between.
    stream.extend([author(1).opening(Lsn::ZERO), entries(1, at(4, 1), &mut random)]);
    let reader = Reader::of(&stream);
    assert_eq!((reader.starts, reader.start), (2, Some(at(4, 1))));
    assert_eq!(reader.order.state().end, at(5, 1));
}

fn decode(bytes: Bytes) -> Result<Message, InvalidMessage> {
    Message::decode(bytes, &mut Relations::default())
}

#[test]
fn a_message_of_many_records_is_packed_and_read_back_and_one_of_few_or_of_noise_is_not() {
    let mut random = Rng::with_seed(5);
    let record = |number: u64, previous: Position, body: Vec<u8>| {
        let event = crate::event::ChannelEvent {
            channel: "c".into(),
            data: body.into(),
            form: crate::event::EventForm::Data,
        };
        Record::Chunk(Chunk {
            previous,
            commit_lsn: Lsn::new(number),
            xid: crate::event::Xid::new(number),
            committed_at: crate::event::Timestamp::default(),
            first_index: 0,
            changes: vec![Change::Event(event)].into(),
            last: true,
        })
    };
    for (count, text, most, packs) in [
        (1, true, 1 << 20, false),
        (200, true, 1 << 20, true),
        (200, false, 1 << 20, false),
        (200, true, 4_096, false),
    ] {
        let mut batch = Batch::new(Author::default(), Position::default());
        let (mut previous, mut records) = (Position::default(), Vec::new());
        for number in 1..=count {
            let body = if text {
                format!("{{\"id\":{number},\"title\":\"an entry of the board {}\"}}", number % 7).into_bytes()
            } else {
                std::iter::repeat_with(|| random.u8(..)).take(2_000).collect()
            };
            let record = record(number, previous, body);
            previous = record.end();
            batch.push(&record, Lsn::new(number));
            records.push(record);
        }
        let whole = batch.len();
        let messages = batch.take(most);
        let sent: usize = messages.iter().map(Bytes::len).sum();
        assert_eq!(sent < whole * 9 / 10, packs, "{count} records, {whole} bytes in {sent}");
        // Noise is no event: whether it is packed is all that is asked.
        if !text {
            continue;
        }
        if let [message] = messages.as_slice() {
            let Ok(Message { body: Body::Entries(read), .. }) = decode(message.clone()) else {
                panic!("entries")
            };
            assert!(read.entries.iter().map(|entry| &entry.record).eq(records.iter()));
            assert_eq!(read.base, Position::default());
            // What says that it is larger than a message may be is none, and nothing is taken for it.
            let mut bomb = message.to_vec();
            if packs {
                bomb[2 + 4 * 8 + 4..][..4].copy_from_slice(&u32::MAX.to_be_bytes());
                assert_eq!(decode(bomb.into()), Err(InvalidMessage::Broken));
            }
        } else {
            assert!(messages.len() > 1 && most < whole);
        }
    }
}

#[test]
fn bytes_that_are_no_message_are_refused_whatever_they_are() {
    let mut random = Rng::with_seed(3);
    let log = Log::any(&mut random, 20);
    let mut stream = Vec::new();
    let mut writer = Writer::open(&mut stream, &mut random).expect("alone");
    for _ in 0..2_000 {
        let mut messages = writer.messages(&log, &mut random);
        if messages.is_empty() {
            writer.tail = Position::default();
            continue;
        }
        let mut bytes = messages.remove(0).to_vec();
        assert!(decode(bytes.clone().into()).is_ok());
        for length in 0..bytes.len().min(80) {
            // Entries may end between two of them.
            _ = decode(Bytes::copy_from_slice(&bytes[..length]));
        }
        let place = random.usize(..bytes.len());
        bytes[place] ^= 1 << random.u8(..8);
        if let Ok(message) = decode(bytes.into()) {
            _ = Order::default().take(message, &mut Vec::new());
        }
    }
}
