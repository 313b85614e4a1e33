//! What people are told of, once each, and only of boards that are theirs.

use serde_json::{Value, json};

use super::house::{Api, App};
use crate::client::Mirror;
use crate::fixture::scenario;

/// A board of Ada's, with Ben and Cleo on it.
struct Office {
    app: App,
    ada: Api,
    ben: Api,
    cleo: Api,
    board: String,
}

impl Office {
    async fn open(database: crate::fixture::Database) -> Self {
        let app = App::start(database).await;
        let (ada, ben, cleo) = (app.person("ada").await, app.person("ben").await, app.person("cleo").await);
        let board = ada.board("Ferry").await;
        ada.admit(&board, "ben", "member").await;
        ada.admit(&board, "cleo", "viewer").await;
        Self { app, ada, ben, cleo, board }
    }

    /// What somebody was told, the newest first.
    async fn told(&self, who: &Api) -> Vec<Value> {
        let page = self.app.fresh(who, "/v1/notifications").await.must(200);
        page["rows"].as_array().expect("rows").clone()
    }

    /// The kinds of it.
    async fn kinds(&self, who: &Api) -> Vec<String> {
        let told = self.told(who).await;
        told.iter().map(|row| row["kind"].as_str().expect("a text").to_owned()).collect()
    }

    /// Forgets what everybody was told.
    async fn forget(&self) {
        self.app.database.execute("delete from notifications").await;
    }

    async fn comment(&self, who: &Api, entry: &str, body: &str) {
        who.post(&format!("/v1/entries/{entry}/comments"), json!({"body": body})).await.must(201);
    }

    async fn remove(&self, user: &str) {
        self.ada.delete(&format!("/v1/boards/{}/members/{user}", self.board)).await.must(200);
    }

    async fn measure(&self, kpi: &str, value: f64) {
        let sql = format!(
            "insert into kpi_values (board_id, kpi, value) values ({}, '{kpi}', {value})
             on conflict (board_id, kpi, item) do update set value = excluded.value, measured_at = clock_timestamp()",
            self.board
        );
        self.app.database.execute(&sql).await;
    }

    async fn overdue(&self) -> i64 {
        self.app.database.number("select app.alert_overdue()").await
    }
}

/// The path of the `number`th rule of a test.
fn rule(number: u8) -> String {
    format!("/v1/alert-rules/00000000-0000-4000-8000-{number:012}")
}

#[test]
fn who_is_mentioned_is_told_and_nobody_else_is() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        let dora = office.app.person("dora").await;
        let odd = office.app.person("j.r+x").await;
        office.ada.admit(&office.board, "j.r+x", "viewer").await;
        let entry = office.ada.entry(&office.board, json!({"title": "One"})).await;
        office.comment(&office.ada, &entry, "@ben, @Cleo: look. @ada @dora x@cleo @benedict").await;
        let told = office.told(&office.ben).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["kind"], &told[0]["entry_id"]), (&json!("mention"), &json!(entry)));
        assert_eq!(told[0]["detail"]["actor_id"], "ada");
        assert_eq!(office.kinds(&office.cleo).await, ["mention"]);
        assert!(office.told(&office.ada).await.is_empty(), "one's own words are no news");
        assert!(office.told(&dora).await.is_empty(), "a stranger is told nothing");
        assert!(office.told(&odd).await.is_empty());

        office.forget().await;
        for (body, is_told) in [("mail ben@ben.de", false), ("benny @bento", false), ("(@ben)", true)] {
            office.comment(&office.ada, &entry, body).await;
            assert_eq!(!office.told(&office.ben).await.is_empty(), is_told, "{body}");
        }
        office.comment(&office.ada, &entry, "@j.r+x?").await;
        assert_eq!(office.kinds(&odd).await, ["mention"], "a name is no pattern");
        office.comment(&office.ada, &entry, "@jar+x @jrrx").await;
        assert_eq!(office.told(&odd).await.len(), 1);
    });
}

