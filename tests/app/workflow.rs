//! A board's workflow: what its ways ask, what they do, and how much fits into a state.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::house::{Api, App};
use crate::fixture::scenario;

const CHANNELS: &str = r#"[{"pattern": "board.*.*", "roles": ["app_user"], "subscribe": true}]"#;

/// A board with an admin, Ada, and a member, Ben.
struct Yard {
    app: App,
    ada: Api,
    ben: Api,
    board: String,
    /// From left to right: `Backlog`, `In progress`, `Review`, `Done`.
    states: Vec<String>,
}

impl Yard {
    async fn open(database: crate::fixture::Database) -> Self {
        let app = App::start_with(database, &[("auth.channels", CHANNELS)]).await;
        let (ada, ben) = (app.person("ada").await, app.person("ben").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "member").await;
        let states = ada.states(&board).await;
        Self { app, ada, ben, board, states }
    }

    /// Says what is asked and done on a way.
    async fn rule(&self, name: &str, rules: Value) {
        let transition = self.ada.transition(&self.board, name).await;
        self.ada.patch(&format!("/v1/workflow-transitions/{transition}"), rules).await.must(200);
    }

    async fn entry(&self, title: &str) -> String {
        self.ben.entry(&self.board, json!({"title": title})).await
    }
}

/// Both ways to go a way: by its name, and to the state that it leads to.
fn ways(entry: &str, name: &str, state: &str) -> [(String, Value); 2] {
    let path = format!("/v1/entries/{entry}");
    [(format!("{path}/transitions/{name}"), json!({})), (format!("{path}/move"), json!({"state": state}))]
}

#[test]
fn a_way_that_is_an_admins_is_refused_to_a_member_by_name_and_by_move() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        yard.rule("start", json!({"role": "admin"})).await;
        for place in 0..2 {
            let entry = yard.entry("One").await;
            let (path, body) = ways(&entry, "start", &yard.states[1])[place].clone();
            assert_eq!(yard.ben.post(&path, body.clone()).await.refused(403), "forbidden", "{path}");
            let moved = yard.ada.post(&path, body).await.must(200);
            assert_eq!(moved["row"]["state_id"], json!(yard.states[1]), "{path}");
        }
        let told = "select detail from activities where action = 'moved' order by id";
        let told = yard.app.select(told).await;
        let (from_id, to_id) = (&yard.states[0], &yard.states[1]);
        let detail = json!({
            "title": "One", "from": "Backlog", "to": "In progress", "from_id": from_id, "to_id": to_id,
            "transition": "start",
        });
        assert_eq!(told, [json!({"detail": detail}), json!({"detail": detail})]);
    });
}

#[test]
fn a_way_asks_for_fields_and_for_its_guard_by_name_and_by_move() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        let columns = ["body", "labels", "category_id", "assignee_id", "due_at"];
        yard.rule("start", json!({"required": columns})).await;
        yard.rule("submit", json!({"guard": "priority >= 2 and 'ready' = any (labels)"})).await;
        let categories = format!("/v1/boards/{}/categories", yard.board);
        let category = yard.ada.post(&categories, json!({"name": "A"})).await.must(201)["row"]["id"].clone();
        for place in 0..2 {
            let entry = yard.entry("One").await;
            let (path, body) = ways(&entry, "start", &yard.states[1])[place].clone();
            let refused = yard.ben.post(&path, body.clone()).await;
            assert_eq!(refused.refused(409), "transition_refused", "{path}");
            let errors = refused.json()["errors"].clone();
            let fields: Vec<_> = errors.as_array().expect("errors").iter().map(|it| &it["field"]).collect();
            assert_eq!(fields, columns, "{path}");
            let filled = json!({
                "body": "Text", "labels": ["new"], "category_id": category, "assignee_id": "ada",
                "due_at": "2030-01-01T00:00:00Z",
            });
            yard.ben.patch(&format!("/v1/entries/{entry}"), filled).await.must(200);
            yard.ben.post(&path, body).await.must(200);

            let (path, body) = ways(&entry, "submit", &yard.states[2])[place].clone();
            for half in [json!({"priority": 2}), json!({"priority": 1, "labels": ["ready"]})] {
                yard.ben.patch(&format!("/v1/entries/{entry}"), half).await.must(200);
                let refused = yard.ben.post(&path, body.clone()).await;
                assert_eq!(refused.refused(409), "transition_refused", "{path}");
            }
            yard.ben.patch(&format!("/v1/entries/{entry}"), json!({"priority": 2})).await.must(200);
            yard.ben.post(&path, body).await.must(200);
        }
    });
}

