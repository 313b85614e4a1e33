use serde_json::json;
use tokio::process::Command;

use super::house::{House, SECRET, notes, snapshot};
use crate::fixture::scenario;

/// Status, stdout and stderr of `tidegate token` with the settings of a house, or its secret's alone.
async fn tidegate_token(house: &House, secret: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command
        .arg("token")
        .args(arguments)
        .env("TIDEGATE__POSTGRES__URL", house.database.url())
        .env("TIDEGATE__AUTH__MODE", "jwt")
        .env("TIDEGATE__AUTH__ROLES", json!([house.member]).to_string())
        .env("TIDEGATE__AUTH__JWT__ROLE_CLAIM", "app.role")
        .env("TIDEGATE__AUTH__JWT__ISSUER", "me")
        .env("TIDEGATE__AUTH__JWT__AUDIENCE", "live")
        .env("TIDEGATE__AUTH__JWT__SECRET", secret)
        .output();
    let output = output.await.expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_token_of_the_command_line_is_what_its_server_asks_for() {
    scenario(async |test| {
        let settings =
            [("auth.jwt.issuer", "me"), ("auth.jwt.audience", "live"), ("auth.jwt.role_claim", "app.role")];
        let house = House::open(test, &settings).await;
        let claims = ["--role", &*house.member, "--claim", "sub=7", "--claim", "app={\"tenant\":1}"];
        let (status, token, error) = tidegate_token(&house, SECRET, &claims).await;
        assert_eq!((status, &*error), (Some(0), ""));
        let mut client = house.client(token.trim()).await;
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await.len(), 2);

        let short = ["--role", &*house.member, "--expires-in", "1s"];
        let (_, token, _) = tidegate_token(&house, SECRET, &short).await;
        assert_eq!(house.knock(token.trim()).await.closed().await.reason, "expired");

        let (status, token, error) = tidegate_token(&house, SECRET, &["--role", "postgres"]).await;
        assert_eq!((status, &*token), (Some(2), ""));
        assert!(error.contains("`postgres` is not one of `auth.roles`"), "{error}");
        let (status, _, error) = tidegate_token(&house, "short-secret", &claims).await;
        assert_eq!(status, Some(2));
        assert!(error.contains("must have 32 or more") && !error.contains("short-secret"), "{error}");
    });
}
