//! How the values of a column are written: by its type and its modifier, as Debezium's connector decides it.

use std::collections::HashMap;
use std::sync::Arc;

/// How the values of a column are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// PostgreSQL's text.
    Text,
    /// PostgreSQL's text; told apart only for what stands for an array of them that is not told.
    Uuid,
    Bool,
    /// A whole number that JSON takes as PostgreSQL writes it.
    Integer,
    Float,
    /// Base64 of the value times ten to the power of `scale`.
    Decimal {
        scale: i32,
    },
    /// A struct with the scale beside.
    VariableDecimal,
    Money,
    Bytes,
    /// Bits, of which the declared length is more than one or not told.
    Bits,
    /// Of a declared length of one.
    Bit,
    Date,
    /// Milliseconds where the precision is at most three, otherwise microseconds.
    Time(Unit),
    TimeInZone,
    Timestamp(Unit),
    /// How many digits the seconds have.
    TimestampInZone {
        digits: usize,
    },
    Interval,
    Point,
    Hstore,
    Array {
        element: Box<Form>,
        delimiter: u8,
    },
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
}

/// What the catalog says of types that have no fixed oid: how their values are written follows from what they are made
/// of.
///
/// A type that is not here and not built in is written as PostgreSQL's text, as an enum is in any case.
#[derive(Clone, Debug, Default)]
pub struct Types(HashMap<u32, TypeRow>);

/// One row of `pg_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// `typname`: extensions have no fixed oids, but names.
    pub name: Arc<str>,
    /// `typbasetype` and `typtypmod`, of a domain.
    pub base: Option<(u32, i32)>,
    /// `typelem`, and the `typdelim` of that type, of a true array (which its element type names in `typarray`).
    pub element: Option<(u32, u8)>,
}

impl FromIterator<(u32, TypeRow)> for Types {
    fn from_iter<I: IntoIterator<Item = (u32, TypeRow)>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

/// PostgreSQL has no type that is made of itself, and nobody nests domains that deep.
const DEEPEST: u8 = 16;
/// `pg_attribute.atttypmod` of a column that was declared without one.
const NO_MODIFIER: i32 = -1;
/// `VARHDRSZ`, which modifiers of `numeric` count in.
const MODIFIER_OFFSET: i32 = 4;
/// What moments have unless the column says otherwise.
const MICROS_DIGITS: usize = 6;

impl Types {
    /// How the values of a column of this type and modifier are written.
    pub(super) fn form(&self, oid: u32, modifier: i32) -> Form {
        self.form_within(oid, modifier, DEEPEST)
    }

