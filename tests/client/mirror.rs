use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use tidegate::event::Lsn;

/// One subscription as a client holds it: its rows, its cursor, and what it is in the middle of.
///
/// Every frame is checked against what the protocol promises. Whatever is under way when the connection ends is
/// forgotten by [`Mirror::cut`]; [`Mirror::request`] asks for the rest.
pub(crate) struct Mirror {
    id: String,
    /// The `subscribe` frame without its start.
    fields: Map<String, Value>,
    snapshot: Value,
    /// Whether every change tells of a row that is held or is not: not for snapshots with a limit, nor for conflation.
    strict: bool,
    phase: Phase,
    key: Vec<String>,
    rows: BTreeMap<String, Value>,
    cursor: Option<String>,
    shape: Option<String>,
    /// The last transaction that was applied.
    last: Option<(Lsn, String)>,
    /// The frames of a transaction that has not ended.
    open: Option<Open>,
    /// Transactions applied.
    pub(crate) transactions: usize,
    /// Snapshots that became complete.
    pub(crate) snapshots: usize,
    /// Resumes that were let in without a snapshot.
    pub(crate) resumes: usize,
    /// Resumes that were answered with a fresh start.
    pub(crate) refusals: usize,
    /// How often it was told to start over, by reason.
    pub(crate) resyncs: HashMap<String, usize>,
}

enum Phase {
    /// Nothing was asked on this connection.
    Away,
    /// Asked; `resumes` while the answer may be that it goes on from its cursor.
    Asked { resumes: bool },
    /// Rows of a snapshot come in; what was held before is kept until it is complete.
    Snapshot(BTreeMap<String, Value>),
    /// Changes come in.
    Live,
    /// Told to start over; `subscribed` is next.
    Resync,
}

#[derive(Default)]
struct Open {
    truncated: bool,
    transaction: Option<String>,
    lsn: Lsn,
    changes: Vec<Value>,
}

/// A transaction, as it was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) lsn: Lsn,
    pub(crate) changes: Vec<ToldChange>,
}

/// One row of it.
#[derive(Debug)]
pub(crate) struct ToldChange {
    /// The row that was held before.
    pub(crate) before: Option<Value>,
    /// The row that is held now.
    pub(crate) after: Option<Value>,
    /// Its key, as an object.
    pub(crate) key: Value,
}

impl Mirror {
    /// A subscription of `fields` (`table`, and whatever else `subscribe` takes), with a snapshot of all rows.
    pub(crate) fn new(id: &str, fields: Value) -> Self {
        let Value::Object(mut fields) = fields else { panic!("fields are an object: {fields}") };
        let snapshot = fields.remove("snapshot").unwrap_or(json!(true));
        let strict = snapshot == json!(true) && fields.get("delivery").is_none_or(|pace| pace == "every");
        fields.insert("type".into(), json!("subscribe"));
        fields.insert("id".into(), json!(id));
        Self {
            id: id.to_owned(),
            fields,
            snapshot,
            strict,
            phase: Phase::Away,
            key: Vec::new(),
            rows: BTreeMap::new(),
            cursor: None,
            shape: None,
            last: None,
            open: None,
            transactions: 0,
            snapshots: 0,
            resumes: 0,
            refusals: 0,
            resyncs: HashMap::new(),
        }
    }

    /// The `subscribe` frame to send: from the cursor if there is one, else with a snapshot.
    pub(crate) fn request(&mut self) -> Value {
        let mut fields = self.fields.clone();
        let resumes = self.cursor.is_some();
        match (&self.cursor, &self.shape) {
            (Some(cursor), Some(shape)) => {
                fields.insert("cursor".into(), json!(cursor));
                fields.insert("shape".into(), json!(shape));
            }
            _ => {
                fields.insert("snapshot".into(), self.snapshot.clone());
            }
        }
        self.phase = Phase::Asked { resumes };
        Value::Object(fields)
    }

    /// The connection has ended: what was not complete is forgotten.
    pub(crate) fn cut(&mut self) {
        self.phase = Phase::Away;
        self.open = None;
    }

