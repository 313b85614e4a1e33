//! Random commands by several users at once, against a plain model.
//!
//! ```text
//!  users ──commands──▶ server ──replies──▶ plain model     in the order of the transactions, as the stream has it
//!                        │
//!                        └──stream──▶ followers: a mirror for each user and table
//!  at the end: tables = model = what everybody holds; and each activity is of one transaction that was answered
//! ```

mod follower;
mod plain;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tidegate::event::Lsn;
use tokio::sync::watch;

use super::house::{Api, App};
use crate::fixture::scenario;
use follower::{Follower, TABLES};
use plain::{Model, Story};
use random::{Command, Known, Player};

const USERS: [&str; 5] = ["ada", "ben", "cleo", "dora", "egon"];
/// Of each user.
const COMMANDS: usize = 400;

/// What was answered to a command or to a batch of them.
struct Done {
    who: &'static str,
    tx: String,
    /// Each command with its row, which is null if it has none.
    parts: Vec<(Command, Value)>,
}

/// What came of all commands.
#[derive(Default)]
struct Outcomes {
    done: Vec<Done>,
    /// How often, by code.
    refused: BTreeMap<String, usize>,
}

#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
fn seed() -> u64 {
    std::env::var("TIDEGATE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

/// Carries a command, or several as a batch, out.
async fn ask(api: &Api, commands: &[Command]) -> Result<(String, Vec<Value>), String> {
    let (method, path, body) = match commands {
        [command] => (command.method.clone(), command.path.clone(), command.body.clone()),
        several => {
            let commands: Vec<Value> = several.iter().map(Command::part).collect();
            (Method::POST, "/v1/batch".to_owned(), json!({"commands": commands}))
        }
    };
    let body = (!body.is_null()).then_some(body);
    let answer = api.ask(method, &path, body, &[]).await;
    let told = answer.json();
    if answer.status >= 400 {
        let code = told["code"].as_str().expect("problems have a code").to_owned();
        assert!(answer.status < 500 || code == "contention", "{commands:?}: {told}");
        return Err(code);
    }
    assert_eq!(answer.header("tidegate-tx"), told["tx"]);
    let rows = match told["results"].as_array() {
        Some(results) => results.iter().map(|result| result["row"].clone()).collect(),
        None => vec![told["row"].clone()],
    };
    assert_eq!(rows.len(), commands.len(), "{told}");
    Ok((answer.header("tidegate-tx").to_owned(), rows))
}

/// One user's commands, one after the other.
async fn play(app: &App, mut player: Player, known: &Mutex<Known>, outcomes: &Mutex<Outcomes>) {
    let api = app.person(player.who).await;
    for _ in 0..COMMANDS {
        let commands = player.commands(&known.lock().expect("nobody panics"));
        match ask(&api, &commands).await {
            Err(code) => *outcomes.lock().expect("nobody panics").refused.entry(code).or_default() += 1,
            Ok((tx, rows)) => {
                let parts: Vec<_> = commands.into_iter().zip(rows).collect();
                for (command, row) in &parts {
                    let mut of_board = Vec::new();
                    if command.id == "createBoard" {
                        of_board = states(app, row).await;
                        player.admit_all(row["id"].as_str().expect("an id"));
                    }
                    known.lock().expect("nobody panics").learn(command, row, of_board);
                }
                outcomes.lock().expect("nobody panics").done.push(Done { who: player.who, tx, parts });
            }
        }
    }
}

/// The states of a new board, unless it is gone already.
async fn states(app: &App, board: &Value) -> Vec<String> {
    let id = board["id"].as_str().expect("an id");
    let sql = format!("select id::text from workflow_states where board_id = {id} order by ordinal");
    app.select(&sql).await.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

/// Two boards, with everybody on them.
async fn found(app: &App, known: &Mutex<Known>, outcomes: &Mutex<Outcomes>) {
    let ada = app.person("ada").await;
    for name in ["Ferry", "Port"] {
        let founding = Command::found(name);
        let (tx, rows) = ask(&ada, std::slice::from_ref(&founding)).await.expect("everybody may");
        let states = states(app, &rows[0]).await;
        known.lock().expect("nobody panics").learn(&founding, &rows[0], states);
        let board = rows[0]["id"].as_str().expect("an id").to_owned();
        let parts = vec![(founding, rows[0].clone())];
        outcomes.lock().expect("nobody panics").done.push(Done { who: "ada", tx, parts });
        for (user, role) in USERS[1..].iter().zip(["admin", "member", "member", "viewer"]) {
            let admission = Command::admit(&board, user, role);
            let (tx, rows) = ask(&ada, std::slice::from_ref(&admission)).await.expect("an admin may");
            let parts = vec![(admission, rows[0].clone())];
            outcomes.lock().expect("nobody panics").done.push(Done { who: "ada", tx, parts });
        }
    }
}

/// Feeds the model in the order of the transactions, and holds each one's activities to what its commands say.
fn replay(outcomes: Outcomes, known: Known, lead: &Follower) -> Model {
    let mut model = Model::new(known.states);
    let mut by_tx: BTreeMap<String, Done> = BTreeMap::new();
    for done in outcomes.done {
        assert!(by_tx.insert(done.tx.clone(), done).is_none(), "two replies of one transaction");
    }
    for told in lead.transactions.values() {
        let done = by_tx.remove(&told.id);
        let done = done.unwrap_or_else(|| panic!("nobody was answered {}: {:?}", told.id, told.changes));
        let mut expected: Vec<Story> = Vec::new();
        for (command, row) in &done.parts {
            expected.extend(model.apply(done.who, command, row));
        }
        let of_activities = told.changes.iter().filter(|(table, _)| table == "activities");
        let inserts = of_activities.filter(|(_, change)| change["op"] == "insert");
        let mut stories: Vec<Story> = inserts.map(|(_, change)| Story::of(&change["row"])).collect();
        // What a batch tells of a board that it deletes goes with it.
        expected.retain(|story| model.has(story));
        stories.sort();
        expected.sort();
        let commands: Vec<_> = done.parts.iter().map(|(command, _)| command).collect();
        assert_eq!(stories, expected, "{} by {}: {commands:?}", told.id, done.who);
    }
    let missed: Vec<_> = by_tx.values().map(|done| &done.tx).collect();
    assert!(missed.is_empty(), "answered, and never told: {missed:?}");
    model
}

#[test]
fn tables_activities_what_everybody_holds_and_a_plain_model_agree() {
    scenario(async |test| {
        let seed = seed();
        println!("TIDEGATE_TEST_SEED={seed}");
        let app = App::start(test.database().await).await;
        let mut followers =
            vec![Follower::open(&app, app.with_role("app_lead", "lea"), "lea", "app_lead").await];
        for who in USERS {
            followers.push(Follower::open(&app, app.person(who).await, who, "app_user").await);
        }
        let (known, outcomes) = (Mutex::new(Known::default()), Mutex::new(Outcomes::default()));
        let (end, ended) = watch::channel(None);
        let work = async {
            found(&app, &known, &outcomes).await;
            let players = USERS.iter().zip(seed..).map(|(who, seed)| Player::new(who, &USERS, seed));
            join_all(players.map(|player| play(&app, player, &known, &outcomes))).await;
            let rows = app.select("select pg_current_wal_lsn()::text as lsn").await;
            let last: Lsn = rows[0]["lsn"].as_str().expect("a text").parse().expect("a position");
            end.send_replace(Some(last));
        };
        let following = followers.iter_mut().map(|follower| follower.follow(ended.clone()));
        tokio::join!(work, join_all(following));

        let (known, outcomes) = (known.into_inner(), outcomes.into_inner());
        let (known, outcomes) = (known.expect("nobody panicked"), outcomes.expect("nobody panicked"));
        let (done, refused) = (outcomes.done.len(), outcomes.refused.clone());
        for follower in &followers {
            follower.agrees(&app.sql).await;
        }
        let lead = &followers[0];
        let model = replay(outcomes, known, lead);
        for (table, _) in TABLES {
            let held = lead.rows(table);
            if let Some(expected) = model.rows(table) {
                plain::must_agree(table, &held, &expected);
            }
            let own = if table == "notifications" { "where user_id = 'lea'" } else { "" };
            let count = app.database.number(&format!("select count(*) from public.{table} {own}")).await;
            assert_eq!(count, i64::try_from(held.len()).expect("few"), "{table}");
        }
        model.agrees_on_activities(&lead.rows("activities"));

        // Each activity that there is was told in one transaction.
        let mut told: BTreeSet<String> = BTreeSet::new();
        for transaction in lead.transactions.values() {
            for (table, change) in &transaction.changes {
                if table == "activities" && change["op"] == "insert" {
                    assert!(told.insert(change["row"]["id"].to_string()), "told twice: {change}");
                }
            }
        }
        let all = app.select("select id::text from activities").await;
        assert!(
            all.iter().all(|row| told.contains(&row["id"].to_string())),
            "an activity that nobody was told of"
        );
        println!("{done} done, refused {refused:?}, {} activities told, {} kept", told.len(), all.len());
        assert!(done > USERS.len() * COMMANDS / 4, "{done} done, refused {refused:?}");
    });
}
