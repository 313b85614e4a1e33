//! Bad input gets a clear error, and nothing else is disturbed: each test runs beside a bystander.

use serde_json::{Value, json};
use tidegate::event::{Cursor, Position};
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::stage::{payload_frame, staged};

/// The error that a `subscribe` is answered with; the connection goes on.
async fn refusal(client: &mut Client, fields: Value) -> Value {
    client.subscribe(fields).await;
    let error = client.expect("error").await;
    alive(client).await;
    error
}

async fn alive(client: &mut Client) {
    client.send(&json!({"type": "ping"})).await;
    client.expect("pong").await;
}

#[track_caller]
fn says(error: &Value, code: &str, part: &str) {
    assert_eq!(error["code"], code, "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "`{part}`: {error}");
}

#[test]
fn what_is_no_json_object_closes_with_4400() {
    staged(&[], async |_, stage| {
        for text in ["", "[]", "7", "{", "\"type\"", "{\"type\":\"ping\"} x", "\u{1}", "null"] {
            let mut client = stage.client().await;
            client.send_text(text).await;
            assert_eq!(client.closed().await.code, Some(4400), "{text:?}");
        }
        let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
        let mut client = stage.client().await;
        client.send_text(&format!("{{\"type\":\"ping\",\"x\":{deep}}}")).await;
        assert_eq!(client.closed().await.code, Some(4400));
    });
}

#[test]
fn a_binary_frame_and_one_that_is_not_utf_8_close_with_4400() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        client.send_message(Message::binary(b"{\"type\":\"ping\"}".to_vec())).await;
        assert_eq!(client.closed().await.code, Some(4400));
        let mut raw = stage.raw().await;
        assert_eq!(raw.handshake(&[]).await.status, 101);
        raw.send(payload_frame(0x81, b"{\"type\":\"\xFF\xFE\"}")).await;
        assert_eq!(raw.close_code().await, Some(4400));
    });
}

#[test]
fn a_frame_that_breaks_the_websocket_protocol_ends_its_own_connection_only() {
    staged(&[], async |_, stage| {
        let unmasked = vec![0x81, 2, b'{', b'}'];
        let reserved = payload_frame(0xF1, b"{}");
        let opcode = payload_frame(0x83, b"{}");
        let continuation = payload_frame(0x80, b"{}");
        let fragmented_ping = payload_frame(0x09, b"");
        for bytes in [unmasked, reserved, opcode, continuation, fragmented_ping] {
            let mut raw = stage.raw().await;
            assert_eq!(raw.handshake(&[]).await.status, 101);
            raw.send(&bytes).await;
            raw.end().await;
        }
    });
}

#[test]
fn an_unknown_type_or_field_is_named_and_the_conversation_goes_on() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        for (frame, part, field) in [
            (json!({"type": "subscripe", "id": "a"}), "unknown type `subscripe`", Some("type")),
            (json!({"id": "a"}), "no `type`", Some("type")),
            (json!({"type": 7}), "not a string", Some("type")),
            (json!({"type": "ping", "extra": 1}), "unknown field `extra`", None),
            (json!({"type": "subscribe", "id": "a", "tabel": "x"}), "unknown field `tabel`", None),
            (json!({"type": "subscribe", "id": "a"}), "a `table` or a `channel`", Some("table")),
            (json!({"type": "subscribe", "table": "x"}), "missing field `id`", None),
            (json!({"type": "subscribe", "id": "x".repeat(65), "table": "x"}), "1 to 64 bytes", Some("id")),
            (
                json!({"type": "subscribe", "id": "a", "table": "x", "shape": "y"}),
                "a `cursor`",
                Some("shape"),
            ),
            (
                json!({"type": "subscribe", "id": "a", "table": "x", "snapshot": {"limit": 0}}),
                "at least 1",
                Some("limit"),
            ),
            (
                json!({"type": "subscribe", "id": "a", "channel": "x", "where": "a"}),
                "nothing else",
                Some("channel"),
            ),
            (json!({"type": "await", "lsn": "x"}), "not a log position", Some("lsn")),
            (json!({"type": "auth"}), "missing field `token`", None),
        ] {
            client.send(&frame).await;
            let error = client.expect("error").await;
            says(&error, "bad_request", part);
            assert_eq!(error.get("field").and_then(Value::as_str), field, "{error}");
            alive(&mut client).await;
        }
        for frame in [
            json!({"type": "unsubscribe", "id": "none"}),
            json!({"type": "page", "id": "none", "after": {}, "limit": 5}),
        ] {
            client.send(&frame).await;
            says(&client.expect("error").await, "unknown_subscription", "`none`");
        }
    });
}

