//! A private PostgreSQL with the one table that all benches write to.

use tidegate::cli::demo::cluster::{Cluster, Options};
use tidegate::shutdown::Scope;
use tokio_postgres::{Client, NoTls};

/// The name of the database.
const NAME: &str = "bench";
/// Rows of about 160 bytes. Full images, since filters on `board_id` are judged on old rows too.
const SCHEMA: &str = "
    create table public.entries (
        id bigint primary key,
        board_id bigint not null,
        title text not null,
        body text not null,
        status text not null,
        position double precision not null,
        updated_at timestamptz not null default clock_timestamp()
    );
    alter table public.entries replica identity full;
";

/// A cluster of its own, gone with its value.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) cluster: Cluster,
}

impl Database {
    /// Starts a cluster and makes the table.
    pub(crate) async fn start() -> Self {
        let cluster = tokio::task::spawn_blocking(|| Cluster::start(&options())).await;
        let cluster = cluster.expect("no panic").expect("PostgreSQL is installed");
        let postgres = connect(&cluster.url("postgres")).await;
        postgres.batch_execute(&format!("create database {NAME}")).await.expect("a fresh cluster");
        let database = Self { cluster };
        database.client().await.batch_execute(SCHEMA).await.expect("a fresh database");
        database
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url(NAME)
    }

    pub(crate) async fn client(&self) -> Client {
        connect(&self.url()).await
    }
}

fn options() -> Options {
    let settings = [
        // What is measured is ours; the disk is not.
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "16GB"),
        ("checkpoint_timeout", "1h"),
        ("autovacuum", "off"),
        ("jit", "off"),
        // A bare reader does not answer keepalives.
        ("wal_sender_timeout", "0"),
    ];
    settings.into_iter().fold(Options::default(), |options, (name, value)| options.with(name, value))
}

/// A connection, driven by a task.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the cluster runs");
    Scope::new().spawn("postgres", async move { drop(connection.await) });
    client
}
