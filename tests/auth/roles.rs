use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate::event::{Table, TableName};
use tidegate::postgres::catalog::{self, Found};
use tidegate::postgres::snapshot::{self, Condition, Query};
use tidegate::postgres::{Acting, Impersonation, Pool, Settings};

use super::house::{House, notes, snapshot, token};
use crate::fixture::{Database, scenario};

/// The rows of `public.secured` that a policy shows.
async fn seen(pool: &Pool, table: &Table, impersonation: &Impersonation, page: bool) -> Vec<String> {
    let columns: Vec<_> = (0..table.columns.len()).collect();
    let after = ["0".to_owned()];
    let query = Query {
        table,
        acting: Some(Acting { impersonation, search_path: "public", proof: None }),
        columns: &columns,
        // As a page asks.
        condition: page.then_some(Condition { sql: "id > $1", values: &after }),
        order: page.then_some("id"),
        limit: page.then_some(10),
        timeout: Duration::from_secs(20),
    };
    let mut reader = snapshot::open(pool, &query).await.expect("the role may");
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk(1 << 20).await.expect("the role may") {
        rows.extend(chunk.iter().map(|row| format!("{:?}", row.get(0))));
    }
    rows
}

async fn table(pool: &Pool, database: &Database) -> Arc<Table> {
    let mut session = pool.get().await.expect("the server is up");
    let catalog = catalog::load(session.client_mut(), &database.publication()).await.expect("readable");
    match catalog.find(&TableName::parse("public.secured").expect("a name")) {
        Found::Table(table) => table.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_sees_the_role_and_the_claims_to_the_letter() {
    scenario(async |test| {
        let database = test.database().await;
        let (weird, plain) =
            (format!("{}_We\"ird'; --", database.name()), format!("{}_plain", database.name()));
        let quoted = tidegate::postgres::quote(&weird);
        let sql = format!(
            "drop role if exists {quoted}; drop role if exists {plain};
             create role {quoted}; create role {plain};
             create table public.secured (id bigint primary key, role text, tenant text);
             insert into public.secured values (1, {weird}, 'a'), (2, {weird}, 'b'), (3, '{plain}', 'a');
             alter table public.secured enable row level security;
             create policy own on public.secured using (
                 role = current_user
                 and tenant = current_setting('request.jwt.claims')::json ->> 'tenant');
             grant select on public.secured to {quoted}, {plain};
             create publication {publication} for all tables",
            weird = tidegate::postgres::quote_literal(&weird),
            publication = database.publication(),
        );
        database.execute(&sql).await;
        let settings = Settings::parse(&database.url()).expect("the fixture's URL is valid");
        let pool = Pool::new(settings, 1, Duration::from_secs(5)).expect("no TLS");
        let table = table(&pool, &database).await;
        // One session for all of them: nothing of one may be left for the next.
        for (role, claims, ids) in [
            (&weird, json!({"tenant": "a"}), &["1"][..]),
            (&plain, json!({"tenant": "a"}), &["3"]),
            (&weird, json!({"tenant": "b", "quote": "'; reset role; --"}), &["2"]),
            (&plain, json!({"tenant": "b"}), &[]),
            (&plain, json!({}), &[]),
        ] {
            let (role, claims) = (role.as_str().into(), claims.to_string().into());
            let impersonation = Impersonation { role, claims };
            for page in [false, true] {
                let seen = seen(&pool, &table, &impersonation, page).await;
                let expected: Vec<_> = ids
                    .iter()
                    .map(|id| format!("{:?}", Some(tidegate::event::Datum::Text(id.as_bytes()))))
                    .collect();
                assert_eq!(seen, expected, "{impersonation:?}, page: {page}");
            }
        }
        let session = pool.get().await.expect("up");
        let row = session.query_one(
            "select current_user <> session_user, current_setting('request.jwt.claims', true)",
            &[],
        );
        let row = row.await.expect("readable");
        assert!(!row.get::<_, bool>(0) && row.get::<_, Option<&str>>(1).unwrap_or_default().is_empty());
        drop(session);
        pool.close();
    });
}

#[test]
fn a_role_reads_what_it_was_granted_in_snapshots_and_pages() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let mut client = house.client(&token(&house.member, json!({}))).await;
        for (fields, code) in [
            (
                json!({"id": "x", "table": "public.notes", "columns": ["id"], "where": "secret = 'hidden'"}),
                "unknown_column",
            ),
            (
                json!({"id": "x", "table": "public.notes", "columns": ["secret"], "snapshot": true}),
                "unknown_column",
            ),
            (
                json!({"id": "x", "table": "public.notes", "snapshot": {"order_by": "secret", "limit": 1}}),
                "unknown_column",
            ),
        ] {
            client.subscribe(fields.clone()).await;
            let error = client.expect("error").await;
            assert_eq!(error["code"], code, "{fields}: {error}");
            let told = error["message"].as_str().expect("a text");
            assert!(!told.contains("did you mean"), "what is hidden is not suggested: {told}");
        }
        let mut feed = notes("feed");
        feed["snapshot"] = json!({"order_by": "id", "limit": 1});
        client.subscribe(feed).await;
        assert_eq!(snapshot(&mut client).await, [json!({"id": "1", "body": "one"})]);
        let page = json!({"type": "page", "id": "feed", "after": {"id": "1"}, "limit": 5});
        client.send(&page).await;
        assert_eq!(client.expect("page").await["rows"], json!([{"id": "2", "body": "two"}]));
        house.database.execute(&format!("revoke select (body) on public.notes from {}", house.member)).await;
        client.send(&page).await;
        let error = client.expect("error").await;
        assert_eq!((&error["code"], &error["request"]), (&json!("forbidden"), &json!("page")), "{error}");
        // And within its refresh the stream follows.
        assert_eq!(client.expect("resync").await["reason"], "permissions_changed");
        let error = client.expect("error").await;
        assert_eq!((&error["id"], &error["code"]), (&json!("feed"), &json!("unknown_column")), "{error}");
    });
}

#[test]
fn row_level_security_binds_whom_it_applies_to() {
    scenario(async |test| {
        let house = House::open(test, &[]).await;
        let sql = format!(
            "alter table public.notes enable row level security;
             create policy first on public.notes using (id = 1);
             alter role {} bypassrls",
            house.admin
        );
        house.database.execute(&sql).await;
        let mut client = house.client(&token(&house.member, json!({}))).await;
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await, [json!({"id": "1", "body": "one"})]);
        let mut client = house.client(&token(&house.admin, json!({}))).await;
        client.subscribe(notes("a")).await;
        assert_eq!(snapshot(&mut client).await.len(), 2);
    });
}
