//! What is too large, too fast, too slow or too many, each beside a bystander.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::interval;

use crate::client::{Client, Mirror};
use crate::fixture::eventually;
use crate::stage::{Stage, payload_frame, staged};

/// Reads on until `mirror` holds everything up to what is committed now.
async fn settle(stage: &Stage, client: &mut Client, mirror: &mut Mirror) {
    while !mirror.is_live() {
        mirror.apply(&client.next().await.expect("alive"));
    }
    let apply = |frame: &Value| {
        mirror.apply(frame);
    };
    client.await_lsn(stage.lsn().await, apply).await;
    let ids: i64 = stage.database.number("select count(*) from public.entries").await;
    assert_eq!(i64::try_from(mirror.rows().len()).expect("few"), ids, "the mirror is not the table");
    let rows =
        stage.database.client().await.query("select id::text, board_id from public.entries", &[]).await;
    for row in rows.expect("the table is there") {
        let key = json!({"id": row.get::<_, &str>(0)}).to_string();
        assert_eq!(mirror.rows()[&key]["board_id"], row.get::<_, i32>(1), "{key}");
    }
}

#[test]
fn a_frame_too_large_closes_with_1009() {
    staged(&[("session.max_frame_bytes", "4096")], async |_, stage| {
        for length in [4_097, 100_000, 3_000_000] {
            let mut client = stage.client().await;
            client.send_text(&"x".repeat(length)).await;
            assert_eq!(client.closed().await.code, Some(1009), "{length} bytes");
        }
        // A header that promises more than there ever will be.
        let mut raw = stage.raw().await;
        assert_eq!(raw.handshake(&[]).await.status, 101);
        raw.send([&[0x81, 0xFF][..], &u64::MAX.to_be_bytes()[..], &[0; 4][..]].concat()).await;
        assert!(matches!(raw.close_code().await, Some(1009) | None));
        // Fragments that are small by themselves.
        let mut raw = stage.raw().await;
        assert_eq!(raw.handshake(&[]).await.status, 101);
        raw.send(payload_frame(0x01, &[b' '; 100])).await;
        for _ in 0..60 {
            raw.send(payload_frame(0x00, &[b' '; 100])).await;
        }
        assert_eq!(raw.close_code().await, Some(1009));
    });
}

