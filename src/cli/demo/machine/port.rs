use std::net::TcpListener;

use super::Error;

/// A port that nobody listens on, from below the range that outgoing connections draw theirs from: it stays free
/// while the server is down.
pub(crate) fn free_port() -> Result<u16, Error> {
    let mut last = None;
    for _ in 0..100 {
        let port = fastrand::u16(15_000..32_000);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    let error = last.expect("a hundred attempts were made");
    Err(Error::file("listen on a free port of", "127.0.0.1")(error))
}
