//! Answers that several processes keep together in Redis, which may come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::house::{Api, migrate, settings};
use crate::fixture::{Database, Redis, Vhost, eventually, scenario};
use crate::policy;
use crate::server::Server;

/// One of several processes on one journal: what they keep is told apart by the journal's life.
async fn server(database: &Database, vhost: &Vhost, cache: &[(&str, &str)]) -> Server {
    let url = vhost.url();
    let own = [("journal.backend", "rabbitmq"), ("journal.url", &*url), ("limits.requests_per_second", "0")];
    let settings = settings(&[&own, cache].concat());
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    Server::start_with(database, &settings).await
}

#[test]
fn two_processes_share_answers_and_lose_nothing_when_redis_goes() {
    scenario(async |test| {
        let (database, vhost) = (test.database().await, test.vhost().await);
        migrate(&database).await;
        let mut redis = Redis::start();
        let url = redis.url();
        let cache = [("cache.backend", "redis"), ("cache.url", &*url)];
        let (one, other) = (server(&database, &vhost, &cache).await, server(&database, &vhost, &cache).await);
        let token = policy::token("app_user", &json!({"sub": "ada", "name": "ada"}));
        let (here, there) =
            (Api::new(one.address(), Some(token.clone())), Api::new(other.address(), Some(token)));
        here.get("/v1/me").await.must(200);
        let board = here.board("Ferry").await;
        let path = format!("/v1/boards/{board}/categories");
        let name = here.post(&path, json!({"name": "0"})).await.must(201)["row"]["id"].clone();
        let category = format!("/v1/categories/{}", name.as_str().expect("an id"));
        let writer = here.apart();
        let mut written = 0;
        let mut write = async || {
            written += 1;
            writer.patch(&category, json!({"name": written.to_string()})).await.must(200);
            written
        };
        let processes = [&here, &there];
        eventually("the other finds what one has made", async || {
            shared(&other, processes, &path, &mut write).await.then_some(())
        })
        .await;

        test.expect_in_log("the cache is away");
        let stop = Arc::new(AtomicBool::new(false));
        let mut readers = JoinSet::new();
        for api in [here.apart(), there.apart(), here.apart(), there.apart()] {
            readers.spawn(read_on(api, path.clone(), stop.clone()));
        }
        write_on(&mut write, 15).await;
        redis.kill();
        // One that comes back within a second is never away: what was asked of it has waited, and is answered.
        eventually("it is noticed", async || {
            write().await;
            test.logged("the cache is away").then_some(())
        })
        .await;
        write_on(&mut write, 20).await;
        redis.resume();
        write_on(&mut write, 25).await;
        stop.store(true, Ordering::Relaxed);
        readers.join_all().await;
        let last = write().await;
        show(processes, &path, last).await;
        eventually("it is shared again", async || {
            shared(&other, processes, &path, &mut write).await.then_some(())
        })
        .await;
        assert!(test.logged("the cache is back"));
    });
}

/// Reads until it is told to stop.
async fn read_on(api: Api, path: String, stop: Arc<AtomicBool>) {
    let mut least = 0;
    while !stop.load(Ordering::Relaxed) {
        let read = api.get(&path).await.must(200);
        let name: u32 = read["rows"][0]["name"].as_str().expect("a name").parse().expect("a number");
        assert!(name >= least, "{name} after {least}: one process never goes back");
        least = name;
    }
}

async fn write_on(write: &mut impl AsyncFnMut() -> u32, times: usize) {
    for _ in 0..times {
        write().await;
    }
}

/// Waits until each process shows what was written.
async fn show(processes: [&Api; 2], path: &str, written: u32) {
    let written = json!(written.to_string());
    for process in processes {
        eventually("a process shows what was written", async || {
            let read = process.get(path).await.must(200);
            (read["rows"][0]["name"] == written).then_some(())
        })
        .await;
    }
}

/// Has something written, and tells whether one process has made the answer and the other has found it.
///
/// A process that shows it and has not found it has made it, and one recorder counts for both: without sharing it is two
/// at least. It may be two with sharing, where one asks just before the stream tells it of the change.
async fn shared(
    recorder: &Server,
    processes: [&Api; 2],
    path: &str,
    write: &mut impl AsyncFnMut() -> u32,
) -> bool {
    let made = recorder.metric("tidegate_read_misses_total").await;
    show(processes, path, write().await).await;
    recorder.metric("tidegate_read_misses_total").await - made <= 1.0
}
