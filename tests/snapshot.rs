//! Snapshots against a server that goes on writing.

use std::sync::Arc;
use std::time::Duration;

use tidegate::event::{Datum, Row, Table, TableName};
use tidegate::postgres::catalog::{self, Found};
use tidegate::postgres::snapshot::{self, Condition, Error, Query, Reader};
use tidegate::postgres::{Pool, Settings};

use crate::fixture::{Database, eventually, scenario};

const TIMEOUT: Duration = Duration::from_secs(20);

fn pool(database: &Database, size: usize) -> Pool {
    let settings = Settings::parse(&database.url()).expect("the fixture's URL is valid");
    Pool::new(settings, size, Duration::from_secs(5)).expect("no TLS is asked for")
}

async fn table(pool: &Pool, database: &Database, name: &str) -> Arc<Table> {
    let publication = database.publication();
    let exists = format!("select count(*) from pg_publication where pubname = '{publication}'");
    if database.number(&exists).await == 0 {
        let sql = format!(
            "create publication {publication} for all tables with (publish_via_partition_root = true)"
        );
        database.execute(&sql).await;
    }
    let mut session = pool.get().await.expect("the server is up");
    let catalog = catalog::load(session.client_mut(), &publication).await.expect("readable");
    match catalog.find(&TableName::parse(name).expect(name)) {
        Found::Table(table) => Arc::clone(table),
        other => panic!("{name}: {other:?}"),
    }
}

fn all<'a>(table: &'a Table, columns: &'a [usize]) -> Query<'a> {
    Query { table, columns, acting: None, condition: None, order: None, limit: None, timeout: TIMEOUT }
}

async fn read(mut reader: Reader, chunk_bytes: usize) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk(chunk_bytes).await? {
        assert!(!chunk.is_empty());
        rows.extend(chunk);
    }
    Ok(rows)
}

fn text(row: &Row, index: usize) -> String {
    match row.get(index) {
        Some(Datum::Text(text)) => String::from_utf8(text.to_vec()).expect("UTF-8"),
        Some(Datum::Null) => "NULL".into(),
        other => panic!("{other:?}"),
    }
}

/// Sessions that hold a transaction open in this database, this one apart.
async fn open_transactions(database: &Database) -> i64 {
    database
        .number(
            "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null",
        )
        .await
}

#[test]
fn rows_are_in_the_text_form_that_the_stream_carries_whatever_the_server_is_set_to() {
    scenario(async |test| {
        let database = test.database().await;
        let name = database.name();
        database
            .execute(&format!(
                r#"alter database {name} set datestyle = 'SQL, DMY';
                   alter database {name} set intervalstyle = 'postgres_verbose';
                   alter database {name} set timezone = 'Asia/Kathmandu';
                   alter database {name} set extra_float_digits = -3;
                   alter database {name} set bytea_output = 'escape';
                   alter role current_user set search_path = public;
                   create table odd ("Id" int primary key, ok bool, tag char(4), at timestamptz, f float8,
                                     span interval, raw bytea, host inet, kind regclass, doc jsonb, list text[]);
                   insert into odd values
                     (1, true, 'ab', '2026-11-22 10:08:17.5+00', 0.1::float8 + 0.2, '1 year 2 mons 3 days 04:05:06',
                      '\x00ff', '10.0.0.1', 'odd', '{{"b": 1, "a": 2}}', array['x y', null, '"']),
                     (2, null, null, null, null, null, null, null, null, null, null);
                   alter role current_user reset search_path;"#
            ))
            .await;
        let pool = pool(&database, 2);
        let odd = table(&pool, &database, "odd").await;
        let columns: Vec<usize> = (0..odd.columns.len()).collect();
        let query = Query { order: Some("\"Id\""), ..all(&odd, &columns) };
        let rows = read(snapshot::open(&pool, &query).await.expect("opens"), 1 << 16).await.expect("reads");
        let first: Vec<String> = columns.iter().map(|index| text(&rows[0], *index)).collect();
        assert_eq!(
            first,
            [
                "1",
                "t",
                "ab  ",
                "2026-11-22 10:08:17.5+00",
                "0.30000000000000004",
                "P1Y2M3DT4H5M6S",
                "\\x00ff",
                "10.0.0.1",
                "public.odd",
                r#"{"a": 2, "b": 1}"#,
                r#"{"x y",NULL,"\""}"#
            ]
        );
        assert!(columns[1..].iter().all(|index| text(&rows[1], *index) == "NULL"));
    });
}

