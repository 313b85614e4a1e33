//! E-mail and telephone: in clear nowhere in the database, and readable by those alone who may.

use hyper::Method;
use serde_json::{Value, json};

use super::house::{Api, App, KEY};
use crate::commands::{on, outcome};
use crate::fixture::scenario;

const SECOND: &str = "second:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const EMAIL: &str = "ada.winter@example.com";
const PHONE: &str = "+49 40 555 0199";

/// Ada's contact, as she is told when she gives it.
async fn give(ada: &Api) -> Value {
    let given = ada.patch("/v1/me/contact", json!({"email": EMAIL, "phone": PHONE})).await.must(200);
    assert_eq!(given["row"], json!({"user_id": "ada", "email": EMAIL, "phone": PHONE}));
    given["row"].clone()
}

async fn contact(api: &Api, user: &str) -> Value {
    let answer = api.get(&format!("/v1/users/{user}/contact")).await;
    assert_eq!(answer.header("cache-control"), "private, no-store");
    answer.must(200)
}

/// Whether any row of any table has this text in it.
async fn is_anywhere(app: &App, text: &str) -> bool {
    const TABLES: &str = "
        select format('select count(*) from %I.%I as t where strpos(t::text, %L) > 0', schemaname, tablename, $1::text)
        from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema')";
    let mut found = 0;
    for row in app.sql.query(TABLES, &[&text]).await.expect("the superuser may") {
        let query: String = row.get(0);
        found += app.sql.query_one(&query, &[]).await.expect("a table").get::<_, i64>(0);
    }
    found > 0
}

/// How many values each key has encrypted, by SQL.
async fn encrypted_with(app: &App, key: &str) -> i64 {
    let sql = format!(
        "select count(*) from app.user_contacts, unnest(array[email, phone]) as value
         where value like 'v1.{key}.%'"
    );
    app.database.number(&sql).await
}

#[test]
fn a_contact_is_nowhere_in_clear_and_read_by_its_owner_and_the_admins_whom_they_let() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let (ada, ben, cleo, dora) = (
            app.person("ada").await,
            app.person("ben").await,
            app.person("cleo").await,
            app.person("dora").await,
        );
        let board = ben.board("Ferry").await;
        ben.admit(&board, "ada", "member").await;
        ben.admit(&board, "cleo", "member").await;
        let elsewhere = dora.board("Port").await;
        dora.admit(&elsewhere, "cleo", "member").await;
        let key = [("idempotency-key", "k")];
        let body = json!({"email": EMAIL, "phone": PHONE});
        let kept = ada.ask(Method::PATCH, "/v1/me/contact", Some(body), &key).await.must(200);
        let given = give(&ada).await;
        assert_eq!(kept["row"], given);
        // An answer that is kept under a key is the same, and no clearer.
        let body = json!({"email": EMAIL, "phone": PHONE});
        let again = ada.ask(Method::PATCH, "/v1/me/contact", Some(body.clone()), &key).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.must(200), kept);
        let part = json!({"method": "PATCH", "path": "/v1/me/contact", "body": body});
        let batch = json!({"commands": [part]});
        for _ in 0..2 {
            let key = [("idempotency-key", "b")];
            let answer = ada.ask(Method::POST, "/v1/batch", Some(batch.clone()), &key).await.must(200);
            assert_eq!(answer["results"][0]["row"], given);
        }
        for secret in [EMAIL, PHONE, "ada.winter", "555 0199"] {
            assert!(!is_anywhere(&app, secret).await, "{secret} is in the database");
        }
        assert_eq!(contact(&ada, "ada").await, given);
        // Anybody may be made a member by anybody: that alone shows nobody how to reach them.
        let theirs = format!("/v1/boards/{board}/contact");
        assert_eq!(ben.get("/v1/users/ada/contact").await.refused(404), "not_found");
        let shared = ada.put(&theirs, json!({"shared": true})).await.must(200);
        assert_eq!(
            (&shared["row"]["user_id"], &shared["row"]["shares_contact"]),
            (&json!("ada"), &json!(true))
        );
        assert_eq!(contact(&ben, "ada").await, given, "an admin of a board whose admins she lets");
        ada.put(&theirs, json!({"shared": false})).await.must(200);
        assert_eq!(ben.get("/v1/users/ada/contact").await.refused(404), "not_found");
        ada.put(&theirs, json!({"shared": true})).await.must(200);
        let lea = app.with_role("app_lead", "lea");
        for other in [&cleo, &dora, &lea] {
            assert_eq!(other.get("/v1/users/ada/contact").await.refused(404), "not_found");
        }
        // What is left out stays, and null deletes; who leaves is out of reach.
        let phone = ada.patch("/v1/me/contact", json!({"email": null})).await.must(200);
        assert_eq!(phone["row"], json!({"user_id": "ada", "email": null, "phone": PHONE}));
        assert_eq!(contact(&ben, "ada").await["phone"], PHONE);
        ada.delete(&format!("/v1/boards/{board}/members/ada")).await.must(200);
        assert_eq!(ben.get("/v1/users/ada/contact").await.refused(404), "not_found");
        for body in [json!({"email": "no address"}), json!({"phone": "call me"}), json!({"mail": EMAIL})] {
            assert_eq!(ada.patch("/v1/me/contact", body).await.refused(422), "invalid_input");
        }
        assert!(!test.logged(EMAIL) && !test.logged(PHONE), "a contact was logged");
    });
}

