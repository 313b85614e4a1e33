//! Every built-in type that a column can have, with its extremes.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::raw::Rows;

/// What the users' own types are made of.
pub(super) const TYPES: &str = "
create type mood as enum ('sad', 'so-so', 'a \"b\", {c}\\d', '7');
create type spot as (x int, label text, mood mood);
create type floats as range (subtype = float8);
create domain positive as int check (value > 0);
create table holder (id int);";

/// Types, each with the texts of some of its values.
pub(super) const VALUES: &[(&str, &[&str])] = &[
    ("boolean", &["t", "f"]),
    ("smallint", &["-32768", "32767", "0"]),
    ("integer", &["-2147483648", "2147483647", "0"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    ("real", &["3.4028235e+38", "1e-45", "NaN", "-Infinity", "0.1", "-0", "1e+20", "123456"]),
    ("double precision", &["1.7976931348623157e+308", "5e-324", "NaN", "Infinity", "0.1", "-0", "1e+16"]),
    (
        "numeric",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "1.500",
            "123456789012345678901234567890.123456789",
            "-0.0001",
            "1234567890123456789012345678901234567890",
            "1e400",
        ],
    ),
    ("numeric(20, 5)", &["1", "-99999.99999"]),
    ("money", &["-92233720368547758.08", "1234.5"]),
    (
        "text",
        &[
            "",
            "a \"b\" \\ c",
            "line\nbreak\ttab\r",
            "\u{1}\u{1f}\u{7f}",
            "日本 🦀 é",
            "</script>",
            "\u{2028}",
        ],
    ),
    ("varchar(20)", &["", "null", "NULL", "{a,b}"]),
    ("character(5)", &["", "ab", "abcde"]),
    ("name", &["", "Name", "a b"]),
    ("\"char\"", &["a", "", "\""]),
    ("bytea", &["", "\\x00", "\\xdeadbeef5c0a"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    (
        "json",
        &[
            "null",
            "{\"a\":  1,\n \"a\": 2}",
            "[1.0, 1e2, \"\\u00e9\"]",
            "\"x\"",
            "12345678901234567890123",
            "[1e400, -1E-400]",
        ],
    ),
    (
        "jsonb",
        &[
            "null",
            "{\"b\": 1, \"a\": [1.50, {\"c\": null}]}",
            "\"\\\"q\\\"\"",
            "1e300",
            "1e400",
            "1234567890123456789012345678901234567890",
            "{\"n\": [0.1234567890123456789012345678901234567890]}",
        ],
    ),
    ("jsonpath", &["$.a[*] ? (@ > 1)"]),
    ("date", &["2026-11-22", "infinity", "-infinity", "0044-03-15 BC", "12026-01-01", "5874897-12-31"]),
    ("time", &["00:00:00", "24:00:00", "10:08:17.123456"]),
    ("time with time zone", &["10:08:17+00", "10:08:17.5-15:59"]),
    (
        "timestamp",
        &[
            "2026-11-22 10:08:17",
            "infinity",
            "-infinity",
            "0044-03-15 00:00:00 BC",
            "12026-01-01 00:00:00.000001",
        ],
    ),
    (
        "timestamp with time zone",
        &[
            "2026-11-22 10:08:17.123456+02",
            "infinity",
            "-infinity",
            "4713-01-01 BC",
            "294276-12-31 23:59:59+00",
        ],
    ),
    ("timestamp(0)", &["2026-11-22 10:08:17.9"]),
    ("interval", &["0", "1 year 2 mons 3 days 04:05:06.789", "-1 mon +2 days -3 hours", "178000000 years"]),
    ("bit(3)", &["101"]),
    ("bit varying", &["", "1011"]),
    ("inet", &["192.168.0.1/24", "::1", "10.0.0.1"]),
    ("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("point", &["(1.5,-2)", "(NaN,Infinity)"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
    ("polygon", &["((0,0),(1,1),(1,0))"]),
    ("circle", &["<(1,2),3>"]),
    ("tsvector", &["a:1 'b c':2A"]),
    ("tsquery", &["a & !'b c'"]),
    ("xml", &["<a b=\"c\">&amp;</a>"]),
    ("oid", &["0", "4294967295"]),
    ("regclass", &["pg_class", "holder", "0"]),
    ("regproc", &["now"]),
    ("regprocedure", &["length(text)"]),
    ("regoper", &["||/"]),
    ("regoperator", &["+(integer,integer)"]),
    ("regtype", &["integer", "mood", "timestamp with time zone"]),
    ("regrole", &["pg_monitor"]),
    ("regnamespace", &["public"]),
    ("regcollation", &["\"C\""]),
    ("regconfig", &["english"]),
    ("regdictionary", &["simple"]),
    ("pg_lsn", &["16/B374D848"]),
    ("xid", &["4294967295"]),
    ("xid8", &["18446744073709551615"]),
    ("cid", &["7"]),
    ("tid", &["(1,2)"]),
    ("pg_snapshot", &["10:20:10,14"]),
    ("txid_snapshot", &["10:20:10,14"]),
    ("refcursor", &["a b"]),
    ("int2vector", &["1 2 3"]),
    ("oidvector", &["1 2 3"]),
    ("aclitem", &["postgres=r/postgres"]),
    ("int4range", &["empty", "[1,5)", "(,)"]),
    ("int8range", &["[1,9223372036854775807)"]),
    ("numrange", &["(1.5,2.50]"]),
    ("daterange", &["[2026-01-01,infinity)"]),
    ("tsrange", &["[\"2026-01-01 00:00:00\",)"]),
    ("tstzrange", &["[\"2026-01-01 00:00:00+02\",\"2026-01-02 00:00:00+02\")"]),
    ("int4multirange", &["{}", "{[1,3),[7,8)}"]),
    ("datemultirange", &["{[2026-01-01,2026-02-01)}"]),
    ("mood", &["sad", "so-so", "a \"b\", {c}\\d", "7"]),
    ("spot", &["(1,\"a \"\"b\"\", c\",sad)", "(,,)"]),
    ("floats", &["[0.1,1e+20)"]),
    ("positive", &["1", "2147483647"]),
];

/// Looks whether some values are what the protocol says.
pub(super) fn check(rows: &Rows) {
    // Each value in the server's own words: numbers beyond a double are JSON, and few parsers read them.
    let row = |id: usize| {
        serde_json::from_str::<BTreeMap<&str, &RawValue>>(&rows[&id]).expect("rows are JSON objects")
    };
    let column = |name: &str| {
        let index = VALUES.iter().position(|(other, _)| *other == name).expect("it is listed");
        format!("one_{index}")
    };
    for (name, id, expected) in [
        ("boolean", 1, json!(true)),
        ("integer", 1, json!(-2_147_483_648_i64)),
        ("bigint", 3, json!("9007199254740993")),
        ("real", 3, json!("NaN")),
        ("double precision", 5, json!(0.1)),
        ("numeric", 4, json!("1.500")),
        ("text", 1, json!("")),
        ("bytea", 3, json!("3q2+71wK")),
        ("json", 1, Value::Null),
        ("jsonb", 2, json!({"a": [1.50, {"c": null}], "b": 1})),
        ("date", 1, json!("2026-11-22")),
        ("date", 4, json!("0044-03-15 BC")),
        ("time", 2, json!("24:00:00")),
        ("timestamp", 1, json!("2026-11-22T10:08:17")),
        ("timestamp with time zone", 1, json!("2026-11-22T08:08:17.123456Z")),
        ("timestamp with time zone", 2, json!("infinity")),
        ("interval", 2, json!("P1Y2M3DT4H5M6.789S")),
        ("mood", 3, json!("a \"b\", {c}\\d")),
        ("positive", 1, json!(1)),
        ("regclass", 2, json!("public.holder")),
    ] {
        let value: Value = serde_json::from_str(row(id)[&*column(name)].get()).expect("a value");
        assert_eq!(value, expected, "{name} {id}");
    }
    let huge = format!("1{}", "0".repeat(400));
    let digits = "1234567890123456789012345678901234567890";
    for (name, id, expected) in [
        ("json", 6, "[1e400, -1E-400]"),
        ("jsonb", 5, &*huge),
        ("jsonb", 6, digits),
        ("jsonb", 7, &*format!("{{\"n\": [0.{digits}]}}")),
        ("numeric", 7, &*format!("\"{digits}\"")),
        ("numeric", 8, &*format!("\"{huge}\"")),
    ] {
        assert_eq!(row(id)[&*column(name)].get(), expected, "{name} {id}");
    }
    for (name, parts) in [("jsonb", [&*huge, digits]), ("numeric", [digits, &*huge])] {
        let many = row(1)[&*column(name).replace("one", "many")].get();
        for part in parts {
            assert!(many.contains(part), "{part} in the array of {name}: {many}");
        }
    }
}