#[test]
fn who_is_assigned_and_who_watches_is_told_of_each_thing_once_by_each_rule() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        let entry = office.ada.entry(&office.board, json!({"title": "One", "assignee_id": "ben"})).await;
        assert_eq!(office.kinds(&office.ben).await, ["assigned"]);
        let other = office.ada.entry(&office.board, json!({"title": "Two"})).await;
        let watch = json!({"kind": "watch", "board_id": office.board, "entry_id": entry});
        office.cleo.put(&rule(1), watch.clone()).await.must(201);
        assert_eq!(office.cleo.put(&rule(1), watch).await.must(200)["row"]["version"], 1, "the same rule");
        office.forget().await;

        let path = format!("/v1/entries/{entry}");
        office.ada.patch(&path, json!({"title": "One"})).await.must(200);
        assert!(office.told(&office.cleo).await.is_empty(), "nothing has changed");
        office.ada.patch(&path, json!({"title": "Eins", "assignee_id": "ada"})).await.must(200);
        office.ada.patch(&path, json!({"assignee_id": "cleo"})).await.must(200);
        office.comment(&office.ben, &other, "not watched").await;
        let mut kinds = office.kinds(&office.cleo).await;
        kinds.sort();
        assert_eq!(kinds, ["assigned", "watch", "watch", "watch"]);
        assert!(office.told(&office.ben).await.is_empty());
        // The end of it, too; the rule goes with the entry.
        office.forget().await;
        office.ada.delete(&path).await.must(200);
        let told = office.told(&office.cleo).await;
        assert_eq!((told.len(), &told[0]["detail"]["action"]), (1, &json!("deleted")));
        let rules = "select count(*) from alert_rules where kind = 'watch'";
        assert_eq!(office.app.database.number(rules).await, 0);
    });
}

#[test]
fn a_transition_that_assigns_tells_as_an_assignment_by_hand_does() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        let start = office.ada.transition(&office.board, "start").await;
        let effects = json!({"effects": [{"do": "assign", "who": "creator"}]});
        office.ada.patch(&format!("/v1/workflow-transitions/{start}"), effects).await.must(200);
        let entry = office.ben.entry(&office.board, json!({"title": "One"})).await;
        office.ada.post(&format!("/v1/entries/{entry}/transitions/start"), json!({})).await.must(200);
        assert_eq!(office.kinds(&office.ben).await, ["assigned"]);
    });
}

#[test]
fn what_is_late_is_told_once_for_each_date_also_to_who_has_deleted_it() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        for (number, who) in [&office.ada, &office.ben, &office.cleo].into_iter().enumerate() {
            let number = u8::try_from(number).expect("three");
            who.put(&rule(number), json!({"kind": "overdue"})).await.must(201);
        }
        // A second rule for the same board tells nothing a second time.
        office.ben.put(&rule(9), json!({"kind": "overdue", "board_id": office.board})).await.must(201);
        let late = json!({"title": "Late", "assignee_id": "ben", "due_at": "2020-01-01T00:00:00Z"});
        let late = office.ada.entry(&office.board, late).await;
        let shared = json!({"title": "Nobody's", "due_at": "2020-01-01T00:00:00Z"});
        let shared = office.ada.entry(&office.board, shared).await;
        let done = office.ada.states(&office.board).await[3].clone();
        let closed = json!({"title": "Done", "state_id": done, "due_at": "2020-01-01T00:00:00Z"});
        office.ada.entry(&office.board, closed).await;
        office.ada.entry(&office.board, json!({"title": "Later", "due_at": "2099-01-01T00:00:00Z"})).await;
        office.forget().await;

        assert_eq!(office.overdue().await, 4, "Ben of his own, and everybody of nobody's");
        assert_eq!(office.overdue().await, 0);
        assert_eq!(office.kinds(&office.ben).await, ["overdue", "overdue"]);
        assert_eq!(office.kinds(&office.cleo).await, ["overdue"]);
        let told = office.told(&office.cleo).await[0].clone();
        assert_eq!((&told["entry_id"], &told["detail"]["title"]), (&json!(shared), &json!("Nobody's")));

        let id = told["id"].as_str().expect("an id");
        office.cleo.delete(&format!("/v1/notifications/{id}")).await.must(200);
        assert_eq!(office.overdue().await, 0, "who has deleted it knows");
        assert!(office.told(&office.cleo).await.is_empty());

        let path = format!("/v1/entries/{late}");
        office.ada.patch(&path, json!({"due_at": "2021-01-01T00:00:00Z"})).await.must(200);
        assert_eq!(office.overdue().await, 1, "another date is news");
        let last = office.told(&office.ben).await[0].clone();
        assert_eq!(last["entry_id"], json!(late));

        office.remove("ben").await;
        office.ada.patch(&path, json!({"due_at": "2022-01-01T00:00:00Z"})).await.must(200);
        assert_eq!(office.overdue().await, 2, "nobody answers for it now, and Ben is gone");
        assert_eq!(office.kinds(&office.ben).await.len(), 3);
    });
}

