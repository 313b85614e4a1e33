use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::event::Lsn;

/// What the slot may be told: what all who have to make it safe have made safe. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    safe: Mutex<Safe>,
    confirmed: watch::Sender<Lsn>,
}

#[derive(Debug)]
struct Safe {
    journal: Lsn,
    /// `None` if nothing goes to services.
    exchange: Option<Lsn>,
    /// How often all was forgotten: what was meant before says nothing after.
    epoch: u64,
}

/// What one party writes of one history.
#[derive(Clone, Debug)]
pub(super) struct Page {
    ledger: Ledger,
    party: Party,
    epoch: u64,
}

/// Who has made something safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    /// The journal.
    Journal,
    /// The exchange for services.
    Exchange,
}

impl Ledger {
    /// Of the journal alone. What is safe moves `confirmed`.
    pub fn new(confirmed: watch::Sender<Lsn>) -> Self {
        Self(Arc::new(Shared {
            safe: Mutex::new(Safe { journal: Lsn::ZERO, exchange: None, epoch: 0 }),
            confirmed,
        }))
    }

    /// Has the exchange's word count too.
    pub(super) fn ask_exchange(&self) {
        self.0.safe.lock().exchange = Some(Lsn::ZERO);
    }

    /// A page for what `party` makes safe from now on, until all is forgotten.
    pub(super) fn page(&self, party: Party) -> Page {
        let epoch = self.0.safe.lock().epoch;
        Page { ledger: self.clone(), party, epoch }
    }

    /// Forgets everything: positions of another history mean nothing.
    pub(super) fn reset(&self) {
        let mut safe = self.0.safe.lock();
        safe.journal = Lsn::ZERO;
        safe.exchange = safe.exchange.map(|_| Lsn::ZERO);
        safe.epoch += 1;
        self.0.confirmed.send_replace(Lsn::ZERO);
    }
}

impl Page {
    /// Moves on to `lsn`, never back.
    pub(super) fn confirm(&self, lsn: Lsn) {
        let Shared { safe, confirmed } = &*self.ledger.0;
        let mut safe = safe.lock();
        if safe.epoch != self.epoch {
            return;
        }
        match self.party {
            Party::Journal => safe.journal = safe.journal.max(lsn),
            Party::Exchange => safe.exchange = safe.exchange.map(|exchange| exchange.max(lsn)),
        }
        let all = safe.exchange.map_or(safe.journal, |exchange| exchange.min(safe.journal));
        confirmed.send_if_modified(|confirmed| {
            let moves = all > *confirmed;
            *confirmed = all.max(*confirmed);
            moves
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_is_told_what_all_have_made_safe_and_never_less() {
        let (confirmed, receiver) = watch::channel(Lsn::ZERO);
        let ledger = Ledger::new(confirmed);
        let told = || receiver.borrow().get();
        let (journal, exchange) = (ledger.page(Party::Journal), ledger.page(Party::Exchange));
        journal.confirm(Lsn::new(10));
        assert_eq!(told(), 10);
        ledger.ask_exchange();
        journal.confirm(Lsn::new(20));
        assert_eq!(told(), 10, "the exchange has said nothing yet");
        exchange.confirm(Lsn::new(15));
        assert_eq!(told(), 15);
        exchange.confirm(Lsn::new(12));
        exchange.confirm(Lsn::new(30));
        assert_eq!(told(), 20);
        ledger.reset();
        assert_eq!(told(), 0);
        journal.confirm(Lsn::new(50));
        exchange.confirm(Lsn::new(50));
        assert_eq!(told(), 0, "of the history before");
        ledger.page(Party::Journal).confirm(Lsn::new(5));
        ledger.page(Party::Exchange).confirm(Lsn::new(4));
        assert_eq!(told(), 4);
    }
}
