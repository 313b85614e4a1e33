//! The source's changes as the journal's chunks, and as messages.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tidegate::event::envelope::{Encoder, OtherKey, RowMessage, Source, TypeRow, Types};
use tidegate::event::{Chunk, Lsn, Position, Timestamp, Xid};
use tidegate::source::{self, Delivery};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::fixture::{DEADLINE, Database};
use crate::source::follower::config;

/// What the engine calls itself where it runs beside.
pub(super) const NAME: &str = "drain";
/// When the messages are made.
pub(super) const NOW: i64 = 848_657_297_123_456;

/// The source, open, on a slot that may be there already.
pub(super) struct Reader {
    deliveries: mpsc::Receiver<Delivery>,
    _confirmed: watch::Sender<Lsn>,
    _closing: oneshot::Sender<()>,
    encoder: Encoder,
}

impl Reader {
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    pub(super) async fn open(database: &Database) -> Self {
        let (sender, mut deliveries) = mpsc::channel(64);
        let (confirmed, receiver) = watch::channel(Lsn::ZERO);
        let (closing, closed) = oneshot::channel::<()>();
        tokio::spawn(source::run(config(database), sender, receiver, async {
            let _ = closed.await;
        }));
        let opened = timeout(DEADLINE, deliveries.recv()).await.expect("it opens in time");
        assert!(matches!(opened, Some(Delivery::Opened { .. })), "{opened:?}");
        let source = Source { name: NAME.to_owned(), database: database.name().to_owned() };
        let mut encoder = Encoder::new(&source);
        let (types, keys) = describe(database).await;
        encoder.describe(types, keys);
        Self { deliveries, _confirmed: confirmed, _closing: closing, encoder }
    }

    /// The messages of the next transaction.
    pub(super) async fn transaction(&mut self) -> Vec<RowMessage> {
        let mut messages = Vec::new();
        loop {
            let delivery = timeout(DEADLINE, self.deliveries.recv()).await.expect("a delivery in time");
            let Some(Delivery::Chunk { commit_lsn, xid, committed_at, first_index, changes, last, .. }) =
                delivery
            else {
                continue;
            };
            let xid = Xid::new(u64::from(xid));
            let (previous, changes) = (Position::default(), changes.into());
            let chunk = Chunk { previous, commit_lsn, xid, committed_at, first_index, changes, last };
            for place in 0..chunk.changes.len() {
                self.encoder.encode(&chunk, place, Timestamp::new(NOW), &mut messages);
            }
            if last {
                return messages;
            }
        }
    }
}

/// What the catalog says of types without a fixed oid, and of primary keys.
async fn describe(database: &Database) -> (Types, HashMap<u32, Vec<Arc<str>>>) {
    let client = database.client().await;
    let rows = client
        .query(
            "select t.oid, t.typname, t.typtype = 'd' as domain, t.typbasetype, t.typtypmod,
                    e.oid as element, e.typdelim::text as delimiter
               from pg_type t
               left join pg_type e on e.oid = t.typelem and e.typarray = t.oid
              where t.oid >= 16384",
            &[],
        )
        .await
        .expect("a superuser");
    let types = rows.iter().map(|row| {
        let delimiter = row.get::<_, Option<String>>("delimiter").and_then(|text| text.bytes().next());
        let base = row.get::<_, bool>("domain").then(|| (row.get("typbasetype"), row.get("typtypmod")));
        let element: Option<u32> = row.get("element");
        let name: String = row.get("typname");
        (row.get("oid"), TypeRow { name: name.into(), base, element: element.zip(delimiter) })
    });
    let keys = client
        .query(
            "select i.indrelid, array_agg(a.attname::text) as columns
               from pg_index i
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
              where i.indisprimary
              group by i.indrelid",
            &[],
        )
        .await
        .expect("a superuser");
    let keys = keys.iter().map(|row| {
        let columns: Vec<String> = row.get("columns");
        (row.get("indrelid"), columns.into_iter().map(Arc::from).collect())
    });
    (types.collect(), keys.collect())
}

/// A message's body.
pub(super) fn body(message: &RowMessage) -> Value {
    let text = String::from_utf8_lossy(&message.body);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The name of the other key's header and what it says, if there is one.
pub(super) fn other_key(message: &RowMessage) -> (&str, &str) {
    match &message.other_key {
        None => ("", ""),
        Some(OtherKey::New(key)) => ("__debezium.newkey", key),
        Some(OtherKey::Old(key)) => ("__debezium.oldkey", key),
    }
}
