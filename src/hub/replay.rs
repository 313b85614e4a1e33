use std::sync::Arc;

use super::assembly::{self, Assembled, Assembly};
use super::frames;
use super::judge::{Images, LastMapping, Undecided, Verdict};
use super::net::{Mismatch, NetChanges, Netting};
use super::outbox::{Delivery, Fall, Stamp};
use super::place::Place;
use super::selection::{Rows, Selection};
use super::{Config, policy_raised, raised, watches};
use crate::event::{Change, Position, Record, Table, Timestamp, Xid};
use crate::policy::Guard;
use crate::protocol::{Delivery as Pace, Origin, ResyncReason};

/// Tells one reader what it missed, from the journal's records: what the hub would have told it live.
///
/// A conflating reader gets the net of all it missed.
#[derive(Debug)]
pub(super) struct Replayer {
    selection: Selection,
    config: Config,
    place: Place,
    assembly: Assembly,
    /// The transaction in work is over the limit and concerns this reader.
    touched: bool,
    conflated: Option<Netting>,
}

impl Replayer {
    /// A reader of `selection` who stands at `place`.
    pub(super) fn new(selection: Selection, place: Place, config: Config) -> Self {
        let conflated = match &selection {
            Selection::Rows(Rows { table, delivery: Pace::Latest { .. }, .. }) => {
                Some(Netting::new(table.clone()))
            }
            _ => None,
        };
        let assembly = Assembly::new(config.transaction_bytes);
        Self { selection, config, place, assembly, touched: false, conflated }
    }

    /// Where the reader stands once it has all that was given back so far.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it is told the same as everybody else of the selection who stands at its place.
    pub(super) fn is_like_others(&self) -> bool {
        self.place.seen.is_none() && self.conflated.is_none() && self.assembly.is_empty()
    }

    /// Passes over what the reader was told of otherwise, or need not be told of.
    pub(super) fn pass(&mut self, position: Position) {
        self.place.advance(position);
    }

    /// Takes the next record, and gives back what the reader sees of the transaction that it ends.
    ///
    /// # Errors
    /// Why the reader cannot be told.
    pub(super) fn feed(&mut self, record: &Arc<Record>) -> Result<Vec<Arc<Delivery>>, Fall> {
        let Some(chunk) = assembly::chunk(record) else {
            self.place.advance(record.end());
            return Ok(Vec::new());
        };
        let seen = self.place.seen.as_ref().is_some_and(|seen| seen.snapshot.sees(chunk.xid));
        match self.assembly.push(record) {
            Assembled::Partly => Ok(Vec::new()),
            Assembled::Whole(parts) => {
                self.place.advance(record.end());
                if seen {
                    return Ok(Vec::new());
                }
                if self.revokes(&parts) {
                    return Err(Fall::Resync(ResyncReason::PermissionsChanged));
                }
                self.tell(&parts)
            }
            Assembled::Large { parts, last } => {
                self.touched |= !seen && (self.touches(&parts) || self.revokes(&parts));
                if last {
                    self.place.advance(record.end());
                    if std::mem::take(&mut self.touched) {
                        return Err(Fall::Resync(ResyncReason::LargeTransaction));
                    }
                }
                Ok(Vec::new())
            }
        }
    }

    /// What a conflating reader is owed at its place; nothing for others.
    ///
    /// # Errors
    /// Why the reader cannot be told.
    pub(super) fn finish(&mut self) -> Result<Vec<Arc<Delivery>>, Fall> {
        let Selection::Rows(rows) = &self.selection else { return Ok(Vec::new()) };
        let Some(conflated) = self.conflated.replace(Netting::new(rows.table.clone())) else {
            self.conflated = None;
            return Ok(Vec::new());
        };
        self.frames(rows, &conflated.finish(), None)
    }

    fn tell(&mut self, parts: &[Arc<Record>]) -> Result<Vec<Arc<Delivery>>, Fall> {
        let Some(chunk) = parts.last().and_then(|part| assembly::chunk(part)) else { return Ok(Vec::new()) };
        match &self.selection {
            Selection::Channel(name) => {
                let events: Vec<_> = assembly::changes(parts)
                    .filter_map(|(index, change)| match change {
                        Change::Event(event) if event.channel == *name => Some((index, event)),
                        _ => None,
                    })
                    .collect();
                Ok(if events.is_empty() {
                    Vec::new()
                } else {
                    frames::events_frame(chunk, &events, &self.stamp())
                })
            }
            Selection::Rows(rows) => {
                let stale = |_| Fall::Resync(ResyncReason::SchemaChanged);
                let Some(net) = net_of(&rows.table, parts).map_err(stale)? else { return Ok(Vec::new()) };
                match &mut self.conflated {
                    None => self.frames(rows, &net, Some((chunk.xid, chunk.committed_at))),
                    Some(conflated) => {
                        if net.truncated {
                            conflated.truncate();
                        }
                        net.changes.iter().try_for_each(|change| conflated.merge(change)).map_err(stale)?;
                        Ok(Vec::new())
                    }
                }
            }
        }
    }