#[test]
fn an_unknown_table_or_column_is_answered_with_the_nearest_name() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        let error = refusal(&mut client, json!({"id": "a", "table": "public.entires"})).await;
        says(&error, "unknown_table", "did you mean `public.entries`?");
        assert_eq!((&error["id"], &error["field"]), (&json!("a"), &json!("table")));
        let error = refusal(&mut client, json!({"id": "a", "table": "nowhere.at_all"})).await;
        says(&error, "unknown_table", "there is no table nowhere.at_all");
        let error = refusal(&mut client, json!({"id": "a", "table": "a.b.c\""})).await;
        says(&error, "bad_request", "schema.table");
        let columns = json!({"id": "a", "table": "entries", "columns": ["id", "stauts"]});
        let error = refusal(&mut client, columns).await;
        says(&error, "unknown_column", "public.entries has no column `stauts`; did you mean `status`?");
        assert_eq!(error["field"], "columns");
        let filter = json!({"id": "a", "table": "entries", "where": "board_id = 7 and stauts = 'open'"});
        let error = refusal(&mut client, filter).await;
        says(&error, "unknown_column", "did you mean `status`?");
        assert_eq!((&error["field"], &error["position"]), (&json!("where"), &json!(18)));
        let order = json!({"id": "a", "table": "entries", "snapshot": {"order_by": "tilte"}});
        let error = refusal(&mut client, order).await;
        says(&error, "unknown_column", "`title`");
        assert_eq!(error["field"], "order_by");
    });
}

#[test]
fn a_filter_that_cannot_be_is_refused_with_its_position() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        for (filter, code, position) in [
            ("board_id = ", "filter_syntax", Some(12)),
            ("board_id = 7 and and", "filter_syntax", Some(18)),
            ("titel = 'größe' and (board_id = 7", "filter_syntax", None),
            ("board_id = 7; drop table entries", "filter_syntax", Some(13)),
            ("board_id = (select 1)", "filter_unsupported", Some(13)),
            ("lower(title) = 'a'", "filter_unsupported", Some(1)),
            ("board_id + 1 = 7", "filter_unsupported", None),
            ("status > 'a'", "filter_unsupported", None),
            ("board_id = 'seven'", "filter_type", None),
            ("title = 7", "filter_type", None),
            ("title", "filter_type", None),
        ] {
            let error = refusal(&mut client, json!({"id": "a", "table": "entries", "where": filter})).await;
            assert_eq!(error["code"], code, "{filter}: {error}");
            assert_eq!(error["field"], "where", "{filter}: {error}");
            if let Some(position) = position {
                assert_eq!(error["position"], position, "{filter}: {error}");
            }
            let place = error["position"].as_u64().map(|place| usize::try_from(place).expect("small"));
            let behind = filter.chars().count() + 1;
            assert!(place.is_none_or(|place| (1..=behind).contains(&place)), "{filter}: {error}");
        }
        let long = format!("board_id in ({})", vec!["7"; 20_000].join(","));
        client.subscribe(json!({"id": "a", "table": "entries", "where": long})).await;
        client.next().await.expect("an answer of either kind");
        let deep = format!("{}board_id = 7{}", "(".repeat(10_000), ")".repeat(10_000));
        client.subscribe(json!({"id": "deep", "table": "entries", "where": deep})).await;
        let error = client.expect("error").await;
        assert!(
            ["filter_syntax", "filter_unsupported"].contains(&error["code"].as_str().expect("a code")),
            "{error}"
        );
    });
}

