//! The engine itself, on a copy of the slot.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate::event::envelope::{RowMessage, What};

use super::compare::{parse, same};
use super::reader::{Reader, body};
use super::{kinds, values};
use crate::fixture::{Database, scenario};
use crate::source::follower::publish;

/// Runs the engine until it has given so many records, and gives their envelopes.
fn run(program: &Path, database: &Database, slot: &str, records: usize) -> Vec<Value> {
    let config: tokio_postgres::Config = database.url().parse().expect("the fixture's URL");
    let port = config.get_ports().first().expect("it listens").to_string();
    let output = Command::new(program)
        .args(["127.0.0.1", &port, "postgres", database.name(), slot, &database.publication()])
        .args([&records.to_string(), "print"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("it can be run");
    let text = String::from_utf8(output.stdout).expect("it writes UTF-8");
    let lines = text.lines().filter(|line| line.starts_with("{\"key\":"));
    let envelopes: Vec<_> = lines
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["value"].take())
        .filter(|envelope| matches!(envelope["op"].as_str(), Some("c" | "u" | "d")))
        .collect();
    assert_eq!(envelopes.len(), records, "what it printed:\n{text}");
    envelopes
}

#[test]
#[ignore = "runs the program that TIDEGATE_PEER_DEBEZIUM names, for half a minute"]
fn the_engine_still_prints_what_is_recorded() {
    let program =
        std::env::var_os("TIDEGATE_PEER_DEBEZIUM").expect("it names the program that runs the engine");
    scenario(async |test| {
        let database = test.database().await;
        database.execute(&values::setup()).await;
        database.execute(kinds::SETUP).await;
        publish(&database).await;
        let (slot, copy) = (database.slot(), format!("{}_peer", database.name()));
        for sql in [
            format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"),
            format!("select pg_copy_logical_replication_slot('{slot}', '{copy}')"),
        ] {
            database.execute(&sql).await;
        }
        let mut reader = Reader::open(&database).await;
        database.execute(&values::changes()).await;
        database.execute(kinds::CHANGES).await;
        let mut ours = Vec::new();
        while !ours.iter().any(|message: &RowMessage| message.what == What::Truncate) {
            ours.extend(reader.transaction().await);
        }
        // By default the engine says nothing of what empties a table.
        ours.retain(|message| message.what != What::Truncate);
        let path = Path::new(&program).to_owned();
        let theirs = run(&path, &database, &copy, ours.len());

        for (message, theirs) in ours.iter().zip(&theirs) {
            check_envelope(&body(message), theirs);
        }
        let mut recorded = theirs.iter();
        for (name, cases) in values::CASES {
            for (text, expected) in *cases {
                let after = &recorded.next().expect("a record a row")["after"];
                if *expected == values::ABSENT {
                    assert_eq!(after.get("v"), None, "{name} {text}");
                } else {
                    assert!(
                        same(&after["v"], &parse(expected)),
                        "{name} {text}: {after}, recorded {expected}"
                    );
                }
            }
        }
        let updated = &recorded.nth(1).expect("the large values, inserted and updated")["after"];
        for (place, (name, _, expected)) in values::LARGE.iter().enumerate() {
            let value = &updated[format!("c{place}")];
            assert!(same(value, &parse(expected)), "{name}: {value}, recorded {expected}");
        }
        for expected in kinds::recorded().filter(|expected| expected.op != "t") {
            let envelope = recorded.next().expect("a record a change");
            assert_eq!(envelope["op"], expected.op, "{envelope}");
            assert!(same(&envelope["before"], &parse(expected.before)), "{envelope}");
            assert!(same(&envelope["after"], &parse(expected.after)), "{envelope}");
        }
        assert!(recorded.next().is_none());
    });
}

/// All but the rows: the same fields, and what they say, but for what is said in `docs/services.md`.
fn check_envelope(ours: &Value, theirs: &Value) {
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(ours), names(theirs));
    assert_eq!(names(&ours["source"]), names(&theirs["source"]));
    for name in ["op", "transaction"] {
        assert_eq!(ours[name], theirs[name], "{name} of {ours} and {theirs}");
    }
    let (one, other) = (&ours["source"], &theirs["source"]);
    for name in names(one) {
        match &*name {
            "version" => assert_eq!(other["version"], values::ENGINE),
            // Of the change there, of the commit here.
            "lsn" => assert!(one["lsn"].as_u64() > other["lsn"].as_u64(), "{one} and {other}"),
            "sequence" => assert!(one["sequence"].is_string() && other["sequence"].is_string()),
            _ => assert_eq!(one[&name], other[&name], "{name} of {one} and {other}"),
        }
    }
    for name in ["ts_ms", "ts_us", "ts_ns"] {
        assert!(ours[name].is_i64() && theirs[name].is_i64());
    }
}
