//! Server-sent events: what `curl -N` and `EventSource` get, and how they go on after a cut.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::Mirror;
use crate::stage::{Raw, Stage, staged};

/// A stream of events, read as the standard says.
///
/// See <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>.
struct Events {
    raw: Raw,
    text: String,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: Option<String>,
    data: Value,
}

impl Events {
    async fn get(stage: &Stage, query: &str, last_event_id: Option<&str>) -> Self {
        Self::ask(stage, &format!("GET /v1/stream?{query} HTTP/1.1"), last_event_id, "").await
    }

    async fn post(stage: &Stage, body: &Value, last_event_id: Option<&str>) -> Self {
        Self::ask(stage, "POST /v1/stream HTTP/1.1", last_event_id, &body.to_string()).await
    }

    async fn ask(stage: &Stage, line: &str, last_event_id: Option<&str>, body: &str) -> Self {
        let mut raw = stage.raw().await;
        let last = last_event_id.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let length = body.len();
        raw.send(format!("{line}\r\nhost: localhost\r\n{last}content-length: {length}\r\n\r\n{body}")).await;
        let response = raw.response().await;
        assert_eq!(response.status, 200, "{}", response.head);
        assert!(response.head.contains("content-type: text/event-stream"), "{}", response.head);
        assert!(response.head.contains("transfer-encoding: chunked"), "{}", response.head);
        Self { raw, text: String::new() }
    }

    /// The next event; `None` at the end of the stream, which is a proper one.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = parse(event);
                self.text = String::from(rest);
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let size = self.raw.until(b"\r\n").await.expect("the stream is not cut short");
            let size = usize::from_str_radix(std::str::from_utf8(&size).expect("ASCII").trim(), 16);
            let size = size.expect("a chunk's size");
            let chunk = self.raw.exactly(size + 2).await.expect("a whole chunk");
            if size == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&chunk[..size]).expect("UTF-8"));
        }
    }

    async fn expect(&mut self, kind: &str) -> Event {
        let event = self.next().await.unwrap_or_else(|| panic!("waited for `{kind}`: the stream ended"));
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }
}

fn parse(text: &str) -> Option<Event> {
    let (mut kind, mut id, mut data) = (None, None, Vec::new());
    for line in text.lines() {
        match line.split_once(':').unwrap_or((line, "")) {
            ("", _) => {}
            ("event", value) => kind = Some(value.trim_start().to_owned()),
            ("id", value) => id = Some(value.trim_start().to_owned()),
            ("data", value) => data.push(value.strip_prefix(' ').unwrap_or(value)),
            other => panic!("an unknown field {other:?}: {text}"),
        }
    }
    let data: Value = serde_json::from_str(&data.join("\n")).ok()?;
    let kind = kind.expect("every event has a type");
    assert_eq!(data["type"], *kind, "{text}");
    Some(Event { kind, id, data })
}

#[test]
fn a_get_streams_a_snapshot_and_then_changes() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into public.entries values (1, 7, 'one'), (2, 8, 'two')").await;
        let query = "table=public.entries&where=board_id%20%3D%20%241&param=7&columns=id,title";
        let mut events = Events::get(stage, query, None).await;
        assert_eq!(events.expect("ready").await.data["protocol"], 1);
        assert_eq!(events.expect("subscribed").await.data["key"], json!(["id"]));
        let rows = events.expect("snapshot").await;
        assert_eq!((&rows.data["rows"], rows.id), (&json!([{"id": "1", "title": "one"}]), None));
        let end = events.expect("snapshot").await;
        assert!(end.data["last"] == true && end.id.is_some(), "{end:?}");
        stage.database.execute("update public.entries set title = 'eins' where id = 1").await;
        let changes = events.expect("changes").await;
        assert_eq!(changes.data["changes"][0]["row"]["title"], "eins");
        assert!(changes.id.is_some(), "{changes:?}");
    });
}

