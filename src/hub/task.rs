use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::engine::{Engine, Noticed};
use super::handle::{Attach, Command, Report, Shared};
use super::outbox::{Delivery, Fall, Note, Offer, Outbox, ReaderKey};
use super::place::Place;
use super::replay::Replayer;
use super::selection::{Rows, Selection};
use super::{Config, Ticket};
use crate::cache::{Marks, Point};
use crate::event::Table;
use crate::journal::{Follower, Journal, NotYet, Read, Step};
use crate::policy::{Digests, Grants, Visibility};
use crate::protocol::{Frame, ResyncReason};
use crate::shutdown::Scope;
use crate::telemetry::metric;

/// How many commands are taken between two batches of records.
const COMMANDS_AT_ONCE: usize = 64;
/// How many records the hub itself replays to a reader who joins: about what comes in while the reader's session
/// asks. Whoever is further behind replays on its own time.
const REPLAY_AT_MOST: usize = 256;
/// And how much of them: what it nets and encodes for one reader, all others wait for.
const REPLAY_BYTES_AT_MOST: usize = 512 * 1_024;

/// The hub as a task: the one owner of the engine.
pub(super) struct Task {
    pub(super) engine: Engine,
    pub(super) config: Config,
    pub(super) follower: Follower,
    pub(super) journal: Journal,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) marks: Option<Arc<Marks>>,
    pub(super) shared: Arc<Shared>,
    /// The catalog's tables by oid.
    pub(super) tables: HashMap<u32, Arc<Table>>,
    /// What roles may see.
    pub(super) grants: Digests,
}

impl Task {
    pub(super) async fn run(mut self, scope: Scope) {
        let mut commands = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            let due = self.engine.next_due();
            // Not biased: neither a flood of commands nor a backlog of records may starve the other.
            tokio::select! {
                () = scope.closing() => return,
                taken = self.commands.recv_many(&mut commands, COMMANDS_AT_ONCE) => {
                    if taken == 0 {
                        return;
                    }
                    commands.drain(..).for_each(|command| self.obey(command));
                }
                step = self.follower.next() => self.follow(step),
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
            self.engine.tick(Instant::now());
            self.publish();
            tokio::task::consume_budget().await;
        }
    }

    fn follow(&mut self, step: Step) {
        match step {
            Step::Reset(start) => {
                if let Some(marks) = &self.marks {
                    marks.restart(Point { incarnation: start.incarnation, lsn: start.position.commit_lsn });
                }
                self.engine.reset(start);
                self.shared.marks_lost();
            }
            Step::Records(records) => {
                if let Some(marks) = &self.marks {
                    for record in &records {
                        marks.touch(record);
                    }
                }
                // Before anybody is told of them: nobody has been told of anything beyond where the hub says it stands.
                if let Some(last) = records.iter().rev().find(|record| record.ends_transaction()) {
                    self.shared.move_to(self.engine.incarnation, last.end());
                }
                let mut noticed = Noticed::default();
                for record in &records {
                    self.engine.take(record, &mut noticed);
                }
                self.shared.marks_passed(&noticed.tokens, self.engine.position);
                if noticed.schema {
                    self.shared.schema_changed.notify_one();
                }
            }
        }
    }

