//! Whatever is shared, each reader is told what a [`Replayer`] of its own would tell it.

mod history;

use std::time::Duration;

use tokio::sync::watch;

use self::history::{History, selections};
use super::*;
use crate::event::{Incarnation, Lsn, Record, Seen, Snapshot, Xid};
use crate::hub::Config;
use crate::journal::{self, Appended, Backend, Bounds, CatchUp, Ledger, Parts, cut};
use crate::protocol::ResyncReason;
use crate::shutdown::Scope;

const CONFIG: Config = Config { transaction_bytes: 4_000, frame_bytes: 200 };
const ROUNDS: u64 = 60;

/// What a reader was told: frames as they are written, then why it was told no more.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    frames: Vec<String>,
    ended: Option<String>,
}

impl Story {
    fn add(&mut self, frames: &[Arc<Delivery>]) {
        for delivery in frames {
            let mut written = Vec::new();
            let cursor = delivery.cursor.as_ref().map(|stamp| &*stamp.text);
            delivery.frame.write(Some("id"), cursor, &mut written);
            let position = delivery.cursor.as_ref().map(|stamp| stamp.position);
            let written = String::from_utf8(written).expect("UTF-8");
            self.frames.push(format!("{written} {position:?} {:?}", delivery.shape));
        }
    }

    fn end(mut self, fall: &Fall) -> Self {
        self.ended = Some(format!("{fall:?}"));
        self
    }
}

/// What a reader of its own tells, of all up to `until`.
fn alone(selection: &Selection, place: &Place, records: &[Arc<Record>], until: Position) -> Story {
    let mut replayer = Replayer::new(selection.clone(), place.clone(), CONFIG);
    let mut story = Story::default();
    for record in records.iter().filter(|record| record.end() > place.position && record.end() <= until) {
        match replayer.feed(record) {
            Ok(frames) => story.add(&frames),
            Err(fall) => return story.end(&fall),
        }
    }
    match replayer.finish() {
        Ok(frames) => story.add(&frames),
        Err(fall) => return story.end(&fall),
    }
    assert_eq!(replayer.place().position, until.max(place.position));
    story
}

/// What a resumption tells, from stretches that were cut before.
async fn shared(resumption: &mut Resumption, stretches: &[Stretch]) -> Story {
    let mut story = Story::default();
    while let Some(stretch) = stretches.iter().find(|stretch| stretch.end() > resumption.read()) {
        match resumption.feed(stretch).await {
            Ok(Missed::Frames(frames)) => story.add(&frames),
            Ok(Missed::Gone) => panic!("a block keeps its records"),
            Err(fall) => return story.end(&fall),
        }
    }
    finish(resumption, story)
}

fn finish(resumption: &mut Resumption, mut story: Story) -> Story {
    match resumption.finish() {
        Ok(frames) => story.add(&frames),
        Err(fall) => return story.end(&fall),
    }
    story
}

fn place(position: Position) -> Place {
    Place { incarnation: Incarnation(7), position, seen: None }
}

#[tokio::test]
async fn whoever_resumes_is_told_what_it_would_be_told_alone_from_every_cursor() {
    let selections = selections();
    let (mut told, mut ended) = (0, 0);
    for round in 0..ROUNDS {
        let mut random = fastrand::Rng::with_seed(round);
        let History { records, ends } = History::generate(&mut random, Position::default(), 30);
        let stretches = cut(&records, random.usize(1..4_000), random.usize(500..8_000));
        // From one that keeps nothing to one that keeps all.
        let memo = Memo::keeping(CONFIG, [0, 20_000, usize::MAX][random.usize(..3)]);
        let mut readers: Vec<_> =
            ends.iter().flat_map(|end| selections.iter().map(|selection| (place(*end), selection))).collect();
        for (index, end) in ends.iter().enumerate() {
            let seen = seen(&mut random, &ends, index);
            readers.push((
                Place { seen: Some(seen), ..place(*end) },
                &selections[random.usize(..selections.len())],
            ));
        }
        random.shuffle(&mut readers);
        let until = records.last().expect("some").end();
        for (place, selection) in readers {
            let expected = alone(selection, &place, &records, until);
            let mut resumption = Resumption::new(selection.clone(), place.clone(), memo.clone());
            let story = shared(&mut resumption, &stretches).await;
            assert_eq!(story, expected, "round {round}, {place:?}, {selection:#?}");
            told += story.frames.len();
            ended += usize::from(story.ended.is_some());
        }
    }
    assert!(told > 20_000 && ended > 500, "{told} frames, {ended} ends: the histories show too little");
}

/// What a snapshot had seen that was taken when the journal stood at one of `ends`: each transaction has its number.
fn seen(random: &mut fastrand::Rng, ends: &[Position], index: usize) -> Seen {
    let settled = ends[random.usize(index..ends.len())];
    let next = settled.commit_lsn.get() + 1;
    let running = (1..next).filter(|_| random.u8(..3) == 0).map(Xid::new).collect();
    Seen { snapshot: Snapshot::new(Xid::new(1), Xid::new(next), running).expect("ascending"), settled }
}

