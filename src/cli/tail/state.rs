use std::mem;

use serde_json::value::RawValue;

use super::frame::{Change, Changes, Row, ServerFrame, Snapshot, Subscribed, Transaction};
use super::rows::Rows;

/// A transaction in several frames is held until it is whole, so that a connection lost in its midst repeats
/// nothing. Beyond this size it is shown as it comes, and may then be repeated.
const HELD_BYTES: usize = 256 << 20;

/// One thing to show.
#[derive(Debug)]
pub(super) enum Line {
    /// A row as a snapshot has it.
    Row(Row),
    /// The snapshot is complete: so many rows, and live from here.
    Live { rows: usize },
    /// What follows, up to the next one, was committed together.
    Transaction { transaction: Transaction, lsn: String },
    /// A row that came into view.
    Insert(Row),
    /// A row that changed, with what it was, where that is known, and the columns that nobody sent.
    Update { row: Row, old: Option<Row>, missing: Vec<String> },
    /// A row that went out of view: its key, and all that is known of it.
    Delete { key: Row, old: Option<Row> },
    /// The table was emptied.
    Truncate { lsn: String },
    /// An event on a channel.
    Event(Box<RawValue>),
    /// The rows so far no longer count; a snapshot follows.
    Resync { reason: String },
}

/// A subscription as the client knows it: its place, its rows, and what is not yet whole. No I/O.
#[derive(Debug, Default)]
pub(super) struct State {
    cursor: Option<String>,
    shape: Option<String>,
    rows: Rows,
    phase: Phase,
    /// Rows that the snapshot in flight has brought.
    seen: usize,
    /// Whether rows were shown of a snapshot that was never completed.
    torn: bool,
    /// Whether only a snapshot can bring the subscription up to date: live-from-now would leave a gap.
    owed: bool,
    held: Vec<Changes>,
    held_bytes: usize,
}

#[derive(Debug, Default, PartialEq)]
enum Phase {
    /// Nothing is known, or the connection is gone.
    #[default]
    Away,
    /// A snapshot is expected or under way: no place yet.
    Snapshot,
    Live,
}

impl State {
    /// Where to resume from: the cursor, and the shape that came with it.
    pub(super) fn place(&self) -> Option<(&str, Option<&str>)> {
        self.cursor.as_deref().map(|cursor| (cursor, self.shape.as_deref()))
    }

    /// Whether a snapshot is needed even where none was asked for.
    pub(super) fn owes_snapshot(&self) -> bool {
        self.owed
    }

    /// Forgets what was not whole when the connection ended.
    pub(super) fn disconnect(&mut self) {
        self.torn |= self.phase == Phase::Snapshot && self.seen > 0;
        self.phase = Phase::Away;
        self.held.clear();
        self.held_bytes = 0;
    }

    /// Takes a frame of `bytes` bytes in and says what there is to show.
    pub(super) fn receive(&mut self, frame: ServerFrame, bytes: usize) -> Vec<Line> {
        match frame {
            ServerFrame::Subscribed(subscribed) => self.subscribed(subscribed),
            ServerFrame::Snapshot(snapshot) => self.snapshot(snapshot),
            ServerFrame::Changes(changes) => self.changes(changes, bytes),
            ServerFrame::Truncate(place) => {
                self.rows.clear();
                self.advance(place.cursor);
                vec![Line::Truncate { lsn: place.lsn }]
            }
            ServerFrame::Progress(place) => {
                if self.phase == Phase::Live && self.held.is_empty() {
                    self.advance(place.cursor);
                }
                Vec::new()
            }
            ServerFrame::Events(events) => {
                self.advance(events.cursor);
                events.events.into_iter().map(Line::Event).collect()
            }
            ServerFrame::Resync(resync) => self.resync(resync.reason),
            ServerFrame::Ready(_)
            | ServerFrame::TokenExpiring
            | ServerFrame::Error(_)
            | ServerFrame::Other => Vec::new(),
        }
    }

    fn subscribed(&mut self, subscribed: Subscribed) -> Vec<Line> {
        let table = subscribed.shape.is_some();
        self.shape = subscribed.shape;
        self.rows.set_key(subscribed.key);
        self.phase = if subscribed.cursor.is_some() || !table { Phase::Live } else { Phase::Snapshot };
        if self.phase == Phase::Snapshot {
            return self.begin_snapshot();
        }
        self.advance(subscribed.cursor);
        Vec::new()
    }

    fn begin_snapshot(&mut self) -> Vec<Line> {
        self.cursor = None;
        self.seen = 0;
        self.rows.begin();
        if mem::take(&mut self.torn) {
            vec![Line::Resync { reason: "connection_lost".to_owned() }]
        } else {
            Vec::new()
        }
    }

