//! One subscription on a socket of its own, and the rows as its client holds them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidegate::event::Lsn;
use tokio::time::timeout;

use crate::client::Client;
use crate::fixture::{DEADLINE, Database};
use crate::server::Server;

/// A subscription whose rows are kept as the protocol says, and which fails the test where they cannot be.
pub(crate) struct Live {
    client: Client,
    /// What the client has, by key.
    rows: BTreeMap<String, Map<String, Value>>,
    /// What a snapshot in progress has brought.
    fresh: BTreeMap<String, Map<String, Value>>,
    /// How long the next frame may take.
    patience: Duration,
    /// The last `subscribed`.
    pub(crate) subscribed: Value,
    /// Every frame since the last [`Live::forget`].
    pub(crate) seen: Vec<Value>,
}

impl Live {
    /// Subscribes to the whole of `table`, and has its snapshot.
    pub(crate) async fn table(server: &Server, table: &str) -> Self {
        Self::open(server, json!({"table": table, "snapshot": true})).await
    }

    /// Subscribes to what `filter` matches of `table`, and has its snapshot.
    pub(crate) async fn filtered(server: &Server, table: &str, filter: &str) -> Self {
        Self::open(server, json!({"table": table, "where": filter, "snapshot": true})).await
    }

    /// Subscribes, and has the snapshot.
    pub(crate) async fn open(server: &Server, fields: Value) -> Self {
        Self::open_at(server.address(), fields).await
    }

    /// The same, on a server wherever it runs.
    pub(crate) async fn open_at(address: SocketAddr, fields: Value) -> Self {
        let mut live = Self::start(address, fields).await;
        live.complete().await;
        live.forget();
        live
    }

    /// Subscribes to a channel.
    pub(crate) async fn channel(server: &Server, channel: &str) -> Self {
        let mut live = Self::start(server.address(), json!({"channel": channel})).await;
        live.until("subscribed").await;
        live.forget();
        live
    }

    /// Subscribes, which is refused.
    pub(crate) async fn refused(server: &Server, fields: Value) -> Value {
        let mut live = Self::start(server.address(), fields).await;
        let frame = live.frame().await;
        assert_eq!(frame["type"], "error", "{frame}");
        frame
    }

    async fn start(address: SocketAddr, mut fields: Value) -> Self {
        let mut client = Client::connect(address).await;
        fields["id"] = json!("it");
        client.subscribe(fields).await;
        Self {
            client,
            rows: BTreeMap::new(),
            fresh: BTreeMap::new(),
            subscribed: Value::Null,
            patience: DEADLINE,
            seen: Vec::new(),
        }
    }

    /// The next frame, applied. A connection that brings nothing but `progress` brings nothing.
    pub(crate) async fn frame(&mut self) -> Value {
        let next = async {
            loop {
                let frame = self.client.next_within(self.patience).await?.expect("the connection lives");
                if frame["type"] != "progress" {
                    return Some(frame);
                }
            }
        };
        let frame = timeout(self.patience, next).await.ok().flatten();
        let frame =
            frame.unwrap_or_else(|| panic!("waited in vain; the client has {} rows", self.rows.len()));
        self.take(&frame);
        frame
    }

