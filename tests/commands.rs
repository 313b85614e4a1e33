//! The program itself, as a shell runs it: output and exit status.

mod control;
mod demo;
mod login;
mod migrate;

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::client::Client;
use crate::fixture::{DEADLINE, Database, eventually, scenario};
use crate::server::Server;

const ENTRIES: &str = "
    create table entries (id bigint primary key, board_id int, title text);
    alter table entries replica identity full;
    insert into entries values (1, 7, 'one'), (2, 8, 'two')";

fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program with a database of a test's own.
pub(crate) fn on(database: &Database, arguments: &[&str]) -> Command {
    let mut command = tidegate(arguments);
    command
        .env("TIDEGATE__POSTGRES__URL", database.url())
        .env("TIDEGATE__POSTGRES__SLOT", database.slot())
        .env("TIDEGATE__POSTGRES__PUBLICATION", database.publication());
    command
}

/// Status, stdout and stderr of a program that ends by itself.
pub(crate) async fn outcome(mut command: Command) -> (i32, String, String) {
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// A running `tidegate tail`, whose output is JSON lines: nobody looks.
struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(server: &Server, arguments: &[&str]) -> Self {
        let address = format!("ws://{}", server.address());
        let mut child =
            tidegate(&[&["tail", "--server", &address], arguments].concat()).spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> Value {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("waited in vain for a line");
        let line = line.expect("readable").expect("it goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    async fn interrupt(mut self) -> Option<i32> {
        signal(&self.child, rustix::process::Signal::INT);
        timeout(DEADLINE, self.child.wait()).await.expect("it ends").expect("it ran").code()
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let id = i32::try_from(child.id().expect("it runs")).expect("a process id");
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).expect("not 0"), signal).expect("ours");
}

#[test]
fn tail_writes_a_snapshot_and_changes_as_json_lines_and_outlives_a_restart() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(ENTRIES).await;
        let mut server = Server::start(&database).await;
        let mut tail = Tail::start(&server, &["public.entries", "--where", "board_id = $1", "--param", "7"]);
        let row = json!({"id": "1", "board_id": 7, "title": "one"});
        assert_eq!(tail.line().await, json!({"op": "row", "row": row}));
        assert_eq!(tail.line().await, json!({"op": "live", "rows": 1}));
        database.execute("update entries set title = 'eins' where id = 1").await;
        let update = tail.line().await;
        assert_eq!((&update["op"], &update["row"]["title"]), (&json!("update"), &json!("eins")));
        assert_eq!(update["old"]["title"], "one");
        assert!(update["lsn"].is_string() && update["tx"].is_string(), "{update}");
        server.stop().await;
        database.execute("update entries set title = 'uno' where id = 1").await;
        server.resume().await;
        assert_eq!(tail.line().await, json!({"op": "resync", "reason": "source_reset"}));
        assert_eq!(tail.line().await["row"]["title"], "uno");
        assert_eq!(tail.line().await, json!({"op": "live", "rows": 1}));
        database.execute("delete from entries where id = 1").await;
        assert_eq!(tail.line().await["op"], "delete");
        assert_eq!(tail.interrupt().await, Some(0), "Ctrl-C is how it ends");
        server.stop().await;
    });
}

#[test]
fn tail_follows_a_channel() {
    scenario(async |test| {
        let database = test.database().await;
        let mut server = Server::start(&database).await;
        let mut tail = Tail::start(&server, &["--channel", "deploys.eu"]);
        eventually("it listens", async || {
            database.execute("select pg_logical_emit_message(true, 'tidegate:deploys.eu', '0')").await;
            timeout(Duration::from_millis(100), tail.line()).await.ok()
        })
        .await;
        database.execute("select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{\"v\": 1}')").await;
        loop {
            let line = tail.line().await;
            assert_eq!((&line["op"], &line["event"]["subject"]), (&json!("event"), &json!("deploys.eu")));
            if line["event"]["data"] == json!({"v": 1}) {
                break;
            }
        }
        assert_eq!(tail.interrupt().await, Some(0));
        server.stop().await;
    });
}

#[test]
fn tail_says_what_was_wrong_and_ends_with_1_or_2() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(ENTRIES).await;
        let mut server = Server::start(&database).await;
        let address = format!("ws://{}", server.address());
        let (status, _, stderr) = outcome(tidegate(&["tail", "--server", &address, "public.entires"])).await;
        assert_eq!(status, 1, "{stderr}");
        assert!(stderr.contains("did you mean `public.entries`?"), "{stderr}");
        let filter = ["tail", "--server", &address, "entries", "--where", "boardid = 7"];
        let (status, _, stderr) = outcome(tidegate(&filter)).await;
        assert_eq!(status, 1, "{stderr}");
        assert!(stderr.contains("`board_id`") && stderr.contains("\n  boardid = 7\n  ^"), "{stderr}");
        server.stop().await;
        let (status, _, stderr) = outcome(tidegate(&["tail", "--server", &address, "entries"])).await;
        assert_eq!(status, 2, "{stderr}");
        assert!(stderr.contains("cannot reach"), "{stderr}");
        assert_eq!(outcome(tidegate(&["tail"])).await.0, 2);
    });
}

