use serde_json::{Value, json};

use super::house::{House, token};
use crate::client::Client;
use crate::fixture::scenario;
use crate::stage::Raw;

/// Members listen to their tenant's channels, editors publish there, everybody hears the news.
const RULES: &str = r#"[
    {"pattern": "board.{claims.tenant}.#", "roles": ["MEMBER"], "subscribe": true},
    {"pattern": "board.{claims.tenant}.*", "claims": {"app.desk": "editors"}, "publish": true},
    {"pattern": "news", "subscribe": true}
]"#;

async fn subscribe(client: &mut Client, channel: &str) -> Result<(), Value> {
    client.subscribe(json!({"id": channel, "channel": channel})).await;
    let frame = client.next().await.expect("it goes on");
    match frame["type"].as_str() {
        Some("subscribed") => Ok(()),
        _ => Err(frame),
    }
}

async fn publish(house: &House, token: &str, event: &Value) -> (u16, Value) {
    let body = event.to_string();
    let mut raw = Raw::connect(house.address()).await;
    raw.send(format!(
        "POST /v1/publish HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let response = raw.response().await;
    let told = raw.json(&response).await;
    (response.status, told)
}

#[test]
fn who_may_listen_and_publish_is_said_by_rules_and_nobody_may_else() {
    scenario(async |test| {
        let house = House::open(test, &[("auth.channels", RULES)]).await;
        let member = token(&house.member, json!({"tenant": "acme"}));
        let editor = token(&house.admin, json!({"tenant": "acme", "app": {"desk": "editors"}}));
        let mut client = house.client(&member).await;
        for (channel, allowed) in [
            ("board.acme.7", true),
            ("board.acme", true),
            ("news", true),
            ("board.other.7", false),
            ("board.*.7", false),
            ("board", false),
            ("newsroom", false),
        ] {
            let told = subscribe(&mut client, channel).await;
            assert_eq!(told.is_ok(), allowed, "{channel}: {told:?}");
            if let Err(error) = told {
                assert_eq!(
                    (&error["code"], &error["field"], &error["id"]),
                    (&json!("forbidden"), &json!("channel"), &json!(channel))
                );
            }
        }
        // Of another role the rule is not, whatever its claims say.
        let mut of_editor = house.client(&editor).await;
        assert!(subscribe(&mut of_editor, "board.acme.7").await.is_err());
        assert!(subscribe(&mut of_editor, "news").await.is_ok());

        for (channel, status) in
            [("board.acme.7", 200), ("board.acme.7.x", 403), ("board.other.7", 403), ("news", 403)]
        {
            let event = json!({"channel": channel, "data": channel, "id": "1", "source": "/app"});
            assert_eq!(publish(&house, &editor, &event).await.0, status, "{channel}");
            assert_eq!(publish(&house, &member, &event).await.0, 403, "{channel}");
        }
        let frame = client.expect("events").await;
        assert_eq!(
            (&frame["id"], &frame["events"][0]["data"]),
            (&json!("board.acme.7"), &json!("board.acme.7"))
        );
    });
}

#[test]
fn an_event_of_one_channel_keeps_none_from_another_and_none_speaks_for_postgresql() {
    scenario(async |test| {
        let rules =
            r##"[{"pattern": "{claims.sub}", "publish": true}, {"pattern": "#", "subscribe": true}]"##;
        let house = House::open(test, &[("auth.channels", rules)]).await;
        let of = |name: &str| token(&house.member, json!({"sub": name}));
        let mut client = house.client(&of("reader")).await;
        subscribe(&mut client, "alice").await.expect("allowed");
        // Mallory guesses what Alice will publish next, and tells of it on a channel of its own.
        let event = |channel: &str| json!({"channel": channel, "data": channel, "id": "8", "source": "/ci"});
        assert_eq!(publish(&house, &of("mallory"), &event("mallory")).await.0, 200);
        assert_eq!(publish(&house, &of("alice"), &event("alice")).await.0, 200);
        assert_eq!(client.expect("events").await["events"][0]["data"], "alice");

        let forged = json!({"channel": "alice", "data": 1, "source": "/tidegate/postgres"});
        let (status, body) = publish(&house, &of("alice"), &forged).await;
        assert_eq!(status, 400, "{body}");
        assert!(body["detail"].as_str().expect("a text").contains("`source`"), "{body}");
    });
}

#[test]
fn a_renewed_token_that_may_no_longer_listen_ends_its_channels() {
    scenario(async |test| {
        let house = House::open(test, &[("auth.channels", RULES)]).await;
        let mut client = house.client(&token(&house.member, json!({"tenant": "acme"}))).await;
        subscribe(&mut client, "board.acme.7").await.expect("allowed");
        subscribe(&mut client, "news").await.expect("allowed");
        client
            .send(&json!({"type": "auth", "token": token(&house.member, json!({"tenant": "other"}))}))
            .await;
        let (mut ended, mut again) = (None, false);
        while ended.is_none() || !again {
            let frame = client.next().await.expect("it goes on");
            match frame["type"].as_str() {
                Some("error") => {
                    assert_eq!((&frame["id"], &frame["code"]), (&json!("board.acme.7"), &json!("forbidden")));
                    ended = Some(frame);
                }
                Some("subscribed") => {
                    assert_eq!(frame["id"], "news");
                    again = true;
                }
                Some("resync") => assert_eq!(frame["reason"], "permissions_changed"),
                _ => {}
            }
        }
        let editor = token(&house.admin, json!({"tenant": "acme", "app": {"desk": "editors"}}));
        assert_eq!(publish(&house, &editor, &json!({"channel": "board.acme.7", "data": 1})).await.0, 200);
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
    });
}
