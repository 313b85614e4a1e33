//! Reads on a server that follows the primary, and lags.

use hyper::Method;
use serde_json::json;
use tidegate::shutdown::Scope;
use tokio_postgres::NoTls;

use super::house::{Api, App};
use crate::client::Client;
use crate::fixture::{Database, eventually, private, private_standby, scenario};

#[test]
fn who_has_written_reads_it_however_far_the_replica_lags() {
    scenario(async |_| {
        let primary = tokio::task::spawn_blocking(|| private(&[])).await.expect("no panic");
        let standby = private_standby(&primary);
        let database = Database::create_on(primary.address()).await;
        let app_database = Database::create_on(primary.address()).await;
        let replicas = json!([standby.url(app_database.name())]).to_string();
        let more = [
            ("postgres.replica_urls", &*replicas),
            ("limits.requests_per_second", "0"),
            ("cache.rows_ms", "0"),
        ];
        let (replica, line) =
            tokio_postgres::connect(&standby.url("postgres"), NoTls).await.expect("it is up");
        let scope = Scope::new();
        scope.spawn("replica", async move { drop(line.await) });
        let follows = async || {
            let lsn = database.number("select (pg_current_wal_lsn() - '0/0')::bigint").await;
            let behind = async || {
                let sql = "select coalesce((pg_last_wal_replay_lsn() - '0/0')::bigint, 0)";
                let reached: i64 = replica.query_one(sql, &[]).await.expect("it is up").get(0);
                (reached >= lsn).then_some(())
            };
            eventually("the standby follows", behind).await;
        };
        follows().await;
        let app = App::start_with(app_database, &more).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "0"})).await;
        let path = format!("/v1/entries/{entry}");
        let ben = app.person("ben").await;
        ada.admit(&board, "ben", "member").await;
        ben.patch("/v1/me/contact", json!({"phone": "+49 40 1234"})).await.must(200);
        ben.put(&format!("/v1/boards/{board}/contact"), json!({"shared": true})).await.must(200);
        let on_replica = async || app.server.metric("tidegate_read_replica_total").await;
        follows().await;
        eventually("reads go to the replica", async || {
            let before = on_replica().await;
            ada.get(&path).await.must(200);
            (on_replica().await > before).then_some(())
        })
        .await;

        // From here on the replica is two seconds behind.
        let lags = "alter system set recovery_min_apply_delay = '2s'";
        replica.batch_execute(lags).await.expect("the superuser may");
        replica.batch_execute("select pg_reload_conf()").await.expect("the superuser may");
        let mut client = app.socket(&ada).await;
        client.subscribe(json!({"id": "e", "table": "public.entries", "columns": ["id", "title"]})).await;
        client.expect("subscribed").await;
        for number in 1..=20 {
            let title = number.to_string();
            let written = ada.patch(&path, json!({"title": title})).await;
            written.must(200);
            // It names what it has seen …
            let headers = [("tidegate-min-lsn", written.header("tidegate-lsn"))];
            let read = ada.ask(Method::GET, &path, None, &headers).await.must(200);
            assert_eq!(read["title"], title);
            // … and whoever was told by the stream need not even do that.
            client.expect("changes").await;
            assert_eq!(ada.get(&path).await.must(200)["title"], title);
        }
        let behind = "select (pg_last_wal_replay_lsn() < pg_last_wal_receive_lsn())::int::bigint";
        let behind: i64 = replica.query_one(behind, &[]).await.expect("it is up").get(0);
        assert_eq!(behind, 1, "it lags");

        // Hours behind: what is withdrawn, gone or taken away is not to be had there.
        follows().await;
        let lags = "alter system set recovery_min_apply_delay = '2h'";
        replica.batch_execute(lags).await.expect("the superuser may");
        replica.batch_execute("select pg_reload_conf()").await.expect("the superuser may");
        shows_nothing_old(&app, (&ada, &ben), (&board, &path), &mut client).await;
        drop(app);
    });
}