    fn publish(&self) {
        self.shared.move_to(self.engine.incarnation, self.engine.position);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Attach { selection, outbox, key, place, reply } => {
                // An opener that was cancelled no longer asks: its session learns of the reader by the note.
                _ = reply.send(self.attach(selection, &outbox, key, place));
                self.gauge();
            }
            Command::Detach { ticket, outbox, key } => {
                self.engine.shapes.leave(ticket, &outbox, key);
                self.gauge();
            }
            Command::Release { ticket, outbox, key } => {
                if let Some(place) = self.engine.release(ticket, &outbox, key) {
                    _ = outbox.note(key, Note::Fell(Fall::Behind(place)));
                }
            }
            Command::Report { readers, outbox, report, reply } => {
                self.report(&readers, &outbox, report, reply);
            }
            Command::Tables(tables) => self.retable(tables),
            Command::Grants(grants) => self.regrant(grants),
        }
    }

    fn attach(&mut self, selection: Selection, outbox: &Arc<Outbox>, key: ReaderKey, place: Place) -> Attach {
        match place.incarnation.cmp(&self.engine.incarnation) {
            Ordering::Less => return Attach::Refused(ResyncReason::SourceReset),
            Ordering::Greater => return Attach::Behind,
            Ordering::Equal => {}
        }
        if let Selection::Rows(rows) = &selection
            && self.tables.get(&rows.table.oid) != Some(&rows.table)
        {
            return Attach::Refused(ResyncReason::SchemaChanged);
        }
        if let Selection::Rows(Rows { visibility: Some(visibility), .. }) = &selection {
            if !self.holds(visibility) {
                return Attach::Refused(ResyncReason::PermissionsChanged);
            }
            if !self.knows(visibility) {
                return Attach::Refused(ResyncReason::SchemaChanged);
            }
        }
        if self.engine.is_in_large_transaction() {
            return Attach::Behind;
        }
        let mut replayer = Replayer::new(selection.clone(), place, self.config);
        match self.replay(&mut replayer, outbox, key) {
            Attach::Live => {
                let ticket = self.engine.shapes.join(selection.clone(), outbox.clone(), key);
                // Noted here, so that it comes before whatever the hub notes of the reader later.
                if outbox.note(key, Note::Live(ticket, selection)) == Offer::Closed {
                    self.engine.shapes.leave(ticket, outbox, key);
                }
                Attach::Live
            }
            other => other,
        }
    }

    /// Brings a reader from its place to the hub's own, if that is near.
    fn replay(&self, replayer: &mut Replayer, outbox: &Outbox, key: ReaderKey) -> Attach {
        let place = replayer.place().clone();
        let here = self.engine.position;
        // Of another process that has read more of the journal: what a snapshot has shown that this hub has not passed, no
        // live reader is kept from.
        if place.settled() > here {
            return Attach::Behind;
        }
        let mut frames = Vec::new();
        if place.position < here {
            let records = match self.journal.read(place.incarnation, place.position, REPLAY_AT_MOST) {
                Read::Records(records) => records,
                Read::Gap => {
                    return match self.journal.refuse(place.incarnation, place.position) {
                        Ok(Some(reason)) => Attach::Refused(reason),
                        // Kept elsewhere, which is for the reader's own time.
                        Ok(None) | Err(NotYet) => Attach::Behind,
                    };
                }
            };
            let mut bytes = 0;
            for record in records.iter().take_while(|record| record.end() <= here) {
                bytes += record.size_bytes();
                if bytes > REPLAY_BYTES_AT_MOST {
                    return Attach::Behind;
                }
                match replayer.feed(record) {
                    Ok(more) => frames.extend(more),
                    Err(fall) => return Attach::Fell(fall),
                }
            }
            if replayer.place().position != here {
                return Attach::Behind;
            }
            match replayer.finish() {
                Ok(more) => frames.extend(more),
                Err(fall) => return Attach::Fell(fall),
            }
        }
        if frames.is_empty() {
            return Attach::Live;
        }
        match outbox.offer(key, &frames) {
            Offer::Queued => Attach::Live,
            Offer::Full | Offer::Closed => Attach::Full,
        }
    }

    /// Tells a connection how far all of its readers are, unless something is owed to one of them.
    fn report(
        &mut self,
        readers: &[(ReaderKey, Ticket)],
        outbox: &Arc<Outbox>,
        report: Report,
        reply: oneshot::Sender<bool>,
    ) {
        let here = self.engine.position;
        let settled =
            readers.iter().all(|(key, ticket)| self.engine.shapes.owes_nothing(*ticket, outbox, *key));
        let told = match report {
            Report::Progress if settled => {
                let cursor = Some(self.engine.stamp(here));
                let frame = Frame::progress(here.commit_lsn);
                outbox.push(None, Delivery { frame, cursor, shape: None });
                true
            }
            Report::Reached(lsn) if settled && here.commit_lsn >= lsn => {
                outbox.push(None, Delivery::plain(Frame::reached(lsn)));
                true
            }
            _ => false,
        };
        // A session that has ended no longer asks.
        _ = reply.send(told);
    }

    /// Whether grants and policies are what somebody's rights were worked out from.
    fn holds(&self, visibility: &Visibility) -> bool {
        let Grants { role, tables } = &*visibility.grants;
        tables.iter().all(|(oid, digest)| self.grants.get(&(role.clone(), *oid)) == Some(digest))
    }

    /// Whether the tables that they depend on are what they were.
    fn knows(&self, visibility: &Visibility) -> bool {
        visibility.guards.iter().all(|guard| self.tables.get(&guard.table().oid) == Some(guard.table()))
    }

    /// Takes what roles may see now.
    fn regrant(&mut self, grants: Digests) {
        self.grants = grants;
        let bound = self.engine.shapes.bound();
        let revoked: Vec<_> =
            bound.filter(|(_, visibility)| !self.holds(visibility)).map(|(reader, _)| reader).collect();
        self.engine.drop_readers(revoked.into_iter(), ResyncReason::PermissionsChanged);
        self.gauge();
    }

    /// Takes a new catalog; the readers of tables that are not what they were start over.
    fn retable(&mut self, tables: HashMap<u32, Arc<Table>>) {
        for shape in self.engine.shapes.all() {
            let Some(Selection::Rows(rows)) = self.engine.shapes.get_mut(shape).map(|shape| &shape.selection)
            else {
                continue;
            };
            if tables.get(&rows.table.oid) != Some(&rows.table) {
                self.engine.resync(shape, ResyncReason::SchemaChanged);
            }
        }
        self.tables = tables;
        let bound = self.engine.shapes.bound();
        let unknown: Vec<_> =
            bound.filter(|(_, visibility)| !self.knows(visibility)).map(|(reader, _)| reader).collect();
        self.engine.drop_readers(unknown.into_iter(), ResyncReason::SchemaChanged);
        self.gauge();
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^52")]
    fn gauge(&self) {
        metrics::gauge!(metric::HUB_SHAPES).set(self.engine.shapes.len() as f64);
        metrics::gauge!(metric::HUB_READERS).set(self.engine.shapes.readers() as f64);
    }
}
