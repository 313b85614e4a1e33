//! The whole log of a run, at its most talkative, holds nothing of what went through the server.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::Client;
use crate::fixture::{DEADLINE, Database, Test, eventually, scenario};
use crate::stage::spawn;

/// What must be in no line. Each is one of a kind, so that the one that is found says where it came from.
const SECRETS: [&str; 20] = [
    "anna.karenina@example.org",
    "secret-old-value",
    "secret-new-value",
    "secret-json-value",
    "secret-param",
    "secret-literal",
    "secret-mistyped",
    "secret-syntax",
    "secret-query",
    "secret-cursor",
    "secret-event",
    "secret-emitted",
    "secret-garbage",
    "secret-bad-body",
    "secret-bearer",
    "secret-subprotocol",
    "secret-auth-frame",
    "secret-cookie",
    "secret-password",
    "secret-token-in-url",
];

const SCHEMA: &str = r#"
    create table people (id bigint primary key, email text, title text, meta jsonb, number int);
    alter table people replica identity full;
    insert into people
    select n, 'anna.karenina@example.org', 'secret-old-value', '{"a": "secret-json-value"}', n from generate_series(1, 20) n"#;

/// The program, and its log so far.
struct Talkative {
    child: Child,
    /// Reads all the while: a server whose log nobody takes waits for whoever should.
    log: JoinHandle<Vec<String>>,
    address: SocketAddr,
}