    fn snapshot(&mut self, snapshot: Snapshot) -> Vec<Line> {
        self.seen += snapshot.rows.len();
        let mut lines: Vec<Line> =
            snapshot.rows.into_iter().inspect(|row| self.rows.put(row)).map(Line::Row).collect();
        if snapshot.last {
            self.rows.end();
            self.owed = false;
            self.phase = Phase::Live;
            self.advance(snapshot.cursor);
            lines.push(Line::Live { rows: self.seen });
        }
        lines
    }

    fn changes(&mut self, changes: Changes, bytes: usize) -> Vec<Line> {
        let last = changes.tx.as_ref().is_none_or(|transaction| transaction.last);
        self.held.push(changes);
        self.held_bytes += bytes;
        if !last && self.held_bytes <= HELD_BYTES {
            return Vec::new();
        }
        self.held_bytes = 0;
        let mut lines = Vec::new();
        for (index, frame) in mem::take(&mut self.held).into_iter().enumerate() {
            if let (0, Some(transaction)) = (index, frame.tx) {
                lines.push(Line::Transaction { transaction, lsn: frame.lsn });
            }
            lines.extend(frame.rows.into_iter().map(|change| self.change(change)));
            self.advance(frame.cursor);
        }
        lines
    }

    fn change(&mut self, change: Change) -> Line {
        match change {
            Change::Insert { row } => {
                self.rows.put(&row);
                Line::Insert(row)
            }
            Change::Update { mut row, unchanged } => {
                let old = self.rows.take(&row);
                if let Some(old) = &old {
                    row.fill(&unchanged, old);
                }
                let missing = unchanged.into_iter().filter(|name| row.get(name).is_none()).collect();
                self.rows.put(&row);
                Line::Update { row, old, missing }
            }
            Change::Delete { key } => Line::Delete { old: self.rows.take(&key), key },
        }
    }

    fn resync(&mut self, reason: String) -> Vec<Line> {
        self.held.clear();
        self.held_bytes = 0;
        self.torn = false;
        // A channel has no rows: its events go on at once.
        if self.shape.is_some() {
            self.phase = Phase::Snapshot;
            self.owed = true;
            self.begin_snapshot();
        }
        vec![Line::Resync { reason }]
    }

