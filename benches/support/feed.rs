//! A hub on a journal in memory, fed with transactions as fast as it takes them; and who listens to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate::config::Layers;
use tidegate::event::{
    Change, Chunk, Column, Datum, Lsn, Operation, Position, Record, Relation, RelationColumn, Row, RowChange,
    Table, Timestamp, Xid,
};
use tidegate::hub::{self, Batch, Outbox};
use tidegate::journal::{self, Appended, Ledger, Writer};
use tidegate::shutdown::Scope;
use tokio::sync::watch;

use super::measure::Stopwatch;

/// How many records come between two turns of the hub: as many as it takes at once.
const AT_ONCE: u64 = 64;

/// A hub, and the journal's writer.
pub(crate) struct Feed {
    pub(crate) hub: hub::Handle,
    writer: Writer,
    next: u64,
}

impl Feed {
    /// One that knows these tables.
    pub(crate) async fn start(tables: &[Arc<Table>]) -> Self {
        let config = Layers::default().flag("bench", "postgres.url", "postgres://localhost/bench");
        let config = config.load().expect("the defaults");
        let (confirmed, _) = watch::channel(Lsn::ZERO);
        let journal::Parts { writer, follower, journal, .. } = journal::open(
            config.journal.bounds(),
            config.journal.backend(config.event_bytes()),
            Ledger::new(confirmed),
            &Scope::new(),
        );
        let limits = hub::Config {
            transaction_bytes: config.hub.transaction_bytes,
            frame_bytes: config.session.frame_bytes,
        };
        let hub = hub::start(limits, follower, journal, None, &Scope::new());
        let tables: HashMap<_, _> = tables.iter().map(|table| (table.oid, table.clone())).collect();
        hub.set_tables(tables).await.expect("the hub runs");
        Self { hub, writer, next: 1 }
    }

    /// One transaction.
    pub(crate) fn record(&mut self, changes: Vec<Change>) -> Record {
        let previous = match self.next {
            1 => Position::default(),
            next => Position { commit_lsn: Lsn::new(next - 1), index: 1 },
        };
        let commit_lsn = Lsn::new(self.next);
        self.next += 1;
        Record::Chunk(Chunk {
            previous,
            commit_lsn,
            xid: Xid::new(self.next),
            committed_at: Timestamp::default(),
            first_index: 0,
            changes: changes.into(),
            last: true,
        })
    }

    /// The time from the first append until the hub has offered everything.
    pub(crate) async fn round(&mut self, records: Vec<Record>) -> Duration {
        let last = records.last().expect("many").end();
        let mut moves = self.hub.moves();
        let stopwatch = Stopwatch::start();
        for (number, record) in (1..).zip(records) {
            let appended = Appended { record, reaches: None, stored: Vec::new() };
            self.writer.append(appended).await.expect("memory refuses nothing");
            if number % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        moves.wait_for(|tail| tail.position == last).await.expect("the hub runs");
        stopwatch.stop().wall
    }
}

/// Takes all that waits; how many frames.
pub(crate) fn take_all(outboxes: &[Arc<Outbox>]) -> u64 {
    let mut batch = Batch::default();
    let mut taken = 0;
    for outbox in outboxes {
        outbox.take(&mut batch);
        outbox.written(&batch.entries);
        taken += batch.entries.len() as u64;
        batch.entries.clear();
    }
    taken
}

/// A new row.
pub(crate) fn insert(relation: &Arc<Relation>, values: &[&str]) -> Change {
    let new: Row = values.iter().map(|text| Datum::Text(text.as_bytes())).collect();
    Change::Row(RowChange { relation: relation.clone(), operation: Operation::Insert { new } })
}

/// The table as the stream tells of it.
pub(crate) fn relation(table: &Table) -> Arc<Relation> {
    let column = |column: &Column| RelationColumn {
        name: column.name.clone(),
        key: true,
        type_oid: column.kind.oid,
        type_modifier: -1,
    };
    Arc::new(Relation {
        oid: table.oid,
        schema: table.name.schema.clone(),
        name: table.name.name.clone(),
        identity: table.identity,
        columns: table.columns.iter().map(column).collect(),
    })
}