#[test]
fn serve_ends_on_sigterm_with_0_and_its_clients_with_1001() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(ENTRIES).await;
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        let mut command = on(&database, &["serve", "--set", &format!("http.listen={free}")]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut client = eventually("it listens", async || Client::try_connect(free).await.ok()).await;
        client.subscribe(json!({"id": "a", "table": "entries"})).await;
        loop {
            let frame = client.next().await.expect("alive");
            if frame["type"] == "subscribed" {
                break;
            }
            assert_eq!(frame["code"], "unavailable", "not ready yet: {frame}");
            client.subscribe(json!({"id": "a", "table": "entries"})).await;
        }
        database.execute("insert into entries values (3, 7, 'three')").await;
        while client.next().await.expect("alive")["type"] != "changes" {}
        signal(&child, rustix::process::Signal::TERM);
        assert_eq!(client.closed().await.code, Some(1001));
        let status = timeout(DEADLINE, child.wait()).await.expect("it ends").expect("it ran");
        assert_eq!(status.code(), Some(0));
        let active =
            "select count(*) from pg_replication_slots where database = current_database() and active";
        assert_eq!(database.number(active).await, 0, "the slot is given up");
    });
}

#[test]
fn serve_names_a_bad_setting_and_where_it_came_from() {
    scenario(async |test| {
        let database = test.database().await;
        for (arguments, part) in [
            (&["serve", "--set", "session.outbox_byte=5"][..], "did you mean"),
            (&["serve", "--set", "session.outbox_bytes=5"], "--set"),
            (&["serve", "--set", "http.listen=0.0.0.0:0"], "auth.allow_insecure"),
            (
                &["serve", "--url", "postgres://u@h/d?sslmod=x"],
                "`postgres.url` = (not shown) (--url): there is",
            ),
            (&["serve", "--set", r#"postgres.tables=["a.b.c"]"#], "(--set): `a.b.c` is not a pattern"),
        ] {
            let (status, _, stderr) = outcome(on(&database, arguments)).await;
            assert!(status == 2 && stderr.contains(part), "{status}: {stderr}");
        }
    });
}

#[test]
fn serve_gives_a_server_that_never_answers_as_long_as_the_configuration_says() {
    scenario(async |_| {
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("postgres://u@{}/d", mute.local_addr().expect("bound"));
        let limit = "postgres.connect_timeout_ms=300";
        let mut command =
            tidegate(&["serve", "--url", &url, "--set", limit, "--set", "http.listen=127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let told = async {
            while let Some(line) = lines.next_line().await.expect("readable") {
                if line.contains("did not answer within 300ms") {
                    return;
                }
            }
            panic!("it ended without a word of it");
        };
        timeout(DEADLINE, told).await.expect("it says so in time");
    });
}

#[test]
fn check_looks_at_the_broker_where_the_journal_is_kept_there() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(ENTRIES).await;
        let mut check = on(&database, &["check"]);
        check
            .env("TIDEGATE__JOURNAL__BACKEND", "rabbitmq")
            .env("TIDEGATE__JOURNAL__URL", "amqp://app:not-to-be-shown@127.0.0.1:1/v");
        let (status, stdout, stderr) = outcome(check).await;
        assert_eq!(status, 1, "{stdout}{stderr}");
        assert!(stdout.contains("fault    broker: nothing listens at 127.0.0.1:1"), "{stdout}");
        assert!(stdout.ends_with("\namqp://127.0.0.1:1/v: 1 thing in the way\n"), "{stdout}");
        assert!(!format!("{stdout}{stderr}").contains("not-to-be-shown"), "{stdout}{stderr}");
    });
}

#[test]
fn types_check_and_teardown_tell_by_their_exit_status() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(ENTRIES).await;
        let (status, _, stderr) = outcome(on(&database, &["types"])).await;
        assert_eq!(status, 1, "there is no publication yet: {stderr}");
        let mut server = Server::start(&database).await;
        let (status, types, stderr) = outcome(on(&database, &["types"])).await;
        assert_eq!(status, 0, "{stderr}");
        assert!(types.contains("board_id: number | null") && types.contains("id: string"), "{types}");
        let (status, stdout, stderr) = outcome(on(&database, &["teardown"])).await;
        assert_eq!(status, 1, "the slot is in use: {stdout}{stderr}");
        server.stop().await;
        database.execute("create table keyless (n int)").await;
        let (status, stdout, _) = outcome(on(&database, &["check"])).await;
        assert_eq!(status, 0, "things to mind stand in nobody's way: {stdout}");
        assert!(stdout.contains("public.keyless") && stdout.contains("alter table"), "{stdout}");
        let (status, stdout, stderr) = outcome(on(&database, &["teardown"])).await;
        assert_eq!(status, 0, "{stdout}{stderr}");
        let left = "select (select count(*) from pg_replication_slots where database = current_database())
                         + (select count(*) from pg_publication)
                         + (select count(*) from pg_event_trigger)";
        assert_eq!(database.number(left).await, 0, "{stdout}");
        database.execute("create publication own for table entries with (publish = 'insert')").await;
        let mut faulty = on(&database, &["check"]);
        faulty.env("TIDEGATE__POSTGRES__PUBLICATION", "own");
        let (status, stdout, _) = outcome(faulty).await;
        assert_eq!(status, 1, "a publication that leaves out operations cannot be followed: {stdout}");
        for command in ["types", "check", "teardown"] {
            let mut nowhere = tidegate(&[command]);
            nowhere.env("TIDEGATE__POSTGRES__URL", "postgres://nobody@127.0.0.1:1/nowhere");
            let (status, _, stderr) = outcome(nowhere).await;
            assert_eq!(status, 2, "{command}: {stderr}");
        }
    });
}