#[test]
fn a_snapshot_holds_exactly_what_was_visible_when_it_was_opened() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute("create table t (id int primary key); insert into t select generate_series(1, 2000)")
            .await;
        let pool = pool(&database, 2);
        let t = table(&pool, &database, "t").await;

        let open = database.client().await;
        open.batch_execute("begin; insert into t values (5000)").await.expect("free");
        let row = open.query_one("select pg_current_xact_id()::text", &[]).await.expect("open");
        let xid = tidegate::event::Xid::new(row.get::<_, &str>(0).parse().expect("a number"));

        let mut reader = snapshot::open(&pool, &all(&t, &[0])).await.expect("opens");
        assert!(!reader.snapshot().sees(xid));
        let lsn = reader.lsn();
        open.batch_execute("commit").await.expect("commits");
        database.execute("delete from t where id <= 1000").await;
        let mut rows = Vec::new();
        while let Some(chunk) = reader.next_chunk(512).await.expect("reads") {
            assert!(chunk[..chunk.len() - 1].iter().map(Row::len).sum::<usize>() < 512);
            rows.extend(chunk);
        }
        assert_eq!(rows.len(), 2000);

        let later = snapshot::open(&pool, &all(&t, &[0])).await.expect("opens");
        assert!(later.snapshot().sees(xid) && later.lsn() > lsn);
        assert_eq!(read(later, 1 << 16).await.expect("reads").len(), 1001);
    });
}

#[test]
fn values_are_bound_and_order_and_limit_hold() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create type mood as enum ('sad', 'happy');
                 create table people (id int primary key, name text, mood mood, born date);
                 insert into people values (1, 'O''Neil', 'happy', '2001-02-03'), (2, 'x''); drop table people; --', 'sad', null),
                                           (3, 'Zoë', 'happy', '1999-01-01');",
            )
            .await;
        let pool = pool(&database, 1);
        let people = table(&pool, &database, "people").await;
        let values =
            ["happy".to_owned(), "{O'Neil,Zoë,\"x'); drop table people; --\"}".into(), "1990-01-01".into()];
        let condition = Condition { sql: "mood = $1 and name = any($2) and born > $3", values: &values };
        let query = Query {
            condition: Some(condition),
            order: Some("name desc, id"),
            limit: Some(1),
            ..all(&people, &[1, 0])
        };
        let rows = read(snapshot::open(&pool, &query).await.expect("opens"), 1).await.expect("reads");
        assert_eq!(
            rows.iter().map(|row| (text(row, 0), text(row, 1))).collect::<Vec<_>>(),
            [("Zoë".into(), "3".into())]
        );
    });
}

#[test]
fn the_publications_row_filter_is_applied_to_snapshots_too() {
    scenario(async |test| {
        let database = test.database().await;
        if database.number("select current_setting('server_version_num')::bigint").await < 150_000 {
            return;
        }
        let publication = database.publication();
        database
            .execute(&format!(
                "create table t (id int primary key, open boolean);
                 insert into t values (1, true), (2, false), (3, null);
                 create publication {publication} for table t where (open) with (publish = 'insert')"
            ))
            .await;
        let pool = pool(&database, 1);
        let t = table(&pool, &database, "t").await;
        let values = ["0".to_owned()];
        let condition = Some(Condition { sql: "id > $1 or true", values: &values });
        let query = Query { condition, ..all(&t, &[0]) };
        let rows = read(snapshot::open(&pool, &query).await.expect("opens"), 100).await.expect("reads");
        assert_eq!(rows.iter().map(|row| text(row, 0)).collect::<Vec<_>>(), ["1"]);
    });
}

