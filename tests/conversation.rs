//! Sessions, marks, visibility and literals.

use std::time::Duration;

use tidegate::event::Xid;
use tidegate::postgres::marker::emit_mark;
use tidegate::postgres::visibility::{Visibility, current_snapshot};
use tidegate::postgres::{Connection, Error, Pool, Recovery, Settings, literals};
use tidegate::telemetry::Chain;

use crate::fixture::{Database, eventually, private, scenario};
use crate::source::login::Server;

fn settings(database: &Database) -> Settings {
    Settings::parse(&database.url()).expect("the fixture's URL is valid")
}

#[test]
fn a_pool_is_bounded_and_says_when_it_is_exhausted() {
    scenario(async |test| {
        let database = test.database().await;
        let pool = Pool::new(settings(&database), 1, Duration::from_millis(50)).expect("no TLS");
        let held = pool.get().await.expect("the first");
        let error = pool.get().await.map(drop).expect_err("the second");
        assert!(matches!(error, Error::Busy { size: 1, .. }), "{error:?}");
        assert_eq!(error.recovery(), Recovery::Retry);
        drop(held);
        assert!(pool.get().await.is_ok());
        pool.close();
        assert!(matches!(pool.get().await.map(drop), Err(Error::Closed)));
    });
}

#[test]
fn a_pool_outlives_its_server() {
    scenario(async |_| {
        let mut cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        let pool = Pool::new(settings(&database), 2, Duration::from_secs(5)).expect("no TLS");
        drop(pool.get().await.expect("up"));
        cluster.kill().expect("ours");
        let error = pool.get().await.map(drop).expect_err("down");
        assert_eq!(error.recovery(), Recovery::Retry, "{error:?}");
        cluster.resume().expect("recovers");
        eventually("the pool works again", async || pool.get().await.ok().map(drop)).await;
    });
}

