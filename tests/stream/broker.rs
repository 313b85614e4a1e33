//! What a broker may do to the servers: freeze, run out of disk, refuse, hold something else, forget.

use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use super::cards::{CARDS, follow, follow_each, mirror, settle, write};
use super::house::House;
use crate::fixture::{copy_files, eventually, scenario};

const SETTINGS: [(&str, &str); 2] =
    [("postgres.tables", r#"["public.cards"]"#), ("journal.confirm_delay_ms", "3000")];

pub(super) async fn amqp(house: &House) -> (Connection, lapin::Channel) {
    let url = house.broker.url("/");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("it runs");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

#[test]
fn a_broker_that_freezes_for_half_a_minute_costs_nothing_but_the_time() {
    scenario(async |_| {
        let house = House::open(2, CARDS, &SETTINGS).await;
        let mut mirrors = [mirror(), mirror()];
        let mut clients = follow_each(&house, &mut mirrors).await;
        write(&house, "before", 10).await;
        house.broker.pause().expect("ours");
        write(&house, "frozen", 30).await;
        sleep_until(Instant::now() + Duration::from_secs(30)).await;
        house.broker.unpause().expect("ours");
        write(&house, "after", 10).await;
        for (client, mirror) in clients.iter_mut().zip(&mut mirrors) {
            settle(&house.database, client, mirror).await;
            assert_eq!((mirror.snapshots, mirror.resyncs.len()), (1, 0), "{:?}", mirror.resyncs);
        }
        house.close().await;
    });
}

#[test]
fn a_disk_alarm_has_the_journal_wait_and_says_so() {
    scenario(async |_| {
        let house = House::open(1, CARDS, &SETTINGS).await;
        let mut mirror = mirror();
        let mut client = follow(&house, 0, &mut mirror).await;
        block_in_place(|| house.broker.ctl(&["set_disk_free_limit", "999GB"])).expect("it takes it");
        let blocked = async || {
            write(&house, "alarm", 1).await;
            (house.servers[0].metric("tidegate_journal_blocked").await == Some(1.0)).then_some(())
        };
        eventually("the broker takes no messages", blocked).await;
        assert!(house.logged("takes no messages for want of disk or memory") >= 1);
        write(&house, "meanwhile", 40).await;
        block_in_place(|| house.broker.ctl(&["set_disk_free_limit", "50MB"])).expect("it takes it");
        settle(&house.database, &mut client, &mut mirror).await;
        assert_eq!(house.servers[0].metric("tidegate_journal_blocked").await, Some(0.0));
        assert_eq!((mirror.snapshots, mirror.resyncs.len()), (1, 0), "{:?}", mirror.resyncs);
        house.close().await;
    });
}

#[test]
fn a_user_without_permission_is_told_so_and_let_in_without_a_restart() {
    scenario(async |_| {
        let mut house = House::build(1, CARDS, &SETTINGS).await;
        let user = house.broker.address().user().to_owned();
        let set = |rights: &str| {
            let arguments = ["set_permissions", "-p", "/", &user, rights, rights, rights];
            block_in_place(|| house.broker.ctl(&arguments)).expect("it takes it");
        };
        set("^$");
        house.servers[0].start();
        eventually("the log says what is refused", async || {
            let text = house.servers[0].log();
            (text.contains("may not configure, write and read") && text.contains("ACCESS_REFUSED"))
                .then_some(())
        })
        .await;
        set(".*");
        house.servers[0].ready().await;
        let mut mirror = mirror();
        let mut client = follow(&house, 0, &mut mirror).await;
        write(&house, "allowed", 3).await;
        settle(&house.database, &mut client, &mut mirror).await;
        house.close().await;
    });
}

#[test]
fn a_stream_with_other_arguments_is_named_and_used_once_it_is_mended() {
    scenario(async |_| {
        let mut house = House::build(1, CARDS, &SETTINGS).await;
        let (_connection, channel) = amqp(&house).await;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        arguments.insert("x-max-age".into(), AMQPValue::LongString("5m".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("tidegate.journal".into(), durable, arguments).await.expect("it is made");
        house.servers[0].start();
        eventually("the log says what differs", async || {
            let text = house.servers[0].log();
            (text.contains("inequivalent arg") && text.contains("journal.retention_age_ms")).then_some(())
        })
        .await;
        channel
            .queue_delete("tidegate.journal".into(), QueueDeleteOptions::default())
            .await
            .expect("it goes");
        house.servers[0].ready().await;
        house.close().await;
    });
}

#[test]
fn a_stream_that_is_deleted_has_everybody_start_over_and_nobody_miss_anything() {
    scenario(async |_| {
        let house = House::open(2, CARDS, &SETTINGS).await;
        let mut mirrors = [mirror(), mirror()];
        let mut clients = follow_each(&house, &mut mirrors).await;
        write(&house, "before", 10).await;
        let (_connection, channel) = amqp(&house).await;
        channel
            .queue_delete("tidegate.journal".into(), QueueDeleteOptions::default())
            .await
            .expect("it goes");
        write(&house, "after", 30).await;
        for (client, mirror) in clients.iter_mut().zip(&mut mirrors) {
            settle(&house.database, client, mirror).await;
            assert!(mirror.resyncs.contains_key("source_reset"), "{:?}", mirror.resyncs);
        }
        house.close().await;
    });
}

#[test]
fn what_a_broker_has_forgotten_of_the_last_seconds_is_filled_in_again() {
    scenario(async |_| {
        let mut house = House::open(2, CARDS, &SETTINGS).await;
        let mut mirrors = [mirror(), mirror()];
        let mut client = follow(&house, 0, &mut mirrors[0]).await;
        write(&house, "kept", 10).await;
        settle(&house.database, &mut client, &mut mirrors[0]).await;
        drop(client);
        mirrors[0].cut();
        // As after a loss of power: what the broker had said was safe was not on its disk.
        let (data, copy) = (house.broker.data(), house.broker.folder().join("copy"));
        block_in_place(|| copy_files(&data, &copy));
        let mut client = follow(&house, 1, &mut mirrors[1]).await;
        write(&house, "forgotten", 15).await;
        settle(&house.database, &mut client, &mut mirrors[1]).await;
        block_in_place(|| {
            house.broker.kill().expect("ours");
            std::fs::remove_dir_all(&data).expect("ours");
            copy_files(&copy, &data);
            house.broker.resume().expect("it takes the copy");
        });
        write(&house, "after", 5).await;
        settle(&house.database, &mut client, &mut mirrors[1]).await;
        // Whoever reads the stream from before finds all of it, in one piece.
        let mut returns = follow(&house, 0, &mut mirrors[0]).await;
        settle(&house.database, &mut returns, &mut mirrors[0]).await;
        assert_eq!(house.logged("changes may have been missed"), 0, "it was filled in");
        assert_eq!(house.logged("the journal begins"), 1, "in the same life");
        assert!(house.logged("lost its place") >= 1, "the servers noticed");
        house.close().await;
    });
}
