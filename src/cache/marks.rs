use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use parking_lot::{Mutex, RwLock};

use crate::event::{Change, Datum, Image, Incarnation, Lsn, Record, Relation, Row};

/// Where in the log each thing that cached reads depend on was changed last.
///
/// ```text
///  hub ──Record──▶ touch ──▶ tag: position        before anybody is told of the record
///  read ──tags──▶ since  ──▶ what it must be as of, at least
/// ```
///
/// A read that is as of some position (it has seen all that was committed up to there) is good for as long as none of its
/// tags was changed behind it: nothing has to be dropped, and what other processes keep is judged by what this one has
/// shown. Bounded: of more than 200,000 all are forgotten, and count as changed just now.
#[derive(Debug)]
pub struct Marks {
    interests: &'static [Interest],
    hasher: DefaultHashBuilder,
    state: RwLock<State>,
    /// What relations of the stream come to: the hub's alone.
    known: Mutex<HashMap<u32, Known>>,
}

/// A table that reads depend on, and the columns whose values tell its rows apart.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// Schema and name.
    pub table: (&'static str, &'static str),
    /// The columns.
    pub columns: &'static [&'static str],
}

/// What a read depends on: rows of a table, all of them or those with a value in a column.
///
/// It may stand for others too, as a hash may: then a read is made again without need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u64);

/// Where a journal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which life of the journal.
    pub incarnation: Incarnation,
    /// Up to where.
    pub lsn: Lsn,
}

#[derive(Debug)]
struct State {
    incarnation: Incarnation,
    /// What is not in `changed` counts as changed here.
    floor: Lsn,
    changed: HashMap<Tag, Lsn>,
}

#[derive(Debug)]
struct Known {
    relation: Arc<Relation>,
    interest: Option<usize>,
    /// By interest's column: the relation's.
    places: Vec<Option<usize>>,
}

/// Some 40 bytes each.
const MOST_TAGS: usize = 200_000;

impl Marks {
    /// Of reads that depend on these; everything counts as changed at `start`.
    pub fn new(interests: &'static [Interest], start: Point) -> Self {
        let state = State { incarnation: start.incarnation, floor: start.lsn, changed: HashMap::new() };
        let hasher = DefaultHashBuilder::default();
        Self { interests, hasher, state: RwLock::new(state), known: Mutex::default() }
    }

    /// All rows of a table.
    pub fn table(&self, table: &str) -> Tag {
        self.hash((table, "", &b""[..]))
    }

    /// The rows of a table with this value, in PostgreSQL's text, in a column of its [`Interest`].
    pub fn rows(&self, table: &str, column: &str, value: &str) -> Tag {
        self.hash((table, column, value.as_bytes()))
    }

    /// What a read of these must be as of, at least, to be no older than what was shown.
    pub fn since(&self, tags: &[Tag]) -> Point {
        let state = self.state.read();
        let changed = tags.iter().filter_map(|tag| state.changed.get(tag)).max();
        let lsn = changed.map_or(state.floor, |lsn| (*lsn).max(state.floor));
        Point { incarnation: state.incarnation, lsn }
    }

    /// Notes what a record changes. Called before anybody is told of it.
    pub fn touch(&self, record: &Record) {
        let Record::Chunk(chunk) = record else { return };
        let mut touched = Vec::new();
        for change in chunk.changes.iter() {
            match change {
                Change::Row(row) => {
                    let images = [row.operation.old().map(Image::row), row.operation.new()];
                    self.row(&row.relation, images, &mut touched);
                }
                Change::Truncate(relation) if self.concerns(relation) => self.all(chunk.commit_lsn),
                Change::Schema => self.all(chunk.commit_lsn),
                Change::Truncate(_) | Change::Event(_) => {}
            }
        }
        if touched.is_empty() {
            return;
        }
        let mut state = self.state.write();
        for tag in touched {
            state.changed.insert(tag, chunk.commit_lsn);
        }
        if state.changed.len() > MOST_TAGS {
            state.changed.clear();
            state.floor = chunk.commit_lsn;
        }
    }

    /// Counts everything as changed here: the journal goes on elsewhere.
    pub fn restart(&self, start: Point) {
        let mut state = self.state.write();
        *state = State { incarnation: start.incarnation, floor: start.lsn, changed: HashMap::new() };
    }

    fn all(&self, lsn: Lsn) {
        let mut state = self.state.write();
        state.changed.clear();
        state.floor = lsn;
    }

    fn concerns(&self, relation: &Relation) -> bool {
        self.interests.iter().any(|interest| interest.is_of(relation))
    }

