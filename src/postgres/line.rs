//! The line to a server: TLS as the settings want it, or plain and under watch.
//!
//! `tokio-postgres` sends a password in clear text to whoever asks for it, also over a line that anybody reads. So it is
//! told that every TCP line is TLS at once, and is handed one from here: what the request for TLS has come to, where a
//! plain one breaks before the password is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{Negotiation, SslMode, Tls};

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// What a client writes to ask for TLS: the length of the message and the code 80877103.
///
/// See <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST>.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The server asks for the password in clear text, and whoever is on the line would read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server asks for the password in clear text and there is no TLS: set `sslmode=require` or stricter, or \
     `scram-sha-256` in its pg_hba.conf"
)]
pub(super) struct ClearText;

/// Makes lines for one connection after another.
#[derive(Clone)]
pub(super) struct Lines {
    tls: MakeRustlsConnect,
    wish: Wish,
}

/// What is asked for at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing: the line stays plain.
    Plain,
    /// TLS, or nothing if the server has none.
    Preferred,
    /// TLS.
    Required,
    /// TLS without asking.
    Direct,
}

impl Lines {
    pub(super) fn new(tls: MakeRustlsConnect, settings: &Tls) -> Self {
        let wish = match (settings.mode, settings.negotiation) {
            (SslMode::Disable, _) => Wish::Plain,
            (SslMode::Prefer, _) => Wish::Preferred,
            (_, Negotiation::Postgres) => Wish::Required,
            (_, Negotiation::Direct) => Wish::Direct,
        };
        Self { tls, wish }
    }

    /// The same without TLS, where that is but preferred.
    pub(super) fn plain(&self) -> Option<Self> {
        (self.wish == Wish::Preferred).then(|| Self { tls: self.tls.clone(), wish: Wish::Plain })
    }
}

impl MakeTlsConnect<Socket> for Lines {
    type Stream = Line;
    type TlsConnect = Opener;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Opener, io::Error> {
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, host);
        Ok(Opener { tls: tls.map_err(io::Error::other)?, wish: self.wish })
    }
}

/// Makes a line of a socket.
pub(super) struct Opener {
    tls: Rustls,
    wish: Wish,
}

impl TlsConnect<Socket> for Opener {
    type Stream = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        Box::pin(async move {
            let encrypts = match self.wish {
                Wish::Plain => false,
                Wish::Direct => true,
                Wish::Preferred => offers_tls(&mut socket).await?,
                Wish::Required if offers_tls(&mut socket).await? => true,
                Wish::Required => {
                    return Err(io::Error::new(io::ErrorKind::Unsupported, "the server has no TLS"));
                }
            };
            if encrypts {
                Ok(Line::Encrypted(Box::new(self.tls.connect(socket).await?)))
            } else {
                Ok(Line::Plain { socket, watch: Some(Watch::default()) })
            }
        })
    }
}

async fn offers_tls(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&TLS_REQUEST).await?;
    socket.flush().await?;
    Ok(socket.read_u8().await? == b'S')
}

/// A line to a server.
pub(super) enum Line {
    /// Nobody reads along.
    Encrypted(Box<Encrypted>),
    /// Anybody may.
    Plain {
        socket: Socket,
        /// Until the server has let us in.
        watch: Option<Watch>,
    },
}

impl TlsStream for Line {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Encrypted(stream) => stream.channel_binding(),
            Self::Plain { .. } => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Plain { socket, watch } => {
                let before = buffer.filled().len();
                ready!(Pin::new(socket).poll_read(context, buffer))?;
                if let Some(watching) = watch
                    && watching.read(&buffer.filled()[before..])? == Login::Over
                {
                    *watch = None;
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Plain { socket, .. } => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
            Self::Plain { socket, .. } => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Plain { socket, .. } => Pin::new(socket).poll_shutdown(context),
        }
    }
}

/// Follows what the server says until it has let us in, however the bytes are cut.
///
/// See <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The start of a message: kind, length and, of a request to authenticate, which one.
    head: Vec<u8>,
    /// The rest of a message that does not matter, in bytes.
    skip: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    GoesOn,
    Over,
}

impl Watch {
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<Login> {
        const AUTHENTICATION: u8 = b'R';
        const OK: u32 = 0;
        const CLEARTEXT_PASSWORD: u32 = 3;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { return Ok(Login::GoesOn) };
            self.head.push(*first);
            bytes = rest;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let length = match self.head[..] {
                [kind, ref length @ ..] if length.len() == 4 && kind != AUTHENTICATION => number(length),
                [_, ref words @ ..] if words.len() == 8 => match number(&words[4..]) {
                    OK => return Ok(Login::Over),
                    CLEARTEXT_PASSWORD => {
                        return Err(io::Error::new(io::ErrorKind::PermissionDenied, ClearText));
                    }
                    _ => number(&words[..4]),
                },
                _ => continue,
            };
            // The length counts itself and all behind it, not the kind.
            self.skip = (length as usize).saturating_sub(self.head.len() - 1);
            self.head.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).expect("small").to_be_bytes();
        [&[kind], &length[..], content].concat()
    }

    fn request(code: u32, more: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes(), more].concat())
    }

    #[test]
    fn a_request_for_the_password_in_clear_text_is_noticed_however_the_bytes_are_cut() {
        let notice = message(b'N', b"SNOTICE\0R\0\0\0\x08\0\0\0\x03\0");
        let login = [request(10, b"SCRAM-SHA-256\0\0"), request(11, b"r=x"), request(12, b"v=y")].concat();
        for (before, last, expected) in [
            (vec![], request(3, b""), None),
            (notice.clone(), request(3, b""), None),
            (login.clone(), request(3, b""), None),
            ([notice, login].concat(), request(0, b""), Some(Login::Over)),
            (request(5, b"salt"), request(0, b""), Some(Login::Over)),
            (vec![], message(b'E', b"SFATAL\0\0"), Some(Login::GoesOn)),
        ] {
            let all = [before, last].concat();
            for size in 1..=all.len() {
                let mut watch = Watch::default();
                let mut outcome = Ok(Login::GoesOn);
                for part in all.chunks(size) {
                    outcome = watch.read(part);
                }
                assert_eq!(outcome.ok(), expected, "{size} of {all:?}");
            }
        }
    }
}
