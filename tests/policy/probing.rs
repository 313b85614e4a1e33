//! What somebody who may see little tries, to learn more: SQL in every field, and questions about what is hidden.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Client as Sql;

use super::house::user;
use super::{served, token};
use crate::client::Client;
use crate::fixture::scenario;
use crate::server::Server;
use crate::stage::Raw;

const SCHEMA: &str = "
create table entries (id int primary key, owner uuid, title text not null, salary int, diagnosis text);
alter table entries replica identity full;
alter table entries enable row level security;
create policy own on entries for select using (owner = auth.uid());
revoke all on entries from authenticated;
grant select (id, owner, title, salary) on entries to authenticated;
create table vault (id int primary key, word text);
alter table vault replica identity full;
revoke all on vault from authenticated;
insert into vault values (1, 'plover');
insert into entries
select n, ('00000000-0000-0000-0000-00000000000' || 1 + n % 2)::uuid, 'title ' || n, 1000 + n, 'plague'
  from generate_series(1, 200) n;
";

/// For one who asks as fast as it is answered.
const FAST: [(&str, &str); 2] = [("session.frames_per_second", "100000"), ("session.frames_burst", "100000")];

const PAYLOADS: [&str; 12] = [
    "'; drop table entries; --",
    "\"; drop table entries; --",
    "1); drop table entries; --",
    "id = 1; drop table entries",
    "id = 1 union select 1, null, word, 1 from vault",
    "id in (select id from vault)",
    "pg_sleep(20) is null",
    "(select word from vault) = 'xyzzy'",
    "x' or '1'='1",
    "$1; reset role; select '",
    "entries; set role postgres",
    "\u{0}\u{1}\\'/*",
];

async fn client(server: &Server, role: &str, sub: &str) -> Client {
    let mut client = Client::connect(server.address()).await;
    let claims = json!({"role": role, "sub": sub});
    client.send(&json!({"type": "auth", "token": token(role, &claims)})).await;
    client
}

/// The next answer: an error's code, or what else it is.
async fn answer(client: &mut Client) -> Value {
    client.next().await.expect("the conversation goes on")
}

/// Whatever comes until a pong.
async fn all(client: &mut Client) -> Vec<Value> {
    client.send(&json!({"type": "ping"})).await;
    let mut frames = Vec::new();
    loop {
        let frame = answer(client).await;
        if frame["type"] == "pong" {
            return frames;
        }
        frames.push(frame);
    }
}

async fn untouched(sql: &Sql) -> bool {
    let count = "select count(*) from entries where title like 'title %'";
    sql.query_one(count, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 200)
}

/// A subscription to all that there is to see, with another value in one of its fields.
fn with(field: &str, value: Value) -> Value {
    let mut frame = json!({"type": "subscribe", "id": "s", "table": "public.entries", "snapshot": true});
    frame[field] = value;
    frame
}

/// A frame for each field that a payload can be put into.
fn frames(payload: &str) -> Vec<Value> {
    let literal = payload.replace('\'', "''").replace('\0', "");
    vec![
        with("id", json!(payload)),
        with("table", json!(payload)),
        with("table", json!(format!("public.{payload}"))),
        with("where", json!(payload)),
        with("where", json!(format!("title = '{literal}'"))),
        with("columns", json!([payload])),
        with("columns", json!(["id", format!("title, {payload}")])),
        with("snapshot", json!({"order_by": payload})),
        with("snapshot", json!({"order_by": format!("id {payload}"), "limit": 1})),
        with("cursor", json!(payload)),
        with("delivery", json!(payload)),
        json!({"type": "subscribe", "id": "c", "channel": payload.replace(['\0', '\u{1}'], "")}),
        json!({"type": "unsubscribe", "id": payload}),
        json!({"type": "await", "lsn": payload}),
        json!({"type": "page", "id": payload, "after": {"id": payload}, "limit": 5}),
        json!({"type": payload}),
    ]
}

