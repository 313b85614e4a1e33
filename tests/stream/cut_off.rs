//! The slot's holder loses the broker, and nothing else: another process has both.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::audit::{Extent, audit, moment};
use super::house::{House, Process, timed};
use super::proxy::Proxy;
use crate::fixture::{eventually, scenario};
use crate::seam::load::{self, Load};
use crate::stage::lsn;

/// The holder tries for 5 s, and a server that waits for the slot looks every 750 ms at the latest; the rest is what a
/// machine with two cores takes under load.
const HANDED_OVER: Duration = Duration::from_secs(14);

#[test]
fn a_holder_that_has_lost_only_the_broker_leaves_the_slot_to_one_that_has_it() {
    scenario(async |_| {
        let mut house = House::build(0, load::SCHEMA, &[]).await;
        let proxy = Proxy::to(house.broker.port()).await;
        let direct = house.broker.url("/");
        let through = direct.replace(&format!(":{}/", house.broker.port()), &format!(":{}/", proxy.port()));
        for url in [&through, &direct] {
            house.add(&[
                ("postgres.tables", load::TABLES[0].1),
                ("journal.url", url),
                ("journal.confirm_delay_ms", "1000"),
            ]);
        }
        for server in &mut house.servers {
            server.start();
            server.ready().await;
        }
        assert_eq!(house.holder().await, 0, "the first one to start");
        let since = moment(&house.database).await;
        let load = Load::start_on(&house.database, &house.addresses());
        sleep_until(Instant::now() + Duration::from_secs(2)).await;

        let [cut_off, other] = &house.servers[..] else { panic!("two servers") };
        let opened = || cut_off.log().matches("the stream from PostgreSQL is open").count();
        let before = opened();
        let took = timed(async {
            // The holder lets go of the slot for a moment first, to have again what the broker has not confirmed: one that
            // waits for the slot may come in between. It is held back until the holder has the slot again.
            other.signal(Signal::STOP);
            proxy.cut();
            eventually("the holder has the slot again", async || (opened() > before).then_some(())).await;
            other.signal(Signal::CONT);
            eventually("the other takes the slot over", async || streams(other).await.then_some(())).await;
            other.comes_through(lsn(&house.database).await).await;
        });
        let took = took.await;
        println!("cut off from the broker: handed over in {took:?}");
        assert!(took < HANDED_OVER, "the slot was handed over in {took:?}, at most {HANDED_OVER:?}");
        // It has PostgreSQL, and does not take the slot back.
        assert!(!streams(cut_off).await);
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
        proxy.mend();
        let took = timed(cut_off.comes_through(lsn(&house.database).await)).await;
        println!("the line is mended: changes come through after {took:?}");
        assert!(streams(other).await && !streams(cut_off).await, "the slot stays where it is");

        let told = load.finish(&house.database).await;
        println!("{told:?}");
        println!("{:?}", audit(&house, since, Extent::Whole).await);
        assert_eq!(told.refusals, 0, "{told:?}");
        assert_eq!(house.logged("changes may have been missed"), 0, "nothing was lost");
        assert_eq!(house.logged("the slot is left to others"), 2, "by the relay and by the source, once");
        house.close().await;
    });
}

async fn streams(server: &Process) -> bool {
    server.metric("tidegate_source_streaming").await == Some(1.0)
}