    /// Forgets the cursor, so that the next request takes a snapshot.
    pub(crate) fn forget_cursor(&mut self) {
        self.cursor = None;
        self.shape = None;
    }

    /// Rows by key; both as JSON.
    pub(crate) const fn rows(&self) -> &BTreeMap<String, Value> {
        &self.rows
    }

    /// Where the last transaction that was applied lies.
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.last.as_ref().map_or(Lsn::ZERO, |(lsn, _)| *lsn)
    }

    /// Whether all rows are held and changes come in.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live) && self.open.is_none()
    }

    /// Takes a frame, and gives back the transaction that it completes. Frames of other subscriptions are passed over.
    pub(crate) fn apply(&mut self, frame: &Value) -> Option<Told> {
        let own = frame.get("id").is_some_and(|id| *id == *self.id);
        match text(frame, "type") {
            "progress" => self.progress(frame),
            "subscribed" if own => self.subscribed(frame),
            "snapshot" if own => self.snapshot(frame),
            "resync" if own => self.resync(frame),
            "truncate" | "changes" if own => return self.change(frame),
            "error" | "unsubscribed" if own => panic!("the subscription ended: {frame}"),
            _ => {}
        }
        None
    }

    fn progress(&mut self, frame: &Value) {
        if !matches!(self.phase, Phase::Live) {
            return;
        }
        assert!(self.open.is_none(), "progress within a transaction: {frame}");
        let lsn = lsn(frame);
        assert!(self.last.as_ref().is_none_or(|(last, _)| *last <= lsn), "progress goes back: {frame}");
        self.cursor = Some(text(frame, "cursor").to_owned());
    }

    fn subscribed(&mut self, frame: &Value) {
        self.key = names(&frame["key"]);
        assert!(!self.key.is_empty(), "no key: {frame}");
        let shape = text(frame, "shape").to_owned();
        let resumed = frame.get("cursor").is_some();
        match self.phase {
            Phase::Asked { resumes: true } if resumed => {
                assert_eq!(self.shape.as_ref(), Some(&shape), "resumed as another shape");
                self.resumes += 1;
                self.phase = Phase::Live;
            }
            Phase::Asked { resumes: false } | Phase::Resync => {
                assert!(!resumed, "a snapshot was asked for: {frame}");
                self.phase = Phase::Snapshot(BTreeMap::new());
            }
            _ => panic!("`subscribed` out of turn: {frame}"),
        }
        self.shape = Some(shape);
    }

    fn snapshot(&mut self, frame: &Value) {
        let Phase::Snapshot(rows) = &mut self.phase else { panic!("no snapshot is under way: {frame}") };
        for row in frame["rows"].as_array().unwrap_or_else(|| panic!("no rows: {frame}")) {
            let key = key_of(&self.key, row);
            assert!(rows.insert(key.to_string(), row.clone()).is_none(), "twice in one snapshot: {key}");
        }
        if frame["last"] == true {
            self.rows = std::mem::take(rows);
            self.cursor = Some(text(frame, "cursor").to_owned());
            lsn(frame);
            self.snapshots += 1;
            self.phase = Phase::Live;
        } else {
            assert!(frame.get("cursor").is_none(), "a cursor before the end of the snapshot: {frame}");
        }
    }

    fn resync(&mut self, frame: &Value) {
        assert!(!matches!(self.phase, Phase::Away), "nothing was asked: {frame}");
        assert!(self.open.is_none(), "a resync within a transaction: {frame}");
        let reason = text(frame, "reason").to_owned();
        if reason == "source_reset" {
            // Positions of another life of the journal cannot be compared.
            self.last = None;
        }
        self.refusals += usize::from(matches!(self.phase, Phase::Asked { resumes: true }));
        *self.resyncs.entry(reason).or_default() += 1;
        self.phase = Phase::Resync;
    }

    fn change(&mut self, frame: &Value) -> Option<Told> {
        assert!(matches!(self.phase, Phase::Live), "changes before all rows: {frame}");
        let lsn = lsn(frame);
        let open = self.open.get_or_insert_with(|| Open { lsn, ..Open::default() });
        assert_eq!(open.lsn, lsn, "two transactions mixed: {frame}");
        let last = if text(frame, "type") == "truncate" {
            assert!(open.changes.is_empty() && !open.truncated, "truncated in the middle: {frame}");
            open.truncated = true;
            frame.get("cursor").is_some()
        } else {
            let transaction = frame.get("tx").map(|tx| text(tx, "id").to_owned());
            if open.changes.is_empty() {
                open.transaction = transaction;
            } else {
                assert_eq!(open.transaction, transaction, "two transactions mixed: {frame}");
            }
            open.changes.extend(frame["changes"].as_array().expect("an array").iter().cloned());
            frame.get("tx").map_or(frame.get("cursor").is_some(), |tx| tx["last"] == true)
        };
        assert_eq!(frame.get("cursor").is_some(), last, "a cursor at the end and only there: {frame}");
        if !last {
            return None;
        }
        self.cursor = Some(text(frame, "cursor").to_owned());
        self.open.take().map(|open| self.commit(open))
    }

    fn commit(&mut self, open: Open) -> Told {
        let Open { truncated, transaction, lsn, changes } = open;
        if self.strict {
            let seen = (lsn, transaction.unwrap_or_default());
            let after = self.last.as_ref().is_none_or(|(last, _)| *last < lsn);
            assert!(after, "seen twice or out of order: {seen:?} after {:?}", self.last);
            self.last = Some(seen);
        }
        if truncated {
            self.rows.clear();
        }
        assert!(truncated || !changes.is_empty(), "a transaction without changes");
        let mut keys = BTreeSet::new();
        let told = changes.iter().map(|change| {
            let key = match change.get("row") {
                Some(row) => key_of(&self.key, row),
                None => change["key"].clone(),
            };
            assert!(keys.insert(key.to_string()), "a key twice in one transaction: {key}");
            self.commit_one(key, change)
        });
        let changes = told.collect();
        self.transactions += 1;
        Told { lsn, changes }
    }

    fn commit_one(&mut self, key: Value, change: &Value) -> ToldChange {
        let name = key.to_string();
        let op = text(change, "op");
        let held = self.rows.get(&name);
        if self.strict {
            assert_eq!(held.is_some(), op != "insert", "{op} of {name}, of which is held: {held:?}");
        }
        let before = held.cloned();
        let after = match op {
            "delete" => {
                self.rows.remove(&name);
                None
            }
            "insert" | "update" => {
                let row = merged(change, before.as_ref());
                self.rows.insert(name, row.clone());
                Some(row)
            }
            _ => panic!("an unknown operation: {change}"),
        };
        ToldChange { before, after, key }
    }
}

