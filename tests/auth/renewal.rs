use serde_json::{Value, json};

use super::house::{House, notes, snapshot, token};
use super::in_seconds;
use crate::client::Client;
use crate::fixture::scenario;
use crate::stage::Raw;

/// Reads on until a frame of this type, and gives that.
async fn until(client: &mut Client, kind: &str) -> Value {
    loop {
        let frame = client.next().await.unwrap_or_else(|closed| panic!("waited for `{kind}`: {closed:?}"));
        if frame["type"] == kind {
            return frame;
        }
    }
}

#[test]
fn a_token_that_ends_is_announced_and_then_closes_its_socket() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let ends = in_seconds(3);
        let mut client = house.client(&token(&house.member, json!({"exp": ends}))).await;
        // It has less than a minute: so it is told at once.
        let told = client.expect("token_expiring").await;
        assert!(told["expires_at"].as_str().is_some_and(|at| at.ends_with(".000000Z")), "{told}");
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await.len(), 2);
        let closed = client.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "expired"));
        assert!(in_seconds(0) >= ends, "not before its end");
    });
}

#[test]
fn a_renewed_token_moves_the_end_and_disturbs_nothing() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let claims = |exp: i64, jti: &str| json!({"exp": exp, "jti": jti, "sub": "7"});
        let short = token(&house.member, claims(in_seconds(3), "a"));
        let (mut renewed, mut left) = (house.client(&short).await, house.client(&short).await);
        for client in [&mut renewed, &mut left] {
            client.expect("token_expiring").await;
            client.subscribe(notes("a")).await;
            snapshot(client).await;
        }
        let long = token(&house.member, claims(in_seconds(3_600), "b"));
        renewed.send(&json!({"type": "auth", "token": long})).await;
        assert_eq!(left.closed().await.reason, "expired");
        house.database.execute("insert into public.notes values (3, 'three')").await;
        // No resync, and nothing told twice: the next frame is the change.
        let changes = renewed.expect("changes").await;
        assert_eq!(changes["changes"][0]["row"], json!({"id": "3", "body": "three"}));
        renewed.send(&json!({"type": "auth", "token": short})).await;
        assert_eq!(renewed.closed().await.reason, "expired", "an old token does not bring back its time");
    });
}

#[test]
fn another_role_or_other_claims_start_every_subscription_over() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let mut client = house.client(&token(&house.admin, json!({"sub": "7"}))).await;
        client.subscribe(notes("a")).await;
        snapshot(&mut client).await;
        let all = json!({"id": "b", "table": "public.notes", "snapshot": true});
        client.subscribe(all).await;
        snapshot(&mut client).await;

        client.send(&json!({"type": "auth", "token": token(&house.admin, json!({"sub": "8"}))})).await;
        let resync = client.expect("resync").await;
        assert_eq!(resync["reason"], "permissions_changed");
        let mut complete = 0;
        while complete < 2 {
            let last = until(&mut client, "snapshot").await["last"] == true;
            complete += usize::from(last);
        }
        // The member may read some of the columns, and the stranger nothing.
        client.send(&json!({"type": "auth", "token": token(&house.member, json!({}))})).await;
        let mut complete = 0;
        while complete < 2 {
            let frame = until(&mut client, "snapshot").await;
            assert!(!frame.to_string().contains("hidden"), "{frame}");
            complete += usize::from(frame["last"] == true);
        }
        client.send(&json!({"type": "auth", "token": token(&house.stranger, json!({}))})).await;
        for _ in 0..2 {
            assert_eq!(until(&mut client, "error").await["code"], "forbidden");
        }
        house.database.execute("insert into public.notes values (9, 'nine', 'not for strangers')").await;
        client
            .await_lsn(crate::stage::lsn(&house.database).await, |frame| {
                panic!("nothing is followed any more: {frame}");
            })
            .await;
    });
}

#[test]
fn a_stream_ends_with_its_token() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let token = token(&house.member, json!({"exp": in_seconds(3)}));
        let mut raw = Raw::connect(house.address()).await;
        raw.send(format!(
            "GET /v1/stream?table=notes&columns=id,body HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n\r\n"
        ))
        .await;
        let stream = String::from_utf8(raw.end().await).expect("UTF-8");
        assert!(stream.starts_with("HTTP/1.1 200") && stream.contains("event: token_expiring\n"), "{stream}");
        assert!(stream.ends_with("0\r\n\r\n"), "in good order: {stream}");
    });
}
