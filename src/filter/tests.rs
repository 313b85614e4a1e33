//! The room as a whole, without PostgreSQL: `tests/oracle.rs` compares with the real one.

mod hostile;

use std::sync::Arc;

use super::*;
use crate::event::{Class, Collation, Column, ReplicaIdentity, TableName};

pub(super) fn kind(name: &str) -> Kind {
    let (oid, class) = match name {
        "mood" => (90_000, Class::Enum(["sad", "ok", "happy"].map(Arc::from).into())),
        "point" => (600, Class::Other),
        "inet" => (869, Class::Other),
        _ => {
            let name = syntax::TypeName { name: name.into(), array: false };
            let oid = name.builtin().expect("a built-in type");
            (oid, Class::of_builtin(oid).expect("a type with a class"))
        }
    };
    Kind { oid, name: name.into(), class }
}

pub(super) fn table() -> Table {
    let column = |name: &str, type_name: &str, collation: Collation| {
        let kind = match type_name.strip_suffix("[]") {
            Some(element) => Kind {
                oid: 0,
                name: type_name.into(),
                class: Class::Array { element: Box::new(kind(element)), delimiter: b',' },
            },
            None => kind(type_name),
        };
        Column { name: name.into(), type_oid: kind.oid, kind, nullable: true, collation }
    };
    Table {
        oid: 1,
        name: TableName::new("public", "entries"),
        columns: vec![
            column("id", "int8", Collation::None),
            column("board_id", "int4", Collation::None),
            column("title", "text", Collation::Deterministic),
            column("code", "text", Collation::Bytes),
            column("fuzzy", "text", Collation::Nondeterministic),
            column("done", "bool", Collation::None),
            column("price", "numeric", Collation::None),
            column("ratio", "float4", Collation::None),
            column("at", "timestamptz", Collation::None),
            column("day", "date", Collation::None),
            column("mood", "mood", Collation::None),
            column("data", "jsonb", Collation::None),
            column("raw", "json", Collation::None),
            column("tags", "text[]", Collation::Deterministic),
            column("numbers", "int4[]", Collation::None),
            column("place", "point", Collation::None),
            column("User", "text", Collation::Deterministic),
            column("größe", "int2", Collation::None),
            column("address", "inet", Collation::None),
            column("padded", "bpchar", Collation::Bytes),
        ],
        key: vec![0],
        identity: ReplicaIdentity::Full,
        row_filter: None,
        storage: 0,
        membership: 0,
    }
}

pub(super) fn filter_with(text: &str, params: &[Param]) -> Result<Filter, Error> {
    let bound = parse(text, params)?.bind(&table())?;
    let answers: Vec<String> = bound.unresolved().iter().map(|literal| literal.text.clone()).collect();
    bound.resolve(&answers)
}

pub(super) fn filter(text: &str) -> Filter {
    filter_with(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A row of NULLs but for the columns named.
pub(super) fn row<'a>(values: &[(&str, &'a str)]) -> Vec<Datum<'a>> {
    let table = table();
    let mut row = vec![Datum::Null; table.columns.len()];
    for (name, value) in values {
        row[table.column(name).expect("a column")] = Datum::Text(value.as_bytes());
    }
    row
}

fn truth(text: &str, values: &[(&str, &str)]) -> Option<bool> {
    filter(text).truth(&row(values)).expect("decided")
}

fn refusal(text: &str) -> (ErrorKind, Option<usize>, String) {
    let error = filter_with(text, &[]).expect_err(text);
    (error.kind(), error.position(), error.to_string())
}

