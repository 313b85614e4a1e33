use std::collections::{BTreeMap, HashMap};

use crate::event::Position;

/// How far each passenger of a run has come.
#[derive(Debug, Default)]
pub(super) struct Passengers {
    places: HashMap<u64, Position>,
    /// How many are where: the run asks for the hindmost with every block, of thousands.
    counts: BTreeMap<Position, usize>,
}

impl Passengers {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where the one is that is furthest behind.
    pub(super) fn hindmost(&self) -> Option<Position> {
        self.counts.first_key_value().map(|(position, _)| *position)
    }

    /// Puts a passenger somewhere, wherever it was before.
    pub(super) fn put(&mut self, number: u64, position: Position) {
        let former = self.places.insert(number, position);
        if former != Some(position) {
            *self.counts.entry(position).or_default() += 1;
            if let Some(former) = former {
                self.uncount(former);
            }
        }
    }

    /// Notes how far a passenger has come; tells whether it is still there.
    pub(super) fn go_on(&mut self, number: u64, position: Position) -> bool {
        let there = self.places.contains_key(&number);
        if there {
            self.put(number, position);
        }
        there
    }

    pub(super) fn get_off(&mut self, number: u64) {
        let former = self.places.remove(&number);
        if let Some(former) = former {
            self.uncount(former);
        }
    }

    /// Goes on without those who are before `start`.
    pub(super) fn leave_behind(&mut self, start: Position) {
        self.places.retain(|_, position| *position >= start);
        self.counts = self.counts.split_off(&start);
    }

    fn uncount(&mut self, position: Position) {
        if let Some(count) = self.counts.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lsn;

    #[test]
    fn the_hindmost_is_known_whoever_goes_on_or_gets_off() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut passengers = Passengers::default();
        let mut model: HashMap<u64, Position> = HashMap::new();
        for _ in 0..10_000 {
            let number = random.u64(..20);
            let position = Position { commit_lsn: Lsn::new(random.u64(..50)), index: random.u32(..2) };
            match random.u8(..4) {
                0 => {
                    passengers.put(number, position);
                    model.insert(number, position);
                }
                1 => {
                    let there = passengers.go_on(number, position);
                    assert_eq!(there, model.get_mut(&number).map(|place| *place = position).is_some());
                }
                2 => {
                    passengers.get_off(number);
                    model.remove(&number);
                }
                _ if random.u8(..8) == 0 => {
                    passengers.leave_behind(position);
                    model.retain(|_, place| *place >= position);
                }
                _ => {}
            }
            assert_eq!(passengers.hindmost(), model.values().min().copied());
            assert_eq!(passengers.is_empty(), model.is_empty());
        }
    }
}
