use std::cmp::Ordering;

use super::Predicate;
use crate::filter::predicate::{Constant, In, Order};
use crate::filter::scale::Scale;
use crate::filter::syntax::Comparison;
use crate::filter::value::{Key, Value};

/// How the rows that a filter may match are found.
pub(super) enum Access<'a> {
    /// It matches none.
    Nothing,
    /// Nothing in it tells.
    Everything,
    /// By the value of a column; of an `or`, of any of several.
    Columns(Vec<Entry<'a>>),
}

/// Which values of which column, read on a scale.
pub(super) struct Entry<'a> {
    pub(super) column: usize,
    pub(super) scale: &'a Scale,
    pub(super) place: Place<'a>,
}

/// Which values of a column.
pub(super) enum Place<'a> {
    Equal(&'a [Constant]),
    Range(Range<'a>),
}

/// From a lower to an upper bound.
#[derive(Clone, Copy)]
pub(super) struct Range<'a> {
    pub(super) lower: Edge<'a>,
    pub(super) upper: Edge<'a>,
}

/// One end of a range.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edge<'a> {
    Open,
    /// The bound itself is in the range.
    At(&'a Key),
    /// The bound itself is not in the range.
    Beside(&'a Key),
}

/// How few rows a conjunct is likely to let through; the lowest is best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Equal {
        values: usize,
    },
    Between,
    /// A column of few values: one of them is still many rows.
    EqualOfFew,
    HalfOpen,
}

impl<'a> Access<'a> {
    pub(super) fn of(predicate: &'a Predicate) -> Self {
        match Ranked::of(predicate) {
            Ranked::Nothing => Self::Nothing,
            Ranked::Everything => Self::Everything,
            Ranked::Columns(_, entries) => Self::Columns(entries),
        }
    }
}

/// An access, and how good it is.
enum Ranked<'a> {
    Nothing,
    Everything,
    Columns(Rank, Vec<Entry<'a>>),
}

impl<'a> Ranked<'a> {
    fn of(predicate: &'a Predicate) -> Self {
        let mut best: Option<(Rank, Vec<Entry<'a>>)> = None;
        let mut offer = |rank: Rank, entries: Vec<Entry<'a>>| {
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                best = Some((rank, entries));
            }
        };
        let mut orders: Vec<&'a Order> = Vec::new();
        for conjunct in conjuncts(predicate) {
            match conjunct {
                Predicate::Constant(Some(false) | None) => return Self::Nothing,
                Predicate::In(list) if list.operand.path.is_empty() => {
                    if list.constants.is_empty() {
                        return Self::Nothing;
                    }
                    let (column, place) = (list.operand.column, Place::Equal(&list.constants));
                    offer(rank(list), vec![Entry { column, scale: &list.scale, place }]);
                }
                // Labels are compared by their place in a list that may grow: too rare to be indexed by it.
                Predicate::Order(order)
                    if order.operand.path.is_empty() && !matches!(order.scale, Scale::Labels(_)) =>
                {
                    orders.push(order);
                }
                Predicate::Or(parts) => match Self::of_any(parts) {
                    Self::Nothing => return Self::Nothing,
                    Self::Everything => {}
                    Self::Columns(rank, entries) => offer(rank, entries),
                },
                _ => {}
            }
        }
        for (index, order) in orders.iter().enumerate() {
            let column = order.operand.column;
            if orders[..index].iter().any(|earlier| earlier.operand.column == column) {
                continue;
            }
            let range =
                Range::of(orders[index..].iter().copied().filter(|order| order.operand.column == column));
            let rank = match (range.lower, range.upper) {
                (Edge::Open, _) | (_, Edge::Open) => Rank::HalfOpen,
                _ => Rank::Between,
            };
            offer(rank, vec![Entry { column, scale: &order.scale, place: Place::Range(range) }]);
        }
        best.map_or(Self::Everything, |(rank, entries)| Self::Columns(rank, entries))
    }

    /// What any of `parts` may match: as good as the worst of them.
    fn of_any(parts: &'a [Predicate]) -> Self {
        let mut together: Option<(Rank, Vec<Entry<'a>>)> = None;
        for part in parts {
            match Self::of(part) {
                Self::Nothing => {}
                Self::Everything => return Self::Everything,
                Self::Columns(rank, entries) => match &mut together {
                    None => together = Some((rank, entries)),
                    Some((worst, all)) => {
                        *worst = worst.or(rank);
                        all.extend(entries);
                    }
                },
            }
        }
        together.map_or(Self::Nothing, |(rank, entries)| Self::Columns(rank, entries))
    }
}

