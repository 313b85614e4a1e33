//! Each of a broker's refusals in the middle of a load: what was refused comes again, and the stream has no hole.

use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use super::audit::{Extent, audit, moment};
use super::broker::amqp;
use super::cards::{CARDS, follow_each, mirror, settle, write};
use super::house::House;
use crate::fixture::{eventually, scenario};
use crate::seam::load::{self, Load};
use crate::stage::lsn;

/// What a broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// An operator closes all connections (320).
    ConnectionsClosed,
    /// Messages on their way are said not to be stored.
    Nack,
    /// Channels crash within the broker, and take their connections with them (541).
    ChannelsCrash,
    /// The exchange for services is gone: its channel is closed (404).
    ExchangeDeleted,
    /// The user may not write any more: the channel that tries is closed (403).
    Forbidden,
    /// Memory is short: connections are blocked.
    MemoryAlarm,
}

const REFUSALS: [Refusal; 7] = [
    Refusal::ConnectionsClosed,
    Refusal::Nack,
    Refusal::ChannelsCrash,
    Refusal::ExchangeDeleted,
    Refusal::Forbidden,
    Refusal::MemoryAlarm,
    Refusal::ConnectionsClosed,
];

/// A stream's messages are not refused by RabbitMQ 3.10 itself: those on their way when their stream is deleted it even
/// confirms. So the broker's own end of the journal's channel is told to send what it would for another kind of queue: «all
/// that is unconfirmed is not stored». Something is on its way for some of the time only; so it is said again and again.
const NACK_ALL: &str = "
    IsTheJournals = fun(Channel) ->
        [{connection, Connection}] = rabbit_channel:info(Channel, [connection]),
        [{client_properties, Properties}] = rabbit_reader:info(Connection, [client_properties]),
        {_, _, Name} = lists:keyfind(<<\"connection_name\">>, 1, Properties),
        Name =:= <<\"tidegate journal writer\">>
    end,
    Writers = [Writer || Channel <- rabbit_channel:list_local(),
        (catch IsTheJournals(Channel)) =:= true,
        {dictionary, Dictionary} <- [erlang:process_info(Channel, dictionary)],
        {'$ancestors', [Supervisor | _]} <- Dictionary,
        {writer, Writer, _, _} <- supervisor2:which_children(Supervisor)],
    [begin
        [rabbit_writer:send_command(Writer, {'basic.nack', 0, true, false}) || Writer <- Writers],
        timer:sleep(5)
    end || _ <- lists:seq(1, 100)],
    length(Writers).";

const CRASH_CHANNELS: &str = "length([exit(Channel, kill) || Channel <- rabbit_channel:list_local()]).";

/// What the servers say that the broker has said.
const fn said(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::ConnectionsClosed => "CONNECTION_FORCED",
        Refusal::Nack => "the broker has not stored a message",
        Refusal::ChannelsCrash => "INTERNAL_ERROR",
        Refusal::ExchangeDeleted => "NOT_FOUND",
        Refusal::Forbidden => "ACCESS_REFUSED",
        Refusal::MemoryAlarm => "takes no messages for want of disk or memory",
    }
}

