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
    /// All that is in it.
    token: Digest,
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
    /// What was told last is the last.
    told: VecDeque<Claims>,
    failed: Option<Failed>,
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
const REMEMBERED: Duration = Duration::from_mins(10);
/// Some 700 bytes each. Of more than these who came first is told of again.
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
        let token = hash(&impersonation.role, &impersonation.claims);
        Self { person, lasting, token, issued_at: identity.issued_at().unwrap_or_default() }
    }
}

/// The same for claims in any order: `serde_json` sorts members by name.
fn digest(role: &str, claims: &Map<String, Value>) -> Digest {
    hash(role, &serde_json::to_string(claims).expect("JSON can be written"))
}

fn hash(role: &str, claims: &str) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(&(role.len() as u64).to_be_bytes());
    hash.update(role.as_bytes());
    hash.update(claims.as_bytes());
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
    /// What was told is not told again, unless a newer token has said otherwise since, and this is a newer one still
    /// (of the same second, another one): so a name that is changed and changed back is right in the end, and two applications whose tokens differ do
    /// not take turns with every reconnect.
    pub(super) fn due(&self, claims: &Claims, now: Instant) -> Due {
        if let Some(failed) = &self.failed
            && failed.lasting == claims.lasting
            && now.duration_since(failed.at) < FAILURE_REMEMBERED
        {
            return Due::Refused(failed.refusal);
        }
        let Some(at) = self.told.iter().position(|told| told.lasting == claims.lasting) else {
            return Due::Call;
        };
        let same = &self.told[at];
        let said_otherwise = |other: &Claims| other.issued_at >= same.issued_at;
        let is_newer = |other: &Claims| {
            let another = claims.token != same.token && claims.issued_at >= other.issued_at;
            another || claims.issued_at > other.issued_at
        };
        let overridden = self.told.range(at + 1..).any(|other| said_otherwise(other) && is_newer(other));
        if overridden { Due::Call } else { Due::Nothing }
    }

    /// Remembers what came of a call.
    pub(super) fn note(&mut self, claims: &Claims, outcome: Result<(), Refusal>, now: Instant) {
        match outcome {
            Ok(()) => {
                self.failed = None;
                self.told.retain(|told| told.lasting != claims.lasting);
                if self.told.len() == MOST_CLAIMS {
                    self.told.pop_front();
                }
                self.told.push_back(*claims);
            }
            Err(refusal) => self.failed = Some(Failed { lasting: claims.lasting, refusal, at: now }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token that says this, issued then: another one for each time.
    fn says(lasting: u8, issued_at: f64) -> Claims {
        the(lasting, issued_at, hash("", &format!("{lasting} {issued_at}")))
    }

    fn the(lasting: u8, issued_at: f64, token: Digest) -> Claims {
        Claims { person: [7; 32], lasting: [lasting; 32], token, issued_at }
    }

    /// Tells of each in turn, and gives back for which of them there was a call.
    fn calls(turns: &[(u8, f64)]) -> Vec<bool> {
        calls_of(turns.iter().map(|(lasting, issued_at)| says(*lasting, *issued_at)))
    }

    fn calls_of(turns: impl IntoIterator<Item = Claims>) -> Vec<bool> {
        let (mut person, now) = (Person::default(), Instant::now());
        let turn = |claims: Claims| {
            let due = person.due(&claims, now) == Due::Call;
            if due {
                person.note(&claims, Ok(()), now);
            }
            due
        };
        turns.into_iter().map(turn).collect()
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
        // All within one second, or without saying when: another token counts, the same one does not.
        let (old, new, back) = (the(1, 0.0, [1; 32]), the(2, 0.0, [2; 32]), the(1, 0.0, [3; 32]));
        assert_eq!(calls_of([old, new, old, back, old, new]), [true, true, false, true, false, false]);
    }

    #[test]
    fn a_failure_is_shared_for_a_moment_and_then_tried_again() {
        let (mut person, now) = (Person::default(), Instant::now());
        person.note(&says(1, 0.0), Err(Refusal::Profile), now);
        assert_eq!(person.due(&says(1, 5.0), now), Due::Refused(Refusal::Profile));
        assert_eq!(person.due(&says(2, 5.0), now), Due::Call, "other claims may be taken");
        assert_eq!(person.due(&says(1, 5.0), now + FAILURE_REMEMBERED), Due::Call);
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
