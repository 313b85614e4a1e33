use crate::event::Lsn;

/// Positions that the client wants to be told of.
#[derive(Debug, Default)]
pub(super) struct Awaited(Vec<Position>);

#[derive(Clone, Copy, Debug)]
struct Position {
    lsn: Lsn,
    /// The hub has passed it.
    passed: bool,
}

impl Awaited {
    /// How many a client may await at once.
    pub(super) const MOST: usize = 16;

    /// Notes one; whether there was room.
    pub(super) fn add(&mut self, lsn: Lsn) -> bool {
        let fits = self.0.len() < Self::MOST;
        if fits {
            self.0.push(Position { lsn, passed: false });
        }
        fits
    }

    /// The hub has passed a position.
    pub(super) fn passed(&mut self, lsn: Lsn) {
        for position in self.0.iter_mut().filter(|position| position.lsn == lsn) {
            position.passed = true;
        }
    }

    /// One that the hub has passed and the client has not been told of.
    pub(super) fn owed(&self) -> Option<Lsn> {
        self.0.iter().find(|position| position.passed).map(|position| position.lsn)
    }

    /// The client is told of a position.
    pub(super) fn told(&mut self, lsn: Lsn) {
        self.0.retain(|position| position.lsn != lsn);
    }
}
