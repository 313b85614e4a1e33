//! Predicates in a normal form: filters that say the same in other words become the same, where that is cheap to see.

use super::predicate::{Constant, In, Operand, Order, Predicate, SqlType};
use super::render;
use super::scale::Scale;

impl Predicate {
    /// `and` over all `parts`.
    pub(super) fn and(parts: Vec<Self>) -> Self {
        Self::connect(parts, false)
    }

    /// `or` over all `parts`.
    pub(super) fn or(parts: Vec<Self>) -> Self {
        Self::connect(parts, true)
    }

    fn connect(parts: Vec<Self>, decisive: bool) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::And(inner) if !decisive => flat.extend(inner),
                Self::Or(inner) if decisive => flat.extend(inner),
                Self::Constant(Some(truth)) if truth == decisive => return Self::Constant(Some(decisive)),
                Self::Constant(Some(_)) => {}
                other => flat.push(other),
            }
        }
        if decisive {
            flat = merge_lists(flat);
        }
        // Sorted by what they say, since the order in which they were written means nothing.
        flat.sort_by_cached_key(render::canonical);
        flat.dedup_by_key(|part| render::canonical(part));
        if flat.len() > 1 {
            let parts = flat.into();
            return if decisive { Self::Or(parts) } else { Self::And(parts) };
        }
        flat.pop().unwrap_or(Self::Constant(Some(!decisive)))
    }

    /// `not part`
    pub(super) fn negate(part: Self) -> Self {
        match part {
            Self::Constant(truth) => Self::Constant(truth.map(|truth| !truth)),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// `part is true`, `is false`, `is unknown`
    pub(super) fn truth(part: Self, wanted: Option<bool>) -> Self {
        match part {
            Self::Constant(truth) => Self::Constant(Some(truth == wanted)),
            other => Self::Truth(Box::new(other), wanted),
        }
    }

    /// `operand = any (constants)`
    pub(super) fn one_of(
        operand: Operand,
        scale: Scale,
        mut constants: Vec<Constant>,
        null: bool,
        sql_type: SqlType,
    ) -> Self {
        if constants.is_empty() && null {
            return Self::Constant(None);
        }
        constants.sort_by(|a, b| a.key.cmp(&b.key));
        constants.dedup_by(|a, b| a.key == b.key);
        Self::In(In { operand, scale, constants: constants.into(), null, sql_type })
    }

    /// False of every value, unknown of NULL.
    pub(super) fn never(operand: Operand, scale: Scale, sql_type: SqlType) -> Self {
        Self::one_of(operand, scale, Vec::new(), false, sql_type)
    }

    pub(super) fn order(order: Order) -> Self {
        Self::Order(order)
    }
}

/// `a = 1 or a = 2` is `a in (1, 2)`.
fn merge_lists(parts: Vec<Predicate>) -> Vec<Predicate> {
    let mut lists: Vec<In> = Vec::new();
    let mut merged = Vec::with_capacity(parts.len());
    for part in parts {
        let Predicate::In(list) = part else {
            merged.push(part);
            continue;
        };
        let same = |other: &&mut In| {
            other.operand == list.operand && other.scale == list.scale && other.sql_type == list.sql_type
        };
        match lists.iter_mut().find(same) {
            Some(other) => {
                let mut constants = std::mem::take(&mut other.constants).into_vec();
                constants.extend(list.constants);
                other.constants = constants.into();
                other.null |= list.null;
            }
            None => lists.push(list),
        }
    }
    let relisted = |list: In| {
        Predicate::one_of(list.operand, list.scale, list.constants.into_vec(), list.null, list.sql_type)
    };
    merged.extend(lists.into_iter().map(relisted));
    merged
}