#[test]
fn conditions_are_decided_as_in_sql() {
    let values = [
        ("id", "7"),
        ("board_id", "-3"),
        ("title", "Über"),
        ("done", "t"),
        ("price", "1.50"),
        ("ratio", "0.1"),
    ];
    for (text, expected) in [
        ("id = 7", Some(true)),
        ("7 = id", Some(true)),
        ("ID = 7 and entries.id = 7 and public.entries.id = 7", Some(true)),
        ("id <> 7", Some(false)),
        ("id in (1, 7)", Some(true)),
        ("id in (1, null)", None),
        ("id not in (1, 2)", Some(true)),
        ("id between 1 and 7", Some(true)),
        ("id not between 8 and 9", Some(true)),
        ("id > 6.5", Some(true)),
        ("id < 7.5 and id > 6.999", Some(true)),
        ("id = 7.5", Some(false)),
        ("board_id = 99999999999", Some(false)),
        ("board_id < 99999999999", Some(true)),
        ("board_id > 1e30", Some(false)),
        ("board_id >= - 3", Some(true)),
        ("title = 'Über'", Some(true)),
        ("title like '_b%'", Some(true)),
        ("title ~~ '%er' and title !~~ 'x%'", Some(true)),
        ("done", Some(true)),
        ("not done", Some(false)),
        ("done is not false", Some(true)),
        ("done = 'yes'", Some(true)),
        ("price = 1.5", Some(true)),
        ("price = '1.5000'", Some(true)),
        ("price > 'NaN'", Some(false)),
        ("ratio = 0.1", Some(false)),
        ("ratio = '0.1'", Some(true)),
        ("ratio in (0.1, 0.2)", Some(true)),
        ("ratio = any (array[0.1, 0.2])", Some(false)),
        ("code = 'x'", None),
        ("code is null", Some(true)),
        ("code is distinct from 'x'", Some(true)),
        ("code is not distinct from null", Some(true)),
        ("code = 'x' or id = 7", Some(true)),
        ("code = 'x' and id = 8", Some(false)),
        ("(code = 'x') is unknown", Some(true)),
        ("not code = 'x'", None),
        ("code = any ('{}')", Some(false)),
        ("code = null", None),
        ("1 = 1 and 'a' = 'a' and 2.50 > 2", Some(true)),
        ("null is null", Some(true)),
        ("id = any ('{7,8}') and id <> all (array[1, 2])", Some(true)),
        ("id = '007'::int", Some(true)),
        ("id = cast('7' as bigint)", Some(true)),
    ] {
        assert_eq!(truth(text, &values), expected, "{text}");
    }
}

#[test]
fn types_compare_by_their_own_rules() {
    for (text, column, value, expected) in [
        ("day >= date '2026-11-22'", "day", "2026-11-22", true),
        ("day < '2026-11-22'", "day", "0044-03-15 BC", true),
        ("at > '2026-11-22T10:00:00Z'", "at", "12026-01-01 00:00:00+00", true),
        ("at = 'infinity'", "at", "infinity", true),
        ("mood = 'ok'", "mood", "ok", true),
        ("mood > 'sad'", "mood", "happy", true),
        ("mood = 'sad'", "mood", "new", false),
        ("code < 'b'", "code", "a", true),
        ("code ilike 'A%'", "code", "abc", true),
        ("padded = 'x'", "padded", "x    ", true),
        ("padded like 'x'", "padded", "x    ", false),
        ("\"größe\" = 3 and Größe = 3", "größe", "3", true),
        ("\"User\" = 'me'", "User", "me", true),
        ("address = '10.0.0.1'", "address", "10.0.0.1", true),
        ("tags @> '{a}'", "tags", "{b,a}", true),
        ("tags <@ array['a', 'b', 'c']", "tags", "{b,a}", true),
        ("tags && '{x,NULL}'", "tags", "{NULL}", false),
        ("tags @> '{x,NULL}'", "tags", "{NULL,x}", false),
        ("'a' = any (tags)", "tags", "{b,\"a\"}", true),
        ("tags = '{a,NULL}'", "tags", "{a,NULL}", true),
        ("numbers = '{{1,2},{3,4}}'", "numbers", "{{1,2},{3,4}}", true),
        ("numbers = '{1,2}'", "numbers", "[0:1]={1,2}", false),
        ("3 = any (numbers)", "numbers", "{{1,2},{3,4}}", true),
        ("numbers @> '{}'", "numbers", "{}", true),
        ("data @> '{\"a\": 1}'", "data", "{\"a\": 1.0, \"b\": 2}", true),
        ("data <@ '{\"a\": 1}'", "data", "{}", true),
        ("data ->> 'a' = 'x'", "data", "{\"a\": \"x\"}", true),
        ("data -> 'a' ->> 0 = '1'", "data", "{\"a\": [1]}", true),
        ("data -> 'a' = '[1, 2]'", "data", "{\"a\": [1, 2.0]}", true),
        ("data -> 'a' is null", "data", "{}", true),
        ("data ->> 'a' is null", "data", "{\"a\": null}", true),
        ("data ? 'a' and not data ? 'b'", "data", "{\"a\": null}", true),
    ] {
        assert_eq!(truth(text, &[(column, value)]), Some(expected), "{text}");
    }
}