#[test]
fn json_with_line_breaks_arrives_whole() {
    staged(&[], async |_, stage| {
        stage
            .database
            .execute(
                "create table public.documents (id int primary key, body json, note text);
                 insert into public.documents values (1, E'{\"a\":\\r\\n 1,\\n\\n\"b\":\\r2}', E'x\\n\\ndata: y\\r\\nid: 9')",
            )
            .await;
        let mut events = Events::get(stage, "table=documents", None).await;
        events.expect("ready").await;
        events.expect("subscribed").await;
        let rows = events.expect("snapshot").await.data["rows"].clone();
        assert_eq!(rows, json!([{"id": 1, "body": {"a": 1, "b": 2}, "note": "x\n\ndata: y\r\nid: 9"}]));
        events.expect("snapshot").await;
        stage.database.execute("update public.documents set body = E'[1,\\n2]'").await;
        assert_eq!(events.expect("changes").await.data["changes"][0]["row"]["body"], json!([1, 2]));
    });
}

#[test]
fn a_refusal_is_a_problem_with_a_status_and_the_protocols_own_code() {
    staged(&[("session.max_frame_bytes", "4096")], async |_, stage| {
        let large = format!("[{{\"x\":\"{}\"}}]", "y".repeat(5_000));
        for (request, body, status, code, part) in [
            ("GET /v1/stream", "", 400, "bad_request", "`table` or a `channel`"),
            ("GET /v1/stream?table=entires", "", 404, "unknown_table", "did you mean `public.entries`?"),
            ("GET /v1/stream?table=entries&colums=id", "", 400, "bad_request", "unknown parameter `colums`"),
            ("GET /v1/stream?table=entries&where=stauts%3D1", "", 400, "unknown_column", "`status`"),
            ("GET /v1/stream?table=entries&where=board_id%3D", "", 400, "filter_syntax", ""),
            ("GET /v1/stream?table=entries&limit=-1", "", 400, "bad_request", "`limit` is a number"),
            ("GET /v1/stream?table=steady&where=n%3D1", "", 409, "replica_identity", "`n`"),
            ("POST /v1/stream", "nonsense", 400, "bad_request", "not JSON"),
            ("POST /v1/stream", "[]", 400, "bad_request", "array"),
            (
                "POST /v1/stream",
                r#"[{"type":"ping"}]"#,
                400,
                "bad_request",
                "`subscribe` and `await` frames only",
            ),
            (
                "POST /v1/stream",
                r#"[{"type":"await","lsn":"0/1"}]"#,
                400,
                "bad_request",
                "needs a `subscribe`",
            ),
            (
                "POST /v1/stream",
                r#"{"type":"subscribe","id":"a"}"#,
                400,
                "bad_request",
                "`table` or a `channel`",
            ),
            ("POST /v1/stream", &large, 413, "too_large", "4096"),
        ] {
            let mut raw = stage.raw().await;
            let length = body.len();
            raw.send(format!(
                "{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
            let response = raw.response().await;
            let problem = raw.json(&response).await;
            assert_eq!(response.status, status, "{request}: {problem}");
            assert!(response.head.contains("content-type: application/problem+json"), "{}", response.head);
            assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{request}");
            let detail = problem["detail"].as_str().expect("a text");
            assert!(detail.contains(part), "{request}: {detail}");
        }
        // `title` is no boolean: a place in the text comes along.
        let mut raw = stage.raw().await;
        raw.send("GET /v1/stream?table=entries&where=board_id%3D7%20and%20title HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let response = raw.response().await;
        let problem = raw.json(&response).await;
        assert_eq!((&problem["field"], &problem["position"]), (&json!("where"), &json!(16)), "{problem}");
    });
}

#[test]
fn a_position_that_is_awaited_is_told_of_behind_all_that_was_committed_before_it() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into public.entries values (1, 7, 'one')").await;
        let mut events = Events::post(
            stage,
            &json!({"type": "subscribe", "id": "a", "table": "entries", "snapshot": true}),
            None,
        )
        .await;
        let mut cursor = None;
        let mut shape = Value::Null;
        while cursor.is_none() {
            let event = events.next().await.expect("goes on");
            if let Some(told) = event.data.get("shape") {
                shape = told.clone();
            }
            cursor = event.data.get("cursor").cloned();
        }
        drop(events);
        stage.database.execute("update public.entries set title = 'two' where id = 1").await;
        stage.database.execute("create table public.elsewhere (id int primary key)").await;
        let row =
            stage.database.client().await.query_one("select pg_current_wal_insert_lsn()::text", &[]).await;
        let lsn: String = row.expect("a row").get(0);
        let wanted = json!([
            {"type": "subscribe", "id": "a", "table": "entries", "cursor": cursor, "shape": shape},
            {"type": "await", "lsn": lsn},
        ]);
        let mut events = Events::post(stage, &wanted, None).await;
        events.expect("ready").await;
        events.expect("subscribed").await;
        assert_eq!(events.expect("changes").await.data["changes"][0]["row"]["title"], "two");
        assert_eq!(events.expect("reached").await.data["lsn"], *lsn);
    });
}

