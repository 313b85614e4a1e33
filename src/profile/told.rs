use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::auth::{Identity, Refusal};
use crate::postgres::Impersonation;

/// A hash, since claims can be long and are nobody's business.
type Digest = [u8; 32];

/// What of an identity's claims decides whether the database is to be told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Claims {
    /// Role, issuer and subject; where no subject is named, all that lasts.
    person: Digest,
    /// Role and all that lasts: what is no token's own.
    lasting: Digest,
    /// `iat`: seconds since 1970, or 0.
    issued_at: f64,
}

/// What was told of whom, bounded in time and number.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Persons>);

#[derive(Debug, Default)]
struct Persons {
    known: HashMap<Digest, Arc<tokio::sync::Mutex<Person>>>,
    /// In the order in which they came, which is the order in which they are forgotten.
    queue: VecDeque<(Digest, Instant)>,
}

/// What was told of one person.
#[derive(Debug, Default)]
pub(super) struct Person {
    /// The newest last.
    told: VecDeque<Seen>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Seen {
    lasting: Digest,
    /// Of the newest token that said so.
    issued_at: f64,
}

#[derive(Debug)]
struct Failed {
    lasting: Digest,
    refusal: Refusal,
    at: Instant,
}

/// What is to be done for somebody.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The database knows.
    Nothing,
    /// It was told a moment ago, in vain.
    Refused(Refusal),
    /// It has to be told.
    Call,
}

/// A row that somebody deletes by hand is back this soon after; 100,000 people who come and go make 170 calls a second.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Some 300 bytes each. Of more than these who came first is told of again.
const MOST_PERSONS: usize = 100_000;
/// Claims of one person: one set for each application that it is logged in to.
const MOST_CLAIMS: usize = 16;
/// A storm makes one attempt in this time; whoever is told to come again in a second finds the next one.
const FAILURE_REMEMBERED: Duration = Duration::from_millis(500);

impl Claims {
    pub(super) fn of(identity: &Identity, impersonation: &Impersonation) -> Self {
        let claims = identity.lasting_claims().unwrap_or_default();
        let lasting = digest(&impersonation.role, &claims);
        let named = ["iss", "sub"].map(|name| claims.get(name).cloned());
        let person = match named {
            [issuer, Some(subject)] => {
                let named = Map::from_iter([("iss".into(), issuer.into()), ("sub".into(), subject)]);
                digest(&impersonation.role, &named)
            }
            _ => lasting,
        };
        Self { person, lasting, issued_at: identity.issued_at().unwrap_or_default() }
    }
}

/// The same for claims in any order: `serde_json` sorts members by name.
fn digest(role: &str, claims: &Map<String, Value>) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(&(role.len() as u64).to_be_bytes());
    hash.update(role.as_bytes());
    hash.update(serde_json::to_string(claims).expect("JSON can be written").as_bytes());
    hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Told {
    /// What was told of this person.
    pub(super) fn person(&self, claims: &Claims, now: Instant) -> Arc<tokio::sync::Mutex<Person>> {
        self.0.lock().person(claims.person, now, MOST_PERSONS)
    }
}

impl Persons {
    fn person(&mut self, person: Digest, now: Instant, most: usize) -> Arc<tokio::sync::Mutex<Person>> {
        while let Some((oldest, came_at)) = self.queue.front()
            && now.duration_since(*came_at) >= REMEMBERED
        {
            self.known.remove(oldest);
            self.queue.pop_front();
        }
        if let Some(known) = self.known.get(&person) {
            return known.clone();
        }
        if self.queue.len() >= most
            && let Some((oldest, _)) = self.queue.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.queue.push_back((person, now));
        self.known.entry(person).or_default().clone()
    }
}

