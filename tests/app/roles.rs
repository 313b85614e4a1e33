//! Who may do what: every operation of the document, as everybody.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde_json::{Value, json};

use super::house::{Answer, Api, App};
use crate::fixture::scenario;

/// What is answered to an admin, a member and a viewer of the board, to a stranger, and to a lead.
type Statuses = [u16; 5];

/// What a command is sent with.
type Body = fn(&Scene) -> Option<Value>;

const ALL: Statuses = [200; 5];
const ADMINS: Statuses = [200, 403, 403, 404, 403];
const ADMINS_NEW: Statuses = [201, 403, 403, 404, 403];
const MEMBERS: Statuses = [200, 200, 403, 404, 403];
const MEMBERS_NEW: Statuses = [201, 201, 403, 404, 403];
const READERS: Statuses = [200, 200, 200, 404, 200];

/// Each command by its name in the document, with its body.
#[rustfmt::skip]
const COMMANDS: [(&str, Statuses, Body); 35] = [
    ("createBoard", [201, 201, 201, 201, 403], |_| Some(json!({"name": "New"}))),
    ("updateBoard", ADMINS, |_| Some(json!({"name": "Other"}))),
    ("deleteBoard", ADMINS, |_| None),
    ("putMember", ADMINS, |_| Some(json!({"role": "viewer"}))),
    ("removeMember", ADMINS, |_| None),
    ("createCategory", MEMBERS_NEW, |_| Some(json!({"name": "New"}))),
    ("updateCategory", MEMBERS, |_| Some(json!({"name": "Other"}))),
    ("deleteCategory", MEMBERS, |_| None),
    ("createState", ADMINS_NEW, |_| Some(json!({"name": "New", "kind": "open"}))),
    ("updateState", ADMINS, |_| Some(json!({"name": "Other"}))),
    ("deleteState", ADMINS, |_| None),
    ("createTransition", ADMINS_NEW, |scene| {
        Some(json!({"name": "new", "from_state_id": scene.at("first"), "to_state_id": scene.at("state")}))
    }),
    ("updateTransition", ADMINS, |_| Some(json!({"role": "admin"}))),
    ("deleteTransition", ADMINS, |_| None),
    ("createEntry", MEMBERS_NEW, |_| Some(json!({"title": "New"}))),
    ("updateEntry", MEMBERS, |_| Some(json!({"title": "Other"}))),
    ("deleteEntry", MEMBERS, |_| None),
    ("moveEntry", MEMBERS, |scene| Some(json!({"state": scene.at("second")}))),
    ("transitEntry", MEMBERS, |_| Some(json!({}))),
    ("createComment", MEMBERS_NEW, |_| Some(json!({"body": "New"}))),
    // The member's own.
    ("updateComment", [403, 200, 403, 404, 403], |_| Some(json!({"body": "Other"}))),
    ("deleteComment", MEMBERS, |_| None),
    ("updateMe", ALL, |_| Some(json!({"hue": 7}))),
    ("putPreferences", [201; 5], |_| Some(json!({"preferences": {"dark": true}}))),
    ("putContact", ALL, |_| Some(json!({"phone": "+49 40 1234"}))),
    ("shareContact", [200, 200, 200, 404, 403], |_| Some(json!({"shared": true}))),
    ("readNotification", ALL, |_| None),
    ("readNotifications", ALL, |_| None),
    ("deleteNotification", ALL, |_| None),
    ("putAlertRule", ALL, |_| Some(json!({"kind": "overdue", "enabled": false}))),
    ("deleteAlertRule", ALL, |_| None),
    ("batch", MEMBERS, |scene| {
        let path = format!("/v1/entries/{}", scene.at("entry"));
        Some(json!({"commands": [{"method": "PATCH", "path": path, "body": {"title": "Other"}}]}))
    }),
    // Of a board, to which the rule is bound: a stranger's would tell of what is not theirs, and a lead belongs to none.
    ("putAlertRule", [200, 200, 200, 403, 403], |scene| {
        Some(json!({"kind": "mention", "board_id": scene.at("board")}))
    }),
    ("putAlertRule", [200, 200, 200, 403, 403], |scene| {
        Some(json!({"kind": "watch", "board_id": scene.at("board"), "entry_id": scene.at("entry")}))
    }),
    ("batch", [403, 403, 403, 404, 403], |scene| {
        let board = scene.at("board");
        Some(json!({"commands": [
            {"method": "POST", "path": "/v1/boards", "body": {"name": "Half"}},
            {"method": "PATCH", "path": format!("/v1/comments/{}", scene.at("comment")), "body": {"body": "Other"}},
            {"method": "PUT", "path": format!("/v1/boards/{board}/members/ben"), "body": {"role": "admin"}},
        ]}))
    }),
];