#[test]
fn a_flood_of_subscribes_is_refused_and_then_closed_with_4429() {
    let settings = [("session.frames_burst", "20"), ("session.frames_per_second", "1")];
    staged(&settings, async |_, stage| {
        let mut client = stage.client().await;
        for number in 0..400 {
            client.subscribe(json!({"id": number.to_string(), "table": "entries"})).await;
        }
        let (mut subscribed, mut limited) = (0, 0);
        let closed = loop {
            match client.next().await {
                Ok(frame) if frame["type"] == "subscribed" => subscribed += 1,
                Ok(frame) => {
                    assert_eq!(frame["code"], "rate_limited", "{frame}");
                    assert!(frame["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{frame}");
                    limited += 1;
                }
                Err(closed) => break closed,
            }
        };
        assert_eq!(
            (closed.code, closed.reason.starts_with("retry_after_ms=")),
            (Some(4429), true),
            "{closed:?}"
        );
        assert!(subscribed <= 22 && limited >= 90, "{subscribed} were let in, {limited} told");
    });
}

#[test]
fn a_flood_of_pings_is_closed_with_4429() {
    let settings = [("session.frames_burst", "20"), ("session.frames_per_second", "1")];
    staged(&settings, async |_, stage| {
        for first in [0x89, 0x8A] {
            let mut raw = stage.raw().await;
            assert_eq!(raw.handshake(&[]).await.status, 101);
            for _ in 0..200 {
                raw.send(payload_frame(first, b"still there?")).await;
            }
            assert_eq!(raw.close_code().await, Some(4429));
        }
    });
}

#[test]
fn a_connection_holds_so_many_subscriptions_and_each_id_once() {
    staged(&[("session.max_subscriptions", "3")], async |_, stage| {
        let mut client = stage.client().await;
        for id in ["a", "b", "c"] {
            client.subscribe(json!({"id": id, "table": "entries"})).await;
            client.expect("subscribed").await;
        }
        client.subscribe(json!({"id": "d", "table": "entries"})).await;
        let error = client.expect("error").await;
        assert_eq!((&error["code"], &error["id"]), (&json!("too_many_subscriptions"), &json!("d")));
        client.subscribe(json!({"id": "a", "table": "steady"})).await;
        let error = client.expect("error").await;
        assert_eq!((&error["code"], &error["id"]), (&json!("duplicate_id"), &json!("a")));
        assert_eq!(error["request"], "subscribe", "the subscription goes on");
        stage.database.execute("insert into public.entries values (1, 7)").await;
        let mut told: Vec<_> = Vec::new();
        for _ in 0..3 {
            told.push(client.expect("changes").await["id"].clone());
        }
        told.sort_by_key(ToString::to_string);
        assert_eq!(told, ["a", "b", "c"]);
        client.send(&json!({"type": "unsubscribe", "id": "b"})).await;
        client.expect("unsubscribed").await;
        client.subscribe(json!({"id": "d", "table": "entries"})).await;
        client.expect("subscribed").await;
    });
}

#[test]
fn positions_awaited_are_bounded() {
    staged(&[], async |_, stage| {
        let mut client = stage.client().await;
        for number in 0..17 {
            client.send(&json!({"type": "await", "lsn": format!("FFFF/{number:X}")})).await;
        }
        assert_eq!(client.expect("error").await["code"], "rate_limited");
    });
}

/// A slow reader's settings: little room, small pieces.
const TIGHT: [(&str, &str); 4] = [
    ("session.outbox_bytes", "65536"),
    ("session.frame_bytes", "16384"),
    ("snapshot.chunk_bytes", "16384"),
    ("session.write_timeout_ms", "60000"),
];

/// More than the kernel's buffers and the outbox take together.
async fn write_much(stage: &Stage) {
    let writer = stage.database.client().await;
    for round in 0..60 {
        let sql = format!(
            "insert into public.entries
             select n + {round} * 50, {round}, repeat('x', 4000) from generate_series(1, 50) n"
        );
        writer.batch_execute(&sql).await.expect("up");
    }
}

#[test]
fn a_client_that_stops_reading_catches_up_from_the_journal() {
    staged(&TIGHT, async |_, stage| {
        let mut client = stage.client().await;
        let mut mirror = Mirror::new("slow", json!({"table": "entries"}));
        client.send(&mirror.request()).await;
        let before = stage.server.metric("tidegate_session_slow_readers_total").await;
        write_much(stage).await;
        eventually("the reader falls behind", async || {
            let now = stage.server.metric("tidegate_session_slow_readers_total").await;
            (now > before).then_some(())
        })
        .await;
        settle(stage, &mut client, &mut mirror).await;
        assert!(mirror.resyncs.is_empty(), "the journal had it all: {:?}", mirror.resyncs);
    });
}

#[test]
fn a_client_slower_than_the_journal_is_long_starts_over() {
    let settings = [
        &TIGHT[..],
        &[
            ("journal.memory_bytes", "2097152"),
            ("hub.transaction_bytes", "1048576"),
            ("source.chunk_bytes", "65536"),
            // The bystander needs some room too: the journal is short for it as well.
            ("session.outbox_bytes", "262144"),
        ],
    ]
    .concat();
    staged(&settings, async |_, stage| {
        let mut client = stage.client().await;
        socket2::SockRef::from(&*client.stream()).set_recv_buffer_size(131_072).expect("an open socket");
        let mut mirror = Mirror::new("slow", json!({"table": "entries"}));
        client.send(&mirror.request()).await;
        while !mirror.is_live() {
            mirror.apply(&client.next().await.expect("alive"));
        }
        // One that never asked for rows.
        let mut live = stage.client().await;
        socket2::SockRef::from(&*live.stream()).set_recv_buffer_size(131_072).expect("an open socket");
        live.subscribe(json!({"id": "live", "table": "entries"})).await;
        live.expect("subscribed").await;
        write_much(stage).await;
        client_has_missed(stage).await;
        settle(stage, &mut client, &mut mirror).await;
        assert_eq!(mirror.resyncs.get("slow_reader"), Some(&1), "{:?}", mirror.resyncs);
        let mut types = Vec::new();
        live.await_lsn(stage.lsn().await, |frame| types.push(frame["type"].clone())).await;
        assert!(types.contains(&json!("resync")) && !types.contains(&json!("snapshot")), "{types:?}");
    });
}

/// Waits until the hub has passed all that is committed.
async fn client_has_missed(stage: &Stage) {
    stage.client().await.await_lsn(stage.lsn().await, |_| {}).await;
}

#[test]
fn a_client_that_takes_no_byte_is_given_up() {
    let mut settings = TIGHT;
    settings[3].1 = "300";
    staged(&settings, async |_, stage| {
        let mut client = stage.client().await;
        client.subscribe(json!({"id": "a", "table": "entries"})).await;
        client.expect("subscribed").await;
        let name = "tidegate_session_refused_total{reason=\"too_slow\"}";
        let before = stage.server.metric(name).await;
        write_much(stage).await;
        eventually("it is given up", async || (stage.server.metric(name).await > before).then_some(())).await;
        assert_eq!(client.closed().await.code, None, "in the middle of a frame there is no goodbye");
    });
}

#[test]
fn a_snapshot_that_nobody_takes_ends_in_time_and_a_reader_that_fails_it_again_is_closed_with_4409() {
    let settings = [&TIGHT[..], &[("snapshot.timeout_ms", "1000"), ("snapshot.concurrent", "1")]].concat();
    staged(&settings, async |_, stage| {
        write_much(stage).await;
        let mut slow = stage.client().await;
        // What the kernel holds counts as read.
        socket2::SockRef::from(&*slow.stream()).set_recv_buffer_size(131_072).expect("an open socket");
        slow.subscribe(json!({"id": "slow", "table": "entries", "snapshot": true})).await;
        // The only place for a snapshot is given back, though the slow one holds its own and reads nothing.
        let mut other = stage.client().await;
        other
            .subscribe(json!({"id": "other", "table": "entries", "where": "id = 1", "snapshot": true}))
            .await;
        other.expect("subscribed").await;
        while other.expect("snapshot").await["last"] != true {}
        let (mut resyncs, mut pace) = (0, interval(Duration::from_millis(4)));
        let closed = loop {
            pace.tick().await;
            match slow.next().await {
                Ok(frame) if frame["type"] == "resync" => {
                    assert_eq!(frame["reason"], "slow_reader");
                    resyncs += 1;
                }
                Ok(_) => {}
                Err(closed) => break closed,
            }
        };
        assert_eq!((closed.code, resyncs), (Some(4409), 2), "{closed:?}");
    });
}

#[test]
fn a_slow_reader_of_a_snapshot_stalls_no_other() {
    staged(&TIGHT, async |_, stage| {
        write_much(stage).await;
        let mut slow = stage.client().await;
        let mut mirror = Mirror::new("slow", json!({"table": "entries"}));
        slow.send(&mirror.request()).await;
        slow.stream().readable().await.expect("begun");
        let mut quick = stage.client().await;
        let mut other = Mirror::new("quick", json!({"table": "entries"}));
        quick.send(&other.request()).await;
        settle(stage, &mut quick, &mut other).await;
        settle(stage, &mut slow, &mut mirror).await;
    });
}

#[test]
fn what_a_snapshots_reader_is_owed_is_held_though_the_journal_is_small() {
    let settings = [
        ("journal.memory_bytes", "1048576"),
        ("hub.transaction_bytes", "1048576"),
        ("session.outbox_bytes", "262144"),
    ];
    staged(&settings, async |_, stage| {
        let rows = "insert into entries select n, 7, repeat('x', 4000) from generate_series(1, 5000) n";
        stage.database.execute(rows).await;
        let mut client = stage.client().await;
        let mut mirror = Mirror::new("it", json!({"table": "entries"}));
        client.send(&mirror.request()).await;
        eventually("the snapshot is open", async || {
            (stage.server.metric("tidegate_snapshot_open").await > 0.0).then_some(())
        })
        .await;
        // Five times what the journal holds, while the reader has taken nothing.
        for first in (1..5_000).step_by(100) {
            let update = format!("update entries set board_id = 8 where id between {first} and {first} + 25");
            stage.database.execute(&update).await;
        }
        client_has_missed(stage).await;
        settle(stage, &mut client, &mut mirror).await;
        assert_eq!(mirror.rows().len(), 5_000);
        assert!(mirror.resyncs.is_empty(), "{:?}", mirror.resyncs);
    });
}

/// Waits until the hub delivers to as many readers as before.
async fn no_reader_is_left(stage: &Stage, before: f64) {
    let readers = async || {
        (stage.server.metric("tidegate_hub_readers").await <= before
            && stage.server.metric("tidegate_session_subscriptions").await <= before)
            .then_some(())
    };
    eventually("nobody is delivered to who has gone", readers).await;
}

#[test]
fn clients_that_are_gone_at_any_moment_leave_no_reader_behind() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into entries select n, 7 from generate_series(1, 50) n").await;
        let before = stage.server.metric("tidegate_hub_readers").await;
        for round in 0..150 {
            let mut client = stage.client().await;
            for id in ["a", "b", "c"] {
                client.subscribe(json!({"id": id, "table": "entries", "snapshot": id < "c"})).await;
            }
            for _ in 0..round % 7 {
                client.next().await.expect("alive");
            }
            client.cut();
            let mut raw = stage.raw().await;
            raw.send("GET /v1/stream?table=entries HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            drop(raw);
        }
        no_reader_is_left(stage, before).await;
    });
}