#[test]
fn where_there_is_no_way_nothing_moves() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        let entry = yard.entry("One").await;
        let transition = yard.ada.transition(&yard.board, "close").await;
        yard.ada.delete(&format!("/v1/workflow-transitions/{transition}")).await.must(200);
        for (path, body) in ways(&entry, "close", &yard.states[3]) {
            assert_eq!(yard.ada.post(&path, body).await.refused(409), "no_transition", "{path}");
        }
        let other = yard.ada.board("Port").await;
        let elsewhere = yard.ada.states(&other).await[0].clone();
        let answer = yard.ada.post(&format!("/v1/entries/{entry}/move"), json!({"state": elsewhere})).await;
        assert_eq!(answer.refused(422), "invalid_input");
        assert_eq!(answer.json()["errors"][0]["field"], "state");
        let entry = yard.app.fresh(&yard.ada, &format!("/v1/entries/{entry}")).await.must(200);
        assert_eq!((&entry["state_id"], &entry["version"]), (&json!(yard.states[0]), &json!(1)));
    });
}

#[test]
fn effects_are_part_of_the_transaction_and_an_event_is_told_once_or_not_at_all() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        let effects = json!({"effects": [
            {"do": "assign", "who": "caller"}, {"do": "due", "in_hours": 48}, {"do": "prioritize", "priority": 2},
            {"do": "notify", "whom": "admins"}, {"do": "publish", "event": "started"},
        ]});
        yard.rule("start", effects).await;
        let mut listener = yard.app.socket(&yard.ada).await;
        let channel = format!("board.{}.started", yard.board);
        listener.subscribe(json!({"id": "events", "channel": channel})).await;
        listener.expect("subscribed").await;

        // What is rolled back does nothing, and tells of nothing.
        let lost = yard.entry("Lost").await;
        let path = format!("/v1/entries/{lost}/transitions/start");
        let states = format!("/v1/boards/{}/workflow/states", yard.board);
        let before = yard.app.everything().await;
        for second in [
            json!({"method": "DELETE", "path": "/v1/entries/999999"}),
            json!({"method": "POST", "path": "/v1/boards", "body": {"name": ""}}),
            json!({"method": "POST", "path": states, "body": {"name": "New", "kind": "open"}}),
        ] {
            let batch = json!({"commands": [{"method": "POST", "path": path, "body": {}}, second]});
            let answer = yard.ben.post("/v1/batch", batch).await;
            assert!((400..500).contains(&answer.status), "{second}: {answer:?}");
            assert_eq!(answer.json()["index"], 1, "{second}");
        }
        assert_eq!(yard.app.everything().await, before);

        let entry = yard.entry("One").await;
        let answer = yard.ben.post(&format!("/v1/entries/{entry}/transitions/start"), json!({})).await;
        let row = answer.must(200)["row"].clone();
        assert_eq!((&row["assignee_id"], &row["priority"]), (&json!("ben"), &json!(2)));
        let due = "select count(*) from entries where due_at = updated_at + interval '48 hours'";
        assert_eq!(yard.app.database.number(due).await, 1);
        let told = yard.app.select("select user_id, kind, detail from notifications").await;
        let detail = json!({"title": "One", "transition": "start", "actor_id": "ben"});
        assert_eq!(told, [json!({"user_id": "ada", "kind": "transition", "detail": detail})]);
        let told = yard.app.select("select action from activities where subject = 'entry' order by id").await;
        let actions: Vec<_> = told.iter().map(|it| &it["action"]).collect();
        assert_eq!(actions, ["created", "created", "moved", "assigned"]);

        let mut events = Vec::new();
        let end = answer.header("tidegate-lsn").parse().expect("a position");
        let told = |frame: &Value| events.extend(frame["events"].as_array().into_iter().flatten().cloned());
        listener.await_lsn(end, told).await;
        let [event] = &events[..] else { panic!("one event, and no other: {events:?}") };
        let data = json!({"transition": "start", "actor_id": "ben", "entry": row});
        assert_eq!(event["data"], data);
    });
}