/// As a parameter, or as the place of a page, a payload is a value, and no row has it.
async fn is_a_value(client: &mut Client, payload: &str) {
    let text = payload.replace('\0', "");
    for (wanted, param) in [("title = $1", json!(text)), ("title = any ($1)", json!([text]))] {
        let mut frame = with("where", json!(wanted));
        frame["id"] = json!("p");
        frame["params"] = json!([param]);
        client.send(&frame).await;
        client.expect("subscribed").await;
        loop {
            let frame = client.expect("snapshot").await;
            assert_eq!(frame["rows"], json!([]), "{payload}");
            if frame["last"] == true {
                break;
            }
        }
        client.send(&json!({"type": "unsubscribe", "id": "p"})).await;
        client.expect("unsubscribed").await;
    }
    client.send(&with("snapshot", json!({"order_by": "title", "limit": 1}))).await;
    all(client).await;
    client.send(&json!({"type": "page", "id": "s", "after": {"title": payload, "id": 1}, "limit": 1})).await;
    assert!(all(client).await.iter().all(|it| !it.to_string().contains("plover")));
}

/// In each parameter of a stream's query it is refused, or harmless.
async fn is_harmless_in_a_query(server: &Server, payload: &str) {
    for field in ["table", "where", "columns", "order_by", "cursor"] {
        let rest = if field == "table" { "" } else { "table=entries&" };
        let encoded: String = form_urlencoded::byte_serialize(payload.as_bytes()).collect();
        let bearer = token("authenticated", &json!({"sub": user(1)}));
        let mut raw = Raw::connect(server.address()).await;
        raw.send(format!(
            "GET /v1/stream?{rest}{field}={encoded} HTTP/1.1\r\nhost: 127.0.0.1\r\n\
             authorization: Bearer {bearer}\r\n\r\n"
        ))
        .await;
        let status = raw.response_within(Duration::from_secs(10)).await.expect("an answer").status;
        assert!(status == 200 || (400..500).contains(&status), "{field}={payload}: {status}");
    }
}

#[test]
fn sql_in_any_field_is_never_run() {
    scenario(async |_| {
        let rules = r##"[{"pattern": "#", "subscribe": true}]"##;
        let (_cluster, _database, sql, server) =
            served(SCHEMA, &[("auth.channels", rules), FAST[0], FAST[1]]).await;
        let (mut answers, mut refused) = (0, 0);
        for payload in PAYLOADS {
            let mut client = client(&server, "authenticated", &user(1)).await;
            for frame in frames(payload) {
                client.send(&frame).await;
                for told in all(&mut client).await {
                    answers += 1;
                    refused += usize::from(told["type"] == "error");
                    let text = told.to_string();
                    assert!(!text.contains("plover") && !text.contains("plague"), "{frame}: {told}");
                }
                let id = frame["id"].as_str().unwrap_or("s").to_owned();
                client.send(&json!({"type": "unsubscribe", "id": id})).await;
                all(&mut client).await;
            }
            is_a_value(&mut client, payload).await;
            is_harmless_in_a_query(&server, payload).await;
            // And in a claim: it is what it says, and nobody's.
            let mut other = self::client(&server, "authenticated", payload).await;
            other.send(&with("id", json!("s"))).await;
            let told = all(&mut other).await;
            assert!(told.iter().all(|it| it["type"] == "error" && it["code"] == "policy_error"), "{told:?}");
            assert!(untouched(&sql).await, "{payload}");
        }
        println!("{answers} answers, {refused} refusals");
    });
}

#[test]
fn a_role_that_is_not_on_the_list_is_nobodys() {
    scenario(async |_| {
        let (_cluster, _database, _sql, server) = served(SCHEMA, &[]).await;
        for role in [
            "postgres",
            "none",
            "NONE",
            "public",
            "authenticated; reset role",
            "Authenticated",
            "\"authenticated\"",
            "authenticated ",
            "authenticated\u{0}",
            "",
        ] {
            let mut client = Client::connect(server.address()).await;
            client.send(&json!({"type": "auth", "token": token(role, &json!({}))})).await;
            let closed = client.closed().await;
            assert_eq!((closed.code, &*closed.reason), (Some(4401), "role_not_allowed"), "{role}");
        }
    });
}

