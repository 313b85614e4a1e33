//! Logging in through a real provider (npm `oidc-provider`): authorization code with PKCE.

use serde_json::{Value, json};
use tidegate::cli::demo::provider::{AUDIENCE, CLIENT};

use super::house::{House, snapshot};
use crate::client::{Browser, Client, claims};
use crate::fixture::{OwnProvider, PAGE, Test, scenario};

/// Boards that their members see, and a table of the people who came.
const SCHEMA: &str = "
create schema app;
create table public.boards (id bigint primary key, name text not null);
create table public.board_members (board_id bigint, subject text, primary key (board_id, subject));
create table public.users (subject text primary key, name text not null, email text not null);
insert into public.boards values (1, 'Ferry'), (2, 'Harbour'), (3, 'Port');
insert into public.board_members values (1, 'ada'), (2, 'ada'), (3, 'ben');
alter table public.boards enable row level security;
create function app.subject() returns text language sql stable
return current_setting('request.jwt.claims')::json ->> 'sub';
create policy own on public.boards for select
using (id in (select board_id from public.board_members where subject = app.subject()));
create function app.sync_profile() returns void
language sql security definer set search_path = ''
begin atomic
  insert into public.users (subject, name, email)
  select claims ->> 'sub', claims ->> 'name', claims ->> 'email'
  from (select current_setting('request.jwt.claims')::json) as token (claims)
  on conflict (subject) do update set name = excluded.name, email = excluded.email;
end;";

/// A provider, and a server that takes its tokens.
struct Realm {
    provider: OwnProvider,
    house: House,
}

impl Realm {
    async fn open(test: &Test) -> Self {
        let provider = OwnProvider::start().await;
        let settings = [
            ("auth.jwt.issuer", provider.issuer()),
            ("auth.jwt.audience", AUDIENCE),
            ("auth.jwt.refresh_least_ms", "100"),
            ("auth.profile_function", "app.sync_profile"),
        ];
        let house = House::keyed(test, &settings).await;
        house.database.execute(SCHEMA).await;
        let member = &house.member;
        house
            .database
            .execute(&format!(
                "grant usage on schema app to {member};
                 grant select on public.boards, public.board_members to {member}"
            ))
            .await;
        let realm = Self { provider, house };
        realm.people("Ada Winter");
        realm
    }

    /// Ada has this name, and Ben his.
    fn people(&self, ada: &str) {
        let person = |subject: &str, name: &str| {
            let email = format!("{subject}@harbour.example");
            json!({"sub": subject, "name": name, "email": email, "role": self.house.member})
        };
        self.provider.set(&[person("ada", ada), person("ben", "Ben Sommer")]);
    }

    fn browser(&self) -> Browser {
        Browser::new(self.provider.issuer(), CLIENT, PAGE, AUDIENCE)
    }

    /// The names of the boards that a client sees.
    async fn boards(&self, client: &mut Client) -> Vec<String> {
        client.subscribe(boards()).await;
        names(&snapshot(client).await)
    }

    /// Name and address of whom the database knows by a subject.
    async fn profile(&self, subject: &str) -> Option<(String, String)> {
        let client = self.house.database.client().await;
        let row =
            client.query_opt("select name, email from public.users where subject = $1", &[&subject]).await;
        row.expect("valid SQL").map(|row| (row.get(0), row.get(1)))
    }
}

fn boards() -> Value {
    json!({"id": "boards", "table": "public.boards", "snapshot": true})
}