    /// The next frame of a type, everything before it applied.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
            let end = frame["type"] == "error";
            assert!(!end, "waited for `{kind}`: {frame}");
        }
    }

    /// Waits for the end of the subscription, and tells why.
    pub(crate) async fn until_error(&mut self) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == "error" {
                return frame;
            }
        }
    }

    /// Waits for the end of a snapshot.
    async fn complete(&mut self) {
        while self.until("snapshot").await["last"] != true {}
    }

    /// Waits until the client was told to start over for `reason`, and has.
    pub(crate) async fn resynced(&mut self, reason: &str) {
        let frame = self.until("resync").await;
        assert_eq!(frame["reason"], reason, "{frame}");
        self.complete().await;
    }

    /// The same for what takes longer than things do.
    pub(crate) fn patient(mut self) -> Self {
        self.patience = DEADLINE * 5;
        self
    }

    /// Waits until the client has so many rows.
    pub(crate) async fn until_count(&mut self, count: usize) {
        while self.rows.len() != count {
            let frame = self.frame().await;
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    /// Waits until the client has been told of all that was committed before this call.
    pub(crate) async fn settle(&mut self, database: &Database) {
        let row = database.client().await.query_one("select pg_current_wal_insert_lsn()::text", &[]).await;
        let lsn: Lsn = row.expect("readable").get::<_, &str>(0).parse().expect("a position");
        let mut frames = Vec::new();
        self.client.await_lsn(lsn, |frame| frames.push(frame.clone())).await;
        for frame in &frames {
            self.take(frame);
        }
    }

    /// Waits until the rows are these, in the order of their keys: `1 a, 2 b`.
    pub(crate) async fn until_shown(&mut self, columns: &[&str], expected: &str) {
        while self.shown(columns) != expected {
            let frame = self.frame().await;
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    /// The rows, in the order of their keys: `1 a, 2 b`.
    pub(crate) fn shown(&self, columns: &[&str]) -> String {
        let value = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row = |row: &Map<String, Value>| {
            let values: Vec<_> =
                columns.iter().map(|name| row.get(*name).map_or("?".to_owned(), value)).collect();
            values.join(" ")
        };
        self.rows.values().map(row).collect::<Vec<_>>().join(", ")
    }

    /// How many rows the client has.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// The names of the columns that the subscription has.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let columns = self.subscribed["columns"].as_array().expect("a subscription to a table");
        columns.iter().map(|column| column["name"].as_str().expect("a name")).collect()
    }

    /// Forgets which frames came.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }

    /// The changes in the frames since the last [`Live::forget`].
    pub(crate) fn changes(&self) -> Vec<Value> {
        let frames = self.seen.iter().filter_map(|frame| frame["changes"].as_array());
        frames.flatten().cloned().collect()
    }

    /// The types of the frames since the last [`Live::forget`].
    pub(crate) fn types(&self) -> Vec<&str> {
        let types = self.seen.iter().filter_map(|frame| frame["type"].as_str());
        // On a busy machine anything may take longer than a heartbeat.
        types.filter(|kind| *kind != "progress").collect()
    }

    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str().expect("frames have a type") {
            "subscribed" => {
                self.subscribed = frame.clone();
                self.fresh.clear();
            }
            "snapshot" => {
                for row in objects(&frame["rows"]) {
                    let key = self.key(row);
                    assert!(self.fresh.insert(key, row.clone()).is_none(), "a key twice: {row:?}");
                }
                if frame["last"] == true {
                    self.rows = std::mem::take(&mut self.fresh);
                }
            }
            "changes" => objects(&frame["changes"]).for_each(|change| self.apply(change)),
            "truncate" => self.rows.clear(),
            _ => {}
        }
        self.seen.push(frame.clone());
    }

    fn apply(&mut self, change: &Map<String, Value>) {
        let row = change.get("row").or(change.get("key")).and_then(Value::as_object).expect("a row or a key");
        let key = self.key(row);
        match change["op"].as_str() {
            Some("insert") => {
                assert!(self.rows.insert(key, row.clone()).is_none(), "a row twice: {change:?}");
            }
            Some("update") => {
                let held = self.rows.get_mut(&key).unwrap_or_else(|| panic!("no such row: {change:?}"));
                let mut row = row.clone();
                for name in change.get("unchanged").and_then(Value::as_array).into_iter().flatten() {
                    let name = name.as_str().expect("a name");
                    row.insert(name.to_owned(), held[name].clone());
                }
                *held = row;
            }
            Some("delete") => assert!(self.rows.remove(&key).is_some(), "no such row: {change:?}"),
            other => panic!("unknown operation {other:?}"),
        }
    }

    fn key(&self, row: &Map<String, Value>) -> String {
        let names = self.subscribed["key"].as_array().expect("`subscribed` came first");
        let values: Vec<_> =
            names.iter().map(|name| row[name.as_str().expect("a name")].to_string()).collect();
        values.join(" ")
    }
}

fn objects(list: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    list.as_array().expect("a list").iter().map(|item| item.as_object().expect("an object"))
}
