use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::house::{House, notes, snapshot, token};
use super::{Signer, in_seconds};
use crate::fixture::scenario;
use crate::stage::Raw;

/// Forged, spoilt and misused tokens of `role`, each with the word that it is refused with.
fn attacks(role: &str, key: &Signer) -> Vec<(&'static str, String)> {
    let claims = json!({"role": role, "aud": "live", "exp": in_seconds(600)});
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        key.token(&claims)
    };
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = |header: &str| key.sign("RS256", header, &claims.to_string());
    let payload = |payload: &str| key.sign("RS256", r#"{"alg":"RS256"}"#, payload);
    let good = key.token(&claims);
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let admin = part(&json!({"role": "postgres"}).to_string());
    // The public key is known to everybody: so is what an HMAC with it would be.
    let pem = Signer::secret(key.pem().as_bytes());
    vec![
        ("algorithm_not_allowed", format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims.to_string()))),
        (
            "algorithm_not_allowed",
            format!("{}.{}.{signature}", part(r#"{"alg":"None"}"#), part(&claims.to_string())),
        ),
        ("algorithm_not_allowed", pem.token(&claims)),
        ("algorithm_not_allowed", Signer::secret(key.pem().trim().as_bytes()).token(&claims)),
        ("algorithm_not_allowed", header(r#"{"alg":"HS256"}"#)),
        ("algorithm_not_allowed", header(r#"{"alg":"rs256"}"#)),
        ("bad_signature", format!("{signed}.")),
        ("bad_signature", format!("{signed}.{}", part("nonsense"))),
        ("bad_signature", format!("{}.{admin}.{signature}", part(r#"{"alg":"RS256","typ":"JWT"}"#))),
        ("bad_signature", header(r#"{"alg":"RS512"}"#)),
        ("bad_signature", header(r#"{"alg":"PS256"}"#)),
        ("critical_header", header(r#"{"alg":"RS256","crit":["exp"],"exp":1}"#)),
        ("critical_header", header(r#"{"alg":"RS256","crit":[]}"#)),
        ("critical_header", header(r#"{"alg":"RS256","b64":false}"#)),
        ("duplicate_claim", header(r#"{"alg":"RS256","alg":"RS256"}"#)),
        ("duplicate_claim", payload(&format!(r#"{{"aud":"live","role":"stranger","role":"{role}"}}"#))),
        ("duplicate_claim", payload(&format!(r#"{{"aud":"live","role":"{role}","a":{{"b":1,"b":2}}}}"#))),
        ("malformed", String::new()),
        ("malformed", "a.b".into()),
        ("malformed", format!("{good}.x.y")),
        ("malformed", format!("{signed}.{signature}=")),
        ("malformed", format!("{signed}.%%%%")),
        ("malformed", header("[]")),
        ("malformed", header("{}")),
        ("malformed", header(r#"{"alg":7}"#)),
        ("malformed", header(r#"{"alg":"RS256","kid":7}"#)),
        ("malformed", payload("7")),
        ("malformed", payload("{")),
        ("malformed", with("exp", json!("tomorrow"))),
        ("expired", with("exp", json!(in_seconds(-1)))),
        ("not_yet_valid", with("nbf", json!(in_seconds(60)))),
        ("wrong_audience", with("aud", json!("other"))),
        ("wrong_audience", with("aud", json!(["other", "Live"]))),
        ("wrong_audience", with("aud", json!(null))),
        ("role_not_allowed", with("role", json!("postgres"))),
        ("role_not_allowed", with("role", json!("none"))),
        ("role_not_allowed", with("role", json!(""))),
        ("role_not_allowed", with("role", json!(null))),
        ("role_not_allowed", with("role", json!([role]))),
        ("role_not_allowed", with("role", json!(format!("{role}'; set role postgres; --")))),
        ("role_not_allowed", with("role", json!(format!("{role}\"")))),
        ("role_not_allowed", with("role", json!(format!("{role} ")))),
        ("role_not_allowed", with("role", json!(role.to_uppercase()))),
        ("too_large", with("padding", json!("x".repeat(8_000)))),
    ]
}

#[test]
fn no_attack_on_a_token_lets_anybody_in_and_each_is_named() {
    scenario(async |test| {
        let key = Signer::rsa();
        let settings = [("auth.jwt.public_key", &*key.pem()), ("auth.jwt.audience", "live")];
        let house = House::keyed(test, &settings).await;
        let good = key.token(&json!({"role": house.member, "aud": ["x", "live"], "exp": in_seconds(600)}));
        let mut client = house.client(&good).await;
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await.len(), 2);

        let attacks = attacks(&house.member, &key);
        for (word, token) in &attacks {
            let start = &token[..token.len().min(60)];
            let closed = house.knock(token).await.closed().await;
            assert_eq!((closed.code, &*closed.reason), (Some(4401), *word), "{start}");

            let mut raw = Raw::connect(house.address()).await;
            raw.send(format!(
                "GET /v1/stream?table=notes&columns=id HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
            let response = raw.response().await;
            assert_eq!(response.status, 401, "{start}");
            let challenge =
                format!("www-authenticate: bearer error=\"invalid_token\", error_description=\"{word}\"");
            assert!(response.head.contains(&challenge), "{start}: {}", response.head);
            assert_eq!(raw.json(&response).await["code"], "unauthenticated");

            let signature = token.rsplit('.').next().unwrap_or_default();
            assert!(signature.len() < 8 || !test.logged(signature), "a token was logged");
        }
        for word in ["bad_signature", "malformed", "expired"] {
            let refused =
                house.server.metric(&format!("tidegate_auth_refused_total{{reason=\"{word}\"}}")).await;
            assert!(refused >= 2.0, "{word}: {refused}");
        }
        // Whoever was there has seen nothing of it.
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
    });
}

#[test]
fn a_megabyte_of_token_is_refused_before_it_is_read() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let megabyte = "x".repeat(1 << 20);
        let mut raw = Raw::connect(house.address()).await;
        raw.send(format!(
            "GET /v1/stream?table=notes HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {megabyte}\r\n\r\n"
        ))
        .await;
        // A server that has closed before all was sent is read as a reset.
        let answer = raw.end().await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
            "{}",
            String::from_utf8_lossy(&answer)
        );

        let mut client = house.client(&token(&house.member, json!({}))).await;
        client.send(&json!({"type": "auth", "token": megabyte})).await;
        assert_eq!(client.closed().await.code, Some(1009));

        let mut client = house.client(&token(&house.member, json!({}))).await;
        client.send(&json!({"type": "auth", "token": &megabyte[..60_000]})).await;
        let closed = client.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "too_large"));
    });
}

#[test]
fn two_tokens_at_once_are_none() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let token = token(&house.member, json!({}));
        let mut raw = Raw::connect(house.address()).await;
        raw.send(format!(
            "GET /v1/stream?table=notes HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nauthorization: Bearer x\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.response().await.status, 401);
        let mut raw = Raw::connect(house.address()).await;
        let (bearer, words) = (format!("Bearer {token}"), format!("tidegate.v1, bearer.{token}"));
        raw.handshake(&[("authorization", &bearer), ("sec-websocket-protocol", &words)]).await;
        assert_eq!(raw.close_code().await, Some(4401));
        let mut raw = Raw::connect(house.address()).await;
        raw.send("GET /v1/stream?table=notes HTTP/1.1\r\nhost: a\r\nauthorization: Basic YTpi\r\n\r\n").await;
        assert_eq!(raw.response().await.status, 401);
    });
}
