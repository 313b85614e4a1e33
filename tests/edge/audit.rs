//! Who asked for what, in the log and in a table.

use serde_json::json;
use tidegate::event::TableName;
use tidegate::postgres::publication::{self, Patterns};
use tidegate::postgres::{Settings, check};

use crate::fixture::{Database, eventually};
use crate::publish::publish;
use crate::server::Server;
use crate::stage::{Stage, staged};

/// The events in the log, each as `action object=… allowed=…`, in order.
async fn logged(test: &crate::fixture::Test, fragment: &str) {
    eventually(fragment, async || test.logged(fragment).then_some(())).await;
}

#[test]
fn the_log_tells_who_asked_for_what_and_whether_they_got_it() {
    let settings = [("http.trusted_proxies", r#"["127.0.0.1"]"#)];
    staged(&settings, async |test, stage| {
        let mut client = stage.client().await;
        client
            .subscribe(
                json!({"id": "a", "table": "entries", "where": "title = $1", "params": ["a-secret-param"]}),
            )
            .await;
        client.expect("subscribed").await;
        logged(test, "object=\"entries\" allowed=true").await;
        client.subscribe(json!({"id": "b", "table": "no_such\n\u{1b}[31mtable"})).await;
        client.expect("error").await;
        logged(test, "object=\"no_such\\n\\u{1b}[31mtable\" allowed=false reason=\"bad_request\"").await;
        client
            .subscribe(json!({"id": "c", "table": "entries", "where": "title = = 'a-secret-filter'"}))
            .await;
        client.expect("error").await;
        logged(test, "allowed=false reason=\"filter_syntax\"").await;
        client.subscribe(json!({"id": "d", "channel": "deploys.eu"})).await;
        client.expect("subscribed").await;
        logged(test, "object=\"deploys.eu\" allowed=true").await;
        publish(&stage.server, json!({"channel": "deploys.us", "data": "a-secret-event"})).await;
        logged(test, "publish").await;
        logged(test, "object=\"deploys.us\" allowed=true").await;

        let mut raw = stage.raw().await;
        raw.handshake(&[("origin", "https://evil.example"), ("x-forwarded-for", "192.0.2.7")]).await;
        assert_eq!(raw.close_code().await, Some(4403));
        logged(test, "from=192.0.2.7 object=\"/v1/socket\" allowed=false reason=\"forbidden\"").await;
        logged(test, "from=127.0.0.1 object=\"/v1/socket\" allowed=true").await;
        for secret in ["a-secret-param", "a-secret-filter", "a-secret-event"] {
            assert!(!test.logged(secret), "{secret}");
        }
    });
}

#[test]
fn only_what_was_denied_is_told_where_that_is_wanted() {
    staged(&[("audit.events", "denied")], async |test, stage| {
        let (mut client, _) = stage.subscribed(json!({"id": "a", "table": "entries"})).await;
        client.subscribe(json!({"id": "b", "table": "nowhere"})).await;
        client.expect("error").await;
        logged(test, "reason=\"unknown_table\"").await;
        assert!(!test.logged("allowed=true"));
    });
}

const TABLE: &str = "
    create schema audit;
    create table audit.events (
        at timestamptz not null, session text not null, who text, address inet not null, action text not null,
        object text not null, allowed boolean not null, reason text
    );";

/// A role that may serve and insert.
async fn clerk(database: &Database) -> String {
    let role = format!("{}_clerk", database.name());
    database
        .execute(&format!(
            "create table entries (id bigint primary key, title text);
             create role {role} login replication;
             grant create on database {database} to {role};
             grant usage on schema audit to {role};
             grant insert on audit.events to {role};
             grant all on schema public to {role};
             alter table entries owner to {role};",
            database = database.name()
        ))
        .await;
    let (scheme, rest) =
        database.url().split_once("://").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a URL");
    let rest = rest.split_once('@').map_or(rest.clone(), |(_, rest)| rest.to_owned());
    format!("{scheme}://{role}@{rest}")
}

#[test]
fn the_table_is_appended_to_by_a_role_that_may_do_nothing_else() {
    crate::fixture::scenario(async |test| {
        let database = test.database().await;
        database.execute(TABLE).await;
        let url = clerk(&database).await;
        let settings =
            [("postgres.url", url.as_str()), ("audit.table", "audit.events"), ("audit.interval_ms", "10")];
        let mut server = Server::start_with(&database, &settings).await;
        let mut client = crate::client::Client::connect(server.address()).await;
        client.subscribe(json!({"id": "a", "table": "entries"})).await;
        client.expect("subscribed").await;
        // It is told once it is delivered to, which is after the client knows.
        let count = "select count(*) from audit.events";
        let written = async |most| (database.number(count).await >= most).then_some(());
        eventually("two are written", async || written(2).await).await;
        client.subscribe(json!({"id": "b", "table": "no\u{0}where"})).await;
        client.expect("error").await;
        eventually("all three are written", async || written(3).await).await;
        // What is still waiting when the server stops is written then.
        publish(&server, json!({"channel": "a.b", "data": 1})).await;
        server.stop().await;
        let rows = database
            .client()
            .await
            .query(
                "select action, object, allowed, reason, host(address), at > now() - interval '1 minute' and at <= now(),
                        length(session)
                   from audit.events order by at, action",
                &[],
            )
            .await
            .expect("the superuser reads");
        let told: Vec<(String, String, bool, Option<String>)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
        let own = |action: &str, object: &str, allowed, reason: Option<&str>| {
            (action.to_owned(), object.to_owned(), allowed, reason.map(str::to_owned))
        };
        assert_eq!(
            told,
            [
                own("connect", "/v1/socket", true, None),
                own("subscribe", "entries", true, None),
                own("subscribe", "nowhere", false, Some("bad_request")),
                own("publish", "a.b", true, None),
            ]
        );
        for row in &rows {
            assert_eq!((row.get::<_, &str>(4), row.get(5), row.get::<_, i32>(6)), ("127.0.0.1", true, 16));
        }
        drop(server);
        drop_role(&database).await;
    });
}

#[test]
fn check_says_how_the_table_is_made_and_whether_the_role_may_do_more_than_insert() {
    crate::fixture::scenario(async |test| {
        let database = test.database().await;
        let role = format!("{}_clerk", database.name());
        let said = async |url: &str| {
            let settings = Settings::parse(url).expect("a URL");
            let publication = publication::Config {
                publication: database.publication(),
                tables: Patterns::parse(["*.*"]).expect("a pattern"),
            };
            let subject = check::Config {
                publication,
                slot: database.slot(),
                audit: TableName::parse("audit.events"),
                roles: Vec::new(),
            };
            let report = check::run(&settings, &subject).await.expect("it looks");
            let finding = report.findings.into_iter().find(|finding| finding.subject == "audit table");
            let finding = finding.expect("it is looked at");
            let command = finding.remedy.map(|remedy| remedy.command).unwrap_or_default();
            (finding.severity, format!("{}\n{command}", finding.message))
        };
        let (severity, text) = said(&database.url()).await;
        assert_eq!(severity, check::Severity::Fault);
        let statement = text.split_once("create table").expect("says how").1;
        database.execute(&format!("create schema audit; create table{statement}")).await;
        let (severity, text) = said(&database.url()).await;
        assert!(severity == check::Severity::Warning && text.contains("is a superuser"), "{text}");

        database.execute("drop schema audit cascade").await;
        database.execute(TABLE).await;
        let url = clerk(&database).await;
        let (severity, text) = said(&url).await;
        assert!(severity == check::Severity::Fine && text.contains("and nothing else"), "{text}");
        database.execute(&format!("grant update, delete on audit.events to {role}")).await;
        let (severity, text) = said(&url).await;
        assert!(severity == check::Severity::Warning, "{text}");
        let revoke = text.split_once('\n').expect("says what mends it").1;
        assert!(revoke.starts_with("revoke update, delete on"), "{revoke}");
        database.execute(revoke).await;
        assert_eq!(said(&url).await.0, check::Severity::Fine);
        database.execute(&format!("revoke insert on audit.events from {role}")).await;
        let (severity, text) = said(&url).await;
        assert!(severity == check::Severity::Fault && text.contains("grant insert on"), "{text}");
        drop_role(&database).await;
    });
}

async fn drop_role(database: &Database) {
    let role = format!("{}_clerk", database.name());
    database.execute(&format!("drop owned by {role} cascade; drop role {role}")).await;
}

#[test]
fn a_table_that_cannot_be_written_stops_nobody_and_is_written_once_it_can() {
    let settings = [
        ("audit.table", "audit.events"),
        ("audit.interval_ms", "10"),
        ("audit.queue_events", "100"),
        ("session.frames_burst", "100000"),
    ];
    staged(&settings, async |test, stage: &Stage| {
        test.expect_in_log("the audit table cannot be written");
        test.expect_in_log("the audit table takes less than happens");
        let lost = "tidegate_audit_lost_total";
        let before = stage.server.metric(lost).await;
        let mut client = stage.client().await;
        eventually("the queue is full", async || {
            for _ in 0..50 {
                client.subscribe(json!({"id": "a", "table": "no table"})).await;
                client.expect("error").await;
            }
            (stage.server.metric(lost).await > before).then_some(())
        })
        .await;
        let said = async || test.logged("the audit table cannot be written").then_some(());
        eventually("it is said", said).await;
        stage.database.execute(TABLE).await;
        let count = "select count(*) from audit.events";
        eventually("what waited is written", async || {
            (stage.database.number(count).await >= 100).then_some(())
        })
        .await;
    });
}