#[tokio::test]
async fn the_window_may_grow_and_move_on_while_readers_go_through_it() {
    let selections = selections();
    for round in 0..ROUNDS {
        let mut random = fastrand::Rng::with_seed(round);
        let mut ground = Ground::new(random.usize(1..4_000));
        let start = ground.parts.journal.tail();
        let History { records, ends } = History::generate(&mut random, start.position, 60);
        let memo = Memo::keeping(CONFIG, [20_000, usize::MAX][random.usize(..2)]);
        let mut readers: Vec<Reader> = Vec::new();
        for record in &records {
            ground.append(record).await;
            let Some(reached) = ends.iter().position(|end| *end == record.end()) else { continue };
            // Each goes as far as the hub is, which is anywhere behind.
            let until = ends[reached.saturating_sub(random.usize(..4))];
            if random.bool() {
                let position = ends[random.usize(..=reached)];
                let place = Place { incarnation: start.incarnation, position, seen: None };
                let selection = selections[random.usize(..selections.len())].clone();
                readers.push(Reader::new(selection, place, &memo, &ground));
            }
            for reader in &mut readers {
                if random.u8(..3) == 0 {
                    reader.go_on(until).await;
                }
            }
        }
        let until = *ends.last().expect("some");
        for mut reader in readers {
            reader.go_on(until).await;
            if reader.expired {
                continue;
            }
            let expected = alone(&reader.selection, &reader.place, &records, until);
            let story = match reader.story.ended {
                None => finish(&mut reader.resumption, reader.story),
                Some(_) => reader.story,
            };
            assert_eq!(story, expected, "round {round}, {:?}, {:#?}", reader.place, reader.selection);
        }
    }
}

/// A reader on its way through the window.
struct Reader {
    selection: Selection,
    place: Place,
    resumption: Resumption,
    catch_up: CatchUp,
    story: Story,
    expired: bool,
}

impl Reader {
    fn new(selection: Selection, place: Place, memo: &Memo, ground: &Ground) -> Self {
        let resumption = Resumption::new(selection.clone(), place.clone(), memo.clone());
        let catch_up = ground.parts.journal.catch_up(place.incarnation);
        Self { selection, place, resumption, catch_up, story: Story::default(), expired: false }
    }

    async fn go_on(&mut self, until: Position) {
        while !self.expired && self.story.ended.is_none() && self.resumption.read() < until {
            let stretch = match self.catch_up.next(self.resumption.read(), until).await {
                Ok(stretch) => stretch,
                Err(reason) => {
                    assert_eq!(reason, ResyncReason::CursorExpired);
                    self.expired = true;
                    return;
                }
            };
            match self.resumption.feed(&stretch).await {
                Ok(Missed::Frames(frames)) => self.story.add(&frames),
                Ok(Missed::Gone) => panic!("nothing is appended meanwhile"),
                Err(fall) => self.story = std::mem::take(&mut self.story).end(&fall),
            }
        }
    }
}

/// A journal in memory.
struct Ground {
    parts: Parts,
    _scope: Scope,
}

impl Ground {
    fn new(block_bytes: usize) -> Self {
        let scope = Scope::new();
        let max_age = Duration::from_mins(10);
        let bounds = Bounds { memory_bytes: 24_000, held_bytes: 0, max_age, block_bytes };
        let ledger = Ledger::new(watch::Sender::new(Lsn::ZERO));
        Self { parts: journal::open(bounds, Backend::Memory, ledger, &scope), _scope: scope }
    }

    async fn append(&mut self, record: &Record) {
        let appended = Appended { record: record.clone(), reaches: None, stored: Vec::new() };
        self.parts.writer.append(appended).await.expect("memory takes it");
        // Only what the hub has read may go.
        _ = self.parts.follower.next().await;
    }
}

#[tokio::test]
async fn what_is_kept_stays_within_its_bound_and_equal_readers_search_once() {
    let mut random = fastrand::Rng::with_seed(1);
    let History { records, .. } = History::generate(&mut random, Position::default(), 200);
    let stretches = cut(&records, 2_000, 4_000);
    let selections = selections();
    let memo = Memo::keeping(CONFIG, 10_000);
    for selection in &selections {
        let mut resumption = Resumption::new(selection.clone(), place(Position::default()), memo.clone());
        _ = shared(&mut resumption, &stretches).await;
        assert!(memo.bytes() <= 10_000, "{} bytes are kept", memo.bytes());
    }
    let memo = Memo::keeping(CONFIG, usize::MAX);
    let mut bytes = Vec::new();
    for _ in 0..3 {
        let mut resumption = Resumption::new(selections[0].clone(), place(Position::default()), memo.clone());
        _ = shared(&mut resumption, &stretches).await;
        bytes.push(memo.bytes());
    }
    assert!(bytes.iter().all(|same| *same == bytes[0]), "found again: {bytes:?}");
}

#[tokio::test]
async fn a_search_that_is_given_up_is_gone_on_with_by_the_next_reader() {
    let mut random = fastrand::Rng::with_seed(3);
    let History { records, .. } = History::generate(&mut random, Position::default(), 300);
    let stretches = cut(&records, usize::MAX, usize::MAX);
    let memo = Memo::keeping(CONFIG, usize::MAX);
    let selection = &selections()[0];
    for _ in 0..3 {
        let mut given_up = Resumption::new(selection.clone(), place(Position::default()), memo.clone());
        let mut feeding = Box::pin(given_up.feed(&stretches[0]));
        assert!(futures_util::poll!(&mut feeding).is_pending(), "it looks up between records");
        drop(feeding);
    }
    let mut others: Vec<_> = (0..20)
        .map(|_| Resumption::new(selection.clone(), place(Position::default()), memo.clone()))
        .collect();
    let until = records.last().expect("some").end();
    let expected = alone(selection, &place(Position::default()), &records, until);
    let stories =
        futures_util::future::join_all(others.iter_mut().map(|other| shared(other, &stretches))).await;
    assert!(stories.iter().all(|story| *story == expected), "each is told all of it");
}
