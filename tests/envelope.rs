//! The messages for services, against what Debezium's own engine printed of the same changes.
//!
//! What it printed is recorded in `kinds` and `values`. `the_engine_still_prints_what_is_recorded` runs it beside, on a
//! copy of the slot: `TIDEGATE_PEER_DEBEZIUM` names a program that is called as
//! `PROGRAM HOST PORT USER DATABASE SLOT PUBLICATION RECORDS print` and prints each record as one line
//! `{"key":…,"value":…}`, the engine having its defaults, JSON without schemas, `topic.prefix = drain` and
//! `snapshot.mode = no_data`.

mod compare;
mod kinds;
mod peer;
mod reader;
mod values;

use serde_json::{Value, json};
use tidegate::event::envelope::{RowMessage, What, routing_word};

use crate::fixture::{Database, scenario};
use crate::source::follower::publish;

use compare::{parse, same};
use reader::{NAME, NOW, Reader, body, other_key};

/// Makes a database with all tables, and reads what is done to them.
async fn read(database: &Database, setup: &str, changes: &str) -> Vec<RowMessage> {
    database.execute(setup).await;
    publish(database).await;
    let mut reader = Reader::open(database).await;
    database.execute(changes).await;
    database.execute("create table the_end (id int); insert into the_end values (1)").await;
    let mut messages = Vec::new();
    loop {
        let transaction = reader.transaction().await;
        if transaction.iter().any(|message| &*message.subject == "public.the_end") {
            return messages;
        }
        messages.extend(transaction);
    }
}

#[test]
fn every_kind_of_change_is_what_the_engine_makes_of_it() {
    scenario(async |test| {
        let database = test.database().await;
        let mut messages = read(&database, kinds::SETUP, kinds::CHANGES).await;
        // One statement emptied both.
        let emptied = messages.iter().position(|message| message.what == What::Truncate).expect("some");
        messages[emptied..].sort_by(|one, other| one.routing_key.cmp(&other.routing_key));
        let recorded: Vec<_> = kinds::recorded().collect();
        for (message, recorded) in messages.iter().zip(&recorded) {
            let (text, body) = (String::from_utf8_lossy(&message.body), body(message));
            assert_eq!(&*message.routing_key, recorded.routing_key, "{text}");
            assert_eq!(body["op"], recorded.op, "{text}");
            let (name, key) = other_key(message);
            assert_eq!(name, recorded.header.0, "{text}");
            let mut before = parse(recorded.before);
            if recorded.routing_key == "public.strict.delete" {
                // Nor what cannot be null: it takes a value of the type for each.
                (before["a"], before["b"]) = (Value::Null, Value::Null);
            }
            if recorded.routing_key.starts_with("public.by_index") {
                // The stream does not tell the primary key of a table with another identity: the engine takes 0 for it.
                if before.is_object() {
                    before["id"] = Value::Null;
                }
                let expected = match name {
                    "__debezium.newkey" => r#"{"code":"y"}"#,
                    "__debezium.oldkey" => r#"{"code":"x"}"#,
                    _ => "",
                };
                assert_eq!(key, expected, "{text}");
            } else if !key.is_empty() {
                assert_eq!(parse(key), parse(recorded.header.1), "{text}");
            }
            assert!(same(&body["before"], &before), "{text}\nrecorded: {before}");
            assert!(same(&body["after"], &parse(recorded.after)), "{text}\nrecorded: {}", recorded.after);
        }
        assert_eq!(messages.len(), recorded.len());
    });
}