impl Person {
    /// Whether the database is to be told of these claims.
    ///
    /// What was told is not told again, unless a newer token has said otherwise in between, and this is a newer one still:
    /// so a name that is changed and changed back is right in the end, and two applications whose tokens differ do
    /// not take turns with every reconnect.
    pub(super) fn due(&self, claims: &Claims, now: Instant) -> Due {
        if let Some(failed) = &self.failed
            && failed.lasting == claims.lasting
            && now.duration_since(failed.at) < FAILURE_REMEMBERED
        {
            return Due::Refused(failed.refusal);
        }
        let Some(same) = self.told.iter().find(|seen| seen.lasting == claims.lasting) else {
            return Due::Call;
        };
        let overridden =
            |other: &Seen| other.issued_at > same.issued_at && other.issued_at < claims.issued_at;
        if self.told.iter().any(overridden) { Due::Call } else { Due::Nothing }
    }

    /// Remembers what came of a call.
    pub(super) fn note(&mut self, claims: &Claims, outcome: Result<(), Refusal>, now: Instant) {
        let Claims { lasting, issued_at, .. } = *claims;
        match outcome {
            Ok(()) => {
                self.failed = None;
                self.told.retain(|seen| seen.lasting != lasting);
                if self.told.len() == MOST_CLAIMS {
                    self.told.pop_front();
                }
                self.told.push_back(Seen { lasting, issued_at });
            }
            Err(refusal) => self.failed = Some(Failed { lasting, refusal, at: now }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAYS: fn(u8, f64) -> Claims =
        |lasting, issued_at| Claims { person: [7; 32], lasting: [lasting; 32], issued_at };

    /// Tells of each in turn, and gives back for which of them there was a call.
    fn calls(turns: &[(u8, f64)]) -> Vec<bool> {
        let (mut person, now) = (Person::default(), Instant::now());
        let turn = |(lasting, issued_at): &(u8, f64)| {
            let claims = SAYS(*lasting, *issued_at);
            let due = person.due(&claims, now) == Due::Call;
            if due {
                person.note(&claims, Ok(()), now);
            }
            due
        };
        turns.iter().map(turn).collect()
    }

    #[test]
    fn claims_are_told_once_and_again_if_a_newer_token_said_otherwise_in_between() {
        // Renewed, and reconnected.
        assert_eq!(calls(&[(1, 10.0), (1, 20.0), (1, 10.0)]), [true, false, false]);
        // Changed, and changed back; the old tokens say nothing new.
        assert_eq!(
            calls(&[(1, 10.0), (2, 20.0), (1, 30.0), (2, 20.0), (1, 10.0)]),
            [true, true, true, false, false]
        );
        // Two applications whose sockets reconnect in turn.
        assert_eq!(calls(&[(1, 10.0), (2, 20.0), (1, 10.0), (2, 20.0)]), [true, true, false, false]);
        // Tokens that do not say when.
        assert_eq!(calls(&[(1, 0.0), (2, 0.0), (1, 0.0)]), [true, true, false]);
    }

    #[test]
    fn a_failure_is_shared_for_a_moment_and_then_tried_again() {
        let (mut person, now) = (Person::default(), Instant::now());
        person.note(&SAYS(1, 0.0), Err(Refusal::Profile), now);
        assert_eq!(person.due(&SAYS(1, 5.0), now), Due::Refused(Refusal::Profile));
        assert_eq!(person.due(&SAYS(2, 5.0), now), Due::Call, "other claims may be taken");
        assert_eq!(person.due(&SAYS(1, 5.0), now + FAILURE_REMEMBERED), Due::Call);
    }

    #[test]
    fn what_is_remembered_is_bounded_in_time_and_number() {
        let (mut persons, now) = (Persons::default(), Instant::now());
        let first = persons.person([1; 32], now, 2);
        assert!(Arc::ptr_eq(&first, &persons.person([1; 32], now, 2)));
        persons.person([2; 32], now, 2);
        persons.person([3; 32], now, 2);
        assert!(!Arc::ptr_eq(&first, &persons.person([1; 32], now, 2)), "the third took its place");
        assert_eq!((persons.known.len(), persons.queue.len()), (2, 2));
        persons.person([4; 32], now + REMEMBERED, 2);
        assert_eq!((persons.known.len(), persons.queue.len()), (1, 1), "the others' time was over");
    }
}