/// Each read.
const READS: [(&str, Statuses); 27] = [
    ("listBoards", ALL),
    ("getBoard", READERS),
    ("listMembers", READERS),
    ("listCategories", READERS),
    ("getWorkflow", READERS),
    ("listEntries", READERS),
    ("getEntry", READERS),
    ("listComments", READERS),
    ("exportEntries", READERS),
    ("listActivities", ALL),
    ("listKpis", ALL),
    ("getChart", ALL),
    ("getKpiSeries", READERS),
    ("getMe", ALL),
    ("getPreferences", ALL),
    ("listNotifications", ALL),
    ("listAlertRules", ALL),
    ("listUsers", ALL),
    ("getUser", ALL),
    ("getMember", READERS),
    ("getCategory", READERS),
    ("getState", READERS),
    ("getTransition", READERS),
    ("getComment", READERS),
    // Ada's own.
    ("getAlertRule", [200, 404, 404, 404, 404]),
    ("getNotification", [200, 404, 404, 404, 404]),
    ("getContact", [200, 404, 404, 404, 404]),
];

/// What only those who belong to the board may read of.
const SECRET: &str = "quayside";

/// A board with what is on it, by the names that paths have for it.
struct Scene(BTreeMap<&'static str, String>);

impl Scene {
    async fn set(people: &People<'_>) -> Self {
        let (ada, ben) = (&people.all[0].1, &people.all[1].1);
        let board = ada.board(SECRET).await;
        for (user, role) in [("ben", "member"), ("cleo", "viewer"), ("finn", "member")] {
            ada.admit(&board, user, role).await;
        }
        let shares = "update public.board_members set shares_contact = true where user_id = 'finn'";
        people.app.sql.batch_execute(shares).await.expect("the superuser may");
        let states = ada.states(&board).await;
        let entry = ben.entry(&board, json!({"title": SECRET})).await;
        let made = async |api: &Api, path: String, body: Value| -> String {
            let row = api.post(&path, body).await.must(201);
            row["row"]["id"].as_str().expect("an id").to_owned()
        };
        let comment = made(ben, format!("/v1/entries/{entry}/comments"), json!({"body": SECRET})).await;
        let category = made(ben, format!("/v1/boards/{board}/categories"), json!({"name": SECRET})).await;
        let kind = json!({"name": SECRET, "kind": "active"});
        let state = made(ada, format!("/v1/boards/{board}/workflow/states"), kind).await;
        let way = json!({"name": "leave", "from_state_id": state, "to_state_id": states[0]});
        let transition = made(ada, format!("/v1/boards/{board}/workflow/transitions"), way).await;
        Self(BTreeMap::from([
            ("board", board),
            ("user", "finn".to_owned()),
            ("entry", entry),
            ("comment", comment),
            ("category", category),
            ("state", state),
            ("transition", transition),
            ("first", states[0].clone()),
            ("second", states[1].clone()),
        ]))
    }

    fn at(&self, name: &str) -> &str {
        &self.0[name]
    }

    /// A path of the document for somebody: with what is on the board, and with what is theirs.
    async fn path(&self, app: &App, operation: &Operation, who: &str) -> String {
        let mut path = operation.path.clone();
        for (name, value) in &self.0 {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let name = match path.as_str() {
            charts if charts.starts_with("/v1/charts") => "states",
            series if series.ends_with("/series") => "open",
            _ => "start",
        };
        path = path.replace("{name}", name);
        if path.ends_with("/series") {
            path = format!("{path}?board_id={}", self.at("board"));
        }
        let own = format!(
            "with rule as (
               insert into public.alert_rules (id, user_id, kind)
               values (gen_random_uuid(), '{who}', 'overdue')
               returning id
             ),
             notification as (
               insert into public.notifications (user_id, kind, about)
               values ('{who}', 'test', gen_random_uuid()::text)
               returning id
             )
             select rule.id::text, notification.id::text from rule, notification"
        );
        if path.contains("{rule}") || path.contains("notification") {
            let own = app.sql.query_one(&own, &[]).await.expect("the superuser may");
            path = path.replace("{rule}", own.get(0)).replace("{notification}", own.get(1));
        }
        assert!(!path.contains('{'), "nothing is known for {path}");
        path
    }
}

/// One of the document.
struct Operation {
    method: Method,
    path: String,
}

/// The operations that are commands, or those that are not, by their ids.
async fn operations(api: &Api, are_commands: bool) -> BTreeMap<String, Operation> {
    let document = api.get("/openapi.json").await.must(200);
    let mut operations = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            let method: Method = method.to_uppercase().parse().expect("a method");
            if (method != Method::GET) == are_commands {
                let known = operations.insert(id, Operation { method, path: path.clone() });
                assert!(known.is_none(), "two operations of one id: {path}");
            }
        }
    }
    operations
}