#[test]
fn a_transition_tells_those_whom_it_names_and_not_whoever_asks_for_it() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        for (number, whom) in ["assignee", "creator", "watchers", "admins"].into_iter().enumerate() {
            let effects = json!([{"do": "notify", "whom": whom}, {"do": "notify", "whom": whom}]);
            yard.rule("start", json!({"effects": effects})).await;
            let assignee = if whom == "assignee" { json!("ben") } else { Value::Null };
            let by = if whom == "creator" { &yard.ben } else { &yard.ada };
            let entry = by.entry(&yard.board, json!({"title": whom, "assignee_id": assignee})).await;
            if whom == "watchers" {
                let watch = json!({"kind": "watch", "board_id": yard.board, "entry_id": entry});
                let rule = format!("/v1/alert-rules/00000000-0000-4000-8000-{number:012}");
                yard.ben.put(&rule, watch).await.must(201);
            }
            let asks = if whom == "admins" { &yard.ben } else { &yard.ada };
            asks.post(&format!("/v1/entries/{entry}/transitions/start"), json!({})).await.must(200);
            let told =
                format!("select user_id from notifications where kind = 'transition' and entry_id = {entry}");
            let user = if whom == "admins" { "ada" } else { "ben" };
            assert_eq!(yard.app.select(&told).await, [json!({"user_id": user})], "{whom}, and once");
        }
    });
}

#[test]
fn a_creator_who_has_left_answers_for_nothing() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        yard.rule("start", json!({"effects": [{"do": "assign", "who": "creator"}]})).await;
        let (one, two) = (yard.entry("One").await, yard.entry("Two").await);
        let start = async |entry: &str| {
            let path = format!("/v1/entries/{entry}/transitions/start");
            yard.ada.post(&path, json!({})).await.must(200)["row"]["assignee_id"].clone()
        };
        assert_eq!(start(&one).await, "ben");
        yard.ben.delete(&format!("/v1/boards/{}/members/ben", yard.board)).await.must(200);
        assert_eq!(start(&two).await, Value::Null);
        let assigned = "select count(*) from entries where assignee_id is not null";
        assert_eq!(yard.app.database.number(assigned).await, 0, "who leaves is taken off");
        let path = format!("/v1/entries/{one}");
        let answer = yard.ada.patch(&path, json!({"assignee_id": "ben"})).await;
        assert_eq!(answer.refused(422), "invalid_input");
    });
}

#[test]
fn of_twenty_that_move_at_once_as_many_come_in_as_the_limit_lets() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        let state = format!("/v1/workflow-states/{}", yard.states[1]);
        yard.ada.patch(&state, json!({"wip_limit": 3})).await.must(200);
        let mut moves = Vec::new();
        for number in 0..20 {
            let entry = yard.entry(&format!("{number}")).await;
            let api = if number % 2 == 0 { yard.ada.apart() } else { yard.ben.apart() };
            let (path, body) = ways(&entry, "start", &yard.states[1])[number % 2].clone();
            moves.push(async move { api.post(&path, body).await });
        }
        let answers = join_all(moves).await;
        let (came, stayed): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(came.len(), 3, "{answers:?}");
        assert!(stayed.iter().all(|answer| answer.refused(409) == "wip_limit"), "{stayed:?}");
        let there = format!("select count(*) from entries where state_id = {}", yard.states[1]);
        assert_eq!(yard.app.database.number(&there).await, 3);

        let full = json!({"title": "New", "state_id": yard.states[1]});
        let entries = format!("/v1/boards/{}/entries", yard.board);
        assert_eq!(yard.ben.post(&entries, full).await.refused(409), "wip_limit");
        // Within the state there is no more of it.
        let id = &came[0].json()["row"]["id"];
        let path = format!("/v1/entries/{}/move", id.as_str().expect("an id"));
        yard.ben.post(&path, json!({})).await.must(200);
        yard.ben.post(&path, json!({"state": yard.states[2]})).await.must(200);
        yard.ben.post(&path, json!({"state": yard.states[1]})).await.must(200);
    });
}