    fn frames(
        &self,
        rows: &Rows,
        net: &NetChanges,
        transaction: Option<(Xid, Timestamp)>,
    ) -> Result<Vec<Arc<Delivery>>, Fall> {
        let origin = Origin::new(self.place.position.commit_lsn, transaction);
        rows.frames(net, self.config.frame_bytes, &self.stamp(), &origin).map_err(|undecided| match undecided
        {
            Undecided::Missing => Fall::Resync(ResyncReason::SchemaChanged),
            Undecided::Raised(error) => Fall::Failed(Box::new(raised(&error))),
            Undecided::Policy => Fall::Failed(Box::new(policy_raised())),
        })
    }

    fn stamp(&self) -> Stamp {
        Stamp { position: self.place.position, text: self.place.cursor().encode().into() }
    }

    /// Whether a transaction touches what the reader's rights were worked out from.
    fn revokes(&self, parts: &[Arc<Record>]) -> bool {
        let Selection::Rows(Rows { visibility: Some(visibility), .. }) = &self.selection else {
            return false;
        };
        visibility.guards.iter().any(|guard| revokes(guard, parts))
    }

    fn touches(&self, parts: &[Arc<Record>]) -> bool {
        match &self.selection {
            Selection::Channel(name) => assembly::changes(parts)
                .any(|(_, change)| matches!(change, Change::Event(event) if event.channel == *name)),
            Selection::Rows(rows) => net_of(&rows.table, parts).is_ok_and(|net| match net {
                None => false,
                Some(net) => net.truncated || rows.sees_any(&net),
            }),
        }
    }
}

impl Rows {
    /// Whether the selection sees anything of these changes; what cannot be decided counts as seen.
    pub(super) fn sees_any(&self, net: &NetChanges) -> bool {
        let mut mapping = LastMapping::of_net(net);
        net.changes.iter().any(|change| {
            let Ok(mapping) = mapping.of(&self.table, change) else { return true };
            let images = Images::new(&self.table, mapping, change);
            !matches!(images.judge(self), Ok(Verdict::Nothing))
        })
    }
}

/// Looks out for what takes the rights away that depend on one guard.
#[derive(Debug)]
pub(super) struct Sentry {
    guard: Guard,
    assembly: Assembly,
    /// The transaction in work is over the limit and touches it.
    touched: bool,
}

impl Sentry {
    pub(super) fn new(guard: Guard, config: Config) -> Self {
        Self { guard, assembly: Assembly::new(config.transaction_bytes), touched: false }
    }

    /// Takes the next record, and tells why readers start over because of the transaction that it ends.
    pub(super) fn feed(&mut self, record: &Arc<Record>) -> Option<ResyncReason> {
        assembly::chunk(record)?;
        match self.assembly.push(record) {
            Assembled::Partly => None,
            Assembled::Whole(parts) => {
                revokes(&self.guard, &parts).then_some(ResyncReason::PermissionsChanged)
            }
            Assembled::Large { parts, last } => {
                self.touched |= revokes(&self.guard, &parts);
                (last && std::mem::take(&mut self.touched)).then_some(ResyncReason::LargeTransaction)
            }
        }
    }
}

/// Whether a transaction touches what somebody's rights were worked out from.
fn revokes(guard: &Guard, parts: &[Arc<Record>]) -> bool {
    match net_of(guard.table(), parts) {
        Ok(None) => false,
        Ok(Some(net)) => watches::touches(guard, &net),
        Err(Mismatch) => true,
    }
}

/// What a transaction did to a table; `None` if it left it alone.
fn net_of(table: &Arc<Table>, parts: &[Arc<Record>]) -> Result<Option<NetChanges>, Mismatch> {
    let mut netting = None;
    for (_, change) in assembly::changes(parts) {
        match change {
            Change::Row(row) if row.relation.oid == table.oid => {
                netting.get_or_insert_with(|| Netting::new(table.clone())).change(row)?;
            }
            Change::Truncate(relation) if relation.oid == table.oid => {
                netting.get_or_insert_with(|| Netting::new(table.clone())).truncate();
            }
            _ => {}
        }
    }
    Ok(netting.map(Netting::finish))
}
