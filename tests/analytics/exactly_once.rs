//! Counters over kills: of whoever keeps them, of PostgreSQL, of the broker.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::work::{BEGINNING, is_counted, work};
use crate::app::house::{KEY, migrate};
use crate::fixture::{eventually, scenario};
use crate::stream::house::House;

const SETTINGS: [(&str, &str); 5] = [
    ("app.enabled", "true"),
    ("app.contact_keys", KEY),
    ("analytics.interval_ms", "20"),
    ("journal.confirm_delay_ms", "1000"),
    ("auth.mode", "none"),
];

#[test]
fn each_change_counts_once_whoever_is_killed_when() {
    scenario(async |_| {
        let mut house = House::build(2, "select 1", &SETTINGS).await;
        migrate(&house.database).await;
        house.database.execute(BEGINNING).await;
        for server in &mut house.servers {
            server.start();
            server.ready().await;
        }
        let writing = CancellationToken::new();
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (client, writing) = (house.database.client().await, writing.clone());
            writers.spawn(async move {
                while !writing.is_cancelled() {
                    work(&client, 10).await.expect("valid SQL");
                }
            });
        }
        for round in 0..8 {
            sleep(Duration::from_millis(fastrand::u64(500..2_500))).await;
            if round == 4 {
                house.crash_broker();
                continue;
            }
            let keeper = eventually("one process keeps the counters", async || {
                for (index, server) in house.servers.iter().enumerate() {
                    if server.metric("tidegate_kpi_keeper").await == Some(1.0) {
                        return Some(index);
                    }
                }
                None
            })
            .await;
            let killed = if round % 3 == 2 { 1 - keeper } else { keeper };
            house.servers[killed].kill().await;
            sleep(Duration::from_millis(fastrand::u64(0..1_000))).await;
            house.servers[killed].start();
            house.servers[killed].ready().await;
        }
        writing.cancel();
        while let Some(ended) = writers.join_next().await {
            ended.expect("no panic");
        }
        eventually("counters are what the tables come to", async || {
            is_counted(&house.database).await.then_some(())
        })
        .await;
        let counted = house.logged("measures were counted");
        let cards = house.database.number("select count(*) from public.entries").await;
        let counters = house.database.number("select count(*) from app.kpi_counters").await;
        println!("{cards} cards, {counters} counters; counted {counted} times");
        assert_eq!(counted, 1, "whoever came next went on where the last one stood");
        house.close().await;
    });
}