/// While the replica stands still: what is withdrawn, written or taken away is known at once.
async fn shows_nothing_old(
    app: &App,
    (ada, ben): (&Api, &Api),
    (board, path): (&str, &str),
    client: &mut Client,
) {
    assert_eq!(ada.get("/v1/users/ben/contact").await.must(200)["phone"], "+49 40 1234");
    ben.put(&format!("/v1/boards/{board}/contact"), json!({"shared": false})).await.must(200);
    assert_eq!(ada.get("/v1/users/ben/contact").await.refused(404), "not_found");
    ada.patch(path, json!({"title": "A last one"})).await.must(200);
    client.expect("changes").await;
    let export = ada.get(&format!("/v1/boards/{board}/export")).await;
    assert!(String::from_utf8_lossy(&export.body).contains("A last one"), "{export:?}");
    let categories = format!("/v1/boards/{board}/categories");
    ada.get(&categories).await.must(200);
    app.sql.batch_execute("revoke select on public.categories from app_user").await.expect("it may");
    eventually("the server has seen it", async || (ada.get(&categories).await.status == 403).then_some(()))
        .await;
    assert_eq!(ada.get(&categories).await.status, 403);
}

#[test]
fn of_several_hosts_the_one_that_follows_is_read() {
    scenario(async |_| {
        let primary = tokio::task::spawn_blocking(|| private(&[])).await.expect("no panic");
        let standby = private_standby(&primary);
        let database = Database::create_on(primary.address()).await;
        // The primary first.
        let host = |url: String| url.rsplit_once('@').map(|(_, host)| host.to_owned()).expect("a URL");
        let (first, second) = (host(primary.url("")), host(standby.url(database.name())));
        let both = format!("postgres://postgres@{},{second}", first.trim_end_matches('/'));
        let replicas = json!([both]).to_string();
        let more = [("postgres.replica_urls", &*replicas), ("cache.rows_ms", "0")];
        let app = App::start_with(database, &more).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        eventually("reads go to the replica", async || {
            ada.get(&format!("/v1/boards/{board}")).await.must(200);
            (app.server.metric("tidegate_read_replica_total").await > 0.0).then_some(())
        })
        .await;
        drop(app);
    });
}

#[test]
fn a_replica_that_says_nothing_leaves_time_to_ask_the_primary() {
    scenario(async |test| {
        // It takes connections, and not a word comes from it.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = silent.local_addr().expect("it is bound").port();
        let replicas = json!([format!("postgres://postgres@127.0.0.1:{port}/nowhere")]).to_string();
        let more =
            [("postgres.replica_urls", &*replicas), ("cache.rows_ms", "0"), ("app.timeout_ms", "2000")];
        let app = App::start_with(test.database().await, &more).await;
        test.expect_in_log("a replica cannot be asked");
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        for _ in 0..20 {
            ada.get(&format!("/v1/boards/{board}")).await.must(200);
        }
    });
}

#[test]
fn a_replica_that_follows_nobody_costs_a_warning_and_no_wait() {
    scenario(async |test| {
        let database = test.database().await;
        let replicas = json!([database.url()]).to_string();
        let more = [
            ("postgres.replica_urls", &*replicas),
            ("postgres.replica_wait_ms", "60000"),
            ("cache.rows_ms", "0"),
        ];
        let app = App::start_with(database, &more).await;
        test.expect_in_log("a server of postgres.replica_urls is no standby");
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        for _ in 0..20 {
            ada.get(&format!("/v1/boards/{board}")).await.must(200);
        }
        assert!(app.server.metric("tidegate_read_replica_total").await < 1.0);
    });
}

#[test]
fn a_replica_that_is_gone_costs_a_warning_and_no_answer() {
    scenario(async |test| {
        let replicas = r#"["postgres://postgres@127.0.0.1:1/nowhere"]"#;
        let more = [("postgres.replica_urls", replicas), ("cache.rows_ms", "0")];
        let app = App::start_with(test.database().await, &more).await;
        test.expect_in_log("a replica cannot be asked");
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        for _ in 0..20 {
            ada.get(&format!("/v1/boards/{board}")).await.must(200);
        }
    });
}
