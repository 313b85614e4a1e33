//! The function that is told who comes.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidegate::cli::demo::cluster::Shutdown;
use tidegate::postgres::{Pool, Settings};
use tidegate::profile;
use tidegate::report::Severity;

use super::house::{House, SECRET, notes, snapshot, token};
use super::in_seconds;
use crate::client::Client;
use crate::fixture::{DEADLINE, Database, Redis, Test, eventually, private, scenario};
use crate::stage::Raw;

const FUNCTION: (&str, &str) = ("auth.profile_function", "app.sync_profile");

/// Writes down who comes, in `app.profiles`, and that it was called, in `app.calls`. Slow, so that a storm meets it.
/// Whoever is called Nobody is refused.
const SCHEMA: &str = "
create schema app;
create table app.profiles (subject text primary key, name text, role text);
create table app.calls (subject text, token text);
create function app.sync_profile() returns void
language plpgsql security definer set search_path = '' as $$
declare
  claims jsonb := current_setting('request.jwt.claims')::jsonb;
begin
  if claims ->> 'name' = 'Nobody' then
    raise exception 'there is no %', claims ->> 'name' using errcode = 'P0042';
  end if;
  raise warning 'here is %', claims ->> 'name';
  perform pg_sleep(0.1);
  insert into app.calls values (claims ->> 'sub', claims ->> 'jti');
  insert into app.profiles values (claims ->> 'sub', claims ->> 'name', current_setting('role'))
  on conflict (subject) do update set name = excluded.name, role = excluded.role;
end $$;";

/// A house whose server tells `app.sync_profile` who comes.
async fn house(test: &Test, settings: &[(&str, &str)]) -> House {
    let house = House::open(test, &[&[FUNCTION], settings].concat()).await;
    furnish(&house).await;
    house
}

async fn furnish(house: &House) {
    house.database.execute(SCHEMA).await;
    house.database.execute(&format!("grant usage on schema app to {}, {}", house.member, house.admin)).await;
}

impl House {
    async fn calls(&self) -> i64 {
        self.database.number("select count(*) from app.calls").await
    }

    /// Whether the database has a profile of this subject and name.
    async fn knows(&self, subject: &str, name: &str) -> bool {
        let sql = format!(
            "select count(*) from app.profiles where subject = '{subject}' and name = '{name}' and role = '{}'",
            self.member
        );
        self.database.number(&sql).await == 1
    }

    fn card(&self, subject: &str, name: &str) -> String {
        token(&self.member, json!({"sub": subject, "name": name, "exp": in_seconds(600)}))
    }

    /// The head of the answer to a request.
    async fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let mut raw = Raw::connect(self.address()).await;
        let length = body.len();
        raw.send(format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost:5173\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        ))
        .await;
        let response = raw.until(b"\r\n\r\n").await.expect("an answer");
        let head = String::from_utf8(response).expect("ASCII");
        (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), head)
    }
}

async fn refusal(client: &mut Client) -> (Option<u16>, String) {
    loop {
        match client.next().await {
            Ok(frame) => assert_eq!(frame["type"], "ready", "{frame}"),
            Err(closed) => return (closed.code, closed.reason),
        }
    }
}

#[test]
fn the_database_knows_whoever_comes_before_anything_is_read() {
    scenario(async |test| {
        let house = house(test, &[("auth.anonymous_role", "MEMBER")]).await;

        drop(house.client(&house.card("header", "One")).await);
        assert!(house.knows("header", "One").await, "as the role that the token names");

        let mut client = Client::connect(house.address()).await;
        assert_eq!(house.calls().await, 1, "nobody is told of whoever brings no token");
        client.send(&json!({"type": "auth", "token": house.card("frame", "Two")})).await;
        client.subscribe(notes("a")).await;
        snapshot(&mut client).await;
        assert!(house.knows("frame", "Two").await);

        let bearer = |subject, name| format!("authorization: Bearer {}\r\n", house.card(subject, name));
        let stream = house.ask("GET /v1/stream?table=notes&columns=id", &bearer("stream", "Three"), "").await;
        assert!(stream.0 == 200 && house.knows("stream", "Three").await, "{stream:?}");
        let event = r#"{"channel":"a","data":1}"#;
        let publish = house.ask("POST /v1/publish", &bearer("publish", "Four"), event).await;
        assert!(publish.0 == 403 && house.knows("publish", "Four").await, "{publish:?}");

        let body = json!({"token": house.card("session", "Five")}).to_string();
        let (status, head) = house.ask("POST /v1/session", "", &body).await;
        assert!(status == 200 && house.knows("session", "Five").await, "{head}");
        assert_eq!(house.calls().await, 5);
        let cookie = head.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next());
        let headers = [("cookie", cookie.expect("a pair")), ("host", "localhost")];
        let mut by_cookie = Client::open_with(house.address(), &headers).await.expect("the server upgrades");
        by_cookie.expect("ready").await;
        assert_eq!(house.calls().await, 5, "the same claims, by another way in");
        for name in ["One", "Five"] {
            assert!(!test.logged(name), "a claim was logged");
        }
    });
}

