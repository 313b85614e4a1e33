//! What the engine made of values: recorded facts.

use std::fmt::Write as _;

/// The version of the engine that wrote all that is recorded here, on PostgreSQL 15.
pub(super) const ENGINE: &str = "3.6.3.Final";

/// What the engine leaves out, since it does not know the type.
pub(super) const ABSENT: &str = "";

/// What the users' own types are made of.
pub(super) const TYPES: &str = r#"
create extension hstore;
create extension ltree;
create extension citext;
create extension isn;
create extension cube;
create type mood as enum ('sad', 'so-so', 'a "b", {c}\d', '7');
create type spot as (x int, label text, mood mood);
create type floats as range (subtype = float8);
create domain positive as int check (value > 0);
create domain dnum as numeric(10, 2);
create domain dts as timestamp(3);
create domain darr as int[];
create domain dd as positive;
"#;

/// A type, and of some of its values PostgreSQL's text and what the engine wrote.
pub(super) type Case = (&'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    ("boolean", &[("t", "true"), ("f", "false")]),
    ("smallint", &[("-32768", "-32768"), ("32767", "32767")]),
    ("integer", &[("-2147483648", "-2147483648"), ("0", "0")]),
    ("bigint", &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")]),
    ("real", &[("3.4028235e+38", "3.4028235E38"), ("1e-45", "1.4E-45"), ("NaN", r#""NaN""#), ("-Infinity", r#""-Infinity""#), ("Infinity", r#""Infinity""#), ("0.1", "0.1"), ("-0", "-0.0"), ("1e+20", "1.0E20"), ("123456", "123456.0"), ("16777216", "1.6777216E7"), ("1e7", "1.0E7"), ("9999999", "9999999.0"), ("0.001", "0.001"), ("0.0001", "1.0E-4")]),
    ("double precision", &[("1.7976931348623157e+308", "1.7976931348623157E308"), ("5e-324", "4.9E-324"), ("NaN", r#""NaN""#), ("Infinity", r#""Infinity""#), ("-Infinity", r#""-Infinity""#), ("0.1", "0.1"), ("-0", "-0.0"), ("1e+16", "1.0E16"), ("1e15", "1.0E15"), ("1e7", "1.0E7"), ("123456789", "1.23456789E8"), ("1e6", "1000000.0"), ("0.001", "0.001"), ("0.0001", "1.0E-4"), ("100", "100.0"), ("2e-3", "0.002")]),
    ("numeric", &[("NaN", "null"), ("Infinity", "null"), ("-Infinity", "null"), ("1.500", r#"{"scale":1,"value":"Dw=="}"#), ("123456789012345678901234567890.123456789", r#"{"scale":9,"value":"XODppWAV/sWq36MorjmBFQ=="}"#), ("-0.0001", r#"{"scale":4,"value":"/w=="}"#), ("1234567890123456789012345678901234567890", r#"{"scale":0,"value":"A6DJIHXA2/O4rLxfls4/CtI="}"#), ("1e40", r#"{"scale":0,"value":"HWMp8cNcpL+rufVhAAAAAAA="}"#), ("0", r#"{"scale":0,"value":"AA=="}"#), ("0.00", r#"{"scale":0,"value":"AA=="}"#), ("-1", r#"{"scale":0,"value":"/w=="}"#), ("127", r#"{"scale":0,"value":"fw=="}"#), ("128", r#"{"scale":0,"value":"AIA="}"#), ("-128", r#"{"scale":0,"value":"gA=="}"#), ("-129", r#"{"scale":0,"value":"/38="}"#), ("255", r#"{"scale":0,"value":"AP8="}"#), ("256", r#"{"scale":0,"value":"AQA="}"#)]),
    ("numeric(20,5)", &[("1", r#""AYag""#), ("-99999.99999", r#""/av0HAE=""#), ("0", r#""AA==""#), ("NaN", "null")]),
    ("numeric(5,0)", &[("12345", r#""MDk=""#), ("-1", r#""/w==""#)]),
    ("numeric(5)", &[("7", r#""Bw==""#)]),
    ("numeric(38,10)", &[("1234567890123456789012345678.0123456789", r#""CUmw9vACMxPESZBOzGdFFQ==""#), ("-1234567890123456789012345678.0123456789", r#""9rZPCQ/9zOw7tm+xM5i66w==""#)]),
    ("money", &[("-92233720368547758.08", r#""gAAAAAAAAAA=""#), ("1234.5", r#""AeI6""#), ("0", r#""AA==""#)]),
    ("text", &[("", r#""""#), (r#"a "b" \ c"#, r#""a \"b\" \\ c""#), ("line\nbreak\ttab\r", r#""line\nbreak\ttab\r""#), ("\u{1}\u{1f}\u{7f}", "\"\\u0001\\u001F\u{7f}\""), ("日本 🦀 é", r#""日本 \uD83E\uDD80 é""#), ("</script>", r#""</script>""#), ("\u{2028}", "\"\u{2028}\"")]),
    ("varchar(20)", &[("", r#""""#), ("NULL", r#""NULL""#)]),
    ("character(5)", &[("", r#""     ""#), ("ab", r#""ab   ""#), ("abcde", r#""abcde""#)]),
    ("character", &[("a", r#""a""#)]),
    ("name", &[("Name", "null")]),
    (r#""char""#, &[("a", r#""a""#)]),
    ("bytea", &[("", r#""""#), (r"\x00", r#""AA==""#), (r"\xdeadbeef5c0a", r#""3q2+71wK""#)]),
    ("uuid", &[("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#)]),
    ("json", &[("null", r#""null""#), ("{\"a\":  1,\n \"a\": 2}", r#""{\"a\":  1,\n \"a\": 2}""#), ("[1.0, 1e2]", r#""[1.0, 1e2]""#)]),
    ("jsonb", &[("null", r#""null""#), (r#"{"b": 1, "a": [1.50]}"#, r#""{\"a\": [1.50], \"b\": 1}""#)]),
    ("jsonpath", &[("$.a", ABSENT)]),
    ("date", &[("2026-11-22", "20779"), ("1970-01-01", "0"), ("1969-12-31", "-1"), ("infinity", "-2147472692"), ("-infinity", "-2147472691"), ("0044-03-15 BC", "-735160"), ("12026-01-01", "3672879"), ("5874897-12-31", "2145042905"), ("4713-01-01 BC", "-2440550"), ("0001-01-01", "-719162"), ("0001-12-31 BC", "-719163"), ("1582-10-10", "-141432"), ("0001-02-29 BC", "-719469")]),
    ("time", &[("00:00:00", "0"), ("24:00:00", "86400000000"), ("10:08:17.123456", "36497123456"), ("23:59:59.999999", "86399999999")]),
    ("time(0)", &[("10:08:17", "36497000"), ("24:00:00", "86400000")]),
    ("time(3)", &[("10:08:17.123", "36497123")]),
    ("time(4)", &[("10:08:17.1234", "36497123400")]),
    ("time with time zone", &[("10:08:17+00", r#""10:08:17Z""#), ("10:08:17.5-15:59", r#""02:07:17.5Z""#), ("24:00:00+00", r#""00:00:00Z""#), ("01:02:03.123456+05:30", r#""19:32:03.123456Z""#), ("23:00:00-02", r#""01:00:00Z""#)]),
    ("time(0) with time zone", &[("10:08:17+02", r#""08:08:17Z""#)]),
    ("timestamp", &[("2026-11-22 10:08:17", "1795342097000000"), ("2026-11-22 10:08:17.123456", "1795342097123456"), ("infinity", "9223372036825200000"), ("-infinity", "-9223372036832400000"), ("0044-03-15 00:00:00 BC", "-63517824000000000"), ("12026-01-01 00:00:00.000001", "317336745600000001"), ("1969-12-31 23:59:59.999999", "-1"), ("1582-10-10 00:00:00", "-12219724800000000"), ("294276-12-31 23:59:59.999999", "-9223372036853775810"), ("4713-01-01 00:00:00 BC", "-210863520000000000")]),
    ("timestamp(0)", &[("2026-11-22 10:08:17", "1795342097000"), ("infinity", "9223372036825200"), ("-infinity", "-9223372036832400"), ("0044-03-15 00:00:00 BC", "-63517824000000")]),
    ("timestamp(3)", &[("2026-11-22 10:08:17.123", "1795342097123"), ("1969-12-31 23:59:59.999", "-1"), ("-infinity", "-9223372036832400")]),
    ("timestamp(4)", &[("2026-11-22 10:08:17.1234", "1795342097123400")]),
    ("timestamp with time zone", &[("2026-11-22 10:08:17.123456+02", r#""2026-11-22T08:08:17.123456Z""#), ("2026-11-22 10:08:17+00", r#""2026-11-22T10:08:17.000000Z""#), ("2026-11-22 10:08:17.1+00", r#""2026-11-22T10:08:17.100000Z""#), ("2026-11-22 10:08:00+00", r#""2026-11-22T10:08:00.000000Z""#), ("2026-11-22 10:08:17.120+00", r#""2026-11-22T10:08:17.120000Z""#), ("infinity", r#""infinity""#), ("-infinity", r#""-infinity""#), ("4713-01-01 00:00:00+00 BC", r#""-4712-01-01T00:00:00.000000Z""#), ("294276-12-31 23:59:59+00", r#""+294276-12-31T23:59:59.000000Z""#), ("12026-01-01 00:00:00+00", r#""+12026-01-01T00:00:00.000000Z""#), ("0044-03-15 01:02:03.5+00 BC", r#""-0043-03-15T01:02:03.500000Z""#), ("0001-01-01 00:00:00+00", r#""0001-01-01T00:00:00.000000Z""#), ("0999-01-01 00:00:00+00", r#""0999-01-01T00:00:00.000000Z""#), ("1582-10-10 00:00:00+00", r#""1582-10-10T00:00:00.000000Z""#)]),
    ("timestamp(0) with time zone", &[("2026-11-22 10:08:17+02", r#""2026-11-22T08:08:17Z""#)]),
    ("timestamp(3) with time zone", &[("2026-11-22 10:08:17.12+02", r#""2026-11-22T08:08:17.120Z""#)]),
    ("interval", &[("0", "0"), ("1 year 2 mons 3 days 04:05:06.789", "37091106789000"), ("-1 mon +2 days -3 hours", "-2467800000000"), ("178000000 years", "9223372036854775807"), ("1 year", "31557600000000"), ("1 mon", "2629800000000"), ("1 day", "86400000000"), ("-1 day", "-86400000000"), ("00:00:00.000001", "1"), ("-00:00:00.000001", "-1"), ("-178000000 years", "-9223372036854775808"), ("1000000:00:00", "3600000000000000"), ("1 year -1 mon", "28927800000000"), ("-1 year -2 mons +3 days -04:05:06.789", "-36572706789000"), ("7 mons", "18408600000000"), ("5 years 11 mons", "186715800000000")]),
    ("interval(3)", &[("00:00:00.123", "123000")]),
    ("bit(1)", &[("1", "true"), ("0", "false")]),
    ("bit(3)", &[("101", r#""BQ==""#)]),
    ("bit(8)", &[("10000001", r#""gQ==""#)]),
    ("bit(9)", &[("100000011", r#""AwE=""#)]),
    ("bit(64)", &[("1111111111111111111111111111111111111111111111111111111111111110", r#""/v////////8=""#)]),
    ("bit varying", &[("", r#""""#), ("1", r#""AQ==""#), ("1011", r#""Cw==""#), ("0000000000001", r#""AQ==""#)]),
    ("bit varying(5)", &[("1", r#""AQ==""#), ("00001", r#""AQ==""#)]),
    ("bit varying(1)", &[("1", "true")]),
    ("bit(16)", &[("0000000000000000", r#""""#)]),
    ("inet", &[("192.168.0.1/24", r#""192.168.0.1/24""#), ("::1", r#""::1""#), ("10.0.0.1", r#""10.0.0.1""#)]),
    ("cidr", &[("10.0.0.0/8", r#""10.0.0.0/8""#)]),
    ("macaddr", &[("08:00:2b:01:02:03", r#""08:00:2b:01:02:03""#)]),
    ("macaddr8", &[("08:00:2b:01:02:03:04:05", r#""08:00:2b:01:02:03:04:05""#)]),
    ("point", &[("(1.5,-2)", r#"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#), ("(NaN,Infinity)", r#"{"x":"NaN","y":"Infinity","wkb":"AQEAAAAAAAAAAAD4fwAAAAAAAPB/","srid":null}"#), ("(0,0)", r#"{"x":0.0,"y":0.0,"wkb":"AQEAAAAAAAAAAAAAAAAAAAAAAAAA","srid":null}"#), ("(1e20,1e-7)", r#"{"x":1.0E20,"y":1.0E-7,"wkb":"AQEAAABAjLV4Ha8VREivvJry13o+","srid":null}"#)]),
    ("line", &[("{1,2,3}", ABSENT)]),
    ("lseg", &[("[(0,0),(1,1)]", ABSENT)]),
    ("box", &[("(1,1),(0,0)", ABSENT)]),
    ("path", &[("((0,0),(1,1))", ABSENT)]),
    ("polygon", &[("((0,0),(1,1),(1,0))", ABSENT)]),
    ("circle", &[("<(1,2),3>", ABSENT)]),
    ("tsvector", &[("a:1 'b c':2A", r#""'a':1 'b c':2A""#)]),
    ("tsquery", &[("a & b", ABSENT)]),
    ("xml", &[(r#"<a b="c">&amp;</a>"#, r#""<a b=\"c\">&amp;</a>""#)]),
    ("oid", &[("0", "0"), ("4294967295", "4294967295")]),
    ("regclass", &[("pg_class", ABSENT)]),
    ("regtype", &[("integer", ABSENT)]),
    ("pg_lsn", &[("16/B374D848", ABSENT)]),
    ("xid", &[("4294967295", ABSENT)]),
    ("xid8", &[("18446744073709551615", ABSENT)]),
    ("cid", &[("7", ABSENT)]),
    ("tid", &[("(1,2)", ABSENT)]),
    ("pg_snapshot", &[("10:20:10,14", ABSENT)]),
    ("txid_snapshot", &[("10:20:10,14", ABSENT)]),
    ("refcursor", &[("a b", ABSENT)]),
    ("int2vector", &[("1 2 3", "[]")]),
    ("oidvector", &[("1 2 3", "[]")]),
    ("aclitem", &[("postgres=r/postgres", ABSENT)]),
    ("int4range", &[("empty", r#""empty""#), ("[1,5)", r#""[1,5)""#), ("(,)", r#""(,)""#)]),
    ("int8range", &[("[1,9)", r#""[1,9)""#)]),
    ("numrange", &[("(1.5,2.50]", r#""(1.5,2.50]""#), ("empty", r#""empty""#)]),
    ("daterange", &[("[2026-01-01,2026-02-01)", r#""[2026-01-01,2026-02-01)""#), ("[2026-01-01,infinity)", r#""[2026-01-01,infinity)""#)]),
    ("tsrange", &[(r#"["2026-01-01 00:00:00",)"#, r#""[\"2026-01-01 00:00:00\",)""#), (r#"["2026-01-01 00:00:00","2026-01-02 00:00:00.5")"#, r#""[\"2026-01-01 00:00:00\",\"2026-01-02 00:00:00.5\")""#), ("empty", r#""empty""#)]),
    ("tstzrange", &[(r#"["2026-01-01 00:00:00+02","2026-01-02 00:00:00+02")"#, r#""[\"2025-12-31 22:00:00+00\",\"2026-01-01 22:00:00+00\")""#)]),
    ("int4multirange", &[("{}", ABSENT), ("{[1,3),[7,8)}", ABSENT)]),
    ("mood", &[("sad", r#""sad""#), (r#"a "b", {c}\d"#, r#""a \"b\", {c}\\d""#)]),
    ("spot", &[(r#"(1,"a ""b"", c",sad)"#, ABSENT)]),
    ("floats", &[("[0.1,1e+20)", ABSENT)]),
    ("positive", &[("1", "1")]),
    ("dnum", &[("1.5", r#""AJY=""#)]),
    ("dts", &[("2026-11-22 10:08:17.123", "1795342097123")]),
    ("darr", &[("{1,2}", "[1,2]")]),
    ("dd", &[("7", "7")]),
    ("hstore", &[("a=>1, b=>NULL", r#""{\"a\":\"1\",\"b\":null}""#), ("", r#""{}""#), (r#""k \"q\\"=>"v,=>""#, r#""{\"k \\\"q\\\\\":\"v,=>\"}""#)]),
    ("ltree", &[("a.b.c", r#""a.b.c""#)]),
    ("lquery", &[("a.*", ABSENT)]),
    ("citext", &[("CaSe", r#""CaSe""#)]),
    ("isbn", &[("978-0-393-04002-9", r#""0-393-04002-X""#)]),
    ("cube", &[("(1,2),(3,4)", ABSENT)]),
    ("ltxtquery", &[("a & b", ABSENT)]),
    ("boolean[]", &[("{t,f,NULL}", "[true,false,null]")]),
    ("smallint[]", &[("{1,NULL}", "[1,null]")]),
    ("integer[]", &[("{1,NULL,3}", "[1,null,3]"), ("{}", "[]"), ("{{1,2},{3,4}}", "[null,null]"), ("[2:3]={7,8}", "[7,8]")]),
    ("bigint[]", &[("{9223372036854775807}", "[9223372036854775807]")]),
    ("real[]", &[("{0.1,NaN}", r#"[0.1,"NaN"]"#)]),
    ("double precision[]", &[("{0.1,-Infinity}", r#"[0.1,"-Infinity"]"#)]),
    ("numeric[]", &[("{1.5,NULL}", r#"[{"scale":1,"value":"Dw=="},null]"#), ("{NaN,1}", "null")]),
    ("numeric(10,2)[]", &[("{1.5,NULL}", r#"["AJY=",null]"#)]),
    ("money[]", &[("{1.5}", ABSENT)]),
    ("text[]", &[(r#"{a,NULL,"NULL","b \"q\\ ,{}"}"#, r#"["a",null,"NULL","b \"q\\ ,{}"]"#)]),
    ("varchar(20)[]", &[(r#"{a,""}"#, r#"["a",""]"#)]),
    ("character(5)[]", &[("{a}", r#"["a    "]"#)]),
    ("bytea[]", &[(r#"{"\\x00ff",NULL}"#, r#"["AP8=",null]"#)]),
    ("uuid[]", &[("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", r#"["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]"#)]),
    ("json[]", &[(r#"{"{\"a\":1}"}"#, r#"["{\"a\":1}"]"#)]),
    ("jsonb[]", &[(r#"{"{\"a\":1}",NULL}"#, r#"["{\"a\": 1}",null]"#)]),
    ("date[]", &[("{2026-11-22,NULL}", "[20779,null]"), ("{infinity}", "[-622191234]")]),
    ("time[]", &[("{10:08:17.123456}", "[36497123000]")]),
    ("time with time zone[]", &[("{10:08:17+02}", r#"["08:08:17Z"]"#)]),
    ("timestamp[]", &[(r#"{"2026-11-22 10:08:17.123456",infinity}"#, "[1795342097123456,9223372036825200000]")]),
    ("timestamp(3)[]", &[(r#"{"2026-11-22 10:08:17.123"}"#, "[1795342097123]")]),
    ("timestamp with time zone[]", &[(r#"{"2026-11-22 10:08:17.123456+02",infinity}"#, r#"["2026-11-22T08:08:17.123456Z","infinity"]"#)]),
    ("interval[]", &[(r#"{"1 day"}"#, ABSENT)]),
    ("bit(3)[]", &[("{101}", "null")]),
    ("bit varying[]", &[("{101}", ABSENT)]),
    ("bit(1)[]", &[("{1}", "null")]),
    ("inet[]", &[("{10.0.0.1}", r#"["10.0.0.1"]"#)]),
    ("cidr[]", &[("{10.0.0.0/8}", r#"["10.0.0.0/8"]"#)]),
    ("macaddr[]", &[("{08:00:2b:01:02:03}", r#"["08:00:2b:01:02:03"]"#)]),
    ("point[]", &[(r#"{"(1,2)"}"#, ABSENT)]),
    ("box[]", &[("{(1,1),(0,0);(2,2),(0,0)}", ABSENT)]),
    ("oid[]", &[("{4294967295}", "[4294967295]")]),
    ("int4range[]", &[(r#"{"[1,5)"}"#, r#"["[1,5)"]"#)]),
    ("daterange[]", &[(r#"{"[2026-01-01,2026-02-01)"}"#, r#"["[2026-01-01,2026-02-01)"]"#)]),
    ("tsrange[]", &[(r#"{"[\"2026-01-01 00:00:00\",)"}"#, r#"["[\"2026-01-01 00:00:00\",)"]"#)]),
    ("numrange[]", &[(r#"{"[1,2)"}"#, r#"["[1,2)"]"#)]),
    ("tstzrange[]", &[(r#"{"[\"2026-01-01 00:00:00+00\",)"}"#, r#"["[\"2026-01-01 00:00:00+00\",)"]"#)]),
    ("int8range[]", &[(r#"{"[1,5)"}"#, r#"["[1,5)"]"#)]),
    ("mood[]", &[("{sad,so-so}", r#"["sad","so-so"]"#)]),
    ("spot[]", &[(r#"{"(1,a,sad)"}"#, ABSENT)]),
    ("hstore[]", &[(r#"{"a=>1"}"#, r#"["{\"a\":\"1\"}"]"#)]),
    ("ltree[]", &[("{a.b}", r#"["a.b"]"#)]),
    ("citext[]", &[("{CaSe,NULL}", r#"["CaSe",null]"#)]),
    ("positive[]", &[("{1,2}", ABSENT)]),
    ("xml[]", &[("{<a/>}", ABSENT)]),
    ("tsvector[]", &[("{a}", r#"["'a'"]"#)]),
    ("xid8[]", &[("{1}", ABSENT)]),
    ("name[]", &[("{a}", ABSENT)]),
    ("macaddr8[]", &[("{08:00:2b:01:02:03:04:05}", r#"["08:00:2b:01:02:03:04:05"]"#)]),
    ("pg_lsn[]", &[("{16/B374D848}", ABSENT)]),
    ("darr[]", &[(r#"{"{1,2}","{3}"}"#, ABSENT)]),
    (r#""char"[]"#, &[("{a}", r#"["a"]"#)]),
    ("isbn[]", &[("{978-0-393-04002-9}", r#"["0-393-04002-X"]"#)]),
];

/// Where a value is written otherwise, on purpose: its type, its text, and what is written.
///
/// The engine wraps around, reads an array's or a vector's text wrongly, or fails and writes null.
pub(super) const DIFFERENCES: &[(&str, &str, &str)] = &[
    // The same number in other digits.
    ("real", "1e-45", "1e-45"),
    ("name", "Name", "\"Name\""),
    ("date", "infinity", "2147483647"),
    ("date", "-infinity", "-2147483648"),
    ("timestamp", "294276-12-31 23:59:59.999999", "9223372036854775807"),
    ("int2vector", "1 2 3", "\"1 2 3\""),
    ("oidvector", "1 2 3", "\"1 2 3\""),
    ("integer[]", "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
    ("numeric[]", "{NaN,1}", r#"[null,{"scale":0,"value":"AQ=="}]"#),
    ("date[]", "{infinity}", "[2147483647]"),
    ("time[]", "{10:08:17.123456}", "[36497123456]"),
    ("bit(3)[]", "{101}", "[\"BQ==\"]"),
    ("bit(1)[]", "{1}", "[true]"),
    // What the engine leaves out.
    ("money[]", "{1.5}", "[\"AJY=\"]"),
    ("interval[]", "{\"1 day\"}", "[86400000000]"),
    ("positive[]", "{1,2}", "[1,2]"),
    ("darr[]", "{\"{1,2}\",\"{3}\"}", "[[1,2],[3]]"),
    ("spot", "(1,\"a \"\"b\"\", c\",sad)", r#""(1,\"a \"\"b\"\", c\",sad)""#),
    ("spot[]", "{\"(1,a,sad)\"}", "[\"(1,a,sad)\"]"),
    ("regclass", "pg_class", "\"pg_class\""),
    ("point[]", "{\"(1,2)\"}", r#"[{"srid":null,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","x":1,"y":2}]"#),
    ("box[]", "{(1,1),(0,0);(2,2),(0,0)}", r#"["(1,1),(0,0)","(2,2),(0,0)"]"#),
    ("int4multirange", "{[1,3),[7,8)}", "\"{[1,3),[7,8)}\""),
];

/// Large values, in SQL, and what the engine wrote for them where they did not change.
pub(super) const LARGE: &[(&str, &str, &str)] = &[
    ("text", "repeat('x', 9000)", "\"__debezium_unavailable_value\""),
    ("varchar(100000)", "repeat('x', 9000)", "\"__debezium_unavailable_value\""),
    ("bytea", "decode(repeat('00', 9000), 'hex')", "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""),
    ("jsonb", "to_jsonb(repeat('x', 9000))", "\"__debezium_unavailable_value\""),
    ("citext", "repeat('x', 9000)", "\"__debezium_unavailable_value\""),
    (
        "hstore",
        "hstore('a', repeat('x', 9000))",
        r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
    ),
    ("text[]", "array(select generate_series(1, 3000)::text)", "[\"__debezium_unavailable_value\"]"),
    ("json[]", "array[to_json(repeat('x', 9000))]", "[\"__debezium_unavailable_value\"]"),
    ("bytea[]", "array[decode(repeat('00', 9000), 'hex')]", "[\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"]"),
    ("integer[]", "array(select generate_series(1, 3000))", NUMBERS),
    ("bigint[]", "array(select generate_series(1, 3000))", NUMBERS),
    ("date[]", "array(select '2020-01-01'::date + g from generate_series(1, 3000) as g)", NUMBERS),
    (
        "uuid[]",
        "array(select gen_random_uuid() from generate_series(1, 3000))",
        "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]",
    ),
    // Null, which cannot be told from a NULL: see `LARGE_OTHERWISE`.
    ("numeric", "repeat('7', 9000)::numeric", "null"),
    ("bit varying", "repeat('1', 90000)::varbit", "null"),
    ("double precision[]", "array(select generate_series(1, 3000))", "null"),
    ("numeric[]", "array(select generate_series(1, 3000))", "null"),
    ("boolean[]", "array(select true from generate_series(1, 9000))", "null"),
    ("smallint[]", "array(select 1 from generate_series(1, 9000))", "null"),
];

/// The bytes of the text that the others have.
const NUMBERS: &str = "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,\
                       117,101]";

/// Where a large value that did not change is written otherwise, on purpose: its type, and what is written.
pub(super) const LARGE_OTHERWISE: &[(&str, &str)] = &[
    ("numeric", "\"__debezium_unavailable_value\""),
    ("bit varying", "\"__debezium_unavailable_value\""),
    ("double precision[]", "[\"__debezium_unavailable_value\"]"),
    ("numeric[]", "[\"__debezium_unavailable_value\"]"),
    ("boolean[]", "[\"__debezium_unavailable_value\"]"),
    ("smallint[]", NUMBERS),
];

/// Makes a table for each type, `t0` and so on, and one for large values.
pub(super) fn setup() -> String {
    let mut sql = TYPES.to_owned();
    for (place, (name, _)) in CASES.iter().enumerate() {
        write!(sql, "create table t{place} (id int primary key, v {name});").expect("a String takes all");
    }
    sql.push_str("create table large (id int primary key");
    for (place, (name, ..)) in LARGE.iter().enumerate() {
        write!(sql, ", c{place} {name}").expect("a String takes all");
    }
    sql.push_str(");");
    for place in 0..LARGE.len() {
        write!(sql, "alter table large alter c{place} set storage external;").expect("a String takes all");
    }
    sql
}

/// Inserts each value as a row of its type's table, then the large ones, and updates these.
pub(super) fn changes() -> String {
    let mut sql = String::from("begin;");
    for (place, (_, values)) in CASES.iter().enumerate() {
        for (id, (text, _)) in values.iter().enumerate() {
            let text = text.replace('\'', "''");
            write!(sql, "insert into t{place} values ({id}, '{text}');").expect("a String takes all");
        }
    }
    sql.push_str("commit; insert into large values (1");
    for (_, expression, _) in LARGE {
        write!(sql, ", {expression}").expect("a String takes all");
    }
    sql.push_str("); update large set id = 1;");
    sql
}