#[test]
fn a_parameter_of_the_wrong_type_or_number_is_refused() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        let mut with = async |filter: &str, params: Value| {
            refusal(&mut client, json!({"id": "a", "table": "entries", "where": filter, "params": params}))
                .await
        };
        assert_eq!(with("board_id = $1", json!(["seven"])).await["code"], "filter_type");
        assert_eq!(with("board_id = $1", json!([true])).await["code"], "filter_type");
        assert_eq!(with("board_id = $1", json!([[1, 2]])).await["code"], "filter_type");
        let error = with("board_id = $2", json!(["7"])).await;
        assert_eq!((&error["field"], &error["position"]), (&json!("where"), &json!(12)), "{error}");
        let error = with("board_id = $1", json!([{"a": 1}])).await;
        assert_eq!(error["code"], "bad_request", "{error}");
        let error = with("board_id = $1", json!([])).await;
        assert!(error["message"].as_str().expect("text").contains("$1"), "{error}");
    });
}

#[test]
fn a_filter_on_what_old_images_lack_is_refused_with_the_sql_that_mends_it() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        let error = refusal(&mut client, json!({"id": "a", "table": "steady", "where": "n = 7"})).await;
        says(&error, "replica_identity", "`n`");
        assert_eq!(error["hint"], r#"alter table "public"."steady" replica identity full;"#);
    });
}

/// What a cursor that cannot be resumed is answered with, before a fresh snapshot.
async fn resync(client: &mut Client, fields: Value) -> Value {
    client.subscribe(fields).await;
    let mut frame = client.next().await.expect("alive");
    // A place may be found out to be gone only after it was begun.
    if frame["type"] == "subscribed" {
        frame = client.next().await.expect("alive");
    }
    assert_eq!(frame["type"], "resync", "{frame}");
    assert!(client.expect("subscribed").await.get("cursor").is_none());
    while client.expect("snapshot").await["last"] != true {}
    frame["reason"].clone()
}

#[test]
fn a_cursor_that_names_no_place_here_is_a_resync() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into public.entries values (1, 7)").await;
        let (mut client, subscribed) = stage.subscribed(json!({"id": "first", "table": "entries"})).await;
        let cursor = subscribed["cursor"].as_str().expect("live from now").to_owned();
        let shape = subscribed["shape"].clone();
        let with =
            |id: &str, cursor: &str| json!({"id": id, "table": "entries", "cursor": cursor, "shape": shape});
        client.await_lsn(stage.lsn().await, |_| {}).await;
        let genuine = Cursor::decode(&cursor).expect("the server's own");
        let moved = |change: fn(&mut Position)| {
            let mut cursor = genuine.clone();
            change(&mut cursor.position);
            cursor.encode()
        };
        let between = moved(|position| position.index += 1);
        let ahead = moved(|position| position.commit_lsn = tidegate::event::Lsn::new(u64::MAX));
        for (id, cursor) in [("a", "garbage"), ("b", ""), ("c", "größe"), ("d", &between), ("e", &ahead)] {
            assert_eq!(resync(&mut client, with(id, cursor)).await, "cursor_invalid", "{cursor}");
        }
        let other_life = Cursor { incarnation: tidegate::event::Incarnation(1), ..genuine.clone() }.encode();
        assert_eq!(resync(&mut client, with("f", &other_life)).await, "source_reset");
        let shapeless = json!({"id": "g", "table": "entries", "cursor": cursor});
        assert_eq!(resync(&mut client, shapeless).await, "cursor_invalid");
        let filtered =
            json!({"id": "h", "table": "entries", "where": "board_id = 8", "cursor": cursor, "shape": shape});
        assert_eq!(resync(&mut client, filtered).await, "schema_changed");
    });
}

