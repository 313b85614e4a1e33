//! TLS to PostgreSQL over rustls, as strict as `sslmode` says.
//!
//! See <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::settings::{Negotiation, Settings, SslMode};

/// TLS that cannot be set up on this side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file in PEM could not be read.
    #[error("could not read {what} `{}`", path.display())]
    File {
        /// Which of them.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The file that `sslrootcert` names holds nothing to trust.
    #[error("`sslrootcert` `{}` holds no certificate", path.display())]
    NoRoots {
        /// The file.
        path: PathBuf,
    },
    /// The operating system has nothing to trust.
    #[error(
        "the operating system has no trusted roots: install `ca-certificates`, or name a file as `sslrootcert`"
    )]
    NoSystemRoots,
    /// A root that no server could be verified against.
    #[error("the trusted roots cannot be used")]
    Roots(#[source] rustls::client::VerifierBuilderError),
    /// Certificate and key do not belong together, or are of no use.
    #[error("`sslcert` and `sslkey` cannot be used")]
    Certificate(#[source] rustls::Error),
    /// No protocol version that rustls and this build share.
    #[error("TLS could not be set up")]
    Provider(#[source] rustls::Error),
}

/// The client's side of TLS for these settings.
///
/// # Errors
/// [`Error`] if a file that the settings name cannot be used.
pub fn client_config(settings: &Settings) -> Result<Arc<ClientConfig>, Error> {
    let tls = settings.tls();
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => Arc::new(Unverified(Arc::clone(&provider))),
        SslMode::VerifyCa => Arc::new(AnyName(verifier(tls.roots.as_ref(), &provider)?)),
        SslMode::VerifyFull => verifier(tls.roots.as_ref(), &provider)?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Provider)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates("sslcert", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|source| Error::File {
                what: "sslkey",
                path: key.clone(),
                source,
            })?;
            builder.with_client_auth_cert(chain, key).map_err(Error::Certificate)?
        }
    };
    if tls.negotiation == Negotiation::Direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Arc::new(config))
}

fn certificates(what: &'static str, path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|source| Error::File {
        what,
        path: path.clone(),
        source,
    })
}

fn verifier(
    roots: Option<&PathBuf>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut store = RootCertStore::empty();
    let given = match roots {
        Some(path) => certificates("sslrootcert", path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    store.add_parsable_certificates(given);
    if store.is_empty() {
        return Err(roots.map_or(Error::NoSystemRoots, |path| Error::NoRoots { path: path.clone() }));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(Error::Roots)
}

/// Takes whatever certificate comes: the line is encrypted, and who is at its end is not known.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // The server must still own the key of the certificate that it shows: channel binding rests on that.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Asks who signed the certificate, not for which name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last, when all else was in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
