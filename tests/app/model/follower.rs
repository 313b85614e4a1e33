//! Somebody who follows every table, and holds what the stream has told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidegate::event::Lsn;
use tokio::sync::watch;
use tokio_postgres::{Client as Sql, SimpleQueryMessage};

use super::super::house::{Api, App};
use crate::client::{Client, Mirror};

/// Each with the columns that tell a row and its state from others; none of them is ever null.
pub(super) const TABLES: [(&str, &[&str]); 8] = [
    ("boards", &["id", "version", "name"]),
    ("board_members", &["board_id", "user_id", "role"]),
    ("categories", &["id", "version", "name"]),
    ("workflow_states", &["id", "version", "name"]),
    ("entries", &["id", "version", "state_id", "position", "title"]),
    ("comments", &["id", "version", "entry_id", "body"]),
    ("activities", &["id", "board_id", "subject", "action"]),
    ("notifications", &["id", "user_id", "kind"]),
];

/// A transaction, as it was told.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: String,
    /// By table.
    pub(super) changes: Vec<(String, Value)>,
}

/// Its socket and its mirrors.
pub(super) struct Follower {
    who: &'static str,
    role: &'static str,
    client: Client,
    mirrors: BTreeMap<&'static str, Mirror>,
    /// In the order of their commits.
    pub(super) transactions: BTreeMap<Lsn, Transaction>,
}

impl Follower {
    /// Subscribes to every table, and holds what there is.
    pub(super) async fn open(app: &App, api: Api, who: &'static str, role: &'static str) -> Self {
        let mut client = app.socket(&api).await;
        let mut mirrors = BTreeMap::new();
        for (table, _) in TABLES {
            let mut mirror = Mirror::new(table, json!({"table": format!("public.{table}")}));
            client.send(&mirror.request()).await;
            mirrors.insert(table, mirror);
        }
        let mut follower = Self { who, role, client, mirrors, transactions: BTreeMap::new() };
        while !follower.mirrors.values().all(Mirror::is_live) {
            let frame = follower.client.next().await.expect("it lives");
            follower.take(&frame);
        }
        follower
    }

    /// Reads on until all up to the position that `end` comes to say has been told.
    pub(super) async fn follow(&mut self, mut end: watch::Receiver<Option<Lsn>>) {
        loop {
            let frame = tokio::select! {
                frame = self.client.next() => frame.expect("it lives"),
                _ = end.changed() => {
                    let lsn = end.borrow_and_update().expect("it is said once");
                    self.client.send(&json!({"type": "await", "lsn": lsn.to_string()})).await;
                    continue;
                }
            };
            if frame["type"] == "reached" {
                return;
            }
            self.take(&frame);
        }
    }

    fn take(&mut self, frame: &Value) {
        if frame["type"] == "changes" {
            let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{frame}")).to_owned();
            let lsn = text(&frame["lsn"]).parse().expect("a position");
            let id = text(&frame["tx"]["id"]);
            let told = self.transactions.entry(lsn);
            let told = told.or_insert_with(|| Transaction { id: id.clone(), changes: Vec::new() });
            assert_eq!(told.id, id, "two transactions at one place: {frame}");
            let changes = frame["changes"].as_array().expect("changes").iter().cloned();
            let table = text(&frame["id"]);
            told.changes.extend(changes.map(|change| (table.clone(), change)));
        }
        for mirror in self.mirrors.values_mut() {
            mirror.apply(frame);
        }
    }

    /// What it holds of a table.
    pub(super) fn rows(&self, table: &str) -> Vec<Value> {
        self.mirrors[table].rows().values().cloned().collect()
    }

    /// What it holds of each table is what `SELECT` gives it.
    pub(super) async fn agrees(&self, sql: &Sql) {
        for (table, columns) in TABLES {
            let claims = json!({"sub": self.who});
            let text = format!(
                "begin read only;
                 select set_config('request.jwt.claims', '{claims}', true), set_config('role', '{}', true);
                 select concat_ws('|', {}) as told from public.{table};
                 commit",
                self.role,
                columns.join(", ")
            );
            let messages = sql.simple_query(&text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let selected = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) if row.columns()[0].name() == "told" => row.get(0),
                _ => None,
            });
            let selected: BTreeSet<String> = selected.map(str::to_owned).collect();
            let written = |row: &Value| {
                let values = columns.iter().map(|column| match &row[column] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                values.collect::<Vec<_>>().join("|")
            };
            let held: BTreeSet<String> = self.rows(table).iter().map(written).collect();
            assert_eq!(held, selected, "{table} as {}", self.who);
        }
    }
}
