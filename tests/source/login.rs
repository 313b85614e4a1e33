//! Who is let in, and over what.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tidegate::cli::demo::cluster::Cluster;
use tidegate::postgres::Settings;
use tidegate::source::{Config, Error, Recovery, probe};
use tidegate::telemetry::Chain;

use super::slots::data_folder;
use crate::fixture::{Database, private, scenario};

const HBA: &str = "
local   all all trust
host    all postgres all trust
hostssl all secure   all scram-sha-256
hostnossl all secure all reject
host    all scram    all scram-sha-256
host    all md5      all md5
host    all clear    all password
host    all ident    all trust
hostnossl all shy    all trust
hostssl all shy      all reject
";

/// A cluster with a role for each method, and a certificate for `localhost`.
pub(crate) struct Server {
    cluster: Cluster,
    pub(crate) database: Database,
    roots: PathBuf,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        let folder = PathBuf::from(data_folder(&database).await);
        database
            .execute(
                "set password_encryption = 'scram-sha-256';
                 create role scram login replication password 'pâss word';
                 create role secure login replication password 'pâss word';
                 create role clear login replication password 'pâss word';
                 create role ident login;
                 create role shy login replication;
                 set password_encryption = 'md5';
                 create role md5 login replication password 'pâss word';",
            )
            .await;
        let roots = certify(&folder);
        std::fs::write(folder.join("pg_hba.conf"), HBA).expect("ours");
        let server = Self { cluster, database, roots };
        server.ssl("on").await;
        server
    }

    /// Switches TLS on or off, and waits until that holds.
    pub(crate) async fn ssl(&self, value: &str) {
        self.cluster.reconfigure(&[("ssl".into(), value.into())]).expect("ours");
        crate::fixture::eventually("the setting holds", async || {
            let row = self.database.client().await.query_one("show ssl", &[]).await;
            (row.expect("a row").get::<_, String>(0) == value).then_some(())
        })
        .await;
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.address().port().expect("runs")
    }

    async fn probe(&self, user: &str, host: &str, more: &str) -> Result<(), Error> {
        let port = self.port();
        self.probe_text(&format!("user={user} host={host} port={port} {more}")).await
    }

    async fn probe_text(&self, text: &str) -> Result<(), Error> {
        let text = format!("dbname={} password='pâss word' {text}", self.database.name());
        let settings = Settings::parse(&text).expect("valid");
        probe(&Config::new(settings, "p", "s")).await.map(drop)
    }

    pub(crate) fn rooted(&self, mode: &str) -> String {
        format!("sslmode={mode} sslrootcert='{}'", self.roots.display())
    }
}

/// Gives the server a certificate for `localhost`, and returns where its signer's is.
fn certify(folder: &std::path::Path) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(["localhost".into()])
        .and_then(|params| params.signed_by(&key, &issuer))
        .expect("signed");
    let owner = folder.metadata().expect("there");
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("ours");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("ours");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("ours");
    }
    let roots = folder.join("roots.crt");
    std::fs::write(&roots, issuer.pem()).expect("ours");
    roots
}

fn chain(error: &Error) -> String {
    Chain(error).to_string()
}

#[test]
fn every_method_lets_in_who_knows_the_password_and_nobody_else() {
    scenario(async |_| {
        let server = Server::start().await;
        for user in ["scram", "md5"] {
            server.probe(user, "127.0.0.1", "sslmode=disable").await.expect(user);
            server.probe(user, "localhost", "sslmode=require").await.expect(user);
            let wrong = server.probe(user, "127.0.0.1", "password=wrong sslmode=disable").await;
            let error = wrong.expect_err("not let in");
            assert!(chain(&error).contains("(SQLSTATE 28P01)"), "{}", chain(&error));
            assert_eq!(error.recovery(), Recovery::Reconnect, "a password may be set any time");
        }
        let text = format!(
            "postgres://scram@127.0.0.1:{}/{}?sslmode=disable",
            server.port(),
            server.database.name()
        );
        let nobody = Config::new(Settings::parse(&text).expect("valid"), "p", "s");
        let error = probe(&nobody).await.expect_err("no password");
        assert!(
            error.to_string().ends_with("the server asks for a password and none is configured"),
            "{error}"
        );
        let error = server.probe("ident", "127.0.0.1", "").await.expect_err("no REPLICATION");
        assert!(matches!(error, Error::Refused { .. }), "{}", chain(&error));
    });
}

