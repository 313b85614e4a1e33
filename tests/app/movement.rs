//! Many who move the same cards: each of them somewhere, no two in one place, and nothing lost.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::house::{Api, App};
use crate::client::Mirror;
use crate::fixture::scenario;

const CLIENTS: u64 = 50;
const CARDS: usize = 20;

/// How long it lasts: a quarter of a minute, or what `TIDEGATE_TEST_LONG` says in seconds.
#[expect(clippy::disallowed_methods, reason = "the tests' own switch")]
fn lasts() -> Duration {
    let long = std::env::var("TIDEGATE_TEST_LONG").ok();
    Duration::from_secs(long.map_or(15, |text| text.parse().expect("a number of seconds")))
}

/// Moves cards about until then; how many moves were carried out.
async fn move_about(
    api: Api,
    seed: u64,
    cards: Arc<Vec<String>>,
    states: Arc<Vec<String>>,
    until: Instant,
) -> u32 {
    let mut random = Rng::with_seed(seed);
    let mut moved = 0;
    while Instant::now() < until {
        let card = random.choice(&*cards).expect("some");
        let mut body = json!({});
        if random.bool() {
            body["state"] = json!(random.choice(&*states).expect("some"));
        }
        if random.u8(..4) > 0 {
            body[*random.choice(&["after", "before"]).expect("some")] =
                json!(random.choice(&*cards).expect("some"));
        }
        let answer = api.ask(Method::POST, &format!("/v1/entries/{card}/move"), Some(body), &[]).await;
        match answer.status {
            200 => moved += 1,
            // Too many were in the way: nothing was done, and that is said.
            503 => assert_eq!(answer.refused(503), "contention"),
            _ => panic!("{answer:?}"),
        }
    }
    moved
}

#[test]
fn fifty_who_move_the_same_twenty_cards_lose_none_and_put_no_two_in_one_place() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &[("limits.requests_per_second", "0")]).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let states = Arc::new(ada.states(&board).await);
        let mut cards = Vec::new();
        for number in 0..CARDS {
            cards.push(ada.entry(&board, json!({"title": format!("Card {number}")})).await);
        }
        let cards = Arc::new(cards);
        let mut client = app.socket(&ada).await;
        let mut mirror = Mirror::new("entries", json!({"table": "public.entries"}));
        client.send(&mirror.request()).await;
        while !mirror.is_live() {
            mirror.apply(&client.next().await.expect("it lives"));
        }
        let until = Instant::now() + lasts();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut movers = JoinSet::new();
        for number in 0..CLIENTS {
            movers.spawn(move_about(ada.apart(), seed ^ number, cards.clone(), states.clone(), until));
        }
        let mut moving = pin!(movers.join_all());
        // Whoever looks on reads all the while: one that is silent for a minute is taken for gone.
        let moved: u32 = loop {
            tokio::select! {
                moved = &mut moving => break moved.into_iter().sum(),
                frame = client.next() => {
                    mirror.apply(&frame.expect("it lives"));
                }
            }
        };
        println!("{moved} moves");
        assert!(moved > 200, "{moved}: they get on");

        let rows = ada.get(&format!("/v1/boards/{board}/entries?limit=500")).await.must(200);
        let rows = rows["rows"].as_array().expect("rows");
        let ids: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
        assert_eq!(ids, cards.iter().map(String::as_str).collect(), "every card is there once");
        let place = |row: &Value| (row["state_id"].to_string(), row["position"].to_string());
        let places: BTreeSet<(String, String)> = rows.iter().map(place).collect();
        assert_eq!(places.len(), CARDS, "no two are in one place: {rows:?}");
        let versions: u64 = rows.iter().map(|row| row["version"].as_u64().expect("a number") - 1).sum();
        // A move that gives all cards of a state new places counts for each of them.
        assert!(versions >= u64::from(moved), "{versions} changes of {moved} moves");
        let activities =
            "select count(*) from public.activities where subject = 'entry' and action <> 'created'";
        assert_eq!(app.database.number(activities).await, i64::from(moved), "one for each");

        let last = ada.put("/v1/me/preferences", json!({"preferences": {}})).await;
        client
            .await_lsn(last.header("tidegate-lsn").parse().expect("a position"), |frame| {
                mirror.apply(frame);
            })
            .await;
        let told: Vec<&Value> = mirror.rows().values().collect();
        assert_eq!(told.len(), CARDS);
        for row in rows {
            assert!(told.contains(&row), "the stream shows {row}");
        }
    });
}

