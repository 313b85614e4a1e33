//! TLS on the listener, as real clients of it see it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::fixture::{DEADLINE, Database, Test, eventually, scenario};
use crate::server::Server;

/// Who signs, and where the server's files are; they go with the test.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// With a first pair.
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the target directory is writable");
        let authority = Self { issuer, folder };
        authority.certify();
        authority
    }

    /// Writes a new pair over the old one.
    fn certify(&self) {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(["localhost".into()])
            .and_then(|params| params.signed_by(&key, &self.issuer))
            .expect("signed");
        fs::write(self.certificate(), certificate.pem()).expect("ours");
        fs::write(self.key(), key.serialize_pem()).expect("ours");
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    fn served(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.certificate()).expect("we wrote it")
    }

    /// A server on a database with some rows; ready.
    async fn server(&self, database: &Database, settings: &[(&str, &str)]) -> Server {
        database
            .execute(
                "create table entries (id bigint primary key, title text);
                 insert into entries select n, repeat('x', 2000) from generate_series(1, 5000) n",
            )
            .await;
        let (certificate, key) = (self.certificate(), self.key());
        let pair = [
            ("http.tls.certificate_file", certificate.to_str().expect("UTF-8")),
            ("http.tls.key_file", key.to_str().expect("UTF-8")),
        ];
        let mut server = Server::stopped(database, &[&pair, settings].concat());
        server.resume_unready().await;
        eventually("the server is ready", async || {
            let answer = self.ask(server.address(), "/readyz").await;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        server
    }

    async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn ask(&self, address: SocketAddr, path: &str) -> String {
        let mut stream = self.connect(address, &["http/1.1"]).await.expect("a handshake");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it says goodbye, as TLS asks");
        answer
    }

    async fn socket(&self, address: SocketAddr) -> Socket {
        let stream = self.connect(address, &["h2", "http/1.1"]).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = "wss://localhost/v1/socket".into_client_request().expect("a request");
        let (ws, _) = tokio_tungstenite::client_async(request, stream).await.expect("an upgrade");
        let mut socket = Socket(ws);
        assert_eq!(socket.next().await["type"], "ready");
        socket
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left behind under `target` is overwritten by the next run.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    async fn next(&mut self) -> Value {
        loop {
            let message = timeout(DEADLINE, self.0.next()).await.expect("waited in vain for a frame");
            if let Message::Text(text) = message.expect("it goes on").expect("it is whole") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("it goes on");
    }

    async fn answers(&mut self) {
        self.send(json!({"type": "ping"})).await;
        assert_eq!(self.next().await["type"], "pong");
    }

    fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.0.get_ref().get_ref().1.peer_certificates().expect("it showed one");
        shown[0].clone().into_owned()
    }
}

#[test]
fn websocket_and_sse_are_spoken_over_tls() {
    scenario(async |test| {
        let authority = Authority::new("tls-spoken");
        let database = test.database().await;
        let server = authority.server(&database, &[]).await;
        let mut socket = authority.socket(server.address()).await;
        // Ten megabytes: more than the kernel and the record layer hold, so that the server has to wait for us.
        socket.send(json!({"type": "subscribe", "id": "a", "table": "entries", "snapshot": true})).await;
        assert_eq!(socket.next().await["type"], "subscribed");
        let mut rows = 0;
        loop {
            let frame = socket.next().await;
            assert_eq!(frame["type"], "snapshot", "{frame}");
            rows += frame["rows"].as_array().expect("rows").len();
            if frame["last"] == true {
                break;
            }
        }
        assert_eq!(rows, 5_000);
        database.execute("insert into entries values (5001, 'live')").await;
        assert_eq!(socket.next().await["changes"][0]["row"]["title"], "live");

        for path in ["/", "/healthz", "/v1/stream"] {
            let answer = authority.ask(server.address(), path).await;
            assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
        }

        let mut stream = authority.connect(server.address(), &[]).await.expect("a handshake");
        let request = "GET /v1/stream?table=entries&where=id=5001 HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut read = Vec::new();
        for mark in ["event: ready", "event: snapshot", "\"title\":\"live\""] {
            while !String::from_utf8_lossy(&read).contains(mark) {
                let taken = timeout(DEADLINE, stream.read_buf(&mut read)).await.expect("it goes on");
                assert!(taken.expect("whole") > 0, "the stream ended before {mark}");
            }
        }
    });
}

#[test]
fn what_is_no_tls_or_another_protocol_ends_with_its_handshake() {
    scenario(async |test| {
        let authority = Authority::new("tls-other");
        let database = test.database().await;
        let server = authority.server(&database, &[("session.handshake_timeout_ms", "300")]).await;
        let mut plain = TcpStream::connect(server.address()).await.expect("it listens");
        plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
        let mut answer = Vec::new();
        // Ended with an alert or a reset: either says that there is nothing here for it.
        let _ = timeout(DEADLINE, plain.read_to_end(&mut answer)).await.expect("it ends");
        assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
        authority.connect(server.address(), &["h2"]).await.expect_err("HTTP/2 is not spoken");

        let mut silent = TcpStream::connect(server.address()).await.expect("it listens");
        let mut slow = TcpStream::connect(server.address()).await.expect("it listens");
        slow.write_all(b"\x16\x03\x01\x02\x00\x01").await.expect("it reads");
        for stream in [&mut silent, &mut slow] {
            let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
            let _ = ended.expect("a handshake that dawdles is cut off");
        }
        assert!(authority.ask(server.address(), "/healthz").await.starts_with("HTTP/1.1 200"));
    });
}

fn hang_up() {
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::HUP).expect("ours");
}

async fn reloaded(test: &Test, line: &str) {
    hang_up();
    eventually("the files are read again", async || test.logged(line).then_some(())).await;
}

#[test]
fn a_pair_is_read_again_on_sighup_and_open_connections_go_on() {
    scenario(async |test| {
        let authority = Authority::new("tls-reload");
        let database = test.database().await;
        let server = authority.server(&database, &[]).await;
        let mut first = authority.socket(server.address()).await;
        let before = authority.served();
        assert_eq!(first.certificate(), before);

        authority.certify();
        reloaded(test, "the certificate was read again").await;
        let mut second = authority.socket(server.address()).await;
        assert_ne!(authority.served(), before);
        assert_eq!(second.certificate(), authority.served());

        let in_use = authority.served();
        fs::write(authority.key(), KeyPair::generate().expect("a key").serialize_pem()).expect("ours");
        test.expect_in_log("the certificate could not be read again");
        reloaded(test, "the certificate could not be read again").await;
        let mut third = authority.socket(server.address()).await;
        assert_eq!(third.certificate(), in_use, "the old one stays in use");
        for socket in [&mut first, &mut second, &mut third] {
            socket.answers().await;
        }
    });
}

#[test]
fn a_pair_that_cannot_be_used_ends_the_start_and_is_named() {
    let authority = Authority::new("tls-bad");
    let (other, empty) = (authority.folder.join("other.key"), authority.folder.join("empty"));
    fs::write(&other, KeyPair::generate().expect("a key").serialize_pem()).expect("ours");
    fs::write(&empty, "").expect("ours");
    let missing = authority.folder.join("missing");
    let (certificate, key) = (authority.certificate(), authority.key());
    for (certificate, key, parts) in [
        (&missing, Some(&key), ["`http.tls.certificate_file` = `", "missing", "No such file"]),
        (&empty, Some(&key), ["`http.tls.certificate_file` = `", "empty", "holds no certificate"]),
        (&certificate, Some(&empty), ["`http.tls.key_file` = `", "empty", "no items found"]),
        (&certificate, Some(&other), ["other.key", "cannot be used together", "KeyMismatch"]),
        (&certificate, None, ["http.tls.certificate_file", "is of no use without", "http.tls.key_file"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["serve", "--url", "postgres://nobody@127.0.0.1:1/nothing"]);
        command.args(["--listen", "127.0.0.1:0"]).env("TIDEGATE__HTTP__TLS__CERTIFICATE_FILE", certificate);
        command.envs(key.map(|key| ("TIDEGATE__HTTP__TLS__KEY_FILE", key)));
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