#[test]
fn a_cursor_that_the_journal_has_left_behind_is_a_resync() {
    let settings = [
        ("journal.memory_bytes", "1048576"),
        ("hub.transaction_bytes", "1048576"),
        ("source.chunk_bytes", "65536"),
    ];
    staged(&settings, async |_, stage| {
        let (mut client, subscribed) = stage.subscribed(json!({"id": "a", "table": "entries"})).await;
        client.send(&json!({"type": "unsubscribe", "id": "a"})).await;
        client.expect("unsubscribed").await;
        for id in 0..20 {
            let insert = format!("insert into public.entries values ({id}, 7, repeat('x', 200000))");
            stage.database.execute(&insert).await;
        }
        client.await_lsn(stage.lsn().await, |_| {}).await;
        let resume = json!({"id": "a", "table": "entries", "columns": ["id"], "cursor": subscribed["cursor"],
            "shape": subscribed["shape"]});
        assert_eq!(resync(&mut client, resume).await, "cursor_expired");
    });
}

#[test]
fn a_row_that_a_filter_cannot_decide_ends_that_subscription_alone() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into public.entries values (1, 7, 'short')").await;
        let costly = format!("title like '%{}'", "_x".repeat(60));
        let (mut client, _) =
            stage.subscribed(json!({"id": "costly", "table": "entries", "where": costly})).await;
        client
            .subscribe(json!({"id": "plain", "table": "entries", "where": "board_id = 7", "columns": ["id"]}))
            .await;
        client.expect("subscribed").await;
        client.await_lsn(stage.lsn().await, |_| {}).await;
        stage.database.execute("update public.entries set title = repeat('a', 700000)").await;
        let (first, second) = (client.next().await.expect("alive"), client.next().await.expect("alive"));
        let (error, changes) = if first["type"] == "error" { (first, second) } else { (second, first) };
        says(&error, "filter_error", "`title`");
        assert_eq!(error["id"], "costly");
        assert_eq!((&changes["type"], &changes["id"]), (&json!("changes"), &json!("plain")));
        // The name is free again, and the other one goes on.
        stage.database.execute("update public.entries set board_id = 7, title = 'short'").await;
        assert_eq!(client.expect("changes").await["id"], "plain");
        client.send(&json!({"type": "unsubscribe", "id": "costly"})).await;
        says(&client.expect("error").await, "unknown_subscription", "`costly`");
    });
}

#[test]
fn a_refused_page_leaves_its_subscription_open() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into public.entries select n, 7 from generate_series(1, 9) n").await;
        let feed = json!({"id": "feed", "table": "entries", "snapshot": {"order_by": "id desc", "limit": 3}});
        let (mut client, _) = stage.subscribed(feed).await;
        while client.expect("snapshot").await["last"] != true {}
        for (after, part) in [
            (json!({"x": 1}), "`x`"),
            (json!({}), "lacks `id`"),
            (json!({"id": [7]}), "its type, int8"),
            (json!({"id": "seven"}), "seven"),
        ] {
            client.send(&json!({"type": "page", "id": "feed", "after": after, "limit": 3})).await;
            let error = client.expect("error").await;
            says(&error, "bad_request", part);
            assert_eq!((&error["id"], &error["request"]), (&json!("feed"), &json!("page")), "{error}");
        }
        // Frames that only name it are not about it.
        client.send(&json!({"type": "page", "id": "feed"})).await;
        assert_eq!(client.expect("error").await.get("id"), None);
        stage.database.execute("update public.entries set title = 'still there' where id = 1").await;
        assert_eq!(client.expect("changes").await["id"], "feed");
        client.subscribe(json!({"id": "plain", "table": "entries"})).await;
        client.expect("subscribed").await;
        client.send(&json!({"type": "page", "id": "plain", "after": {"id": "1"}, "limit": 3})).await;
        says(&client.expect("error").await, "bad_request", "pages need an order");
    });
}