impl Rank {
    /// Of rows that either lets through.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Equal { values: a }, Self::Equal { values: b }) => Self::Equal { values: a + b },
            (a, b) => a.max(b),
        }
    }
}

/// The values that a predicate holds a column to, as texts.
pub(in crate::filter) fn values_of(predicate: &Predicate, column: usize) -> Option<Vec<&str>> {
    conjuncts(predicate).iter().find_map(|conjunct| match conjunct {
        Predicate::In(list)
            if list.operand.column == column && list.operand.path.is_empty() && !list.operand.cast =>
        {
            Some(list.constants.iter().map(|constant| &*constant.text).collect())
        }
        _ => None,
    })
}

/// What must all be true for the whole to be true.
fn conjuncts(predicate: &Predicate) -> &[Predicate] {
    match predicate {
        Predicate::And(parts) => parts,
        Predicate::Truth(inner, Some(true)) => conjuncts(inner),
        other => std::slice::from_ref(other),
    }
}

fn rank(list: &In) -> Rank {
    let few = matches!(list.scale, Scale::Bool)
        || matches!(list.sql_type, crate::filter::predicate::SqlType::Label);
    if few { Rank::EqualOfFew } else { Rank::Equal { values: list.constants.len() } }
}

impl<'a> Range<'a> {
    /// What lies in all of `orders`.
    fn of(orders: impl Iterator<Item = &'a Order>) -> Self {
        let mut range = Self { lower: Edge::Open, upper: Edge::Open };
        for order in orders {
            let key = &order.constant.key;
            match order.comparison {
                Comparison::Greater => range.raise(Edge::Beside(key)),
                Comparison::GreaterOrEqual => range.raise(Edge::At(key)),
                Comparison::Less => range.sink(Edge::Beside(key)),
                Comparison::LessOrEqual => range.sink(Edge::At(key)),
                Comparison::Equal | Comparison::NotEqual => {}
            }
        }
        range
    }

    fn raise(&mut self, edge: Edge<'a>) {
        if edge.cmp_lower(self.lower).is_gt() {
            self.lower = edge;
        }
    }

    fn sink(&mut self, edge: Edge<'a>) {
        if edge.cmp_upper(self.upper).is_lt() {
            self.upper = edge;
        }
    }
}

impl Edge<'_> {
    /// Where a range starts: openness first, and a bound that is included before one that is not.
    pub(super) fn cmp_lower(self, other: Edge<'_>) -> Ordering {
        match (self, other) {
            (Edge::Open, Edge::Open) => Ordering::Equal,
            (Edge::Open, _) => Ordering::Less,
            (_, Edge::Open) => Ordering::Greater,
            (Edge::At(a), Edge::At(b)) | (Edge::Beside(a), Edge::Beside(b)) => a.cmp(b),
            (Edge::At(a), Edge::Beside(b)) => a.cmp(b).then(Ordering::Less),
            (Edge::Beside(a), Edge::At(b)) => a.cmp(b).then(Ordering::Greater),
        }
    }

    /// Where a range ends: openness last, and a bound that is included behind one that is not.
    pub(super) fn cmp_upper(self, other: Edge<'_>) -> Ordering {
        match (self, other) {
            (Edge::Open, Edge::Open) => Ordering::Equal,
            (Edge::Open, _) => Ordering::Greater,
            (_, Edge::Open) => Ordering::Less,
            (Edge::At(a), Edge::At(b)) | (Edge::Beside(a), Edge::Beside(b)) => a.cmp(b),
            (Edge::At(a), Edge::Beside(b)) => a.cmp(b).then(Ordering::Greater),
            (Edge::Beside(a), Edge::At(b)) => a.cmp(b).then(Ordering::Less),
        }
    }

    /// Whether a range that starts here may hold `value`.
    pub(super) fn starts_before(self, value: Value<'_>) -> bool {
        match self {
            Edge::Open => true,
            Edge::At(key) => key.as_value() <= value,
            Edge::Beside(key) => key.as_value() < value,
        }
    }

    /// Whether a range that ends here may hold `value`.
    pub(super) fn ends_behind(self, value: Value<'_>) -> bool {
        match self {
            Edge::Open => true,
            Edge::At(key) => key.as_value() >= value,
            Edge::Beside(key) => key.as_value() > value,
        }
    }
}