#[test]
fn fifty_sockets_of_one_person_at_once_make_one_call() {
    scenario(async |test| {
        let house = house(test, &[]).await;
        let card = |number: i64| {
            let claims =
                json!({"sub": "7", "name": "Seven", "jti": number.to_string(), "iat": in_seconds(-number)});
            token(&house.member, claims)
        };
        let knocks: Vec<_> = (0..50).map(|number| (number, card(number))).collect();
        let clients = join_all(knocks.iter().map(|(_, token)| house.client(token))).await;
        assert_eq!(house.calls().await, 1);
        drop(clients);
        join_all(knocks.iter().map(|(_, token)| house.client(token))).await;
        assert_eq!(house.calls().await, 1, "nor do their reconnects make another");
        let ok = house.server.metric("tidegate_auth_profile_calls_total{reason=\"ok\"}").await;
        assert!(ok >= 1.0, "{ok}");
    });
}

#[test]
fn a_profile_that_changes_and_changes_back_is_right_in_the_end() {
    scenario(async |test| {
        let house = house(test, &[]).await;
        let issued = |name: &str, at: i64| {
            token(&house.member, json!({"sub": "7", "name": name, "iat": in_seconds(at)}))
        };
        let mut client = house.client(&issued("Old", -30)).await;
        client.send(&json!({"type": "auth", "token": issued("New", -20)})).await;
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
        assert!(house.knows("7", "New").await, "in the open socket");
        drop(house.client(&issued("Old", -30)).await);
        assert!(house.knows("7", "New").await, "an old token says nothing new");
        drop(house.client(&issued("Old", -10)).await);
        assert!(house.knows("7", "Old").await);
        assert_eq!(house.calls().await, 3);
    });
}

