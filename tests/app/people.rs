//! Who people are: what the provider calls them, and what they call themselves.

use serde_json::json;

use super::house::{Api, App};
use crate::fixture::scenario;
use crate::policy;

#[test]
fn a_name_of_ones_own_choice_stays_until_the_provider_tells_another() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let shown = ada.patch("/v1/me", json!({"name": "Countess", "hue": 12})).await.must(200);
        assert_eq!((&shown["row"]["name"], &shown["row"]["hue"]), (&json!("Countess"), &json!(12)));
        // Another start, and another token: the provider says what it has said before.
        let app = app.restart_with(&[]).await;
        let ada = app.person("ada").await;
        let user = ada.get("/v1/me").await.must(200)["user"].clone();
        assert_eq!(user, shown["row"]);
        let claims = json!({"sub": "ada", "name": "Ada Winter"});
        let renamed = Api::new(app.server.address(), Some(policy::token("app_user", &claims)));
        let user = app.fresh(&renamed, "/v1/me").await.must(200)["user"].clone();
        assert_eq!((&user["name"], &user["hue"]), (&json!("Ada Winter"), &json!(12)));
        // A token without a name says none.
        let nameless =
            Api::new(app.server.address(), Some(policy::token("app_user", &json!({"sub": "ada"}))));
        assert_eq!(app.fresh(&nameless, "/v1/me").await.must(200)["user"]["name"], "Ada Winter");
    });
}