fn ctl(house: &House, arguments: &[&str]) {
    block_in_place(|| house.broker.ctl(arguments)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
}

/// What the administrator may write.
fn let_write(house: &House, what: &str) {
    let user = house.broker.address().user();
    ctl(house, &["set_permissions", "-p", "/", user, ".*", what, ".*"]);
}

/// Refuses, until a server has noticed, and mends it again.
async fn strike(house: &House, refusal: Refusal) {
    let before = house.logged(said(refusal));
    match refusal {
        Refusal::ConnectionsClosed => ctl(house, &["close_all_connections", "the test"]),
        Refusal::Nack => {
            eventually("it falls on messages that are on their way", async || {
                ctl(house, &["eval", NACK_ALL]);
                (house.logged(said(refusal)) > before).then_some(())
            })
            .await;
        }
        Refusal::ChannelsCrash => ctl(house, &["eval", CRASH_CHANNELS]),
        Refusal::ExchangeDeleted => {
            let (_connection, channel) = amqp(house).await;
            let deleted =
                channel.exchange_delete("tidegate.changes".into(), ExchangeDeleteOptions::default()).await;
            deleted.expect("it goes");
        }
        Refusal::Forbidden => {
            let_write(house, "^$");
            // A channel remembers for a while what it may.
            ctl(house, &["close_all_connections", "the test"]);
        }
        Refusal::MemoryAlarm => ctl(house, &["set_vm_memory_high_watermark", "0"]),
    }
    eventually("a server has noticed", async || (house.logged(said(refusal)) > before).then_some(())).await;
    match refusal {
        Refusal::Forbidden => let_write(house, ".*"),
        Refusal::MemoryAlarm => ctl(house, &["set_vm_memory_high_watermark", "0.4"]),
        _ => {}
    }
}

#[test]
fn whatever_a_broker_refuses_in_mid_load_comes_again_and_leaves_no_hole() {
    scenario(async |_| {
        let settings = [load::TABLES[0], ("exchange.enabled", "true"), ("journal.confirm_delay_ms", "1000")];
        let house = House::open(2, load::SCHEMA, &settings).await;
        let since = moment(&house.database).await;
        let load = Load::start_on(&house.database, &house.addresses());
        for refusal in REFUSALS {
            sleep_until(Instant::now() + Duration::from_secs(2)).await;
            let began = Instant::now();
            strike(&house, refusal).await;
            let (end, since) = (lsn(&house.database).await, Instant::now());
            for server in &house.servers {
                server.comes_through(end).await;
            }
            println!(
                "{refusal:?} took {:?}: changes come through after {:?}",
                since - began,
                since.elapsed()
            );
        }
        let told = load.finish(&house.database).await;
        println!("{} refusals, {told:?}", REFUSALS.len());
        println!("{:?}", audit(&house, since, Extent::Whole).await);
        assert_eq!(told.refusals, 0, "{told:?}");
        assert_eq!(house.logged("changes may have been missed"), 0, "nothing was lost");
        assert_eq!(house.logged("lost its place"), 0, "the stream holds what it held");
        house.close().await;
    });
}

#[test]
fn a_stream_that_is_deleted_in_mid_load_begins_anew_without_a_hole() {
    scenario(async |_| {
        let settings = [load::TABLES[0], ("journal.confirm_delay_ms", "1000")];
        let house = House::open(2, load::SCHEMA, &settings).await;
        let since = moment(&house.database).await;
        let load = Load::start_on(&house.database, &house.addresses());
        for _ in 0..3 {
            sleep_until(Instant::now() + Duration::from_secs(3)).await;
            let (_connection, channel) = amqp(&house).await;
            let deleted =
                channel.queue_delete("tidegate.journal".into(), QueueDeleteOptions::default()).await;
            deleted.expect("it goes");
        }
        sleep_until(Instant::now() + Duration::from_secs(3)).await;
        let told = load.finish(&house.database).await;
        println!("{told:?}");
        println!("{:?}", audit(&house, since, Extent::Tail).await);
        let returned = house.logged("the broker has returned a message");
        println!("messages were returned {returned} times");
        // The load truncates: whoever comes between that and the catalog's next look has other storage before it.
        let known = ["source_reset", "schema_changed"];
        assert!(told.resyncs.keys().all(|reason| known.contains(&&**reason)), "{told:?}");
        house.close().await;
    });
}

#[test]
fn a_channel_that_the_broker_closes_under_the_writer_is_opened_again_once_it_may() {
    scenario(async |_| {
        let settings = [("postgres.tables", r#"["public.cards"]"#), ("journal.confirm_delay_ms", "1000")];
        let house = House::open(2, CARDS, &settings).await;
        let mut mirrors = [mirror(), mirror()];
        let mut clients = follow_each(&house, &mut mirrors).await;
        write(&house, "before", 10).await;
        let_write(&house, "^$");
        // What a channel may it forgets when it has had nothing to do for a second or so.
        eventually("the channel is closed", async || {
            sleep_until(Instant::now() + Duration::from_secs(3)).await;
            write(&house, "refused", 1).await;
            (house.logged("the journal cannot be written") > 0).then_some(())
        })
        .await;
        assert!(house.logged("ACCESS_REFUSED") > 0);
        write(&house, "meanwhile", 10).await;
        let_write(&house, ".*");
        write(&house, "after", 10).await;
        for (client, mirror) in clients.iter_mut().zip(&mut mirrors) {
            settle(&house.database, client, mirror).await;
            assert_eq!((mirror.snapshots, mirror.resyncs.len()), (1, 0), "{:?}", mirror.resyncs);
        }
        assert_eq!(house.logged("changes may have been missed"), 0, "nothing was lost");
        house.close().await;
    });
}