#[test]
fn a_measure_alerts_when_it_gets_past_its_threshold_and_not_while_it_stays() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        let kpi = |comparison: &str, enabled: bool| {
            json!({
                "kind": "kpi", "board_id": office.board, "kpi": "open", "comparison": comparison,
                "threshold": 10, "enabled": enabled,
            })
        };
        office.ben.put(&rule(1), kpi("above", true)).await.must(201);
        office.cleo.put(&rule(2), kpi("below", true)).await.must(201);
        office.ada.put(&rule(3), kpi("above", false)).await.must(201);
        let mut counts = Vec::new();
        for value in [10.0, 10.5, 11.0, 99.0, 10.0, 10.0, 9.0, 8.0, 12.0, 12.0] {
            office.measure("open", value).await;
            office.measure("work_in_progress", value * 2.0).await;
            counts.push((office.told(&office.ben).await.len(), office.told(&office.cleo).await.len()));
        }
        let (above, below): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
        assert_eq!(above, [0, 1, 1, 1, 1, 1, 1, 1, 2, 2]);
        assert_eq!(below, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
        assert!(office.told(&office.ada).await.is_empty(), "a rule that is off tells nothing");
        let told = office.told(&office.ben).await;
        let detail = json!({"kpi": "open", "value": 12, "comparison": "above", "threshold": 10});
        assert_eq!(told[0]["detail"], detail);

        // It is past at once where it is already, and not again for the same rule.
        let mine = |threshold: u8| json!({"kind": "kpi", "board_id": office.board, "kpi": "open", "comparison": "above", "threshold": threshold});
        let told_ada = async || office.told(&office.ada).await.len();
        office.ada.put(&rule(4), mine(5)).await.must(201);
        assert_eq!(told_ada().await, 1);
        office.ada.put(&rule(4), mine(5)).await.must(200);
        office.measure("open", 13.0).await;
        assert_eq!(told_ada().await, 1, "it has stayed past");
        office.ada.put(&rule(4), mine(50)).await.must(200);
        office.ada.put(&rule(4), mine(6)).await.must(200);
        assert_eq!(told_ada().await, 2, "another rule is told of what is");
        // That the server notes whether it is past is nothing that its owner has to have read.
        let rule_four = office.app.select("select version from alert_rules where threshold = 6").await;
        office.measure("open", 1.0).await;
        assert_eq!(office.app.select("select version from alert_rules where threshold = 6").await, rule_four);
        office.measure("open", 12.0).await;
        for kpi in ["nothing", "entries_by_state"] {
            let rule = json!({"kind": "kpi", "board_id": office.board, "kpi": kpi, "comparison": "above", "threshold": 1});
            let answer = office.ada.put("/v1/alert-rules/00000000-0000-4000-8000-000000000099", rule).await;
            assert_eq!(answer.must(422)["errors"][0]["field"], "kpi", "{kpi}");
        }

        office.remove("ben").await;
        office.measure("open", 1.0).await;
        office.measure("open", 50.0).await;
        assert_eq!(office.told(&office.ben).await.len(), 3, "it is no longer his board");
    });
}