    fn advance(&mut self, cursor: Option<String>) {
        if cursor.is_some() {
            self.cursor = cursor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIBED: &str = r#"{"type":"subscribed","id":"tail","shape":"s1","key":["id"],"columns":[]}"#;
    const FIRST_ROW: &str =
        r#"{"type":"snapshot","id":"tail","rows":[{"id":"1","title":"a","body":"long"}],"last":false}"#;
    const END: &str = r#"{"type":"snapshot","id":"tail","rows":[],"last":true,"cursor":"c1","lsn":"0/1"}"#;

    fn feed(state: &mut State, texts: &[&str]) -> Vec<String> {
        let lines = texts.iter().flat_map(|text| {
            state.receive(ServerFrame::parse(text).expect(text), text.len()).into_iter().collect::<Vec<_>>()
        });
        lines.map(|line| brief(&line)).collect()
    }

    fn brief(line: &Line) -> String {
        let json = |row: &Row| serde_json::to_string(row).expect("serializes");
        match line {
            Line::Row(row) => format!("row {}", json(row)),
            Line::Live { rows } => format!("live {rows}"),
            Line::Transaction { transaction, lsn } => format!("tx {} {lsn}", transaction.id),
            Line::Insert(row) => format!("insert {}", json(row)),
            Line::Update { row, old, missing } => {
                format!(
                    "update {} from {} without {missing:?}",
                    json(row),
                    old.as_ref().map_or("?".into(), json)
                )
            }
            Line::Delete { key, old } => {
                format!("delete {} was {}", json(key), old.as_ref().map_or("?".into(), json))
            }
            Line::Truncate { lsn } => format!("truncate {lsn}"),
            Line::Event(event) => format!("event {event}"),
            Line::Resync { reason } => format!("resync {reason}"),
        }
    }

    fn changes(cursor: Option<&str>, changes: &str) -> String {
        let place = cursor.map(|cursor| format!(r#""cursor":"{cursor}","#)).unwrap_or_default();
        format!(
            r#"{{"type":"changes","id":"tail",{place}"lsn":"0/2","tx":{{"id":"7","committed_at":"t","last":{}}},"changes":[{changes}]}}"#,
            cursor.is_some()
        )
    }

    #[test]
    fn a_change_is_shown_with_what_it_was_and_what_was_not_sent_again() {
        let mut state = State::default();
        let update = changes(
            Some("c2"),
            r#"{"op":"update","row":{"id":"1","title":"b"},"unchanged":["body"]},{"op":"update","row":{"id":"2","title":"x"},"unchanged":["body"]}"#,
        );
        let delete =
            changes(Some("c3"), r#"{"op":"delete","key":{"id":"1"}},{"op":"delete","key":{"id":"9"}}"#);
        assert_eq!(
            feed(&mut state, &[SUBSCRIBED, FIRST_ROW, END, &update, &delete]),
            [
                r#"row {"id":"1","title":"a","body":"long"}"#,
                "live 1",
                "tx 7 0/2",
                r#"update {"id":"1","title":"b","body":"long"} from {"id":"1","title":"a","body":"long"} without []"#,
                r#"update {"id":"2","title":"x"} from ? without ["body"]"#,
                "tx 7 0/2",
                r#"delete {"id":"1"} was {"id":"1","title":"b","body":"long"}"#,
                r#"delete {"id":"9"} was ?"#,
            ]
        );
        assert_eq!(state.place(), Some(("c3", Some("s1"))));
    }

    #[test]
    fn a_transaction_in_pieces_is_shown_whole_or_not_at_all() {
        let mut state = State::default();
        feed(&mut state, &[SUBSCRIBED, END]);
        let (first, second) = (
            changes(None, r#"{"op":"insert","row":{"id":"1"}}"#),
            changes(Some("c2"), r#"{"op":"insert","row":{"id":"2"}}"#),
        );
        let progress = r#"{"type":"progress","cursor":"c9","lsn":"0/9"}"#;
        assert_eq!(feed(&mut state, &[&first, progress]), [""; 0]);
        assert_eq!(state.place(), Some(("c1", Some("s1"))), "the place is before the transaction");
        state.disconnect();
        assert_eq!(
            feed(&mut state, &[&first, &second]),
            ["tx 7 0/2", r#"insert {"id":"1"}"#, r#"insert {"id":"2"}"#]
        );
        assert_eq!(state.place(), Some(("c2", Some("s1"))));
    }

    #[test]
    fn progress_moves_the_place_only_while_live() {
        let mut state = State::default();
        let progress = r#"{"type":"progress","cursor":"c9","lsn":"0/9"}"#;
        feed(&mut state, &[SUBSCRIBED, FIRST_ROW, progress]);
        assert_eq!(state.place(), None, "a snapshot has no place before its end");
        feed(&mut state, &[END, progress]);
        assert_eq!(state.place(), Some(("c9", Some("s1"))));
    }

    #[test]
    fn a_snapshot_that_was_cut_off_is_called_off_before_the_next() {
        let mut state = State::default();
        feed(&mut state, &[SUBSCRIBED, FIRST_ROW]);
        state.disconnect();
        assert_eq!(state.place(), None);
        assert_eq!(feed(&mut state, &[SUBSCRIBED])[..], ["resync connection_lost"]);
        assert_eq!(feed(&mut state, &[FIRST_ROW, END])[1..], ["live 1"]);
    }

    #[test]
    fn a_resync_forgets_the_place_and_owes_a_snapshot_until_it_is_complete() {
        let mut state = State::default();
        let resumed = r#"{"type":"subscribed","id":"tail","shape":"s1","key":["id"],"cursor":"c5"}"#;
        feed(&mut state, &[resumed]);
        assert_eq!((state.place(), state.owes_snapshot()), (Some(("c5", Some("s1"))), false));
        let resync = r#"{"type":"resync","id":"tail","reason":"schema_changed"}"#;
        assert_eq!(feed(&mut state, &[resync]), ["resync schema_changed"]);
        state.disconnect();
        assert_eq!((state.place(), state.owes_snapshot()), (None, true));
        assert_eq!(feed(&mut state, &[SUBSCRIBED, END]), ["live 0"]);
        assert!(!state.owes_snapshot());
    }

    #[test]
    fn a_channel_goes_on_after_a_resync() {
        let mut state = State::default();
        let lines = feed(
            &mut state,
            &[
                r#"{"type":"subscribed","id":"tail","cursor":"c1"}"#,
                r#"{"type":"resync","id":"tail","reason":"cursor_expired"}"#,
                r#"{"type":"events","id":"tail","cursor":"c2","events":[{"id":"1"}]}"#,
            ],
        );
        assert_eq!(lines, ["resync cursor_expired", r#"event {"id":"1"}"#]);
        assert_eq!((state.place(), state.owes_snapshot()), (Some(("c2", None)), false));
    }
}
