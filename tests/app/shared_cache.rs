//! Answers that several processes keep together in Redis, which may come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::house::{Api, migrate, settings};
use crate::fixture::{Database, Redis, eventually, scenario};
use crate::policy;
use crate::server::Server;

async fn server(database: &Database, number: usize, cache: &[(&str, &str)]) -> Server {
    let (slot, publication) =
        (format!("{}_{number}", database.slot()), format!("{}_{number}", database.publication()));
    let own = [
        ("postgres.slot", &*slot),
        ("postgres.publication", &*publication),
        ("limits.requests_per_second", "0"),
    ];
    let settings = settings(&[&own, cache].concat());
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    Server::start_with(database, &settings).await
}

#[test]
fn two_processes_share_answers_and_lose_nothing_when_redis_goes() {
    scenario(async |test| {
        let database = test.database().await;
        migrate(&database).await;
        let mut redis = Redis::start();
        let url = redis.url();
        let cache = [("cache.backend", "redis"), ("cache.url", &*url)];
        let (one, other) = (server(&database, 1, &cache).await, server(&database, 2, &cache).await);
        let token = policy::token("app_user", &json!({"sub": "ada", "name": "ada"}));
        let (here, there) =
            (Api::new(one.address(), Some(token.clone())), Api::new(other.address(), Some(token)));
        here.get("/v1/me").await.must(200);
        let board = here.board("Ferry").await;
        let path = format!("/v1/boards/{board}/categories");
        let name = here.post(&path, json!({"name": "0"})).await.must(201)["row"]["id"].clone();
        let category = format!("/v1/categories/{}", name.as_str().expect("an id"));
        // Both have passed it, one of them makes the answer, the other finds it.
        eventually("the other finds what one has made", async || {
            let made = other.metric("tidegate_read_misses_total").await;
            here.get(&path).await.must(200);
            there.get(&path).await.must(200);
            // One recorder counts for both: the first makes it at most, and the second never.
            (other.metric("tidegate_read_misses_total").await - made <= 1.0).then_some(())
        })
        .await;

        test.expect_in_log("the cache is away");
        test.expect_in_log("limits are not shared");
        let stop = Arc::new(AtomicBool::new(false));
        let shown = Arc::new(AtomicU32::new(0));
        let mut readers = JoinSet::new();
        for api in [here.apart(), there.apart(), here.apart(), there.apart()] {
            let (stop, path) = (stop.clone(), path.clone());
            readers.spawn(async move {
                let mut least = 0;
                while !stop.load(Ordering::Relaxed) {
                    let read = api.get(&path).await.must(200);
                    let name: u32 =
                        read["rows"][0]["name"].as_str().expect("a name").parse().expect("a number");
                    assert!(name >= least, "{name} after {least}: one process never goes back");
                    least = name;
                }
            });
        }
        let writer = here.apart();
        for number in 1..=60 {
            match number {
                15 => redis.kill(),
                35 => redis.resume(),
                _ => {}
            }
            writer.patch(&category, json!({"name": number.to_string()})).await.must(200);
            shown.store(number, Ordering::Relaxed);
        }
        // An answer that holds is not asked for: only a change has the cache looked at again.
        eventually("it is shared again", async || {
            writer.patch(&category, json!({"name": "60", "hue": fastrand::u16(..360)})).await.must(200);
            test.logged("the cache is back").then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        readers.join_all().await;
        eventually("both show the last", async || {
            let names = [here.get(&path).await.must(200), there.get(&path).await.must(200)]
                .map(|read| read["rows"][0]["name"].clone());
            (names == [json!("60"), json!("60")]).then_some(())
        })
        .await;
    });
}