#[test]
fn a_stream_given_up_before_it_is_answered_leaves_no_reader_behind() {
    staged(&[], async |_, stage| {
        let before = stage.server.metric("tidegate_session_subscriptions").await;
        let held = stage.database.client().await;
        held.batch_execute("begin; lock table entries in access exclusive mode").await.expect("up");
        for _ in 0..10 {
            let mut raw = stage.raw().await;
            raw.send("GET /v1/stream?table=entries HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            eventually("it is asked for", async || {
                (stage.server.metric("tidegate_session_subscriptions").await > before).then_some(())
            })
            .await;
            drop(raw);
        }
        no_reader_is_left(stage, before).await;
        held.batch_execute("commit").await.expect("up");
    });
}

#[test]
fn a_socket_cut_in_mid_frame_ends_alone() {
    staged(&[], async |_, stage| {
        let connections = async || stage.server.metric("tidegate_session_subscriptions").await;
        let before = connections().await;
        for cut in [1, 5, 20] {
            let mut raw = stage.raw().await;
            assert_eq!(raw.handshake(&[]).await.status, 101);
            let subscribe = br#"{"type":"subscribe","id":"a","table":"entries"}"#;
            raw.send(payload_frame(0x81, subscribe)).await;
            raw.until(b"subscribed").await.expect("let in");
            raw.send(&payload_frame(0x81, subscribe)[..cut]).await;
            raw.cut();
        }
        // Other tests of this process count here too.
        eventually("they are gone", async || (connections().await <= before + 2.0).then_some(())).await;
    });
}