#[test]
fn contacts_are_readable_before_and_after_they_are_encrypted_anew_and_the_old_key_can_go() {
    scenario(async |test| {
        let both = format!("{SECOND},{KEY}");
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let given = give(&ada).await;
        app.person("ben").await.patch("/v1/me/contact", json!({"phone": "112"})).await.must(200);
        assert_eq!((encrypted_with(&app, "first").await, encrypted_with(&app, "second").await), (3, 0));

        let app = app.restart_with(&[("app.contact_keys", &both)]).await;
        assert_eq!(contact(&app.person("ada").await, "ada").await, given, "with the older key");
        let rotate = async |keys: &str| {
            let mut command = on(&app.database, &["rotate"]);
            command.env("TIDEGATE__APP__CONTACT_KEYS", keys);
            outcome(command).await
        };
        let (status, stdout, stderr) = rotate(SECOND).await;
        assert_eq!(status, 1, "the older key is needed still: {stdout}{stderr}");
        assert!(stderr.contains("`ada`") && !stderr.contains("ICEi"), "{stderr}");
        // One that nobody can decrypt is named, and keeps nobody else's from the newer key.
        app.person("abe").await;
        app.database
            .execute("insert into app.user_contacts (user_id, email) values ('abe', 'v1.first.AAAA')")
            .await;
        let (status, stdout, stderr) = rotate(&both).await;
        assert_eq!((status, &*stdout), (1, ""));
        assert!(stderr.contains("email of `abe`") && stderr.contains("2 people"), "{stderr}");
        app.database.execute("delete from app.user_contacts where user_id = 'abe'").await;
        assert_eq!((encrypted_with(&app, "first").await, encrypted_with(&app, "second").await), (0, 3));
        assert_eq!(rotate(&both).await.1, "all contacts are encrypted with the newest key\n");
        assert_eq!(rotate("").await.0, 2, "there is nothing to encrypt with");
        assert_eq!(contact(&app.person("ada").await, "ada").await, given, "the server goes on meanwhile");

        let app = app.restart_with(&[("app.contact_keys", SECOND)]).await;
        let ada = app.person("ada").await;
        assert_eq!(contact(&ada, "ada").await, given);
        assert_eq!(contact(&app.person("ben").await, "ben").await["phone"], "112");
    });
}

#[test]
fn a_value_that_was_moved_or_forged_is_shown_as_null_and_the_log_says_so() {
    scenario(async |test| {
        test.expect_in_log("a contact cannot be decrypted");
        let app = App::start(test.database().await).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        give(&ada).await;
        ben.patch("/v1/me/contact", json!({"email": "ben@example.com", "phone": "112"})).await.must(200);
        assert!(!test.logged("a contact cannot be decrypted"));
        let of_ada = "select email from app.user_contacts where user_id = 'ada'";
        let forged = "'v1.first.' || encode(sha256('x'), 'base64')";
        for value in [&*format!("({of_ada})"), "phone", "'v1.third.AAAA'", "'v1.first.AAAA'", forged] {
            app.database
                .execute(&format!("update app.user_contacts set email = {value} where user_id = 'ben'"))
                .await;
            let shown = contact(&ben, "ben").await;
            assert_eq!(shown, json!({"user_id": "ben", "email": null, "phone": "112"}), "{value}");
        }
        assert!(test.logged("a contact cannot be decrypted"));
        let mend = json!({"email": "ben@example.com"});
        assert_eq!(ben.patch("/v1/me/contact", mend).await.must(200)["row"]["email"], "ben@example.com");
    });
}