#[test]
fn whom_the_function_does_not_take_is_refused_and_nobody_else() {
    scenario(async |test| {
        test.expect_in_log("the profile function raised");
        let house = house(test, &[]).await;
        let mut other = house.client(&house.card("7", "Seven")).await;
        other.subscribe(notes("a")).await;
        snapshot(&mut other).await;

        let nobody = house.card("8", "Nobody");
        let refused = (Some(4401), "profile_refused".to_owned());
        assert_eq!(refusal(&mut house.knock(&nobody).await).await, refused);
        let mut by_frame = Client::connect(house.address()).await;
        by_frame.send(&json!({"type": "auth", "token": nobody})).await;
        assert_eq!(refusal(&mut by_frame).await, refused);
        let bearer = format!("authorization: Bearer {nobody}\r\n");
        let body = json!({"token": nobody}).to_string();
        for (line, headers, body) in [
            ("GET /v1/stream?table=notes&columns=id", &*bearer, ""),
            ("POST /v1/publish", &bearer, r#"{"channel":"a","data":1}"#),
            ("POST /v1/session", "", &body),
        ] {
            let (status, head) = house.ask(line, headers, body).await;
            assert!(
                status == 401 && head.contains("error_description=\"profile_refused\""),
                "{line}: {head}"
            );
        }
        // Not yet allowed to call it, and not any more.
        let stranger = token(&house.stranger, json!({"sub": "9"}));
        assert_eq!(refusal(&mut house.knock(&stranger).await).await, refused);
        house.database.execute("alter function app.sync_profile() rename to gone").await;
        assert_eq!(refusal(&mut house.knock(&house.card("10", "Ten")).await).await, refused);
        for code in ["P0042", "42501", "42883"] {
            assert!(test.logged(code), "{code} is not in the log");
        }
        assert!(!test.logged("Nobody") && !test.logged("there is no"), "PostgreSQL's message was logged");

        house.database.execute("insert into public.notes values (3, 'three')").await;
        assert_eq!(other.expect("changes").await["changes"][0]["row"]["body"], "three");
        drop(house.client(&house.card("7", "Seven")).await);
    });
}

#[test]
fn whoever_is_refused_by_the_database_may_leave() {
    scenario(async |test| {
        test.expect_in_log("the profile function raised");
        let redis = Redis::start();
        let mut house = house(test, &[("cache.backend", "redis"), ("cache.url", &redis.url())]).await;
        let body = json!({"token": house.card("7", "Seven")}).to_string();
        let mut raw = Raw::connect(house.address()).await;
        let begin = format!(
            "POST /v1/session HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost:5173\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        raw.send(begin).await;
        let head = String::from_utf8(raw.until(b"\r\n\r\n").await.expect("an answer")).expect("ASCII");
        let cookie = head.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next());
        let answer = raw.until(b"}").await.expect("a body");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        let csrf = answer["csrf_token"].as_str().expect("a token");
        let headers = format!("cookie: {}\r\ntidegate-csrf: {csrf}\r\n", cookie.expect("a pair"));
        // After a restart nobody is remembered.
        house.server.stop().await;
        house.database.execute("alter function app.sync_profile() rename to gone").await;
        house.server.resume().await;
        let stream = house.ask("GET /v1/stream?table=notes&columns=id", &headers, "").await;
        assert!(stream.0 == 401 && stream.1.contains("profile_refused"), "{stream:?}");
        assert_eq!(house.ask("DELETE /v1/session", &headers, "").await.0, 200);
    });
}

#[test]
fn without_postgres_who_is_not_known_comes_again_and_who_is_known_is_let_in() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let mut cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        let house = House::on(database, &[("auth.jwt.secret", SECRET), FUNCTION]).await;
        furnish(&house).await;
        let (known, new) = (house.card("7", "Seven"), house.card("8", "Eight"));
        drop(house.client(&known).await);

        cluster.stop(Shutdown::Fast).expect("it stops");
        let (code, reason) = refusal(&mut house.knock(&new).await).await;
        assert!(code == Some(4408) && reason.contains("retry_after_ms=1000"), "{code:?} {reason}");
        let bearer = format!("authorization: Bearer {new}\r\n");
        let (status, head) = house.ask("GET /v1/stream?table=notes&columns=id", &bearer, "").await;
        assert!(status == 503 && head.to_lowercase().contains("retry-after: 1"), "{head}");
        drop(house.client(&known).await);

        cluster.resume().expect("it starts");
        let let_in = async || house.knock(&new).await.next().await.ok();
        eventually("it comes round by itself", let_in).await;
        assert!(house.knows("8", "Eight").await);
        eventually("the server is ready", async || {
            (house.server.get("/readyz").await?.0 == 200).then_some(())
        })
        .await;
    });
}

#[test]
fn a_check_says_whether_there_is_such_a_function_and_who_may_call_it() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let pool =
            Pool::new(Settings::parse(&house.database.url()).expect("valid"), 1, DEADLINE).expect("no TLS");
        let roles = [house.member.clone(), house.stranger.clone()];
        let config = |function: &str| profile::Config {
            function: function.parse().expect("a name"),
            search_path: "public".into(),
        };
        let look = async |function: &str| {
            let report = profile::check(&pool, &config(function), &roles).await.expect("it can look");
            let told = |finding: &tidegate::report::Finding| (finding.severity, finding.message.clone());
            report.findings.iter().map(told).collect::<Vec<_>>()
        };
        let none = look("app.sync_profile").await;
        assert!(
            none.len() == 1 && none[0].0 == Severity::Fault && none[0].1.starts_with("there is none"),
            "{none:?}"
        );
        furnish(&house).await;
        let found = look("app.sync_profile").await;
        let severities: Vec<_> = found.iter().map(|(severity, _)| *severity).collect();
        assert_eq!(severities, [Severity::Fine, Severity::Fault], "{found:?}");
        assert!(found[1].1.contains(&house.stranger), "{found:?}");
        house.database.execute("create function app.greet(name text) returns void language sql as ''").await;
        let takes = look("app.greet").await;
        assert!(takes.len() == 1 && takes[0].1.starts_with("takes arguments"), "{takes:?}");
        // What mends it does.
        let report = profile::check(&pool, &config("app.sync_profile"), &roles).await.expect("it can look");
        let remedy = report.findings[1].remedy.as_ref().expect("a remedy");
        house.database.execute(&remedy.command).await;
        let found = look("app.sync_profile").await;
        assert!(found.iter().all(|(severity, _)| *severity == Severity::Fine), "{found:?}");
    });
}