#[test]
fn a_row_that_makes_the_filter_raise_is_the_filters_affair() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table t (id int primary key); insert into t values (1), (0)").await;
        let pool = pool(&database, 1);
        let t = table(&pool, &database, "t").await;
        for (sql, value) in [("1 / id > $1", "0"), ("id > $1", "soon"), ("id > $1", "99999999999")] {
            let values = [value.to_owned()];
            let query = Query { condition: Some(Condition { sql, values: &values }), ..all(&t, &[0]) };
            let error = match snapshot::open(&pool, &query).await {
                Ok(reader) => read(reader, 100).await.expect_err("raises"),
                Err(error) => error,
            };
            assert!(matches!(error, Error::Filter { .. }), "{error:?}");
        }
        // The one session of the pool came out clean.
        assert_eq!(
            read(snapshot::open(&pool, &all(&t, &[0])).await.expect("opens"), 100)
                .await
                .expect("reads")
                .len(),
            2
        );
    });
}

#[test]
fn a_definition_that_changed_since_the_catalog_was_read_is_noticed() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute("create domain small as int; create table t (id small primary key, a int, b text)")
            .await;
        let pool = pool(&database, 1);
        for (sql, columns) in [
            ("alter table t alter a type bigint", &[0, 1][..]),
            ("alter table t rename column b to c", &[0, 2]),
            ("alter table t drop column a", &[0, 1]),
            ("alter table t rename to t2; create table t (id small primary key, a int, b text)", &[0]),
            ("drop table t", &[0]),
        ] {
            let t = table(&pool, &database, "t").await;
            let reader = snapshot::open(&pool, &all(&t, columns)).await.expect("nothing has changed yet");
            assert!(read(reader, 100).await.expect("reads").is_empty());
            database.execute(sql).await;
            let outcome = snapshot::open(&pool, &all(&t, columns)).await.map(drop);
            assert!(matches!(outcome, Err(Error::SchemaChanged { .. })), "{sql}: {outcome:?}");
        }
    });
}

#[test]
fn a_rewrite_cannot_slip_in_between_the_lock_and_the_rows() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table parts (id int primary key) partition by range (id);
                 create table parts_1 partition of parts for values from (0) to (100);
                 insert into parts values (1), (2);",
            )
            .await;
        let pool = pool(&database, 1);
        let parts = table(&pool, &database, "parts").await;
        let reader = snapshot::open(&pool, &all(&parts, &[0])).await.expect("opens");
        let other = database.client().await;
        let refused = other.batch_execute("set lock_timeout = '50ms'; truncate parts_1").await;
        assert_eq!(
            refused.expect_err("locked").code().map(|code| code.code().to_owned()).as_deref(),
            Some("55P03")
        );
        assert_eq!(read(reader, 100).await.expect("reads").len(), 2);
        other.batch_execute("truncate parts_1").await.expect("free again");
    });
}

#[test]
fn a_reader_that_is_dropped_midway_gives_its_session_back_clean() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table big (id int primary key, body text);
                 insert into big select i, repeat('x', 10000) from generate_series(1, 3000) i",
            )
            .await;
        let pool = pool(&database, 1);
        let big = table(&pool, &database, "big").await;
        let pid = async || -> i32 {
            let session = pool.get().await.expect("comes back");
            session.query_one("select pg_backend_pid()", &[]).await.expect("clean").get(0)
        };
        let before = pid().await;
        for round in 0..10 {
            let mut reader = snapshot::open(&pool, &all(&big, &[0, 1])).await.expect("opens");
            if round % 2 == 0 {
                assert!(reader.next_chunk(10).await.expect("reads").is_some());
            }
            drop(reader);
        }
        assert_eq!(pid().await, before, "the session survives");
        // One that is still computing is cancelled.
        let condition = Some(Condition { sql: "pg_sleep(60) is not null", values: &[] });
        let query = Query { condition, ..all(&big, &[0]) };
        let mut reader = snapshot::open(&pool, &query).await.expect("opens");
        let read = tokio::time::timeout(Duration::from_millis(50), reader.next_chunk(10)).await;
        assert!(read.is_err(), "the server sleeps");
        drop(reader);
        assert_ne!(pid().await, before, "a cancelled session is not handed on");
        eventually("no transaction stays open", async || {
            (open_transactions(&database).await == 0).then_some(())
        })
        .await;
    });
}