/// Whether a path is to what is somebody's own.
fn is_own(path: &str) -> bool {
    ["/v1/me", "/v1/notifications", "/v1/alert-rules"].iter().any(|own| path.starts_with(own))
}

/// In the order of [`Statuses`].
struct People<'a> {
    app: &'a App,
    all: Vec<(&'static str, Api)>,
}

impl<'a> People<'a> {
    async fn come(app: &'a App) -> Self {
        let mut all = Vec::new();
        for name in ["ada", "ben", "cleo", "dora"] {
            all.push((name, app.person(name).await));
        }
        let lea = app.with_role("app_lead", "lea");
        lea.get("/v1/me").await.must(200);
        all.push(("lea", lea));
        app.person("finn")
            .await
            .patch("/v1/me/contact", json!({"email": "finn@example.com"}))
            .await
            .must(200);
        Self { app, all }
    }

    async fn ask(&self, scene: &Scene, operation: &Operation, body: Option<Value>, who: usize) -> Answer {
        let (name, api) = &self.all[who];
        let path = scene.path(self.app, operation, name).await;
        api.ask(operation.method.clone(), &path, body, &[]).await
    }
}

#[test]
fn every_command_is_for_those_whose_role_allows_it_and_one_that_is_refused_changes_nothing() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let people = People::come(&app).await;
        let nobody = app.nobody();
        let operations = operations(&nobody, true).await;
        let listed: BTreeSet<&str> = COMMANDS.iter().map(|(id, ..)| *id).collect();
        let known: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
        assert_eq!(listed, known, "the matrix and the document have the same commands");

        let mut scene = Scene::set(&people).await;
        for (id, statuses, body) in COMMANDS {
            let operation = &operations[id];
            let path = scene.path(&app, operation, "ada").await;
            let before = app.everything().await;
            let answer = nobody.ask(operation.method.clone(), &path, body(&scene), &[]).await;
            assert_eq!(answer.refused(401), "unauthenticated", "{id}");
            assert_eq!(app.everything().await, before, "{id} as nobody");
            for (who, status) in statuses.into_iter().enumerate().filter(|(_, status)| *status >= 400) {
                let name = people.all[who].0;
                // What is theirs is made before, so that the path is there.
                let path = scene.path(&app, operation, name).await;
                let before = app.everything().await;
                let asked = people.all[who].1.ask(operation.method.clone(), &path, body(&scene), &[]);
                let answer = asked.await;
                assert_eq!(answer.status, status, "{id} as {name}: {answer:?}");
                assert_eq!(app.everything().await, before, "{id} as {name}");
            }
        }
        for (id, statuses, body) in COMMANDS {
            for (who, status) in statuses.into_iter().enumerate().filter(|(_, status)| *status < 400) {
                // What is one's own is there however often it is changed.
                if !is_own(&operations[id].path) {
                    scene = Scene::set(&people).await;
                }
                let before = app.everything().await;
                let answer = people.ask(&scene, &operations[id], body(&scene), who).await;
                let name = people.all[who].0;
                assert_eq!(answer.status, status, "{id} as {name}: {answer:?}");
                assert_ne!(app.everything().await, before, "{id} as {name} changed something");
            }
        }
    });
}

