//! A reader of the source as the relay is one: trims what comes again, and confirms what it holds.

use tidegate::event::{Change, Datum, Image, Lsn, Operation, Position, Row};
use tidegate::postgres::Settings;
use tidegate::source::{self, Config, Continuity, Delivery, Reason};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fixture::{DEADLINE, Database};

/// The configuration for a database's own slot and publication.
pub(crate) fn config(database: &Database) -> Config {
    let settings = Settings::parse(&database.url()).expect("the fixture's URL");
    Config::new(settings, &database.publication(), &database.slot())
}

/// Makes the database's publication, for all tables.
pub(crate) async fn publish(database: &Database) {
    database
        .execute(&format!(
            "create publication {} for all tables with (publish_via_partition_root = true)",
            database.publication()
        ))
        .await;
}

pub(crate) struct Follower {
    deliveries: mpsc::Receiver<Delivery>,
    pub(crate) confirmed: watch::Sender<Lsn>,
    closing: oneshot::Sender<()>,
    task: JoinHandle<Result<(), source::Error>>,
    tail: Position,
    changes: Vec<Change>,
    confirms: bool,
    /// The longest chunk so far.
    pub(crate) largest_chunk_bytes: usize,
    /// Chunks, marks and openings so far.
    pub(crate) deliveries_taken: usize,
    /// The furthest end of what was delivered.
    delivered: Lsn,
}

/// What a reader of the source sees.
#[derive(Debug)]
pub(crate) enum Seen {
    Opened(Continuity),
    Transaction { changes: Vec<Change>, end_lsn: Lsn },
    Mark(Option<u64>),
    Closed,
}

impl Follower {
    pub(crate) fn start(config: Config) -> Self {
        Self::start_with_room(config, 64)
    }

    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    pub(crate) fn start_with_room(config: Config, room: usize) -> Self {
        let (sender, deliveries) = mpsc::channel(room);
        let (confirmed, receiver) = watch::channel(Lsn::ZERO);
        let (closing, closed) = oneshot::channel::<()>();
        let task = tokio::spawn(source::run(config, sender, receiver, async {
            let _ = closed.await;
        }));
        Self {
            deliveries,
            confirmed,
            closing,
            task,
            tail: Position::default(),
            changes: Vec::new(),
            confirms: true,
            largest_chunk_bytes: 0,
            deliveries_taken: 0,
            delivered: Lsn::ZERO,
        }
    }

    /// The same, which holds nothing safe.
    pub(crate) fn without_confirming(mut self) -> Self {
        self.confirms = false;
        self
    }

    /// Starts, and waits until the stream is open.
    pub(crate) async fn open(config: Config) -> Self {
        let mut follower = Self::start(config);
        follower.opened().await;
        follower
    }

    /// Waits for the next opening; nothing may come before it.
    pub(crate) async fn opened(&mut self) -> Continuity {
        match self.next().await {
            Seen::Opened(continuity) => continuity,
            other => panic!("not an opening: {other:?}"),
        }
    }

    /// Waits for the next reset, over whatever comes before it.
    pub(crate) async fn reset(&mut self) -> Reason {
        loop {
            if let Seen::Opened(Continuity::Reset(reason)) = self.next().await {
                return reason;
            }
        }
    }

    /// What comes next, put together and trimmed.
    pub(crate) async fn next(&mut self) -> Seen {
        loop {
            let delivery = timeout(DEADLINE, self.deliveries.recv()).await.expect("a delivery in time");
            let Some(delivery) = delivery else { panic!("the source has ended") };
            self.deliveries_taken += 1;
            if let Some(seen) = self.take(delivery) {
                return seen;
            }
        }
    }

    /// The furthest end of all that has been delivered by now.
    pub(crate) fn delivered(&mut self) -> Lsn {
        while let Ok(delivery) = self.deliveries.try_recv() {
            let _ = self.take(delivery);
        }
        self.delivered
    }

    /// The next transaction, over marks and reconnections; a reset is none of these.
    pub(crate) async fn transaction(&mut self) -> Vec<Change> {
        loop {
            match self.next().await {
                Seen::Transaction { changes, .. } => return changes,
                Seen::Mark(_) | Seen::Closed | Seen::Opened(Continuity::Continued) => {}
                other @ Seen::Opened(_) => panic!("a reset: {other:?}"),
            }
        }
    }

