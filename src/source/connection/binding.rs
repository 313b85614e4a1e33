use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

/// What binds a password exchange to the TLS channel: the hash of the server's certificate, by the algorithm that it
/// was signed with. `None` where that names no hash (Ed25519), so that no binding is defined.
///
/// See <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>.
pub(super) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let algorithm = hash(parsed.signature_algorithm.oid)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

fn hash(signature: ObjectIdentifier) -> Option<&'static Algorithm> {
    match signature {
        // The RFC puts SHA-256 in the place of SHA-1.
        SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => Some(&SHA256),
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => Some(&SHA384),
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => Some(&SHA512),
        _ => None,
    }
}