impl Talkative {
    async fn start(database: &Database, more: &[(&str, String)]) -> Self {
        let (scheme, rest) =
            database.url().split_once("://").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a URL");
        let (user, rest) = rest.split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a user");
        let user = user.split(':').next().expect("a name").to_owned();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("TIDEGATE__POSTGRES__URL", format!("{scheme}://{user}:secret-password@{rest}"))
            .env("TIDEGATE__POSTGRES__SLOT", database.slot())
            .env("TIDEGATE__POSTGRES__PUBLICATION", database.publication())
            .env("TIDEGATE__TELEMETRY__LEVEL", "trace")
            .env("TIDEGATE__TELEMETRY__FORMAT", "json")
            .envs(more.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (tell, address) = oneshot::channel();
        let log = spawn(async move {
            let (mut log, mut tell) = (Vec::new(), Some(tell));
            while let Some(text) = lines.next_line().await.expect("readable") {
                let line: Value = serde_json::from_str(&text).expect("JSON");
                if line["message"] == "listening" {
                    let address = line["address"].as_str().expect("a text").parse().expect("an address");
                    tell.take().expect("once").send(address).expect("it is waited for");
                }
                log.push(text);
            }
            log
        });
        let address: SocketAddr = timeout(DEADLINE, address).await.expect("in time").expect("it starts");
        let server = Self { child, log, address };
        eventually("it is ready", async || {
            server.ask("GET /readyz HTTP/1.1\r\n", "").await.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        server
    }

    /// The answer to a request whose head begins like this; of a stream, what it begins with.
    async fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let request = format!(
            "{head}host: 127.0.0.1\r\nauthorization: Bearer secret-bearer\r\ncookie: session=secret-cookie\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        while timeout(DEADLINE, stream.read_buf(&mut answer)).await.expect("it goes on").expect("it is whole")
            > 0
        {
            if memchr::memmem::find(&answer, b"event: snapshot").is_some() {
                break;
            }
        }
        String::from_utf8(answer).expect("UTF-8")
    }

    /// The whole log, after an orderly end.
    async fn end(self) -> String {
        let pid = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours");
        let log = timeout(DEADLINE, self.log).await.expect("it ends").expect("it was read");
        log.join("\n")
    }
}

/// Has every secret go through the server, by every way that there is.
async fn talk(server: &Talkative, database: &Database) {
    let mut client = Client::connect(server.address).await;
    client.send(&json!({"type": "auth", "token": "secret-auth-frame"})).await;
    client
        .subscribe(json!({"id": "a", "table": "people", "where": "title <> $1 and title <> 'secret-literal'",
                          "params": ["secret-param"], "snapshot": {"order_by": "id", "limit": 5}}))
        .await;
    client.expect("subscribed").await;
    while client.expect("snapshot").await["last"] != true {}
    client.send(&json!({"type": "page", "id": "a", "after": {"id": "5"}, "limit": 5})).await;
    client.expect("page").await;
    database
        .execute("update people set title = 'secret-new-value' where id < 9; delete from people where id = 9")
        .await;
    client.expect("changes").await;
    for (fields, code) in [
        (json!({"where": "number = $1", "params": ["secret-mistyped"]}), "filter_type"),
        (json!({"where": "title = = 'secret-syntax'"}), "filter_syntax"),
    ] {
        let mut subscribe = json!({"id": "b", "table": "people"});
        subscribe.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        client.subscribe(subscribe).await;
        let error = loop {
            let frame = client.next().await.expect("alive");
            if frame["type"] == "error" {
                break frame;
            }
        };
        assert_eq!(error["code"], code, "{error}");
    }
    client
        .subscribe(json!({"id": "c", "table": "people", "cursor": "secret-cursor", "shape": "secret-cursor"}))
        .await;
    client.subscribe(json!({"id": "d", "channel": "deploys.eu"})).await;
    loop {
        let frame = client.next().await.expect("alive");
        if frame["type"] == "subscribed" && frame["id"] == "d" {
            break;
        }
    }
    let event = json!({"channel": "deploys.eu", "data": "secret-event"}).to_string();
    let answer = server.ask("POST /v1/publish HTTP/1.1\r\n", &event).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let emit = r#"select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{"a": "secret-emitted"}')"#;
    database.execute(emit).await;
    let mut events = 0;
    while events < 2 {
        let frame = client.next().await.expect("alive");
        events += frame["events"].as_array().map_or(0, Vec::len);
    }
    let bad = server.ask("POST /v1/publish HTTP/1.1\r\n", "{\"channel\": \"secret-bad-body").await;
    assert!(bad.starts_with("HTTP/1.1 400"), "{bad}");
    let query = "GET /v1/stream?table=people&where=title+%3C%3E+'secret-query' HTTP/1.1\r\n";
    assert!(server.ask(query, "").await.contains("anna.karenina@example.org"), "the test shows nothing");
    server.ask("GET /v1/stream?token=secret-token-in-url HTTP/1.1\r\n", "").await;
    server.ask("GET /v1/socket?token=secret-token-in-url HTTP/1.1\r\nsec-websocket-protocol: bearer.secret-subprotocol\r\n", "").await;
    client.send_text("secret-garbage").await;
    assert_eq!(client.closed().await.code, Some(4400));
}

async fn nothing_is_told(test: &Test, more: &[(&str, String)], secrets: &[&str]) {
    let database = test.database().await;
    database.execute(SCHEMA).await;
    let server = Talkative::start(&database, more).await;
    talk(&server, &database).await;
    let log = server.end().await;
    for level in ["\"level\":\"DEBUG\"", "\"level\":\"INFO\"", "\"target\":\"audit\""] {
        assert!(log.contains(level), "{level} is not in a log that ought to hold everything:\n{log}");
    }
    for secret in SECRETS.iter().chain(secrets) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "`{secret}` is in the log");
    }
}

#[test]
fn no_value_parameter_token_or_password_is_in_any_line_of_the_log() {
    scenario(async |test| nothing_is_told(test, &[], &[]).await);
}

#[test]
fn nor_with_the_journal_in_a_broker_and_messages_to_services() {
    scenario(async |test| {
        let vhost = test.vhost().await;
        let url = vhost.url();
        let password =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("a password").0;
        let password = password.split_once(':').expect("a password").1.to_owned();
        let more = [
            ("TIDEGATE__JOURNAL__BACKEND", "rabbitmq".to_owned()),
            ("TIDEGATE__JOURNAL__URL", url.clone()),
            ("TIDEGATE__EXCHANGE__ENABLED", "true".to_owned()),
        ];
        nothing_is_told(test, &more, &[&password]).await;
    });
}