#[test]
fn refusals_name_the_thing_and_its_place() {
    use ErrorKind::{Syntax, Type, UnknownColumn, Unsupported};
    for (text, kind, position, part) in [
        ("stauts = 1", UnknownColumn, Some(1), "has no column `stauts`"),
        ("id = 1 and tilte = 'x'", UnknownColumn, Some(12), "did you mean `title`?"),
        ("user = 'x'", Unsupported, Some(1), "`\"user\"`"),
        ("other.id = 1", UnknownColumn, Some(1), "not the table of this filter"),
        ("id =", Syntax, Some(5), "expression"),
        ("id = 1 id", Syntax, Some(8), "unexpected `id`"),
        ("id = 1; drop table x", Syntax, Some(7), "`;`"),
        ("", Syntax, Some(1), "empty"),
        ("(id = 1", Syntax, Some(8), ""),
        ("title = 'x", Syntax, Some(9), ""),
        ("größe = 1 and\nid = lower('x')", Unsupported, Some(20), "lower(…)"),
        ("id + 1 = 2", Unsupported, Some(1), "`+`"),
        ("id || 'x' = 'y'", Unsupported, Some(4), "`||`"),
        ("id in (select 1)", Unsupported, Some(8), "`select`"),
        ("id = id", Unsupported, Some(1), "two columns"),
        ("title < 'x'", Unsupported, Some(9), "collation"),
        ("title ilike 'x'", Unsupported, Some(1), "collation"),
        ("fuzzy = 'x'", Unsupported, Some(9), "nondeterministic"),
        ("raw = '{}'", Unsupported, Some(7), "jsonb"),
        ("place = '(1,2)'", Unsupported, Some(9), "point"),
        ("address < '10.0.0.1'", Unsupported, Some(11), "order"),
        ("id = 'seven'", Type, Some(6), "`seven` is not a value of type int8"),
        ("board_id = '99999999999'", Type, Some(12), "out of range"),
        ("title = 7", Type, Some(9), "'7'"),
        ("id = true", Type, Some(6), "boolean"),
        ("title", Type, Some(1), "condition"),
        ("id = $1", Syntax, Some(6), "no value"),
        ("day = 'x'::timestamp", Unsupported, Some(7), "cast to date"),
        ("numbers @> array['a']", Type, Some(18), "array of text"),
        ("day = any (array['2026-01-01'])", Type, Some(18), "array['…']"),
        ("id < 3 < 4", Unsupported, Some(1), "parentheses"),
        ("title = 'x'::varchar(1)", Unsupported, Some(14), "modifiers"),
        ("id = any (1)", Type, Some(11), "array"),
        ("title like 'x\\'", Type, Some(12), "escape"),
        ("id between symmetric 1 and 2", Unsupported, Some(12), "symmetric"),
        ("id > all (array[1])", Unsupported, Some(1), "<> all"),
    ] {
        let (actual, place, message) = refusal(text);
        assert_eq!((actual, place), (kind, position), "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn parameters_take_their_places() {
    let param = |text: &str| Param::Text(text.into());
    let matches = |text: &str, params: &[Param], values: &[(&str, &str)]| {
        filter_with(text, params).expect(text).matches(&row(values)).expect("decided")
    };
    assert!(matches("id = $1", &[param("7")], &[("id", "7")]));
    assert!(matches("id = $1", &[Param::Number("7".into())], &[("id", "7")]));
    assert!(matches("$1 is null or id = $1", &[Param::Null], &[("id", "7")]));
    assert!(matches("done = $1 and $1", &[Param::Bool(true)], &[("done", "t")]));
    let list = Param::Array(vec![param("7"), Param::Number("8".into()), Param::Null]);
    assert!(matches("id = any ($1)", std::slice::from_ref(&list), &[("id", "8")]));
    assert!(matches("numbers && $1", &[list], &[("numbers", "{8}")]));
    assert!(matches("tags @> $1", &[Param::Array(vec![param("a,b")])], &[("tags", "{\"a,b\"}")]));
    for (text, params) in [
        ("id = $2", vec![param("1")]),
        ("id = 1", vec![param("1")]),
        ("id = $1", vec![param("x")]),
        ("id = $1", vec![Param::Array(vec![])]),
        ("id = $0", vec![param("1")]),
        ("title = $1", vec![param("\0")]),
    ] {
        assert!(filter_with(text, &params).is_err(), "{text}");
    }
}

#[test]
fn filters_that_say_the_same_are_equal() {
    for (a, b) in [
        ("id = 7", "ID=7"),
        ("id = 7", "7 = id"),
        ("id = 7", "id = '07'::int"),
        ("id = 7", "id in (7, 7)"),
        ("id = 7 or id = 8", "id in (8, 7)"),
        ("id = 7 and title = 'x'", "(title = 'x') and (id = 7)"),
        ("id = 7 and title = 'x' and done", "id = 7 and (title = 'x' and done)"),
        ("not not id = 7", "id = 7"),
        ("id between 1 and 2", "id >= 1 and id <= 2"),
        ("board_id < 7.5", "board_id <= 7"),
        ("price = 1.50", "price = '1.5'"),
        ("title like 'a!%' escape '!'", "title like 'a\\%'"),
        ("id = 7 and 1 = 1", "id = 7"),
        ("done is true", "(done) is true"),
    ] {
        assert_eq!(filter(a), filter(b));
    }
    assert_eq!(filter("id = 7"), filter_with("id = $1", &[Param::Text("7".into())]).expect("valid"));
    assert_ne!(filter("id = 7"), filter("board_id = 7"));
    assert_ne!(filter("ratio = 0.1"), filter("ratio = '0.1'"));
    assert_ne!(filter("title = 'a'"), filter("title = 'A'"));
}

#[test]
fn conditions_are_rendered_with_their_values_bound() {
    let sql = filter("board_id = 7 and title <> 'it''s' and mood in ('sad', 'ok')").to_sql();
    assert_eq!(
        sql.text,
        "(\"board_id\" = ($1::text)::\"pg_catalog\".\"int4\" and \"mood\"::text = \
         any(($2::text)::\"pg_catalog\".\"text\"[]) and not (\"title\" = $3::text))"
    );
    assert_eq!(sql.params, ["7", "{\"ok\",\"sad\"}", "it's"]);
    assert_eq!(filter("\"User\" is null").to_sql().text, "\"User\" is null");
    assert_eq!(filter("board_id = 99999999999").to_sql().params, ["99999999999"]);
}

#[test]
fn an_answer_that_does_not_depend_on_a_missing_value_is_given() {
    let filter = filter("id = 7 and title = 'x'");
    let mut values = row(&[("id", "8")]);
    values[2] = Datum::Unchanged;
    assert_eq!(filter.matches(&values), Ok(false));
    values[0] = Datum::Text(b"7");
    assert_eq!(filter.matches(&values), Err(RowError::Missing { column: "title".into() }));
    assert_eq!(super::tests::filter("title is not null").matches(&values), Ok(true));
    assert!(filter.matches(&[]).is_err());
    // What an old image leaves out may well be NULL; what it leaves out for its size is not.
    let empty = super::tests::filter("title is null");
    assert_eq!(empty.matches(&values), Ok(false));
    values[2] = Datum::Untold;
    assert_eq!(empty.matches(&values), Err(RowError::Missing { column: "title".into() }));
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_and_no_panic() {
    for (text, column, value) in [
        ("id = 7", "id", "x"),
        ("mood > 'sad'", "mood", "new"),
        ("day > '2026-01-01'", "day", "today"),
        ("tags @> '{a}'", "tags", "{a"),
        ("data @> '{\"a\": 1}'", "data", "{"),
    ] {
        assert!(filter(text).matches(&row(&[(column, value)])).is_err(), "{text}");
    }
}

#[test]
fn orders_are_read_and_written() {
    let table = table();
    let order = parse_order("At desc, id, \"User\" asc nulls first, entries.day DESC NULLS LAST", &table)
        .expect("valid");
    assert_eq!(
        order.to_sql(),
        "\"at\" desc nulls first, \"id\" asc nulls last, \"User\" asc nulls first, \"day\" desc nulls last"
    );
    assert_eq!(order.terms[0].column, 8);
    for (text, kind) in [
        ("", ErrorKind::Syntax),
        ("id,", ErrorKind::Syntax),
        ("id desc desc", ErrorKind::Syntax),
        ("idd", ErrorKind::UnknownColumn),
        ("1", ErrorKind::Unsupported),
        ("id + 1", ErrorKind::Unsupported),
        ("lower(title)", ErrorKind::Unsupported),
        ("raw", ErrorKind::Unsupported),
        ("id using <", ErrorKind::Syntax),
        ("user", ErrorKind::Syntax),
        ("id; drop table x", ErrorKind::Unsupported),
    ] {
        assert_eq!(parse_order(text, &table).expect_err(text).kind(), kind, "{text}");
    }
}

#[test]
fn codes_are_those_of_the_protocol() {
    let kinds = [ErrorKind::UnknownColumn, ErrorKind::Syntax, ErrorKind::Unsupported, ErrorKind::Type];
    assert_eq!(
        kinds.map(ErrorKind::code),
        ["unknown_column", "filter_syntax", "filter_unsupported", "filter_type"]
    );
}