#[test]
fn what_is_hidden_answers_as_what_is_not_there() {
    scenario(async |_| {
        let (_cluster, _database, sql, server) = served(SCHEMA, &[]).await;
        let mut client = client(&server, "authenticated", &user(1)).await;
        // A column that may not be read, and one that is not there: in every field the same words.
        let refusals = async |client: &mut Client, name: &str| {
            let mut told = Vec::new();
            for fields in [
                json!({"where": format!("{name} = 'x'")}),
                json!({"where": format!("lower({name}) = 'x'")}),
                json!({"where": format!("title = 'x' or {name} is null")}),
                json!({"columns": ["id", name]}),
                json!({"snapshot": {"order_by": format!("{name} desc"), "limit": 1}}),
            ] {
                let mut frame = fields;
                frame["id"] = json!("h");
                frame["table"] = json!("entries");
                client.subscribe(frame).await;
                let error = client.expect("error").await;
                told.push(error.to_string().replace(name, "NAME"));
            }
            told
        };
        let hidden = refusals(&mut client, "diagnosis").await;
        assert_eq!(hidden, refusals(&mut client, "diagnoses").await);
        assert!(hidden.iter().all(|told| !told.contains("did you mean")), "{hidden:?}");
        // Nor is it suggested to who comes near it.
        for near in ["diagnosi", "diagnosiss"] {
            let told = refusals(&mut client, near).await;
            assert!(told.iter().all(|told| !told.contains("diagnosis")), "{told:?}");
        }
        // A hidden row that a filter cannot decide tells nobody: the policy is asked first, in snapshot and stream.
        let costly = format!("title like '%{}'", "_x".repeat(60));
        client
            .subscribe(json!({"id": "costly", "table": "entries", "where": costly, "snapshot": true}))
            .await;
        client.expect("subscribed").await;
        while client.expect("snapshot").await["last"] != true {}
        sql.batch_execute(&format!(
            "update entries set title = repeat('a', 700000) where id = (select min(id) from entries where owner = '{}')",
            user(2)
        ))
        .await
        .expect("the superuser may");
        // One's own is told of.
        let first = format!(
            "update entries set title = 'x' where id = (select min(id) from entries where owner = '{}')",
            user(1)
        );
        sql.batch_execute(&first).await.expect("the superuser may");
        let end: String =
            sql.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up").get(0);
        client
            .await_lsn(end.parse().expect("a position"), |frame| {
                assert_eq!(frame["type"], "progress", "{frame}");
            })
            .await;
        client.send(&json!({"type": "unsubscribe", "id": "costly"})).await;
        client.expect("unsubscribed").await;
    });
}

#[test]
fn how_long_an_answer_takes_says_nothing_of_hidden_values() {
    /// More than noise, and less than a look at one row more would have to show over so many.
    const APART: f64 = 1.5;
    const ROUNDS: usize = 150;
    scenario(async |_| {
        let (_cluster, _database, _sql, server) = served(SCHEMA, &FAST).await;
        let mut client = client(&server, "authenticated", &user(1)).await;
        let mut ask = async |salary: u32| {
            let since = Instant::now();
            let wanted = json!({"id": "t", "table": "entries", "where": format!("salary = {salary}"), "snapshot": true});
            client.subscribe(wanted).await;
            client.expect("subscribed").await;
            loop {
                let frame = client.expect("snapshot").await;
                assert_eq!(frame["rows"], json!([]));
                if frame["last"] == true {
                    break;
                }
            }
            let took = since.elapsed();
            client.send(&json!({"type": "unsubscribe", "id": "t"})).await;
            client.expect("unsubscribed").await;
            took
        };
        let (mut hidden, mut absent) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // Of the second user, and of nobody.
            hidden.push(ask(1_001).await);
            absent.push(ask(9_001).await);
        }
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64()
        };
        let (hidden, absent) = (median(&mut hidden), median(&mut absent));
        println!(
            "{:.3} ms for a value that is hidden, {:.3} ms for one that is not there",
            hidden * 1e3,
            absent * 1e3
        );
        assert!(hidden < absent * APART && absent < hidden * APART, "{hidden} {absent}");
    });
}
