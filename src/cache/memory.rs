use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Error;

/// So many entries are held: at about 1 KiB each, a hundred megabytes.
const MOST: usize = 100_000;
/// How many are put before those whose time is over are looked for.
const SWEEP_AFTER: usize = 1_000;

/// What one process remembers.
#[derive(Default)]
pub(super) struct Memory(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_name: HashMap<String, (String, Instant)>,
    put: usize,
}

impl Memory {
    pub(super) fn put(&self, name: &str, value: &str, lives: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let mut entries = self.0.lock();
        entries.put += 1;
        if entries.put >= SWEEP_AFTER || entries.by_name.len() >= MOST {
            entries.put = 0;
            entries.by_name.retain(|_, (_, ends_at)| *ends_at > now);
        }
        if entries.by_name.len() >= MOST && !entries.by_name.contains_key(name) {
            return Err(Error::Full(MOST));
        }
        entries.by_name.insert(name.to_owned(), (value.to_owned(), now + lives));
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        let entries = self.0.lock();
        let (value, ends_at) = entries.by_name.get(name)?;
        (*ends_at > Instant::now()).then(|| value.clone())
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.lock().by_name.remove(name);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} entries)", self.0.lock().by_name.len())
    }
}
