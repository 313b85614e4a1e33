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
        Self(Arc::new(Shared { safe: Mutex::new(Safe { journal: Lsn::ZERO, exchange: None }), confirmed }))
    }

    /// Has the exchange's word count too.
    pub(super) fn ask_exchange(&self) {
        self.0.safe.lock().exchange = Some(Lsn::ZERO);
    }

    /// Moves on to `lsn` for one of them, never back.
    pub(super) fn confirm(&self, party: Party, lsn: Lsn) {
        let mut safe = self.0.safe.lock();
        match party {
            Party::Journal => safe.journal = safe.journal.max(lsn),
            Party::Exchange => safe.exchange = safe.exchange.map(|exchange| exchange.max(lsn)),
        }
        let all = safe.exchange.map_or(safe.journal, |exchange| exchange.min(safe.journal));
        self.0.confirmed.send_if_modified(|confirmed| {
            let moves = all > *confirmed;
            *confirmed = all.max(*confirmed);
            moves
        });
    }

    /// Forgets everything: positions of another history mean nothing.
    pub(super) fn reset(&self) {
        let mut safe = self.0.safe.lock();
        safe.journal = Lsn::ZERO;
        safe.exchange = safe.exchange.map(|_| Lsn::ZERO);
        self.0.confirmed.send_replace(Lsn::ZERO);
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
        ledger.confirm(Party::Journal, Lsn::new(10));
        assert_eq!(told(), 10);
        ledger.ask_exchange();
        ledger.confirm(Party::Journal, Lsn::new(20));
        assert_eq!(told(), 10, "the exchange has said nothing yet");
        ledger.confirm(Party::Exchange, Lsn::new(15));
        assert_eq!(told(), 15);
        ledger.confirm(Party::Exchange, Lsn::new(12));
        ledger.confirm(Party::Exchange, Lsn::new(30));
        assert_eq!(told(), 20);
        ledger.reset();
        assert_eq!(told(), 0);
        ledger.confirm(Party::Journal, Lsn::new(5));
        assert_eq!(told(), 0);
    }
}