#[test]
fn every_read_shows_a_board_to_those_who_belong_to_it_and_to_leads() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &[("analytics.enabled", "true")]).await;
        let people = People::come(&app).await;
        let operations = operations(&app.nobody(), false).await;
        let listed: BTreeSet<&str> = READS.iter().map(|(id, _)| *id).collect();
        let known: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
        assert_eq!(listed, known, "the matrix and the document have the same reads");
        let scene = Scene::set(&people).await;
        for (_, api) in &people.all {
            api.put("/v1/me/preferences", json!({"preferences": {}})).await.must(201);
        }
        for (id, statuses) in READS {
            let operation = &operations[id];
            let path = scene.path(&app, operation, "ada").await;
            assert_eq!(app.nobody().get(&path).await.refused(401), "unauthenticated", "{id}");
            for (who, status) in statuses.into_iter().enumerate() {
                let (name, api) = &people.all[who];
                let answer = app.fresh(api, &path).await;
                assert_eq!(answer.status, status, "{id} as {name}: {answer:?}");
                let told = String::from_utf8_lossy(&answer.body).into_owned();
                assert!(*name != "dora" || !told.contains(SECRET), "{id} as {name}: {told}");
            }
        }
        let of =
            async |who: usize| app.fresh(&people.all[who].1, "/v1/boards").await.must(200)["rows"].clone();
        assert_eq!(of(3).await, json!([]));
        assert_eq!(of(4).await, of(0).await, "a lead sees what an admin sees");
    });
}

#[test]
fn whoever_brings_no_token_may_do_nothing_though_there_is_a_role_for_them() {
    scenario(async |test| {
        let more = [("auth.anonymous_role", "app_anonymous")];
        let app = App::start_with(test.database().await, &more).await;
        let people = People::come(&app).await;
        let nobody = app.nobody();
        let scene = Scene::set(&people).await;
        let commands = operations(&nobody, true).await;
        for (id, _, body) in COMMANDS {
            let operation = &commands[id];
            let path = scene.path(&app, operation, "ada").await;
            let before = app.everything().await;
            let answer = nobody.ask(operation.method.clone(), &path, body(&scene), &[]).await;
            assert!(matches!(answer.status, 401 | 403 | 404), "{id}: {answer:?}");
            assert_eq!(app.everything().await, before, "{id}");
        }
        for (id, operation) in operations(&nobody, false).await {
            let path = scene.path(&app, &operation, "ada").await;
            let answer = nobody.get(&path).await;
            assert!(matches!(answer.status, 401 | 403 | 404), "{id}: {answer:?}");
        }
        let key = [("idempotency-key", "one")];
        let answer = nobody.ask(Method::POST, "/v1/boards", Some(json!({"name": "New"})), &key).await;
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    });
}

#[test]
fn a_board_keeps_an_admin_and_everybody_else_may_leave() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let people = People::come(&app).await;
        let scene = Scene::set(&people).await;
        let member = |user: &str| format!("/v1/boards/{}/members/{user}", scene.at("board"));
        let [(_, ada), (_, ben), (_, cleo), ..] = &people.all[..] else { panic!("five people") };
        assert_eq!(ada.delete(&member("ada")).await.refused(409), "last_admin");
        assert_eq!(ada.put(&member("ada"), json!({"role": "viewer"})).await.refused(409), "last_admin");
        cleo.delete(&member("cleo")).await.must(200);
        assert_eq!(cleo.delete(&member("cleo")).await.status, 404, "whoever has left sees nothing");
        // Two admins who leave at the same time: one of them stays.
        ada.put(&member("ben"), json!({"role": "admin"})).await.must(200);
        let (ada_path, ben_path) = (member("ada"), member("ben"));
        let (first, second) = tokio::join!(ada.delete(&ada_path), ben.delete(&ben_path));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let admins = "select count(*) from board_members where role = 'admin'";
        assert_eq!(app.database.number(admins).await, 1);
    });
}
