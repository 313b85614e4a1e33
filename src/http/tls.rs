//! TLS on the listener: a certificate and its key from files, read again on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::shutdown::{Reloads, Scope};
use crate::telemetry::Chain;

/// Who the server is to its clients, as files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Its certificate, followed by those between it and a root.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// TLS as it is now. Connections that are open keep what they began with.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One could not be read, or holds nothing of the kind in PEM.
    #[error("could not read `{key}` = `{}`", path.display())]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The file of certificates holds none.
    #[error("`http.tls.certificate_file` = `{}` holds no certificate in PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// They do not belong together, or are of no use.
    #[error(
        "`http.tls.certificate_file` = `{}` and `http.tls.key_file` = `{}` cannot be used together",
        files.certificate.display(), files.key.display()
    )]
    Pair {
        /// The files.
        files: Files,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error`], which names the file.
    pub fn load(files: Files) -> Result<Self, Error> {
        let current = RwLock::new(read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again, for connections from here on.
    ///
    /// # Errors
    /// [`Error`]; then what was read before stays in use.
    pub fn reload(&self) -> Result<(), Error> {
        let read = read(&self.files)?;
        *self.current.write() = read;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().clone().into()
    }
}

/// Reads the files again whenever the process is asked to, until `scope` closes.
pub async fn keep(tls: Arc<Tls>, mut reloads: Reloads, scope: Scope) {
    loop {
        tokio::select! {
            biased;
            () = scope.closing() => return,
            () = reloads.next() => {}
        }
        // Two small files, once in a while.
        match tls.reload() {
            Ok(()) => {
                tracing::info!(certificate = %tls.files.certificate.display(), "the certificate was read again");
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the certificate could not be read again: the old one stays in use");
            }
        }
    }
}

fn read(files: &Files) -> Result<Arc<ServerConfig>, Error> {
    let unreadable = |key, path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { key, path, source }
    };
    let chain =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(unreadable("http.tls.certificate_file", &files.certificate))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate { path: files.certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(unreadable("http.tls.key_file", &files.key))?;
    let unusable = |source| Error::Pair { files: files.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    // What is spoken here: a client that wants nothing else is told so in the handshake.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
