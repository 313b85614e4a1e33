//! The demo with people who log in: through its own provider, each to its own boards.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use rustix::process::Signal;
use tidegate::cli::demo::provider::{AUDIENCE, CLIENT};
use tokio::task::spawn_blocking;

use super::*;
use crate::client::{Browser, Closed};
use crate::fixture::install;
use crate::stage::Raw;

/// A private PostgreSQL, a provider and a server start and stop in it, beside whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(2);

struct Demo {
    child: Child,
    server: SocketAddr,
    provider: SocketAddr,
}

impl Demo {
    async fn start(folder: &Path) -> Self {
        let provider = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/provider");
        let installed = provider.clone();
        spawn_blocking(move || install(&installed)).await.expect("npm and Node.js are installed");
        let mut command = tidegate(&["demo", "--login", "--port", "0", "--rate", "20"]);
        command.arg("--folder").arg(folder).arg("--provider").arg(provider).stderr(Stdio::null());
        if let Some(binaries) = std::env::var_os("TIDEGATE_TEST_POSTGRES_BIN") {
            command.arg("--postgres-bin").arg(binaries);
        }
        let mut child = command.spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut addresses = Vec::new();
        let greeting = async {
            loop {
                let line = lines.next_line().await.expect("readable").expect("it goes on");
                if line.contains("Ctrl-C stops everything") {
                    return;
                }
                if let Some((_, rest)) = line.split_once("http://") {
                    let end = rest.find(['/', ' ']).unwrap_or(rest.len());
                    addresses.push(rest[..end].parse().expect("an address"));
                }
            }
        };
        timeout(PATIENCE, greeting).await.expect("it is ready in time");
        let [server, provider] = addresses[..] else { panic!("a server and a provider: {addresses:?}") };
        Self { child, server, provider }
    }

    /// A socket as this person, which has logged in with a browser of its own.
    async fn client(&self, subject: &str) -> Client {
        let (issuer, page) = (format!("http://{}", self.provider), format!("http://{}", self.server));
        let tokens = Browser::new(&issuer, CLIENT, &page, AUDIENCE).tokens(subject).await;
        let mut client = Client::connect(self.server).await;
        client.send(&json!({"type": "auth", "token": tokens.access})).await;
        client
    }
}

/// The `name` of every row that a table shows, in order.
async fn names(client: &mut Client, table: &str) -> Vec<String> {
    client.subscribe(json!({"id": table, "table": table, "columns": ["id", "name"], "snapshot": true})).await;
    let mut names = Vec::new();
    loop {
        let frame = client.next().await.expect("the server lives");
        if frame["type"] != "snapshot" || frame["id"] != table {
            continue;
        }
        names.extend(
            frame["rows"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|row| row["name"].as_str().expect("a text").to_owned()),
        );
        if frame["last"] == true {
            names.sort();
            return names;
        }
    }
}

#[test]
fn people_of_the_demo_log_in_and_each_sees_its_own_boards() {
    scenario(async |_| {
        let scratch = std::env::temp_dir().join(format!("tidegate-test-{:08x}", fastrand::u32(..)));
        std::fs::create_dir(&scratch).expect("a new folder");
        let mut demo = Demo::start(&scratch.join("demo")).await;

        let mut ada = demo.client("ada").await;
        assert_eq!(names(&mut ada, "public.boards").await, ["Ferry app", "Harbour sensors"]);
        let mut ben = demo.client("ben").await;
        assert_eq!(names(&mut ben, "public.boards").await, ["Port website"]);
        assert_eq!(names(&mut demo.client("cleo").await, "public.boards").await.len(), 3);
        let people = names(&mut ada, "public.users").await;
        assert!(
            ["Ada Winter", "Ben Sommer", "Cleo Marsh"]
                .iter()
                .all(|name| people.contains(&(*name).to_owned()))
        );
        assert_eq!(
            demo.client("dov").await.closed().await,
            Closed { code: Some(4401), reason: "role_not_allowed".into() }
        );

        // Addresses are not published, and another's board is empty.
        ben.subscribe(json!({"id": "mail", "table": "app.user_contacts", "snapshot": true})).await;
        assert_eq!(ben.expect("error").await["code"], "unknown_table");
        ben.subscribe(json!({"id": "own", "table": "public.entries", "where": "board_id = 3"})).await;
        ben.subscribe(json!({"id": "others", "table": "public.entries", "where": "board_id <> 3"})).await;
        let mut own = 0;
        while own < 10 {
            let frame = ben.next().await.expect("the server lives");
            assert!(frame["type"] != "changes" || frame["id"] != "others", "{frame}");
            own += usize::from(frame["type"] == "changes" && frame["id"] == "own");
        }

        // The page may ask the provider, and knows where it is.
        let issuer = format!("http://{}", demo.provider);
        let mut raw = Raw::connect(demo.server).await;
        raw.send("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        let page = raw.response().await;
        assert!(page.head.contains(&format!(" {issuer}; base-uri")), "{}", page.head);
        let mut raw = Raw::connect(demo.server).await;
        raw.send("GET /page.json HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        let response = raw.response().await;
        assert_eq!(raw.json(&response).await["login"]["issuer"], issuer);

        signal(&demo.child, Signal::TERM);
        let status = timeout(PATIENCE, demo.child.wait()).await.expect("it ends").expect("it ran");
        assert_eq!(status.code(), Some(0));
        for address in [demo.server, demo.provider] {
            assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
        }
        std::fs::remove_dir_all(&scratch).expect("ours");
    });
}