    /// The next transaction in words.
    pub(crate) async fn story(&mut self) -> Vec<String> {
        self.transaction().await.iter().map(told).collect()
    }

    /// Tells it to stop, and what came of it.
    pub(crate) async fn stop(self) -> Result<(), source::Error> {
        // It may have stopped by itself.
        let _ = self.closing.send(());
        timeout(DEADLINE, self.task).await.expect("stops in time").expect("does not panic")
    }

    /// What made it give up.
    pub(crate) async fn failure(self) -> source::Error {
        let outcome = timeout(DEADLINE, self.task).await.expect("halts in time").expect("does not panic");
        outcome.expect_err("it halts")
    }

    fn take(&mut self, delivery: Delivery) -> Option<Seen> {
        if let Delivery::Chunk { end_lsn, last: true, .. } | Delivery::Mark { end_lsn, .. } = &delivery {
            self.delivered = self.delivered.max(*end_lsn);
        }
        match delivery {
            Delivery::Opened { continuity, .. } => {
                if matches!(continuity, Continuity::Reset(_)) {
                    self.tail = Position::default();
                    self.changes.clear();
                    self.confirmed.send_replace(Lsn::ZERO);
                }
                Some(Seen::Opened(continuity))
            }
            Delivery::Chunk { commit_lsn, end_lsn, xid, first_index, changes, last, .. } => {
                let bytes = changes.iter().map(Change::size_bytes).sum();
                self.largest_chunk_bytes = self.largest_chunk_bytes.max(bytes);
                let known = if commit_lsn == self.tail.commit_lsn { self.tail.index } else { 0 };
                if commit_lsn < self.tail.commit_lsn {
                    return None;
                }
                assert!(first_index <= known, "changes {known} to {first_index} of {xid} are missing");
                let length = u32::try_from(changes.len()).expect("bounded");
                let fresh = usize::try_from(known - first_index).expect("small");
                if known >= first_index + length {
                    return None;
                }
                self.changes.extend(changes.into_iter().skip(fresh));
                self.tail = Position { commit_lsn, index: first_index + length };
                last.then(|| {
                    self.confirm(end_lsn);
                    Seen::Transaction { changes: std::mem::take(&mut self.changes), end_lsn }
                })
            }
            Delivery::Mark { commit_lsn, end_lsn, token } => {
                let position = Position { commit_lsn, index: 0 };
                if position < self.tail {
                    return None;
                }
                self.tail = position;
                self.confirm(end_lsn);
                Some(Seen::Mark(token))
            }
            Delivery::Closed => Some(Seen::Closed),
        }
    }

    fn confirm(&self, end_lsn: Lsn) {
        if self.confirms {
            self.confirmed.send_replace(end_lsn);
        }
    }
}

/// A change in words: `+ t (1, ~, …)`, `~ t full(1, a) (1, b)`, `- t key(1)`; as a value, `…` is unchanged and `~` null.
pub(crate) fn told(change: &Change) -> String {
    match change {
        Change::Row(change) => {
            let table = &change.relation.name;
            let operation = &change.operation;
            let old = operation.old().map(|old| match old {
                Image::Key(row) => format!(" key{}", columns(row)),
                Image::Full(row) => format!(" full{}", columns(row)),
            });
            let new = operation.new().map(|row| format!(" {}", columns(row)));
            let sign = match operation {
                Operation::Insert { .. } => '+',
                Operation::Update { .. } => '~',
                Operation::Delete { .. } => '-',
            };
            format!("{sign} {table}{}{}", old.unwrap_or_default(), new.unwrap_or_default())
        }
        Change::Truncate(relation) => format!("truncate {}", relation.name),
        Change::Event(event) => {
            format!("event {} {}", event.channel, String::from_utf8_lossy(&event.data))
        }
        Change::Schema => "schema".into(),
    }
}

fn columns(row: &Row) -> String {
    let texts: Vec<String> = row
        .columns()
        .map(|datum| match datum {
            Datum::Null => "~".into(),
            Datum::Unchanged => "…".into(),
            Datum::Untold => "?".into(),
            Datum::Text(text) if text.len() > 100 => format!("{} bytes", text.len()),
            Datum::Text(text) => String::from_utf8_lossy(text).into_owned(),
        })
        .collect();
    format!("({})", texts.join(", "))
}
