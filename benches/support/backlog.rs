//! A slot's backlog of rows, and who reads it.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tidegate::cli::demo::cluster::Binaries;
use tidegate::config::Config;
use tidegate::event::{Lsn, Table};
use tidegate::filter;
use tidegate::hub::{self, Attach, Batch, Outbox, Projection, ReaderKey, Rows, Selection};
use tidegate::postgres::catalog;
use tidegate::postgres::publication::{self, Patterns};
use tidegate::protocol::Delivery;
use tidegate::shutdown::Scope;
use tokio_postgres::Client;

use super::database::Database;
use super::measure::Stopwatch;

pub(crate) const PUBLICATION: &str = "bench";
pub(crate) const SHAPES: u64 = 100;

/// What is read.
pub(crate) struct Content {
    pub(crate) name: &'static str,
    pub(crate) rows: u64,
    /// Inserts rows from `$first` on.
    sql: &'static str,
}

/// Every row matches one of the shapes: `board_id` runs over their numbers.
pub(crate) const CONTENTS: [Content; 3] = [
    Content {
        name: "1 transaction of 1,000,000",
        rows: 1_000_000,
        sql: "insert into public.entries
            select id, id % 100, 'entry ' || id, repeat(md5(id::text), 2), 'open', id / 2.0
            from generate_series($first, $first + 999999) as id",
    },
    Content {
        name: "100,000 transactions of 10",
        rows: 1_000_000,
        sql: "do $$ begin for t in 0..99999 loop
            insert into public.entries
                select id, id % 100, 'entry ' || id, repeat(md5(id::text), 2), 'open', id / 2.0
                from generate_series($first + t * 10, $first + t * 10 + 9) as id;
            commit;
            end loop; end $$",
    },
    Content {
        name: "200,000 transactions of 1",
        rows: 200_000,
        sql: "do $$ begin for id in $first..$first + 199999 loop
            insert into public.entries
                values (id, id % 100, 'entry ' || id, repeat(md5(id::text), 2), 'open', id / 2.0);
            commit;
            end loop; end $$",
    },
];

/// Publishes the one table.
pub(crate) async fn publish(client: &mut Client) {
    let publication = publication::Config {
        publication: PUBLICATION.to_owned(),
        tables: Patterns::parse(["public.*"]).expect("a pattern"),
    };
    let report = publication::ensure(client, &publication).await.expect("a fresh database");
    assert_eq!(report.added.len(), 1, "the one table is published");
}

/// The tables by oid, as the catalog has them.
pub(crate) async fn tables(client: &mut Client) -> HashMap<u32, Arc<Table>> {
    let catalog = catalog::load(client, PUBLICATION).await.expect("a published table");
    catalog.tables().into_iter().map(|table| (table.oid, table.clone())).collect()
}

/// Writes the content behind a slot of its own, and one more row that shows its end.
pub(crate) async fn write(client: &Client, content: &Content, index: usize) -> Lsn {
    let first = index * 10_000_000;
    let slot = "select pg_create_logical_replication_slot('origin', 'pgoutput')";
    client.execute(slot, &[]).await.expect("a free slot");
    client.batch_execute("set synchronous_commit = off").await.expect("a setting");
    client.batch_execute(&content.sql.replace("$first", &first.to_string())).await.expect("rows");
    let end = client.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("a position");
    let behind = format!("insert into public.entries values ({}, -1, '', '', '', 0)", first + 9_999_999);
    client.batch_execute(&behind).await.expect("one more row");
    client.batch_execute("checkpoint").await.expect("a superuser");
    end.get::<_, String>(0).parse().expect("a position")
}

/// One connection with a subscription to each shape.
pub(crate) async fn attach(
    hub: &hub::Handle,
    tables: &HashMap<u32, Arc<Table>>,
    config: &Config,
) -> Arc<Outbox> {
    let table = tables.values().next().expect("the one table");
    let projection = Arc::new(Projection::new(table, (0..table.columns.len()).collect()));
    let outbox = Arc::new(Outbox::new(config.session.outbox_bytes * 64));
    for board in 0..SHAPES {
        let parsed = filter::parse(&format!("board_id = {board}"), &[]).expect("a filter");
        let filter = parsed.bind(table).and_then(|bound| bound.resolve(&[])).expect("its column is there");
        let rows =
            Rows::new(table.clone(), Some(Arc::new(filter)), projection.clone(), Delivery::Every, None);
        let key = ReaderKey(u32::try_from(board).expect("few"));
        // Records come in meanwhile: what was the end a moment ago may not be any more.
        loop {
            let here = hub.here();
            match hub.attach(Selection::Rows(rows.clone()), outbox.clone(), key, here).await {
                Ok(Attach::Live) => break,
                Ok(_) => {}
                Err(error) => panic!("the hub runs: {error:?}"),
            }
        }
    }
    outbox
}

/// Takes what is offered and drops it.
pub(crate) async fn read(outbox: Arc<Outbox>, scope: Scope) {
    let mut batch = Batch::default();
    loop {
        tokio::select! {
            () = scope.closing() => return,
            () = outbox.filled() => {}
        }
        outbox.take(&mut batch);
        outbox.written(&batch.entries);
        batch.entries.clear();
        batch.notes.clear();
    }
}

/// `pg_recvlogical` to `/dev/null`, with the options that the source asks for.
pub(crate) fn recvlogical(url: &str, slot: &str, end: Lsn) -> Duration {
    let program = Binaries::find(None).expect("PostgreSQL is installed").folder().join("pg_recvlogical");
    let stopwatch = Stopwatch::start();
    let status = Command::new(program)
        .args(["--start", "--no-loop", "--file=/dev/null", "--option=proto_version=1"])
        .args(["--option=messages=true", &format!("--option=publication_names={PUBLICATION}")])
        .args([&format!("--dbname={url}"), &format!("--slot={slot}"), &format!("--endpos={end}")])
        .status();
    assert!(
        status.expect("PostgreSQL brings it").success(),
        "pg_recvlogical failed: its own words are above"
    );
    stopwatch.stop().wall
}

/// The peer that `TIDEGATE_PEER_DEBEZIUM` names, on a slot of its own.
pub(crate) async fn peer(database: &Database, client: &Client, content: &Content) {
    let program = std::env::var_os("TIDEGATE_PEER_DEBEZIUM")
        .expect("with --debezium, TIDEGATE_PEER_DEBEZIUM names the program that runs it");
    let slot = copy_slot(client, "peer").await;
    let port = database.cluster.address().port().expect("it runs").to_string();
    println!("{}, Debezium:", content.name);
    let status = Command::new(program)
        .args(["127.0.0.1", &port, "postgres", "bench", &slot, PUBLICATION, &content.rows.to_string()])
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("it can be run").success(), "Debezium failed: its own words are above");
    drop_slot(client, &slot).await;
}

/// A slot of the same content.
pub(crate) async fn copy_slot(client: &Client, name: &str) -> String {
    let copy = "select pg_copy_logical_replication_slot('origin', $1)";
    client.execute(copy, &[&name]).await.expect("a free slot");
    name.to_owned()
}

/// Drops a slot as soon as its walsender is gone.
pub(crate) async fn drop_slot(client: &Client, name: &str) {
    let drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_name = $1 and not active";
    while client.execute(drop, &[&name]).await.expect("a superuser") == 0 {
        tokio::task::yield_now().await;
    }
}