#[test]
fn one_subscription_of_several_may_be_refused_while_the_others_go_on() {
    staged(&[], async |_, stage| {
        let several = json!([
            {"type": "subscribe", "id": "good", "table": "entries"},
            {"type": "subscribe", "id": "bad", "table": "entires"},
            {"type": "subscribe", "id": "good", "table": "steady"},
            {"type": "subscribe", "id": "odd", "table": "entries", "interval_ms": 100},
            // Named it would end the one that goes on.
            {"type": "subscribe", "id": "good", "tabel": "entries"},
        ]);
        let mut events = Events::post(stage, &several, None).await;
        let mut told = Vec::new();
        for _ in 0..6 {
            let event = events.next().await.expect("goes on");
            told.push(format!("{} {} {}", event.kind, event.data["id"], event.data["code"]));
        }
        told.sort();
        let expected = [
            "error \"bad\" \"unknown_table\"",
            "error \"good\" \"duplicate_id\"",
            "error \"odd\" \"bad_request\"",
            "error null \"bad_request\"",
            "ready null null",
            "subscribed \"good\" null",
        ];
        assert_eq!(told, expected);
        stage.database.execute("insert into public.entries values (1, 7)").await;
        assert_eq!(events.expect("changes").await.data["id"], "good");
    });
}

#[test]
fn a_stream_that_is_cut_resumes_by_last_event_id_exactly_once() {
    staged(&[], async |_, stage| {
        let several = json!([
            {"type": "subscribe", "id": "a", "table": "steady", "snapshot": true},
            {"type": "subscribe", "id": "b", "table": "steady", "columns": ["id", "n"], "snapshot": true},
            {"type": "subscribe", "id": "events", "channel": "ticks"},
        ]);
        let mut mirrors =
            [Mirror::new("a", json!({"table": "steady"})), Mirror::new("b", json!({"table": "steady"}))];
        let (mut seen, mut last, mut random) = (Vec::new(), None, fastrand::Rng::new());
        println!("seed {}", random.get_seed());
        let emitter = stage.database.client().await;
        for round in 0..60 {
            for mirror in &mut mirrors {
                mirror.cut();
                mirror.request();
            }
            let mut events = Events::post(stage, &several, last.as_deref()).await;
            let emit = format!("select pg_logical_emit_message(true, 'tidegate:ticks', '{round}')");
            emitter.batch_execute(&emit).await.expect("up");
            // At least a frame each round, so that all end; the first round holds the snapshots.
            let more = if round == 0 { 60 } else { random.usize(4..20) };
            for _ in 0..more {
                let event = events.next().await.expect("goes on");
                for mirror in &mut mirrors {
                    drop(mirror.apply(&event.data));
                }
                for tick in event.data["events"].as_array().into_iter().flatten() {
                    seen.push(tick["data"].as_i64().expect("a number"));
                }
                last = event.id.or(last);
            }
        }
        for mirror in &mut mirrors {
            mirror.cut();
            mirror.request();
        }
        let mut events = Events::post(stage, &several, last.as_deref()).await;
        emitter
            .batch_execute("select pg_logical_emit_message(true, 'tidegate:ticks', '60')")
            .await
            .expect("up");
        while seen.last() != Some(&60) {
            let event = events.next().await.expect("goes on");
            for mirror in &mut mirrors {
                drop(mirror.apply(&event.data));
            }
            for tick in event.data["events"].as_array().into_iter().flatten() {
                seen.push(tick["data"].as_i64().expect("a number"));
            }
        }
        assert_eq!(seen, (0..=60).collect::<Vec<_>>(), "each event once and in order");
        for mirror in &mirrors {
            assert!(mirror.is_live() && mirror.resyncs.is_empty(), "{:?}", mirror.resyncs);
            assert_eq!(mirror.snapshots, 1, "resumed and not begun again");
        }
        let narrow = |rows: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
            rows.iter().map(|(key, row)| (key.clone(), json!([row["id"], row["n"]]))).collect()
        };
        // Both follow the same table: a transaction is told to the one and then to the other.
        let (a, b) = (narrow(mirrors[0].rows()), narrow(mirrors[1].rows()));
        let apart = a.iter().filter(|(key, row)| b.get(*key) != Some(row)).count();
        assert!(apart <= 50 && a.len().abs_diff(b.len()) <= 1, "{apart} rows apart");
    });
}

