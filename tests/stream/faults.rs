//! Every part is killed in the middle of a load, alone and in pairs.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::audit::{Extent, audit, moment};
use super::house::{House, timed};
use crate::fixture::{eventually, scenario};
use crate::seam::load::{self, Load};
use crate::stage::lsn;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Holder,
    Hub,
    Broker,
    Postgresql,
    HolderAndBroker,
    HolderAndPostgresql,
    BrokerAndPostgresql,
    Frozen,
}

const FAULTS: [Fault; 8] = [
    Fault::Holder,
    Fault::Broker,
    Fault::Hub,
    Fault::Postgresql,
    Fault::Frozen,
    Fault::HolderAndBroker,
    Fault::HolderAndPostgresql,
    Fault::BrokerAndPostgresql,
];

/// `source.wal_sender_timeout_ms` of the servers.
const WAL_SENDER_TIMEOUT: Duration = Duration::from_secs(2);
/// A server that waits for the slot looks at it every 750 ms at the latest; the rest is what a machine with two cores takes
/// under load.
const MARGIN: Duration = Duration::from_millis(750 + 1_750);
/// How long changes may stay away after the slot's holder was killed.
const KILLED: Duration = Duration::from_secs(5);

const SETTINGS: [(&str, &str); 5] = [
    ("postgres.tables", r#"["public.cards","public.ticks"]"#),
    ("source.wal_sender_timeout_ms", "2000"),
    ("source.status_interval_ms", "300"),
    ("journal.confirm_delay_ms", "1000"),
    ("shutdown.grace_ms", "2000"),
];

/// A fault, and the recovery of what it took away.
///
/// Of a holder that is frozen, gives how long the others were without changes.
async fn strike(house: &mut House, fault: Fault) -> Option<Duration> {
    let holder = house.holder().await;
    match fault {
        Fault::Holder => house.servers[holder].kill().await,
        Fault::Hub => {
            let hub = (holder + 1) % house.servers.len();
            house.servers[hub].kill().await;
        }
        Fault::Broker => house.crash_broker(),
        Fault::Postgresql => house.crash_postgresql(),
        Fault::HolderAndBroker => {
            house.servers[holder].kill().await;
            house.crash_broker();
        }
        Fault::HolderAndPostgresql => {
            house.servers[holder].kill().await;
            house.crash_postgresql();
        }
        Fault::BrokerAndPostgresql => {
            house.broker.kill().expect("ours");
            house.crash_postgresql();
            house.broker.resume().expect("it recovers");
        }
        Fault::Frozen => {
            house.servers[holder].signal(Signal::STOP);
            let handed_over = timed(handed_over(house, holder)).await;
            // Time enough for much that it will have to say when it wakes, and that is not to count.
            sleep_until(Instant::now() + Duration::from_secs(1)).await;
            house.servers[holder].signal(Signal::CONT);
            return Some(handed_over);
        }
    }
    None
}

/// Until another server holds the slot, and what was committed before that has come through to it.
async fn handed_over(house: &House, holder: usize) {
    let others: Vec<_> = (0..house.servers.len()).filter(|index| *index != holder).collect();
    eventually("another takes the slot over", async || {
        for other in &others {
            if house.servers[*other].metric("tidegate_source_streaming").await == Some(1.0) {
                return Some(());
            }
        }
        None
    })
    .await;
    let end = lsn(&house.database).await;
    for other in others {
        house.servers[other].comes_through(end).await;
    }
}

/// Until what is committed now has come through to a client of each server that runs.
async fn flows(house: &House) {
    let end = lsn(&house.database).await;
    for server in house.servers.iter().filter(|server| server.runs()) {
        server.comes_through(end).await;
    }
}

#[test]
fn whatever_is_killed_in_mid_load_every_reader_ends_with_what_postgresql_holds() {
    scenario(async |_| {
        let mut house = House::open(3, load::SCHEMA, &SETTINGS).await;
        let since = moment(&house.database).await;
        let load = Load::start_on(&house.database, &house.addresses());
        let mut handovers = Vec::new();
        for fault in FAULTS {
            sleep_until(Instant::now() + Duration::from_secs(2)).await;
            let handed_over = strike(&mut house, fault).await;
            let took = timed(flows(&house)).await;
            println!("{fault:?}: changes come through after {took:?}, handed over in {handed_over:?}");
            handovers.push((fault, handed_over.unwrap_or(took)));
            for server in &mut house.servers {
                if !server.runs() {
                    server.start();
                }
            }
        }
        sleep_until(Instant::now() + Duration::from_secs(2)).await;
        let told = load.finish(&house.database).await;
        println!("{} faults, {told:?}", FAULTS.len());
        println!("{:?}", audit(&house, since, Extent::Whole).await);
        for (fault, took) in handovers {
            let most = match fault {
                Fault::Holder => KILLED,
                Fault::Frozen => WAL_SENDER_TIMEOUT + MARGIN,
                // Others wait for a broker or a PostgreSQL that starts.
                _ => continue,
            };
            assert!(took < most, "{fault:?}: the slot was handed over in {took:?}, at most {most:?}");
        }
        assert!(told.resumes > 50 && told.transactions > 1_000, "{told:?}");
        // A snapshot that was cut short is begun again, and a table is truncated now and then; no cursor is refused.
        assert_eq!(told.refusals, 0, "{told:?}");
        for reason in ["cursor_expired", "cursor_invalid", "slow_reader"] {
            assert_eq!(told.resyncs.get(reason), None, "{told:?}");
        }
        assert_eq!(house.logged("changes may have been missed"), 0, "nothing was lost");
        assert_eq!(house.logged("lost its place"), 0, "the stream holds what it held");
        house.close().await;
    });
}
