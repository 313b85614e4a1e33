//! One client that spreads over several processes.

use std::time::{Duration, Instant};

use crate::fixture::{Database, Redis, eventually, scenario};
use crate::server::Server;

const RATE: u32 = 20;
const LASTS: Duration = Duration::from_secs(8);

/// Asks both as fast as they answer; how often it was let in.
async fn hammer(servers: [&Server; 2]) -> u32 {
    let (until, mut admitted) = (Instant::now() + LASTS, 0);
    while Instant::now() < until {
        for server in servers {
            admitted += u32::from(server.get("/v1/nothing").await.is_some_and(|(status, _)| status == 404));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    admitted
}

async fn server(database: &Database, number: usize, cache: &[(&str, &str)]) -> Server {
    let slot = format!("{}_{number}", database.slot());
    let rate = RATE.to_string();
    let own = [
        ("postgres.slot", &*slot),
        ("limits.loopback", "true"),
        ("limits.requests_per_second", &rate),
        ("limits.requests_burst", &rate),
        ("limits.connections_per_second", "100000"),
        ("limits.connections_burst", "100000"),
    ];
    Server::start_with(database, &[&own, cache].concat()).await
}

#[test]
fn a_client_that_spreads_over_two_processes_has_what_one_would_give_it() {
    scenario(async |test| {
        let database = test.database().await;
        let mut redis = Redis::start();
        let url = redis.url();
        let prefix = format!("{}:", std::process::id());
        let cache = [("cache.backend", "redis"), ("cache.url", &*url), ("cache.prefix", &*prefix)];
        let (one, other) = (server(&database, 1, &cache).await, server(&database, 2, &cache).await);
        let seconds = u32::try_from(LASTS.as_secs()).expect("some");
        let shared = hammer([&one, &other]).await;
        println!("{shared} of at most {} by one process's limit", RATE * (seconds + 1));
        // A burst of each, a second of each, and from then on what one gives; a machine that has little time gives less.
        assert!(shared <= RATE * (seconds + 5), "{shared}");
        assert!(shared >= RATE * seconds / 2, "{shared}: it is let in at all");

        redis.kill();
        for server in [&one, &other] {
            let let_in = async || {
                let answer = server.get("/v1/nothing").await;
                answer.is_some_and(|(status, _)| status == 404).then_some(())
            };
            eventually("what it had too much of is paid for", let_in).await;
        }
        let alone = hammer([&one, &other]).await;
        println!("{alone} without Redis");
        assert!(alone > RATE * seconds * 3 / 2, "{alone}: each limits by itself, and none waits for Redis");
    });
}