    fn form_within(&self, oid: u32, modifier: i32, depth: u8) -> Form {
        let Some(depth) = depth.checked_sub(1) else { return Form::Text };
        let (element, delimiter) = match self.0.get(&oid) {
            Some(TypeRow { base: Some((base, modifier)), .. }) => {
                return self.form_within(*base, *modifier, depth);
            }
            Some(TypeRow { element: Some(element), .. }) => *element,
            Some(TypeRow { name, .. }) if &**name == "hstore" => return Form::Hstore,
            _ => match builtin_element(oid) {
                Some(element) => element,
                None => return builtin(oid, modifier),
            },
        };
        Form::Array { element: Box::new(self.form_within(element, modifier, depth)), delimiter }
    }
}

/// The form of a built-in type that is no array, by `pg_type.oid`; these never change.
fn builtin(oid: u32, modifier: i32) -> Form {
    match oid {
        16 => Form::Bool,
        17 => Form::Bytes,
        // `oid` is one too.
        20 | 21 | 23 | 26 => Form::Integer,
        600 => Form::Point,
        700 | 701 => Form::Float,
        790 => Form::Money,
        1082 => Form::Date,
        1083 => Form::Time(unit(modifier)),
        1114 => Form::Timestamp(unit(modifier)),
        1184 => Form::TimestampInZone {
            digits: usize::try_from(modifier)
                .ok()
                .filter(|digits| *digits <= MICROS_DIGITS)
                .unwrap_or(MICROS_DIGITS),
        },
        1186 => Form::Interval,
        1266 => Form::TimeInZone,
        1560 | 1562 if modifier == 1 => Form::Bit,
        1560 | 1562 => Form::Bits,
        1700 if modifier >= MODIFIER_OFFSET => Form::Decimal { scale: scale(modifier) },
        1700 => Form::VariableDecimal,
        2950 => Form::Uuid,
        _ => Form::Text,
    }
}

const fn unit(modifier: i32) -> Unit {
    if NO_MODIFIER < modifier && modifier <= 3 { Unit::Millis } else { Unit::Micros }
}

/// The low eleven bits are the scale, with a sign of its own.
///
/// See `numeric_typmod_scale` in `src/backend/utils/adt/numeric.c`.
const fn scale(modifier: i32) -> i32 {
    (((modifier - MODIFIER_OFFSET) & 0x7FF) ^ 1024) - 1024
}

/// The element's type and delimiter of a built-in array; of those whose elements are written as text only the ones that
/// are in use.
fn builtin_element(oid: u32) -> Option<(u32, u8)> {
    let element = match oid {
        143 => 142,
        199 => 114,
        271 => 5069,
        651 => 650,
        775 => 774,
        791 => 790,
        1000 => 16,
        1001 => 17,
        1002 => 18,
        1003 => 19,
        1005 => 21,
        1007 => 23,
        1008 => 24,
        1009 => 25,
        1014 => 1042,
        1015 => 1043,
        1016 => 20,
        1017 => 600,
        1018 => 601,
        1019 => 602,
        1020 => return Some((603, b';')),
        1021 => 700,
        1022 => 701,
        1027 => 604,
        1028 => 26,
        1040 => 829,
        1041 => 869,
        1115 => 1114,
        1182 => 1082,
        1183 => 1083,
        1185 => 1184,
        1187 => 1186,
        1231 => 1700,
        1270 => 1266,
        1561 => 1560,
        1563 => 1562,
        2951 => 2950,
        3221 => 3220,
        3643 => 3614,
        3645 => 3615,
        3807 => 3802,
        3905 => 3904,
        3907 => 3906,
        3909 => 3908,
        3911 => 3910,
        3913 => 3912,
        3927 => 3926,
        _ => return None,
    };
    Some((element, b','))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, base: Option<(u32, i32)>, element: Option<(u32, u8)>) -> TypeRow {
        TypeRow { name: name.into(), base, element }
    }

    #[test]
    fn a_modifier_says_precision_and_scale() {
        let form = |oid, modifier| Types::default().form(oid, modifier);
        let numeric = |precision: i32, scale: i32| (precision << 16 | (scale & 0x7FF)) + 4;
        assert_eq!(form(1700, -1), Form::VariableDecimal);
        assert_eq!(form(1700, numeric(20, 5)), Form::Decimal { scale: 5 });
        assert_eq!(form(1700, numeric(5, -2)), Form::Decimal { scale: -2 });
        assert_eq!(form(1700, numeric(1000, 1000)), Form::Decimal { scale: 1000 });
        assert_eq!(form(1114, -1), Form::Timestamp(Unit::Micros));
        assert_eq!(form(1114, 3), Form::Timestamp(Unit::Millis));
        assert_eq!(form(1114, 4), Form::Timestamp(Unit::Micros));
        assert_eq!(form(1184, -1), Form::TimestampInZone { digits: 6 });
        assert_eq!(form(1184, 0), Form::TimestampInZone { digits: 0 });
        assert_eq!(form(1560, 1), Form::Bit);
        assert_eq!(form(1562, -1), Form::Bits);
    }

    #[test]
    fn domains_and_arrays_are_what_they_are_made_of() {
        let types: Types = [
            (20_001, row("price", Some((1700, (10 << 16 | 2) + 4)), None)),
            (20_002, row("_price", None, Some((20_001, b',')))),
            (20_003, row("dear", Some((20_001, -1)), None)),
            (20_004, row("hstore", None, None)),
            (20_005, row("mood", None, None)),
            (20_006, row("around", Some((20_006, -1)), None)),
        ]
        .into_iter()
        .collect();
        let price = Form::Decimal { scale: 2 };
        assert_eq!(types.form(20_001, -1), price);
        assert_eq!(types.form(20_003, -1), price);
        assert_eq!(types.form(20_002, -1), Form::Array { element: Box::new(price), delimiter: b',' });
        assert_eq!(types.form(20_004, -1), Form::Hstore);
        for text in [20_005, 20_006, 30_000, 25, 1043, 3802] {
            assert_eq!(types.form(text, -1), Form::Text, "{text}");
        }
        let boxes = Form::Array { element: Box::new(Form::Text), delimiter: b';' };
        assert_eq!(types.form(1020, -1), boxes);
    }
}