#[test]
fn every_value_is_what_the_engine_makes_of_it_but_where_it_is_said() {
    scenario(async |test| {
        let database = test.database().await;
        let messages = read(&database, &values::setup(), &values::changes()).await;
        let mut messages = messages.iter().map(|message| body(message)["after"].take());
        let mut different = 0;
        for (name, cases) in values::CASES {
            for (text, recorded) in *cases {
                let value = messages.next().expect("a message a row")["v"].take();
                let mut others =
                    values::DIFFERENCES.iter().filter(|other| (other.0, other.1) == (name, text));
                if let Some((.., other)) = others.next() {
                    assert!(same(&value, &parse(other)), "{name} {text}: {value}, not {other}");
                    assert!(*recorded == values::ABSENT || !same(&value, &parse(recorded)), "{name} {text}");
                    different += 1;
                } else if *recorded == values::ABSENT {
                    let texts = |value: &Value| value.is_string();
                    let is_text =
                        texts(&value) || value.as_array().is_some_and(|array| array.iter().all(texts));
                    assert!(is_text, "{name} {text}: {value}");
                } else {
                    assert!(same(&value, &parse(recorded)), "{name} {text}: {value}, recorded {recorded}");
                }
            }
        }
        assert_eq!(different, values::DIFFERENCES.len(), "each difference is of a case");
        let updated = messages.nth(1).expect("the large values, inserted and updated");
        for (place, (name, _, recorded)) in values::LARGE.iter().enumerate() {
            let other = values::LARGE_OTHERWISE.iter().find(|other| other.0 == *name);
            let expected = other.map_or(*recorded, |other| other.1);
            let value = &updated[format!("c{place}")];
            assert!(same(value, &parse(expected)), "{name}: {value}, not {expected}");
        }
    });
}

#[test]
fn a_message_says_who_speaks_and_when_and_can_be_told_from_all_others() {
    scenario(async |test| {
        let database = test.database().await;
        let changes = "begin; insert into it values (1, 'a'); update it set id = 2; commit";
        let setup = "create table it (id int primary key, body text)";
        let messages = read(&database, setup, changes).await;
        let [insert, delete, create] = &messages[..] else { panic!("three: {messages:?}") };
        let envelope = body(insert);
        let source = &envelope["source"];
        let (lsn, micros) = (source["lsn"].as_u64().expect("a number"), insert.committed_at.unix_micros());
        let text = tidegate::event::Lsn::new(lsn).to_string();
        assert_eq!(
            *source,
            json!({
                "version": env!("CARGO_PKG_VERSION"), "connector": "postgresql", "name": NAME,
                "ts_ms": micros / 1_000, "snapshot": "false", "db": database.name(),
                "sequence": format!("[\"{lsn}\",\"0\"]"), "ts_us": micros, "ts_ns": micros * 1_000,
                "schema": "public", "table": "it", "txId": source["txId"].as_u64().expect("a number"), "lsn": lsn,
                "xmin": null, "origin": null, "origin_lsn": null,
            })
        );
        let now = tidegate::event::Timestamp::new(NOW).unix_micros();
        assert_eq!(
            (&envelope["transaction"], &envelope["ts_ms"], &envelope["ts_us"], &envelope["ts_ns"]),
            (&Value::Null, &json!(now / 1_000), &json!(now), &json!(now * 1_000))
        );
        let ids = [insert, delete, create].map(|message| message.message_id.clone());
        assert_eq!(ids, [format!("{text}/0"), format!("{text}/1/delete"), format!("{text}/1/insert")]);
        assert_eq!(body(create)["source"]["sequence"], format!("[\"{lsn}\",\"1\"]"));
        let headers: Vec<_> = create.headers().map(|(name, text)| (name, text.into_owned())).collect();
        let expected = [
            ("cloudEvents_specversion", "1.0".to_owned()),
            ("cloudEvents_id", ids[2].clone()),
            ("cloudEvents_source", format!("/tidegate/{NAME}")),
            ("cloudEvents_type", "tidegate.row.insert".to_owned()),
            ("cloudEvents_subject", "public.it".to_owned()),
            ("cloudEvents_time", create.committed_at.to_string()),
            ("__debezium.oldkey", r#"{"id":1}"#.to_owned()),
        ];
        assert_eq!(headers, expected);
        assert_eq!(i64::try_from(create.timestamp_seconds()).expect("small"), micros / 1_000_000);
        assert_eq!(routing_word("a.b"), "a%2Eb");
    });
}