/// The new row, with what was left out as unchanged taken from the one that is held.
fn merged(change: &Value, held: Option<&Value>) -> Value {
    let mut row = change["row"].clone();
    for name in names(&change["unchanged"]) {
        assert!(row.get(&name).is_none(), "`{name}` is unchanged and given: {change}");
        let held = held.unwrap_or_else(|| panic!("`{name}` is left out of a row that is not held: {change}"));
        row[&name] = held[&name].clone();
    }
    if let (Some(changed), Some(held)) = (change.get("changed"), held) {
        let changed = names(changed);
        for (name, value) in row.as_object().expect("rows are objects") {
            assert_eq!(changed.contains(name), held[name] != *value, "`{name}`, held {held}: {change}");
        }
    }
    row
}

/// The key of a row, as an object in the order that `subscribed` gave.
fn key_of(key: &[String], row: &Value) -> Value {
    let columns = key.iter().map(|name| {
        let value = row.get(name).unwrap_or_else(|| panic!("a row without its key `{name}`: {row}"));
        (name.clone(), value.clone())
    });
    Value::Object(columns.collect())
}

fn names(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts.map(|name| name.as_str().expect("names are strings").to_owned()).collect()
}

fn lsn(frame: &Value) -> Lsn {
    text(frame, "lsn").parse().unwrap_or_else(|error| panic!("{error}: {frame}"))
}

fn text<'a>(frame: &'a Value, field: &str) -> &'a str {
    frame[field].as_str().unwrap_or_else(|| panic!("no `{field}`: {frame}"))
}