#[test]
fn a_half_open_connection_is_closed_with_4408() {
    let settings = [("session.heartbeat_ms", "200"), ("session.idle_timeout_ms", "600")];
    staged(&settings, async |_, stage| {
        // Answers no ping.
        let mut raw = stage.raw().await;
        assert_eq!(raw.handshake(&[]).await.status, 101);
        assert_eq!(raw.close_code().await, Some(4408));
        // Answers pings and says nothing else.
        let mut client = stage.client().await;
        assert_eq!(client.next_within(Duration::from_millis(1_500)).await, None, "nothing was to be said");
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
    });
}

#[test]
fn a_handshake_that_dawdles_is_cut_off() {
    staged(&[("session.handshake_timeout_ms", "300")], async |_, stage| {
        let mut idle = stage.raw().await;
        let mut slow = stage.raw().await;
        slow.send("GET /v1/socket HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a").await;
        let mut body = stage.raw().await;
        body.send("POST /v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{").await;
        let patience = Duration::from_secs(10);
        assert!(slow.ends_within(patience).await, "a head that never ends");
        assert!(idle.ends_within(patience).await, "a connection that says nothing");
        let response = body.response().await;
        assert_eq!(response.status, 400, "{}", response.head);
        let problem = body.json(&response).await;
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("did not come")),
            "{problem}"
        );
    });
}

#[test]
fn connections_beyond_the_most_are_told_so_with_503() {
    staged(&[("http.max_connections", "3")], async |_, stage| {
        // One is the bystander's.
        let (mut first, _second) = (stage.client().await, stage.client().await);
        let mut refused = stage.raw().await;
        refused.send("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        let response = refused.response().await;
        assert_eq!(response.status, 503, "{}", response.head);
        assert_eq!(refused.json(&response).await["code"], "unavailable");
        first.send(&json!({"type": "ping"})).await;
        first.expect("pong").await;
        first.close().await;
        eventually("there is room again", async || {
            (stage.server.get("/healthz").await?.0 == 200).then_some(())
        })
        .await;
    });
}