#[test]
fn an_entry_is_closed_since_it_is_done_until_it_is_reopened() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        let entry = yard.entry("One").await;
        let go = async |name: &str| {
            let path = format!("/v1/entries/{entry}/transitions/{name}");
            yard.ben.post(&path, json!({})).await.must(200)["row"]["closed_at"].clone()
        };
        assert_eq!(go("start").await, Value::Null);
        let closed = go("finish").await;
        assert!(closed.is_string());
        // A change where it stands, and another place there, are no closing.
        let path = format!("/v1/entries/{entry}");
        assert_eq!(
            yard.ben.patch(&path, json!({"title": "Two"})).await.must(200)["row"]["closed_at"],
            closed
        );
        assert_eq!(
            yard.ben.post(&format!("{path}/move"), json!({})).await.must(200)["row"]["closed_at"],
            closed
        );
        assert_eq!(go("reopen").await, Value::Null);
        let again = go("finish").await;
        assert!(again.as_str() > closed.as_str(), "{again} after {closed}");
        let told = yard.app.select("select action from activities where subject = 'entry' order by id").await;
        let actions: Vec<_> = told.iter().map(|it| &it["action"]).collect();
        assert_eq!(actions, ["created", "moved", "closed", "edited", "moved", "reopened", "closed"]);
        let done = json!({"title": "Three", "state_id": yard.states[3]});
        let path = format!("/v1/boards/{}/entries", yard.board);
        assert!(yard.ben.post(&path, done).await.must(201)["row"]["closed_at"].is_string());
    });
}

#[test]
fn a_guard_that_is_no_filter_is_refused_with_its_place_and_a_second_way_between_two_states_too() {
    scenario(async |test| {
        let yard = Yard::open(test.database().await).await;
        let ways = format!("/v1/boards/{}/workflow/transitions", yard.board);
        let start = yard.ada.transition(&yard.board, "start").await;
        let start = format!("/v1/workflow-transitions/{start}");
        let state = json!({"name": "Parked", "kind": "open"});
        let state = yard.ada.post(&format!("/v1/boards/{}/workflow/states", yard.board), state).await;
        let state = state.must(201)["row"]["id"].clone();
        let before = yard.app.everything().await;
        for (guard, says) in [("priority >", "character 11"), ("title = 'a' or stauts = 1", "character 16")] {
            let new = json!({"name": "park", "from_state_id": yard.states[0], "to_state_id": state, "guard": guard});
            for answer in
                [yard.ada.post(&ways, new).await, yard.ada.patch(&start, json!({"guard": guard})).await]
            {
                assert_eq!(answer.refused(422), "invalid_input", "{guard}");
                let error = &answer.json()["errors"][0];
                assert_eq!(error["field"], "guard", "{guard}");
                assert!(error["message"].as_str().expect("a text").contains(says), "{guard}: {error}");
            }
        }
        let again = json!({"name": "again", "from_state_id": yard.states[0], "to_state_id": yard.states[1]});
        assert_eq!(yard.ada.post(&ways, again).await.refused(409), "name_taken");
        let named = json!({"name": "start", "from_state_id": yard.states[0], "to_state_id": state});
        assert_eq!(yard.ada.post(&ways, named).await.refused(409), "name_taken");
        assert_eq!(yard.app.everything().await, before);
    });
}
