use std::fmt;

/// Where a card stands among others: a text between the texts of its neighbours, which sort by their bytes.
///
/// Text form: digits of base 62 in the order of ASCII, read as a fraction between 0 and 1, the last of them never `0`.
/// There is a place between any two. A place gets one digit longer with about every sixth card that is put at the same
/// spot between two others, and with every thirtieth at either end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(String);

/// Not a place's text, or two that are not in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place among cards")]
pub struct InvalidPlace(String);

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: usize = DIGITS.len();
/// Beyond this many digits all cards of a state are given new places.
const LONG: usize = 100;

impl Place {
    /// A place behind `after` and before `before`, wherever that is; `None` if they are not in order.
    ///
    /// Which of those that would do is left to chance, so that two who put cards to the same spot at the same time seldom
    /// choose the same.
    pub fn between(after: Option<&Self>, before: Option<&Self>) -> Option<Self> {
        let (low, high) = (after.map(Self::values).unwrap_or_default(), before.map(Self::values));
        if high.as_ref().is_some_and(|high| low >= *high) {
            return None;
        }
        let mut middle = match &high {
            None => behind(&low),
            Some(high) if low.is_empty() => ahead(high),
            Some(high) => within(&low, high),
        };
        middle.push(fastrand::usize(1..BASE));
        if high.is_some_and(|high| middle >= high) {
            middle.pop();
        }
        Some(Self(middle.into_iter().map(|digit| char::from(DIGITS[digit])).collect()))
    }

    /// Places for so many cards, in order, at even distances.
    pub fn spread(count: usize) -> Vec<Self> {
        let width = (1..6).find(|width| BASE.pow(*width) / 2 > count).unwrap_or(6);
        let step = BASE.pow(width) / (count + 1);
        let mut places = Vec::with_capacity(count);
        for number in 1..=count {
            let mut digits = vec![0; width as usize];
            let mut rest = number * step;
            for digit in digits.iter_mut().rev() {
                (*digit, rest) = (rest % BASE, rest / BASE);
            }
            // By chance too: none of them is a place that some card still has.
            digits.extend([fastrand::usize(..BASE), fastrand::usize(..BASE), fastrand::usize(1..BASE)]);
            places.push(Self(digits.into_iter().map(|digit| char::from(DIGITS[digit])).collect()));
        }
        places
    }

    /// Reads a place.
    ///
    /// # Errors
    /// [`InvalidPlace`].
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        let digits = text.bytes().all(|byte| DIGITS.contains(&byte));
        let valid = digits && !text.is_empty() && !text.ends_with('0');
        valid.then(|| Self(text.to_owned())).ok_or_else(|| InvalidPlace(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is so long that all cards had better be given new places.
    pub const fn is_long(&self) -> bool {
        self.0.len() > LONG
    }

    fn values(&self) -> Vec<usize> {
        let value = |byte| DIGITS.iter().position(|digit| *digit == byte).expect("digits were checked");
        self.0.bytes().map(value).collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The next at the first digit that has one.
fn behind(low: &[usize]) -> Vec<usize> {
    match low.iter().position(|digit| *digit < BASE - 1) {
        Some(at) => [&low[..at], &[low[at] + 1]].concat(),
        None => [low, &[BASE / 2]].concat(),
    }
}

/// The one before at the first digit that has one; a last digit is never 0.
fn ahead(high: &[usize]) -> Vec<usize> {
    match high.iter().position(|digit| *digit > 0) {
        Some(at) if high[at] > 1 => [&high[..at], &[high[at] - 1]].concat(),
        Some(at) => [&high[..at], &[0, BASE / 2]].concat(),
        None => unreachable!("the last digit of a place is not 0"),
    }
}

/// The middle of what lies between, cut off behind the first digit that tells it from both.
fn within(low: &[usize], high: &[usize]) -> Vec<usize> {
    let mut middle = Vec::with_capacity(low.len() + 1);
    let mut bounded = true;
    for at in 0.. {
        let below = low.get(at).copied().unwrap_or(0);
        let above = if bounded { high.get(at).copied().unwrap_or(0) } else { BASE };
        if above > below + 1 {
            middle.push(usize::midpoint(below, above));
            break;
        }
        // No room at this digit: go on with the lower bound, above which all further digits are free.
        middle.push(below);
        bounded &= below == above;
    }
    middle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text).expect("valid")
    }

    #[test]
    fn there_is_a_place_between_any_two_however_often_one_is_taken() {
        let mut places = vec![Place::between(None, None).expect("there is room")];
        for _ in 0..20_000 {
            let at = match fastrand::u8(..4) {
                0 => 0,
                1 => places.len(),
                _ => fastrand::usize(..=places.len()),
            };
            let after = at.checked_sub(1).map(|at| &places[at]);
            let new = Place::between(after, places.get(at)).expect("they are in order");
            assert!(after.is_none_or(|after| *after < new), "{after:?} {new}");
            assert!(places.get(at).is_none_or(|before| new < *before), "{new} {:?}", places.get(at));
            assert_eq!(Place::parse(new.as_str()).as_ref(), Ok(&new));
            places.insert(at, new);
        }
    }

    #[test]
    fn neighbours_without_room_are_told_apart_by_one_more_digit() {
        for (after, before) in [("1", "2"), ("1", "11"), ("0z", "1"), ("z", "z1"), ("Vz", "W"), ("1", "101")]
        {
            let (after, before) = (place(after), place(before));
            for _ in 0..200 {
                let new = Place::between(Some(&after), Some(&before)).expect("in order");
                assert!(after < new && new < before, "{after} {new} {before}");
            }
        }
        assert_eq!(Place::between(Some(&place("2")), Some(&place("1"))), None);
        assert_eq!(Place::between(Some(&place("2")), Some(&place("2"))), None);
    }

    #[test]
    fn places_stay_short_at_either_end_and_grow_slowly_in_between() {
        let first = Place::between(None, None).expect("there is room");
        let (mut top, mut bottom) = (first.clone(), first.clone());
        for _ in 0..1_000 {
            top = Place::between(None, Some(&top)).expect("in order");
            bottom = Place::between(Some(&bottom), None).expect("in order");
        }
        assert!(top.as_str().len() < 60 && bottom.as_str().len() < 60, "{top} {bottom}");
        let (after, mut before) = (place("1"), place("2"));
        for _ in 0..300 {
            before = Place::between(Some(&after), Some(&before)).expect("in order");
        }
        assert!(before.is_long() || before.as_str().len() < 100, "{before}");
    }

    #[test]
    fn new_places_for_all_are_in_order_and_short() {
        for count in [0, 1, 30, 31, 10_000] {
            let places = Place::spread(count);
            assert_eq!(places.len(), count);
            assert!(places.is_sorted() && places.iter().all(|place| place.as_str().len() <= 7));
            assert!(places.iter().all(|place| Place::parse(place.as_str()).is_ok()));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "0", "10", "a b", "é", "-"] {
            assert!(Place::parse(text).is_err(), "{text:?}");
        }
    }
}
