use std::time::Duration;

use serde_json::json;
use tidegate::auth::{Algorithm, Authenticator, ChannelRules, Config, Jwt, KeySource, Refusal, Rules};
use tidegate::cache::Cache;
use tidegate::shutdown::Scope;

use super::Signer;
use crate::fixture::scenario;

async fn verifier(keys: KeySource, algorithms: &[Algorithm], scope: &Scope) -> Authenticator {
    let config = Config::Jwt(Box::new(Jwt {
        keys,
        algorithms: algorithms.to_vec(),
        rules: Rules {
            issuer: None,
            audience: Vec::new(),
            leeway: Duration::ZERO,
            role: "role".parse().expect("a path"),
            roles: vec!["member".into()],
        },
        max_bytes: 8_192,
        anonymous_role: None,
        refresh: Duration::from_mins(5),
        least_interval: Duration::from_secs(10),
        session_lifetime: Duration::from_secs(10),
        channels: ChannelRules::default(),
    }));
    let cache = Cache::open(tidegate::cache::Config::Memory, scope).expect("memory is there");
    Authenticator::start(config, cache, scope).await.expect("there are keys")
}

fn source(signer: &Signer) -> KeySource {
    match signer.algorithms()[0] {
        "HS256" => KeySource::Secret("x".repeat(64).parse().expect("a secret")),
        _ => KeySource::PublicKey(signer.pem().parse().expect("a public key")),
    }
}

fn signers() -> [Signer; 5] {
    let secret = Signer::secret("x".repeat(64).as_bytes());
    [secret, Signer::rsa(), Signer::p256(), Signer::p384(), Signer::ed25519()]
}

#[test]
fn every_algorithm_is_verified_by_keys_of_its_kind_and_by_no_others() {
    scenario(async |_| {
        let scope = Scope::new();
        let claims = json!({"role": "member"});
        for key in &signers() {
            let verifier = verifier(source(key), &Algorithm::ALL, &scope).await;
            for signer in &signers() {
                for algorithm in signer.algorithms() {
                    let token = signer.token_by(algorithm, &claims);
                    let outcome = verifier.verify(&token).await.map(drop);
                    let own = key.algorithms() == signer.algorithms();
                    // Keys of curves are made anew: of one kind, and another's all the same.
                    let same = own && ["HS256", "RS256"].contains(&signer.algorithms()[0]);
                    match (own, same) {
                        (true, true) => assert_eq!(outcome, Ok(()), "{algorithm}"),
                        (true, false) => assert_eq!(outcome, Err(Refusal::Signature), "{algorithm}"),
                        (false, _) => assert_eq!(outcome, Err(Refusal::Algorithm), "{algorithm}"),
                    }
                }
            }
            // Its own, in both forms of a public key.
            for algorithm in key.algorithms() {
                let token = key.token_by(algorithm, &claims);
                assert_eq!(verifier.verify(&token).await.map(drop), Ok(()), "{algorithm}");
                let cut = format!("{}.AAAA", token.rsplit_once('.').expect("three parts").0);
                assert_eq!(verifier.verify(&cut).await.map(drop), Err(Refusal::Signature), "{algorithm}");
            }
        }
        scope.close();
    });
}

#[test]
fn only_what_is_allowed_is_verified() {
    scenario(async |_| {
        let scope = Scope::new();
        let signer = Signer::rsa();
        let only = ["PS384".parse().expect("one")];
        let verifier = verifier(source(&signer), &only, &scope).await;
        for algorithm in signer.algorithms() {
            let outcome = verifier.verify(&signer.token_by(algorithm, &json!({"role": "member"}))).await;
            let expected = if *algorithm == "PS384" { Ok(()) } else { Err(Refusal::Algorithm) };
            assert_eq!(outcome.map(drop), expected, "{algorithm}");
        }
    });
}

#[test]
fn a_set_in_a_file_serves_by_name() {
    scenario(async |_| {
        let scope = Scope::new();
        let signers = [
            Signer::rsa().named("a"),
            Signer::p256().named("b"),
            Signer::p384().named("c"),
            Signer::ed25519().named("d"),
            Signer::secret(&[7; 32]).named("e"),
        ];
        let set = json!({"keys": signers.iter().map(Signer::jwk).collect::<Vec<_>>()});
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("jwks-{}.json", std::process::id()));
        std::fs::write(&path, set.to_string()).expect("the target directory is writable");
        let verifier = verifier(KeySource::KeySetFile(path.clone()), &Algorithm::ALL, &scope).await;
        for signer in &signers {
            let algorithm = signer.algorithms()[0];
            let outcome = verifier.verify(&signer.token(&json!({"role": "member"}))).await;
            assert_eq!(outcome.map(drop), Ok(()), "{algorithm}");
        }
        // A secret of 32 bytes is too short for the longer hashes.
        let long = signers[4].token_by("HS512", &json!({"role": "member"}));
        assert_eq!(verifier.verify(&long).await.map(drop), Err(Refusal::Algorithm));
        for name in ["b", "z"] {
            let token = Signer::rsa().named(name).token(&json!({"role": "member"}));
            let expected = if name == "b" { Refusal::Algorithm } else { Refusal::UnknownKey };
            assert_eq!(verifier.verify(&token).await.map(drop), Err(expected), "{name}");
        }
        std::fs::remove_file(path).expect("ours");
        scope.close();
    });
}

#[test]
fn the_example_of_the_standard_holds() {
    scenario(async |_| {
        // RFC 7515, appendix A.1: it expired in 2011.
        let key =
            "base64:AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let scope = Scope::new();
        let verifier =
            verifier(KeySource::Secret(key.parse().expect("base64")), &Algorithm::ALL, &scope).await;
        assert_eq!(verifier.verify(token).await.map(drop), Err(Refusal::Expired), "the signature holds");
        let forged = token.replace("dBjf", "dBjg");
        assert_eq!(verifier.verify(&forged).await.map(drop), Err(Refusal::Signature));
    });
}