#[test]
fn a_password_in_clear_text_is_sent_over_tls_only() {
    scenario(async |_| {
        let server = Server::start().await;
        let error = server.probe("clear", "127.0.0.1", "sslmode=disable").await.expect_err("refused");
        assert!(error.to_string().contains("sslmode=require"), "{error}");
        assert_eq!(error.recovery(), Recovery::Halt);
        server.probe("clear", "127.0.0.1", "sslmode=require").await.expect("over TLS");
        server.probe("clear", "127.0.0.1", "sslmode=prefer").await.expect("over TLS");
        server.ssl("off").await;
        let error = server.probe("clear", "127.0.0.1", "sslmode=prefer").await.expect_err("refused");
        assert!(error.to_string().contains("sslmode=require"), "{error}");
    });
}

#[test]
fn each_sslmode_demands_what_libpq_does() {
    scenario(async |_| {
        let server = Server::start().await;
        let full = server.rooted("verify-full");
        server.probe("secure", "localhost", &full).await.expect("the right name");
        server.probe("secure", "localhost", &server.rooted("verify-ca")).await.expect("the right signer");
        server.probe("secure", "127.0.0.1", &server.rooted("verify-ca")).await.expect("any name");
        server.probe("secure", "127.0.0.1", "sslmode=require").await.expect("anyone");
        server.probe("secure", "127.0.0.1", "sslmode=prefer").await.expect("TLS where it is");
        let error = server.probe("secure", "127.0.0.1", &full).await.expect_err("another name");
        assert!(matches!(error, Error::Handshake { .. }), "{}", chain(&error));
        let other = certify(&tempfolder(&server));
        let stranger = format!("sslmode=verify-ca sslrootcert='{}'", other.display());
        let error = server.probe("secure", "localhost", &stranger).await.expect_err("another signer");
        assert!(matches!(error, Error::Handshake { .. }), "{}", chain(&error));
        let error = server.probe("secure", "127.0.0.1", "sslmode=disable").await.expect_err("not without");
        assert!(matches!(error, Error::Refused { .. }), "{}", chain(&error));
        server.probe("shy", "127.0.0.1", "sslmode=prefer").await.expect("without, where TLS is refused");

        server.ssl("off").await;
        server.probe("scram", "127.0.0.1", "sslmode=prefer").await.expect("without TLS");
        let error = server.probe("scram", "127.0.0.1", "sslmode=require").await.expect_err("no TLS");
        assert!(matches!(error, Error::NoTls { .. }), "{}", chain(&error));
    });
}

fn tempfolder(server: &Server) -> PathBuf {
    let folder = server.roots.parent().expect("in a folder").join("other");
    std::fs::create_dir(&folder).expect("ours");
    folder
}

#[test]
fn the_password_exchange_is_bound_to_the_tls_channel() {
    scenario(async |_| {
        let server = Server::start().await;
        let bound = "sslmode=require channel_binding=require";
        server.probe("scram", "localhost", bound).await.expect("bound");
        server.probe("scram", "localhost", "sslmode=require channel_binding=disable").await.expect("unbound");
        for (user, more) in
            [("scram", "sslmode=disable channel_binding=require"), ("md5", bound), ("clear", bound)]
        {
            let error = server.probe(user, "localhost", more).await.expect_err("cannot be bound");
            assert!(error.to_string().contains("channel_binding=require"), "{error}");
        }
    });
}

#[test]
fn a_unix_socket_and_the_first_of_several_hosts_that_answers_will_do() {
    scenario(async |_| {
        let server = Server::start().await;
        let port = server.port();
        if let Some(sockets) = server.cluster.address().sockets() {
            let text = format!("user=scram host={} port={port} sslmode=verify-full", sockets.display());
            server.probe_text(&text).await.expect("no TLS over a Unix socket, as in libpq");
        }
        let closed =
            TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let text = format!("user=scram host=127.0.0.1,localhost port={closed},{port}");
        server.probe_text(&text).await.expect("the second one");
        let text = format!("user=scram host=127.0.0.1,no-such-host.invalid port={closed},{port}");
        let error = server.probe_text(&text).await.expect_err("neither");
        let text = error.to_string();
        assert!(
            text.contains(&format!("127.0.0.1:{closed}")) && text.contains("no-such-host.invalid"),
            "{text}"
        );
    });
}

#[test]
fn a_server_that_never_answers_is_given_up_after_the_connect_timeout() {
    scenario(async |_| {
        let mute = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = mute.local_addr().expect("bound").port();
        let text = format!("host=127.0.0.1 port={port} user=u connect_timeout=1");
        let config = Config::new(Settings::parse(&text).expect("valid"), "p", "s");
        let error = probe(&config).await.expect_err("nobody answers");
        assert!(matches!(error, Error::ConnectTimeout { .. }), "{}", chain(&error));
    });
}