#[test]
fn a_card_goes_where_it_is_put_and_the_order_is_that_of_the_places() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let states = ada.states(&board).await;
        let mut order = Vec::new();
        for number in 0..6 {
            order.push(ada.entry(&board, json!({"title": format!("Card {number}")})).await);
        }
        let mut random = Rng::with_seed(7);
        for step in 0..400 {
            let card = order.remove(random.usize(..order.len()));
            let at = random.usize(..=order.len());
            let body = match (at.checked_sub(1), step % 2) {
                (None, _) => json!({"before": order[0]}),
                (Some(before), 0) => json!({"after": order[before]}),
                // What is behind is no neighbour any more: who stands before it is asked for.
                (Some(before), _) if at == order.len() => json!({"after": order[before]}),
                (Some(_), _) => json!({"before": order[at]}),
            };
            ada.post(&format!("/v1/entries/{card}/move"), body).await.must(200);
            order.insert(at, card);
        }
        let rows = ada.get(&format!("/v1/boards/{board}/entries?state_id={}", states[0])).await.must(200);
        let rows = rows["rows"].as_array().expect("rows");
        let shown: Vec<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
        assert_eq!(shown, order);
        assert!(rows.iter().all(|row| row["position"].as_str().expect("text").len() <= 110), "{rows:?}");
        // With neither neighbour it goes to the end; with one that is elsewhere too.
        ada.post(&format!("/v1/entries/{}/move", order[0]), json!({"state": states[1]})).await.must(200);
        let moved = json!({"after": order[0]});
        ada.post(&format!("/v1/entries/{}/move", order[1]), moved).await.must(200);
        let rows = ada.get(&format!("/v1/boards/{board}/entries?state_id={}", states[0])).await.must(200);
        assert_eq!(rows["rows"].as_array().expect("rows").last().expect("some")["id"], order[1]);
    });
}

#[test]
fn where_places_have_grown_long_or_were_written_by_hand_all_cards_get_new_ones_in_their_order() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let mut cards = Vec::new();
        for number in 0..12 {
            cards.push(ada.entry(&board, json!({"title": format!("Card {number}")})).await);
        }
        let (first, second) = (cards[0].clone(), cards[1].clone());
        let crowd = async |low: &str, high: &str| {
            let sql = format!(
                "update public.entries set position = repeat('1', 120) || '{low}' where id = {first};
                 update public.entries set position = repeat('1', 120) || '{high}' where id = {second}"
            );
            app.database.execute(&sql).await;
        };
        for (low, high) in [("1", "2"), ("!", "?")] {
            crowd(low, high).await;
            // All others between these two, at the same time.
            let mut movers = JoinSet::new();
            for card in &cards[2..] {
                let (api, card, first) = (ada.apart(), card.clone(), first.clone());
                movers.spawn(async move {
                    let path = format!("/v1/entries/{card}/move");
                    api.post(&path, json!({"after": first})).await.must(200);
                });
            }
            movers.join_all().await;
            let last = ada.post(&format!("/v1/entries/{}/move", cards[2]), json!({"after": first})).await;
            let headers = [("tidegate-min-lsn", last.header("tidegate-lsn"))];
            let path = format!("/v1/boards/{board}/entries?limit=500");
            let rows = ada.ask(Method::GET, &path, None, &headers).await.must(200);
            let rows = rows["rows"].as_array().expect("rows").clone();
            let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
            assert_eq!((ids[0], ids[1], ids[11]), (&*first, &*cards[2], &*second), "{ids:?}");
            let places: Vec<&str> =
                rows.iter().map(|row| row["position"].as_str().expect("a text")).collect();
            assert!(places.is_sorted() && places.iter().all(|place| place.len() < 100), "{places:?}");
        }
    });
}
