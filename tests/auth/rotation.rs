use serde_json::json;

use super::house::{House, notes, snapshot};
use super::provider::Provider;
use super::{Signer, in_seconds};
use crate::fixture::{eventually, scenario};

fn claims(role: &str) -> serde_json::Value {
    json!({"role": role, "exp": in_seconds(600)})
}

/// With what word a token is refused; `None` if it is let in.
async fn refused(house: &House, token: &str) -> Option<String> {
    let mut client = house.knock(token).await;
    match client.next().await {
        Ok(frame) => {
            assert_eq!(frame["type"], "ready");
            None
        }
        Err(closed) => {
            assert!([Some(4401), Some(4408)].contains(&closed.code), "{closed:?}");
            Some(closed.reason)
        }
    }
}

#[test]
fn a_key_that_is_rotated_in_is_found_and_one_that_is_rotated_away_is_forgotten() {
    scenario(async |test| {
        let (old, new) = (Signer::p256().named("old"), Signer::p256().named("new"));
        let provider = Provider::start(&[&old]).await;
        let url = provider.jwks_url();
        let settings = [
            ("auth.jwt.jwks_url", &*url),
            ("auth.jwt.refresh_ms", "86400000"),
            ("auth.jwt.refresh_least_ms", "100"),
        ];
        let house = House::keyed(test, &settings).await;
        let (by_old, by_new) = (old.token(&claims(&house.member)), new.token(&claims(&house.member)));
        let mut connected = house.client(&by_old).await;
        connected.subscribe(notes("a")).await;
        snapshot(&mut connected).await;

        assert_eq!(refused(&house, &by_new).await.as_deref(), Some("unknown_key"));
        provider.set(&[&new]);
        // Not at once after the last attempt; then the token itself has the keys fetched.
        eventually("the new key is found", async || refused(&house, &by_new).await.is_none().then_some(()))
            .await;
        assert_eq!(refused(&house, &by_old).await.as_deref(), Some("unknown_key"));

        // Whoever was let in by it stays to its token's end, and does not renew by it.
        house.database.execute("insert into public.notes values (3, 'three')").await;
        connected.expect("changes").await;
        connected.send(&json!({"type": "auth", "token": by_old})).await;
        let closed = connected.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "unknown_key"));
    });
}

#[test]
fn nonsense_does_not_have_the_provider_asked_each_time() {
    scenario(async |test| {
        let key = Signer::ed25519().named("key");
        let provider = Provider::start(&[&key]).await;
        let url = provider.jwks_url();
        let settings = [("auth.jwt.jwks_url", &*url), ("auth.jwt.refresh_least_ms", "86400000")];
        let house = House::keyed(test, &settings).await;
        assert_eq!(refused(&house, &key.token(&claims(&house.member))).await, None);
        for n in 0..20 {
            let nonsense = Signer::ed25519().named(&format!("key{n}")).token(&claims(&house.member));
            assert_eq!(refused(&house, &nonsense).await.as_deref(), Some("unknown_key"));
        }
        assert_eq!(provider.asked(), 1);
    });
}

#[test]
fn keys_stay_in_use_while_the_provider_is_away() {
    scenario(async |test| {
        test.expect_in_log("the keys of tokens could not be fetched");
        let key = Signer::rsa().named("key");
        let mut provider = Provider::start(&[&key]).await;
        let url = provider.jwks_url();
        let settings = [
            ("auth.jwt.jwks_url", &*url),
            ("auth.jwt.refresh_ms", "100"),
            ("auth.jwt.refresh_least_ms", "100"),
        ];
        let house = House::keyed(test, &settings).await;
        let token = key.token(&claims(&house.member));
        assert_eq!(refused(&house, &token).await, None);
        provider.stop().await;
        let noticed = async || test.logged("the keys of tokens could not be fetched").then_some(());
        eventually("it is noticed", noticed).await;
        assert_eq!(refused(&house, &token).await, None);
        let other = Signer::p256().named("other").token(&claims(&house.member));
        assert_eq!(refused(&house, &other).await.as_deref(), Some("unknown_key"));
        // What is no key set does not take the keys away either.
        provider.set_text("<html>");
        provider.resume().await;
        provider.asked_again().await;
        assert_eq!(refused(&house, &token).await, None);
        provider.set(&[&key]);
        eventually("all is well", async || test.logged("could be fetched again").then_some(())).await;
    });
}

#[test]
fn a_server_without_keys_yet_asks_for_patience_and_comes_round() {
    scenario(async |test| {
        test.expect_in_log("the keys of tokens could not be fetched");
        let key = Signer::rsa().named("key");
        let mut provider = Provider::start(&[&key]).await;
        let url = provider.jwks_url();
        provider.stop().await;
        let settings = [
            ("auth.jwt.jwks_url", &*url),
            ("auth.jwt.refresh_ms", "100"),
            ("auth.jwt.refresh_least_ms", "100"),
        ];
        let house = House::keyed(test, &settings).await;
        let token = key.token(&claims(&house.member));
        let word = refused(&house, &token).await.expect("there are no keys");
        assert_eq!(word, "retry_after_ms=1000");
        provider.resume().await;
        eventually("the keys are there", async || refused(&house, &token).await.is_none().then_some(()))
            .await;
    });
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    scenario(async |test| {
        test.expect_in_log("the keys of tokens could not be fetched");
        let key = Signer::p384().named("key");
        let provider = Provider::start(&[&key]).await;
        let (issuer, evil) =
            (provider.issuer(), json!({"issuer": "https://evil.example", "jwks_uri": provider.jwks_url()}));
        let settings = [
            ("auth.jwt.issuer", &*issuer),
            ("auth.jwt.refresh_ms", "100"),
            ("auth.jwt.refresh_least_ms", "100"),
        ];
        let house = House::keyed(test, &settings).await;
        let token = |issuer: &str| {
            let mut claims = claims(&house.member);
            claims["iss"] = json!(issuer);
            key.token(&claims)
        };
        assert_eq!(refused(&house, &token(&issuer)).await, None);
        assert_eq!(refused(&house, &token("https://evil.example")).await.as_deref(), Some("wrong_issuer"));
        provider.set_document(&evil);
        eventually("it is noticed", async || test.logged("another issuer").then_some(())).await;
        assert_eq!(refused(&house, &token(&issuer)).await, None);
    });
}