#[test]
fn a_stream_without_news_has_a_heartbeat_that_moves_its_place() {
    staged(&[("session.heartbeat_ms", "200"), ("session.idle_timeout_ms", "2000")], async |_, stage| {
        let mut events = Events::get(stage, "table=entries&snapshot=false", None).await;
        events.expect("ready").await;
        let first = events.expect("subscribed").await.id.expect("live from now");
        let progress = events.expect("progress").await;
        let id = progress.id.expect("a place");
        assert_ne!(id, first, "the bystander's writer has moved on");
        drop(events);
        stage.database.execute("insert into public.entries values (1, 7)").await;
        let mut events = Events::get(stage, "table=entries&snapshot=false", Some(&id)).await;
        events.expect("ready").await;
        events.expect("subscribed").await;
        let mut event = events.next().await.expect("goes on");
        while event.kind == "progress" {
            event = events.next().await.expect("goes on");
        }
        assert_eq!((event.kind.as_str(), &event.data["changes"][0]["op"]), ("changes", &json!("insert")));
    });
}

#[test]
fn a_stream_that_asked_for_no_rows_starts_over_without_them() {
    staged(&[], async |_, stage| {
        let mut events = Events::get(stage, "table=entries&snapshot=false", Some("garbage")).await;
        events.expect("ready").await;
        assert_eq!(events.expect("resync").await.data["reason"], "cursor_invalid");
        events.expect("subscribed").await;
        stage.database.execute("insert into entries values (1, 7)").await;
        assert_eq!(events.expect("changes").await.data["changes"][0]["op"], "insert");
    });
}

#[test]
fn a_last_event_id_that_is_garbage_is_a_resync() {
    staged(&[], async |_, stage| {
        for id in ["garbage", "*", "a.b.c", "größe"] {
            let mut events = Events::get(stage, "table=entries", Some(id)).await;
            events.expect("ready").await;
            let mut event = events.next().await.expect("goes on");
            if event.kind == "subscribed" {
                event = events.next().await.expect("goes on");
            }
            if id == "größe" && event.kind == "snapshot" {
                // A header's value that is no text is none.
                continue;
            }
            assert_eq!(
                (event.kind.as_str(), &event.data["reason"]),
                ("resync", &json!("cursor_invalid")),
                "{id}"
            );
            events.expect("subscribed").await;
            assert_eq!(events.expect("snapshot").await.data["last"], true);
        }
    });
}