#[test]
fn who_was_removed_or_has_switched_a_rule_off_is_told_nothing() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        let entry = office.ada.entry(&office.board, json!({"title": "One"})).await;
        let watch = json!({"kind": "watch", "board_id": office.board, "entry_id": entry});
        office.ben.put(&rule(1), watch.clone()).await.must(201);
        office.cleo.put(&rule(2), watch).await.must(201);
        let rules = office.app.fresh(&office.cleo, "/v1/alert-rules").await.must(200);
        for own in rules["rows"].as_array().expect("rows") {
            let mut off = json!({"enabled": false});
            for field in ["kind", "board_id", "entry_id", "version"] {
                off[field] = own[field].clone();
            }
            let path = format!("/v1/alert-rules/{}", own["id"].as_str().expect("an id"));
            office.cleo.put(&path, off).await.must(200);
        }
        office.remove("ben").await;
        let path = format!("/v1/entries/{entry}");
        office.ada.patch(&path, json!({"title": "Two", "assignee_id": "cleo"})).await.must(200);
        office.comment(&office.ada, &entry, "@ben @cleo").await;
        assert!(office.told(&office.ben).await.is_empty());
        assert!(office.told(&office.cleo).await.is_empty());
    });
}

#[test]
fn notifications_and_rules_are_their_owners_alone() {
    scenario(async |test| {
        let office = Office::open(test.database().await).await;
        let mut listener = office.app.socket(&office.ada).await;
        let mut overheard = Mirror::new("all", json!({"table": "public.notifications"}));
        listener.send(&overheard.request()).await;
        let entry = office.ada.entry(&office.board, json!({"title": "One"})).await;
        for text in ["@ben one", "@ben two", "@ben three"] {
            office.comment(&office.ada, &entry, text).await;
        }
        let told = office.told(&office.ben).await;
        let ids: Vec<&str> = told.iter().map(|row| row["id"].as_str().expect("an id")).collect();
        let before = office.app.everything().await;
        for other in [&office.ada, &office.cleo, &office.app.with_role("app_lead", "lea")] {
            let answer = other.post(&format!("/v1/notifications/{}/read", ids[0]), json!({})).await;
            assert_eq!(answer.refused(404), "not_found");
            let answer = other.delete(&format!("/v1/notifications/{}", ids[0])).await;
            assert_eq!(answer.refused(404), "not_found");
        }
        let known = office.app.everything().await;
        assert!(known.is_superset(&before) && office.told(&office.ada).await.is_empty());

        let read = format!("/v1/notifications/{}/read", ids[0]);
        let at = office.ben.post(&read, json!({})).await.must(200)["row"]["read_at"].clone();
        assert!(at.is_string());
        assert_eq!(office.ben.post(&read, json!({})).await.must(200)["row"]["read_at"], at, "once is enough");
        let unread = office.app.fresh(&office.ben, "/v1/notifications?unread=true").await.must(200);
        assert_eq!(unread["rows"].as_array().map(Vec::len), Some(2));
        office.ben.delete(&format!("/v1/notifications/{}", ids[1])).await.must(200);
        office.ben.post("/v1/notifications/read", json!({})).await.must(200);
        let unread = office.app.fresh(&office.ben, "/v1/notifications?unread=true").await.must(200);
        assert_eq!(unread["rows"], json!([]));
        assert_eq!(office.told(&office.ben).await.len(), 2);

        office.ben.put(&rule(1), json!({"kind": "overdue"})).await.must(201);
        assert_eq!(office.cleo.put(&rule(1), json!({"kind": "mention"})).await.refused(422), "invalid_input");
        assert_eq!(office.cleo.delete(&rule(1)).await.refused(404), "not_found");
        let end = office.ben.delete(&rule(1)).await.header("tidegate-lsn").parse().expect("a position");
        listener.await_lsn(end, |frame| drop(overheard.apply(frame))).await;
        assert!(overheard.is_live() && overheard.rows().is_empty() && overheard.transactions == 0);
    });
}