#[test]
fn every_session_is_pinned_and_named() {
    scenario(async |test| {
        let database = test.database().await;
        let session = Connection::open(&settings(&database)).await.expect("up");
        for (name, value) in [
            ("datestyle", "ISO, MDY"),
            ("intervalstyle", "iso_8601"),
            ("timezone", "UTC"),
            ("extra_float_digits", "1"),
            ("search_path", "pg_catalog"),
            ("application_name", "tidegate"),
        ] {
            let row = session.query_one("select current_setting($1)", &[&name]).await.expect("known");
            assert_eq!(row.get::<_, &str>(0), value, "{name}");
        }
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_named_without_the_password() {
    scenario(async |test| {
        let database = test.database().await;
        let refused =
            Settings::parse("postgres://ann:s3cret@127.0.0.1:1/x?connect_timeout=2").expect("valid");
        let error = Connection::open(&refused).await.map(drop).expect_err("nobody listens");
        assert_eq!(error.to_string(), "could not connect to PostgreSQL at 127.0.0.1:1 as `ann`");
        assert!(!format!("{error:?}").contains("s3cret"));
        let nowhere = settings(&database).with_database("no_such_database");
        let error = Connection::open(&nowhere).await.map(drop).expect_err("there is none");
        assert_eq!(
            (error.sql_state().map(tokio_postgres::error::SqlState::code), error.recovery()),
            (Some("3D000"), Recovery::Halt)
        );
    });
}

#[test]
fn of_several_hosts_the_first_that_answers_is_taken() {
    scenario(async |_| {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        let port = cluster.address().port().expect("it listens on TCP");
        let url = format!("postgres://postgres@127.0.0.1:1,127.0.0.1:{port}/{}", database.name());
        let user = settings(&database).user().to_owned();
        let settings = Settings::parse(&url.replace("postgres@", &format!("{user}@"))).expect("valid");
        let session = Connection::open(&settings).await.expect("the second");
        assert!(session.batch_execute("create table public.t (id int)").await.is_ok());
    });
}

#[test]
fn tls_is_as_strict_as_the_mode_says() {
    scenario(async |_| {
        let server = Server::start().await;
        let open = async |host: &str, more: &str| {
            let (name, port) = (server.database.name(), server.port());
            let text =
                format!("user=secure password='pâss word' dbname={name} host={host} port={port} {more}");
            let session = Connection::open(&Settings::parse(&text).expect("valid")).await?;
            let row =
                session.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await;
            Ok::<bool, Error>(row.expect("there is one").get(0))
        };
        for (host, more) in [
            ("127.0.0.1", "sslmode=prefer".to_owned()),
            ("127.0.0.1", "sslmode=require channel_binding=require".into()),
            ("127.0.0.1", server.rooted("require")),
            ("127.0.0.1", server.rooted("verify-ca")),
            ("localhost", server.rooted("verify-full")),
        ] {
            assert!(open(host, &more).await.expect(&more), "{more}");
        }
        for (host, more) in [
            ("127.0.0.1", "sslmode=disable".to_owned()),
            ("127.0.0.1", server.rooted("verify-full")),
            ("localhost", "sslmode=verify-full".into()),
            ("localhost", "sslmode=verify-ca".into()),
            ("localhost", "sslmode=verify-full sslrootcert=/nowhere.pem".into()),
        ] {
            assert!(open(host, &more).await.is_err(), "{more}");
        }
        // Where TLS is turned away, `prefer` does without.
        let text =
            format!("user=shy dbname={} host=127.0.0.1 port={}", server.database.name(), server.port());
        assert!(Connection::open(&Settings::parse(&text).expect("valid")).await.is_ok());
    });
}

#[test]
fn a_session_sends_a_password_in_clear_text_over_tls_only() {
    scenario(async |_| {
        let server = Server::start().await;
        let open = async |more: &str| {
            let (name, port) = (server.database.name(), server.port());
            let text =
                format!("user=clear password='pâss word' dbname={name} host=127.0.0.1 port={port} {more}");
            Connection::open(&Settings::parse(&text).expect("valid")).await.map(drop)
        };
        let refused = |error: &Error| {
            let text = Chain(error).to_string();
            assert!(matches!(error, Error::ClearText { .. }), "{text}");
            assert_eq!(error.recovery(), Recovery::Halt, "{text}");
            assert!(text.contains("in clear text and there is no TLS: set `sslmode=require`"), "{text}");
        };
        refused(&open("sslmode=disable").await.expect_err("anybody could read it"));
        open("sslmode=prefer").await.expect("over TLS");
        open("sslmode=require").await.expect("over TLS");
        server.ssl("off").await;
        refused(&open("sslmode=prefer").await.expect_err("anybody could read it"));
        assert!(open("sslmode=require").await.is_err());
        // What nobody can read from the line is sent over it.
        for user in ["scram", "md5"] {
            open(&format!("sslmode=prefer user={user}")).await.expect(user);
        }
    });
}

#[test]
fn a_mark_waits_for_no_standby() {
    scenario(async |_| {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        let session = Connection::open(&settings(&database)).await.expect("up");
        cluster.reconfigure(&[("synchronous_standby_names".into(), "nobody".into())]).expect("takes it");
        eventually("the server waits for a standby", async || {
            let row =
                database.client().await.query_one("show synchronous_standby_names", &[]).await.expect("up");
            (row.get::<_, &str>(0).contains("nobody")).then_some(())
        })
        .await;
        let first = emit_mark(&session, Some(7)).await.expect("written");
        let second = emit_mark(&session, None).await.expect("written");
        assert!(second > first);
        let row = session.query_one("show synchronous_commit", &[]).await.expect("up");
        assert_eq!(row.get::<_, &str>(0), "on", "set for the one transaction only");
        // The test's own database is dropped without a standby too.
        cluster.reconfigure(&[("synchronous_standby_names".into(), String::new())]).expect("takes it");
    });
}

#[test]
fn visibility_follows_commits() {
    scenario(async |test| {
        let database = test.database().await;
        let session = Connection::open(&settings(&database)).await.expect("up");
        let visibility = Visibility::prepare(&session).await.expect("prepared");
        let writer = database.client().await;
        writer.batch_execute("begin").await.expect("up");
        let row = writer.query_one("select pg_current_xact_id()::text", &[]).await.expect("open");
        let xid = Xid::new(row.get::<_, &str>(0).parse().expect("a number"));
        assert!(!visibility.current(&session).await.expect("asked").sees(xid));
        writer.batch_execute("commit").await.expect("open");
        assert!(visibility.current(&session).await.expect("asked").sees(xid));
        assert!(current_snapshot(&session).await.expect("asked").sees(xid));
    });
}

#[test]
fn literals_come_back_as_their_type_writes_them() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(r#"create schema "My App"; create type "My App"."Mood" as enum ('sad', 'so so')"#)
            .await;
        let session = Connection::open(&settings(&database)).await.expect("up");
        let row =
            session.query_one(r#"select to_regtype('"My App"."Mood"')::oid"#, &[]).await.expect("there");
        let mood: u32 = row.get(0);
        let cases: [(&str, u32, Result<&str, &str>); 14] = [
            (" yes ", 16, Ok("t")),
            (" 1e3 ", 1700, Ok("1000")),
            ("22 Nov 2026 10:08:17+01", 1184, Ok("2026-11-22 09:08:17+00")),
            ("1 year 2 months", 1186, Ok("P1Y2M")),
            ("ab  ", 1042, Ok("ab  ")),
            ("x'); drop table", 25, Ok("x'); drop table")),
            ("A0EEBC999C0B4EF8BB6D6BB9BD380A11", 2950, Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            ("{ 1 ,null}", 1007, Ok("{1,NULL}")),
            ("{t,f}", 1000, Ok("{t,f}")),
            ("{\"b\":1,  \"a\":2}", 3802, Ok("{\"a\": 2, \"b\": 1}")),
            ("so so", mood, Ok("so so")),
            ("happy", mood, Err("invalid input value for enum")),
            ("99999999999", 23, Err("out of range")),
            ("x", 4_000_000_000, Err("there is no type with oid 4000000000")),
        ];
        let asked: Vec<(&str, u32)> = cases.iter().map(|(text, oid, _)| (*text, *oid)).collect();
        let answers = literals::canonical(&session, &asked).await.expect("asked");
        for ((text, _, expected), answer) in cases.iter().zip(&answers) {
            match (expected, answer) {
                (Ok(expected), Ok(answer)) => assert_eq!(answer, expected, "{text}"),
                (Err(part), Err(message)) => assert!(message.contains(part), "{text}: {message}"),
                _ => panic!("{text}: {answer:?}"),
            }
        }
        let now = literals::canonical(&session, &[("now", 1184)])
            .await
            .expect("asked")
            .remove(0)
            .expect("a moment");
        assert!(now.ends_with("+00"), "{now}");
        assert!(literals::canonical(&session, &[]).await.expect("asked").is_empty());
    });
}