    fn row(&self, relation: &Arc<Relation>, images: [Option<&Row>; 2], touched: &mut Vec<Tag>) {
        let mut known = self.known.lock();
        let of = known.entry(relation.oid).or_insert_with(|| Known::new(self.interests, relation));
        if !Arc::ptr_eq(&of.relation, relation) {
            *of = Known::new(self.interests, relation);
        }
        let Some(interest) = of.interest.map(|index| self.interests[index]) else { return };
        let table = interest.table.1;
        touched.push(self.table(table));
        for row in images.into_iter().flatten() {
            for (column, place) in interest.columns.iter().zip(&of.places) {
                let datum = place.and_then(|place| row.get(place));
                if let Some(Datum::Text(value)) = datum {
                    touched.push(self.hash((table, *column, value)));
                }
            }
        }
    }

    fn hash(&self, of: impl Hash) -> Tag {
        Tag(self.hasher.hash_one(of))
    }
}

impl Interest {
    fn is_of(&self, relation: &Relation) -> bool {
        self.table == (&*relation.schema, &*relation.name)
    }
}

impl Known {
    fn new(interests: &[Interest], relation: &Arc<Relation>) -> Self {
        let interest = interests.iter().position(|interest| interest.is_of(relation));
        let columns = interest.map_or(&[][..], |index| interests[index].columns);
        let place = |name: &&str| relation.columns.iter().position(|column| &*column.name == *name);
        Self { relation: relation.clone(), interest, places: columns.iter().map(place).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Chunk, Operation, Position, RelationColumn, ReplicaIdentity, RowChange, Timestamp, Xid,
    };

    const INTEREST: Interest = Interest { table: ("public", "entries"), columns: &["board_id"] };

    fn relation(name: &str) -> Arc<Relation> {
        let column = |name: &str| RelationColumn {
            name: name.into(),
            key: name == "id",
            type_oid: 20,
            type_modifier: -1,
        };
        Arc::new(Relation {
            oid: if name == "entries" { 1 } else { 2 },
            schema: "public".into(),
            name: name.into(),
            identity: ReplicaIdentity::Full,
            columns: vec![column("id"), column("board_id")],
        })
    }

    fn row(id: &str, board: &str) -> Row {
        [Datum::Text(id.as_bytes()), Datum::Text(board.as_bytes())].into_iter().collect()
    }

    fn chunk(lsn: u64, changes: Vec<Change>) -> Record {
        Record::Chunk(Chunk {
            previous: Position { commit_lsn: Lsn::ZERO, index: 0 },
            commit_lsn: Lsn::new(lsn),
            xid: Xid::new(7),
            committed_at: Timestamp::from(std::time::SystemTime::UNIX_EPOCH),
            first_index: 0,
            changes: changes.into(),
            last: true,
        })
    }

    fn marks() -> Marks {
        Marks::new(&[INTEREST], point(10))
    }

    fn point(lsn: u64) -> Point {
        Point { incarnation: Incarnation(1), lsn: Lsn::new(lsn) }
    }

    #[test]
    fn a_change_touches_what_its_old_and_new_images_belong_to_and_nothing_else() {
        let marks = marks();
        let operation = Operation::Update { old: Some(Image::Full(row("1", "7"))), new: row("1", "8") };
        marks.touch(&chunk(20, vec![Change::Row(RowChange { relation: relation("entries"), operation })]));
        let since = |board| marks.since(&[marks.rows("entries", "board_id", board)]);
        assert_eq!([since("7"), since("8"), since("9")], [point(20), point(20), point(10)]);
        assert_eq!(marks.since(&[marks.table("entries")]), point(20));
        let operation = Operation::Insert { new: row("1", "9") };
        marks.touch(&chunk(30, vec![Change::Row(RowChange { relation: relation("others"), operation })]));
        assert_eq!(since("9"), point(10));
    }

    #[test]
    fn what_cannot_be_told_apart_counts_as_changed() {
        let marks = marks();
        let board = [marks.rows("entries", "board_id", "7")];
        marks.touch(&chunk(20, vec![Change::Truncate(relation("others"))]));
        assert_eq!(marks.since(&board), point(10));
        marks.touch(&chunk(30, vec![Change::Truncate(relation("entries"))]));
        assert_eq!(marks.since(&board), point(30));
        marks.touch(&chunk(40, vec![Change::Schema]));
        assert_eq!(marks.since(&board), point(40));
        marks.restart(Point { incarnation: Incarnation(2), lsn: Lsn::new(5) });
        assert_eq!(marks.since(&board), Point { incarnation: Incarnation(2), lsn: Lsn::new(5) });
    }

    #[test]
    fn more_tags_than_are_kept_are_forgotten_to_the_safe_side() {
        let marks = marks();
        let insert = |board: usize| {
            let operation = Operation::Insert { new: row("1", &board.to_string()) };
            Change::Row(RowChange { relation: relation("entries"), operation })
        };
        marks.touch(&chunk(20, (0..=MOST_TAGS).map(insert).collect()));
        assert!(marks.state.read().changed.len() <= MOST_TAGS);
        assert_eq!(marks.since(&[marks.rows("entries", "board_id", "never seen")]), point(20));
    }
}
