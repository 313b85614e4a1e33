//! Keys by https: from whom the operating system believes, and from nobody else.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Signer;
use crate::fixture::{Database, eventually, scenario};
use crate::stage::{Raw, spawn};

/// An authority of one's own, and its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("signed");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.pem", std::process::id()));
        fs::write(&file, issuer.pem()).expect("the target directory is writable");
        Self { issuer, file }
    }

    /// Serves `keys` to whoever speaks TLS with a host of this name.
    async fn serve(&self, host: &str, keys: String) -> (SocketAddr, JoinHandle<()>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let chain = vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes()).expect("ours")];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("ours");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let serving = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever does not believe us is gone by then.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 4_096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                assert!(head[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{keys}",
                    keys.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (address, serving)
    }
}

/// The program, which believes `authority` and takes its keys from `url`.
async fn serve(database: &Database, authority: &Authority, url: &str) -> (Child, SocketAddr) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = address.expect("a free port");
    let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["serve", "--listen", &address.to_string()])
        .env("SSL_CERT_FILE", &authority.file)
        .env("TIDEGATE__POSTGRES__URL", database.url())
        .env("TIDEGATE__POSTGRES__SLOT", database.slot())
        .env("TIDEGATE__POSTGRES__PUBLICATION", database.publication())
        .env("TIDEGATE__AUTH__MODE", "jwt")
        .env("TIDEGATE__AUTH__ROLES", r#"["postgres"]"#)
        .env("TIDEGATE__AUTH__JWT__JWKS_URL", url)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it runs");
    eventually("it is ready", async || {
        let mut raw = Raw::try_connect(address).await?;
        raw.send("GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
        (raw.response().await.status == 200).then_some(())
    })
    .await;
    (child, address)
}

/// The status for one who brings a token.
async fn status(address: SocketAddr, token: &str) -> u16 {
    let mut raw = Raw::connect(address).await;
    raw.send(format!(
        "GET /v1/stream?channel=c HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n"
    ))
    .await;
    raw.response().await.status
}

#[test]
fn keys_come_by_https_from_a_host_that_the_operating_system_believes() {
    scenario(async |test| {
        let database = test.database().await;
        let signer = Signer::p256().named("one");
        let (good, evil) = (Authority::new("good"), Authority::new("evil"));
        let keys = json!({"keys": [signer.jwk()]}).to_string();
        let (own, _own) = good.serve("127.0.0.1", keys.clone()).await;
        let (other, _other) = evil.serve("127.0.0.1", keys.clone()).await;
        let (misnamed, _misnamed) = good.serve("keys.example.com", keys).await;
        let token = signer.token(&json!({"role": "postgres"}));
        // It is let in, and may not listen; or there are no keys.
        for (address, expected) in [(own, 403), (other, 503), (misnamed, 503)] {
            let (mut child, server) = serve(&database, &good, &format!("https://{address}/keys")).await;
            assert_eq!(status(server, &token).await, expected, "{address}");
            child.kill().await.expect("ours");
        }
    });
}