fn names(rows: &[Value]) -> Vec<String> {
    let mut names: Vec<_> = rows.iter().map(|row| row["name"].as_str().expect("a text").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn two_people_log_in_and_each_sees_its_own_rows_and_is_known_by_its_profile() {
    scenario(async |test| {
        let realm = Realm::open(test).await;
        let ada = realm.browser().tokens("ada").await;
        let told = claims(&ada.access);
        assert_eq!((&told["aud"], &told["role"]), (&json!(AUDIENCE), &json!(realm.house.member)), "{told}");
        let mut client = realm.house.client(&ada.access).await;
        let known = Some(("Ada Winter".to_owned(), "ada@harbour.example".to_owned()));
        assert_eq!(realm.profile("ada").await, known, "before anything is read");
        assert_eq!(realm.boards(&mut client).await, ["Ferry", "Harbour"]);

        let ben = realm.browser().tokens("ben").await;
        let mut other = Client::connect(realm.house.address()).await;
        other.send(&json!({"type": "auth", "token": ben.access})).await;
        assert_eq!(realm.boards(&mut other).await, ["Port"]);
        assert!(realm.profile("ben").await.is_some());
        // Who becomes a member sees the board from then on.
        let joins =
            "insert into public.boards values (4, 'New'); insert into public.board_members values (4, 'ben')";
        realm.house.database.execute(joins).await;
        assert_eq!(other.expect("resync").await["reason"], "permissions_changed");
        assert_eq!(names(&snapshot(&mut other).await), ["New", "Port"]);
    });
}

#[test]
fn the_provider_gives_nothing_without_the_verifier() {
    scenario(async |test| {
        let realm = Realm::open(test).await;
        let mut browser = realm.browser();
        let mut code = browser.log_in("ada").await;
        code.verifier = "a".repeat(43);
        assert_eq!(browser.redeem(&code).await.expect_err("not its own")["error"], "invalid_grant");
        for with in [&[][..], &[("code_challenge", "a"), ("code_challenge_method", "plain")]] {
            assert_eq!(browser.is_refused(with).await.as_deref(), Some("invalid_request"), "{with:?}");
        }
        let challenge = "a".repeat(43);
        let with = [("code_challenge", &*challenge), ("code_challenge_method", "S256")];
        let mut elsewhere = Browser::new(realm.provider.issuer(), CLIENT, PAGE, "urn:another");
        assert_eq!(elsewhere.is_refused(&with).await.as_deref(), Some("invalid_target"));
    });
}

#[test]
fn an_id_token_is_for_the_page_and_not_for_the_server() {
    scenario(async |test| {
        let realm = Realm::open(test).await;
        let tokens = realm.browser().tokens("ada").await;
        let closed = realm.house.knock(&tokens.id).await.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "wrong_audience"));
        assert_eq!(realm.profile("ada").await, None);
        // Nor does it let in whom the provider knows by a role that is none here.
        realm
            .provider
            .set(&[json!({"sub": "dov", "name": "Dov", "email": "d@x.example", "role": "visitor"})]);
        let tokens = realm.browser().tokens("dov").await;
        assert_eq!(realm.house.knock(&tokens.access).await.closed().await.reason, "role_not_allowed");
    });
}

#[test]
fn a_socket_goes_on_by_the_refresh_token_and_a_new_name_arrives_with_the_next_one() {
    scenario(async |test| {
        let realm = Realm::open(test).await;
        let mut browser = realm.browser();
        let first = browser.tokens("ada").await;
        let mut client = realm.house.client(&first.access).await;
        assert_eq!(realm.boards(&mut client).await.len(), 2);

        let second = browser.refresh(&first).await.expect("the provider's own");
        assert_ne!(claims(&second.access)["jti"], claims(&first.access)["jti"]);
        client.send(&json!({"type": "auth", "token": second.access})).await;
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
        let spent = browser.refresh(&first).await.expect_err("it was rotated");
        assert_eq!(spent["error"], "invalid_grant");

        // Whoever shows a spent one may be a thief: the provider ends the whole grant.
        let mut browser = realm.browser();
        let third = browser.tokens("ada").await;
        realm.people("Ada Summer");
        let fourth = browser.refresh(&third).await.expect("the provider's own");
        client.send(&json!({"type": "auth", "token": fourth.access})).await;
        assert_eq!(client.expect("resync").await["reason"], "permissions_changed", "it is another client");
        assert_eq!(names(&snapshot(&mut client).await), ["Ferry", "Harbour"]);
        assert_eq!(realm.profile("ada").await.expect("known").0, "Ada Summer");

        realm.people("Ada Winter");
        let again = realm.browser().tokens("ada").await;
        drop(realm.house.client(&again.access).await);
        assert_eq!(realm.profile("ada").await.expect("known").0, "Ada Winter", "at the next login");
    });
}

#[test]
fn a_provider_that_starts_again_has_other_keys_and_they_are_found() {
    scenario(async |test| {
        let mut realm = Realm::open(test).await;
        let before = realm.browser().tokens("ada").await;
        let mut client = realm.house.client(&before.access).await;
        assert_eq!(realm.boards(&mut client).await.len(), 2);

        realm.provider.restart().await;
        let after = realm.browser().tokens("ada").await;
        let mut other = realm.house.client(&after.access).await;
        assert_eq!(realm.boards(&mut other).await.len(), 2);
        let closed = realm.house.knock(&before.access).await.closed().await;
        assert_eq!((closed.code, &*closed.reason), (Some(4401), "unknown_key"));
        // Whoever is connected stays until its token ends, and goes on by one of the new keys.
        client.send(&json!({"type": "auth", "token": after.access})).await;
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong").await;
    });
}
