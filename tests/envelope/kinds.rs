//! Every kind of change, and what the engine made of it: recorded facts.

/// Tables of every replica identity, of odd names, and of parts.
pub(super) const SETUP: &str = r#"
create table by_key (id int primary key, n int, body text);
create table whole (id int primary key, n int, body text);
alter table whole replica identity full;
create table keyless_whole (a int, b text);
alter table keyless_whole replica identity full;
create table by_index (id int primary key, code text not null unique, body text);
alter table by_index replica identity using index by_index_code_key;
create table nothing (id int primary key, body text);
alter table nothing replica identity nothing;
create table keyless (a int, b text);
create table two_keys (a int, b text, c int, primary key (b, a));
create table long_key (id text, n int, primary key (id, n), body text);
alter table long_key alter id set storage external, alter body set storage external;
create table long_whole (id int primary key, n int, body text);
alter table long_whole alter body set storage external;
alter table long_whole replica identity full;
create table strict (id int primary key, a text not null, b boolean not null);
create table by_number (id numeric primary key, n int);
create schema "Odd.sch*ema";
create table "Odd.sch*ema"."Ta#b le.%" ("I d" int primary key, "qu""ote\" text);
create table root (id int primary key, body text) partition by range (id);
create table low partition of root for values from (0) to (10);
create table high partition of root for values from (10) to (20);
"#;

/// What is done to them.
pub(super) const CHANGES: &str = r#"
begin;
insert into by_key values (1, 1, 'a'), (2, 2, null);
update by_key set body = 'b' where id = 1;
update by_key set id = 3 where id = 2;
delete from by_key where id = 3;
insert into whole values (1, 1, 'a');
update whole set body = 'b';
update whole set id = 2;
delete from whole;
insert into keyless_whole values (1, null);
update keyless_whole set a = 2;
delete from keyless_whole;
commit;
begin;
insert into by_index values (1, 'x', 'body');
update by_index set body = 'other';
update by_index set code = 'y';
update by_index set id = 5;
delete from by_index;
insert into strict values (1, 'a', true);
delete from strict;
insert into by_number values (1.0, 1);
update by_number set id = 1.00;
update by_number set id = 2;
insert into nothing values (1, 'a');
insert into keyless values (1, 'b');
insert into two_keys values (1, 'x', 3);
update two_keys set c = 4;
update two_keys set b = 'y', c = 5;
delete from two_keys;
insert into long_key values (repeat('k', 2100), 1, repeat('x', 3000));
update long_key set body = 'b';
insert into long_whole values (1, 1, repeat('x', 3000));
update long_whole set n = 2;
insert into "Odd.sch*ema"."Ta#b le.%" values (1, 'x');
insert into root values (1, 'a');
update root set id = 11;
delete from root;
savepoint before;
insert into by_key values (6, 0, 'undone');
rollback to savepoint before;
insert into by_key values (7, 1, 'a');
truncate by_key, whole;
select pg_logical_emit_message(true, 'tidegate:deploys', '{"a":1}');
commit;
"#;

/// One record of the engine.
pub(super) struct Recorded {
    /// Ours: the engine has a topic instead, in which odd characters are all `_`.
    pub(super) routing_key: &'static str,
    pub(super) op: &'static str,
    /// `__debezium.newkey` or `__debezium.oldkey`, and what it says.
    pub(super) header: (&'static str, &'static str),
    pub(super) before: &'static str,
    pub(super) after: &'static str,
}

/// In the order in which they came; `XXX` and `KKK` stand for the large values. The engine was told not to skip what
/// empties a table, which by default it does.
pub(super) fn recorded() -> impl Iterator<Item = Recorded> {
    RECORDED.iter().map(|&(routing_key, op, name, key, before, after)| Recorded {
        routing_key,
        op,
        header: (name, key),
        before,
        after,
    })
}

#[rustfmt::skip]
const RECORDED: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("public.by_key.insert", "c", "", "", "null", r#"{"id":1,"n":1,"body":"a"}"#),
    ("public.by_key.insert", "c", "", "", "null", r#"{"id":2,"n":2,"body":null}"#),
    ("public.by_key.update", "u", "", "", "null", r#"{"id":1,"n":1,"body":"b"}"#),
    ("public.by_key.delete", "d", "__debezium.newkey", r#"{"id":3}"#, r#"{"id":2,"n":null,"body":null}"#, "null"),
    ("public.by_key.insert", "c", "__debezium.oldkey", r#"{"id":2}"#, "null", r#"{"id":3,"n":2,"body":null}"#),
    ("public.by_key.delete", "d", "", "", r#"{"id":3,"n":null,"body":null}"#, "null"),
    ("public.whole.insert", "c", "", "", "null", r#"{"id":1,"n":1,"body":"a"}"#),
    ("public.whole.update", "u", "", "", r#"{"id":1,"n":1,"body":"a"}"#, r#"{"id":1,"n":1,"body":"b"}"#),
    ("public.whole.delete", "d", "__debezium.newkey", r#"{"id":2}"#, r#"{"id":1,"n":1,"body":"b"}"#, "null"),
    ("public.whole.insert", "c", "__debezium.oldkey", r#"{"id":1}"#, "null", r#"{"id":2,"n":1,"body":"b"}"#),
    ("public.whole.delete", "d", "", "", r#"{"id":2,"n":1,"body":"b"}"#, "null"),
    ("public.keyless_whole.insert", "c", "", "", "null", r#"{"a":1,"b":null}"#),
    ("public.keyless_whole.update", "u", "", "", r#"{"a":1,"b":null}"#, r#"{"a":2,"b":null}"#),
    ("public.keyless_whole.delete", "d", "", "", r#"{"a":2,"b":null}"#, "null"),
    ("public.by_index.insert", "c", "", "", "null", r#"{"id":1,"code":"x","body":"body"}"#),
    ("public.by_index.update", "u", "", "", "null", r#"{"id":1,"code":"x","body":"other"}"#),
    ("public.by_index.delete", "d", "__debezium.newkey", r#"{"id":1}"#, r#"{"id":0,"code":"x","body":null}"#, "null"),
    ("public.by_index.insert", "c", "__debezium.oldkey", r#"{"id":0}"#, "null", r#"{"id":1,"code":"y","body":"other"}"#),
    ("public.by_index.update", "u", "", "", "null", r#"{"id":5,"code":"y","body":"other"}"#),
    ("public.by_index.delete", "d", "", "", r#"{"id":0,"code":"y","body":null}"#, "null"),
    ("public.strict.insert", "c", "", "", "null", r#"{"id":1,"a":"a","b":true}"#),
    ("public.strict.delete", "d", "", "", r#"{"id":1,"a":"","b":false}"#, "null"),
    ("public.by_number.insert", "c", "", "", "null", r#"{"id":{"scale":0,"value":"AQ=="},"n":1}"#),
    ("public.by_number.update", "u", "", "", r#"{"id":{"scale":0,"value":"AQ=="},"n":null}"#, r#"{"id":{"scale":0,"value":"AQ=="},"n":1}"#),
    ("public.by_number.delete", "d", "__debezium.newkey", r#"{"id":{"scale":0,"value":"Ag=="}}"#, r#"{"id":{"scale":0,"value":"AQ=="},"n":null}"#, "null"),
    ("public.by_number.insert", "c", "__debezium.oldkey", r#"{"id":{"scale":0,"value":"AQ=="}}"#, "null", r#"{"id":{"scale":0,"value":"Ag=="},"n":1}"#),
    ("public.nothing.insert", "c", "", "", "null", r#"{"id":1,"body":"a"}"#),
    ("public.keyless.insert", "c", "", "", "null", r#"{"a":1,"b":"b"}"#),
    ("public.two_keys.insert", "c", "", "", "null", r#"{"a":1,"b":"x","c":3}"#),
    ("public.two_keys.update", "u", "", "", "null", r#"{"a":1,"b":"x","c":4}"#),
    ("public.two_keys.delete", "d", "__debezium.newkey", r#"{"b":"y","a":1}"#, r#"{"a":1,"b":"x","c":null}"#, "null"),
    ("public.two_keys.insert", "c", "__debezium.oldkey", r#"{"b":"x","a":1}"#, "null", r#"{"a":1,"b":"y","c":5}"#),
    ("public.two_keys.delete", "d", "", "", r#"{"a":1,"b":"y","c":null}"#, "null"),
    ("public.long_key.insert", "c", "", "", "null", r#"{"id":"KKK","n":1,"body":"XXX"}"#),
    ("public.long_key.update", "u", "", "", r#"{"id":"KKK","n":1,"body":null}"#, r#"{"id":"KKK","n":1,"body":"b"}"#),
    ("public.long_whole.insert", "c", "", "", "null", r#"{"id":1,"n":1,"body":"XXX"}"#),
    ("public.long_whole.update", "u", "", "", r#"{"id":1,"n":1,"body":"XXX"}"#, r#"{"id":1,"n":2,"body":"XXX"}"#),
    ("Odd%2Esch%2Aema.Ta%23b%20le%2E%25.insert", "c", "", "", "null", r#"{"I d":1,"qu\"ote\\":"x"}"#),
    ("public.root.insert", "c", "", "", "null", r#"{"id":1,"body":"a"}"#),
    ("public.root.delete", "d", "", "", r#"{"id":1,"body":null}"#, "null"),
    ("public.root.insert", "c", "", "", "null", r#"{"id":11,"body":"a"}"#),
    ("public.root.delete", "d", "", "", r#"{"id":11,"body":null}"#, "null"),
    ("public.by_key.insert", "c", "", "", "null", r#"{"id":7,"n":1,"body":"a"}"#),
    ("public.by_key.truncate", "t", "", "", "null", "null"),
    ("public.whole.truncate", "t", "", "", "null", "null"),
];