#[test]
fn a_snapshot_that_takes_too_long_is_over() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table big (id int primary key, body text);
                 insert into big select i, repeat(md5(i::text), 300) from generate_series(1, 1000) i",
            )
            .await;
        let pool = pool(&database, 1);
        let big = table(&pool, &database, "big").await;
        // A reader that does not read: the server is stuck in sending, where no timeout of its own reaches it.
        let query = Query { timeout: Duration::from_millis(300), ..all(&big, &[0, 1]) };
        let mut reader = snapshot::open(&pool, &query).await.expect("opens");
        eventually("its time is over", async || match reader.next_chunk(1).await {
            Err(Error::Timeout { .. }) => Some(()),
            Ok(Some(_)) => None,
            other => panic!("{other:?}"),
        })
        .await;
        eventually("no transaction stays open", async || {
            (open_transactions(&database).await == 0).then_some(())
        })
        .await;

        let holder = database.client().await;
        holder.batch_execute("begin; lock table big in access exclusive mode").await.expect("free");
        let outcome = snapshot::open(&pool, &query).await.map(drop);
        assert!(matches!(outcome, Err(Error::Locked { .. } | Error::Timeout { .. })), "{outcome:?}");
        holder.batch_execute("rollback").await.expect("holds it");
        let query = all(&big, &[0]);
        assert_eq!(
            read(snapshot::open(&pool, &query).await.expect("opens"), 1 << 16).await.expect("reads").len(),
            1000
        );
    });
}

#[test]
fn a_row_of_a_hundred_megabytes_passes() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute("create table huge (id int primary key, body text); insert into huge values (1, repeat('x', 100000000)), (2, 'y')")
            .await;
        let pool = pool(&database, 1);
        let huge = table(&pool, &database, "huge").await;
        let query = Query { order: Some("id"), ..all(&huge, &[0, 1]) };
        let mut reader = snapshot::open(&pool, &query).await.expect("opens");
        let first = reader.next_chunk(65_536).await.expect("reads").expect("there is one");
        assert_eq!((first.len(), first[0].len() > 100_000_000), (1, true));
        assert_eq!(read(reader, 65_536).await.expect("reads").len(), 1);
    });
}

#[test]
fn a_policy_that_would_hide_rows_is_told_of_and_hides_none_in_silence() {
    scenario(async |test| {
        let database = test.database().await;
        let role = format!("{}_reader", database.name());
        database
            .execute(&format!(
                "create table t (id int primary key); insert into t values (1), (2);
                 alter table t enable row level security;
                 create policy one on t using (id = 1);
                 create role {role} login; grant select on t to {role};"
            ))
            .await;
        let owner = pool(&database, 1);
        let t = table(&owner, &database, "t").await;
        let settings =
            format!("{}{}user={role}", database.url(), if database.url().contains('?') { "&" } else { "?" });
        let reader = Pool::new(Settings::parse(&settings).expect("valid"), 1, TIMEOUT).expect("no TLS");
        let outcome = match snapshot::open(&reader, &all(&t, &[0])).await {
            Ok(reader) => read(reader, 100).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(matches!(outcome, Err(Error::Forbidden { .. })), "{outcome:?}");
        reader.close();
        database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    });
}
