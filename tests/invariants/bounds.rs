//! Invariant 7: nothing is unbounded.

use tokio_util::sync::CancellationToken;

use super::{CARDS, Reader, SMALL, cards, flood};
use crate::fixture::scenario;
use crate::server::Server;

#[test]
fn nothing_is_unbounded_and_who_falls_behind_comes_up_again() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        let server = Server::start_with(&database, &SMALL).await;
        let mut slow = Reader::live(&server, cards()).await;
        let before = server.metric("tidegate_session_slow_readers_total").await;
        // It reads nothing while this is written.
        flood(&database).await;
        // What its outbox and its socket do not hold is in the journal, and nowhere else.
        assert!(
            server.metric("tidegate_session_slow_readers_total").await > before,
            "its outbox was never full"
        );
        slow.catch_up(&database).await;
        assert_eq!((slow.ids().len(), slow.mirror.transactions), (4_000, 40));
        assert!(slow.mirror.resyncs.is_empty(), "the journal has it all: {:?}", slow.mirror.resyncs);
    });
}

#[test]
fn nothing_is_unbounded_and_who_falls_behind_the_journal_starts_over() {
    const MEGABYTE: u32 = 1 << 20;
    scenario(async |test| {
        test.expect_in_log("a snapshot took longer than the journal reaches back");
        let database = test.database().await;
        database.execute(CARDS).await;
        let small = [
            ("journal.memory_bytes", "1048576"),
            ("journal.held_bytes", "1048576"),
            ("hub.transaction_bytes", "1048576"),
        ];
        let server = Server::start_with(&database, &[&SMALL[..], &small].concat()).await;
        let mut slow = Reader::live(&server, cards()).await;
        let stop = CancellationToken::new();
        let watch = async {
            let mut most = 0.0_f64;
            while !stop.is_cancelled() {
                most = most.max(server.metric("tidegate_journal_bytes").await);
            }
            most
        };
        let write = async {
            // Many times as much as sockets and journal hold together.
            for _ in 0..3 {
                database.execute("delete from cards").await;
                flood(&database).await;
            }
            stop.cancel();
        };
        let (most, ()) = tokio::join!(watch, write);
        assert!(most > 0.0 && most <= f64::from(2 * MEGABYTE), "the journal held {most} bytes");
        slow.catch_up(&database).await;
        assert_eq!(slow.ids().len(), 4_000);
        let told: Vec<_> = slow.mirror.resyncs.keys().map(String::as_str).collect();
        assert_eq!(told, ["slow_reader"], "it was told to start over, and why");
    });
}
