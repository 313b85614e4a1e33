//! The line to a client: plain or TLS, and given up when the client takes no byte for too long.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::tls::Tls;

/// A client's connection. TLS is boxed: its buffers are a kilobyte, which plain lines need not hold.
pub(super) type Line = Either<Patient<TcpStream>, Box<TlsStream<Patient<TcpStream>>>>;

/// Opens the line; with TLS that is the handshake, which may take as long as `limit`.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`], and whatever is wrong with the handshake.
pub(super) async fn open(
    stream: TcpStream,
    tls: Option<&Tls>,
    patience: Duration,
    limit: Duration,
) -> io::Result<Line> {
    let stream = Patient { stream, patience, stalled: None };
    let Some(tls) = tls else { return Ok(Either::Left(stream)) };
    // Boxed: a connection is a task for long, and in a handshake for a moment.
    let handshake = Box::pin(timeout(limit, tls.acceptor().accept(stream)));
    let stream = handshake.await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(Either::Right(Box::new(stream)))
}

/// A stream whose writes fail with [`io::ErrorKind::TimedOut`] once the other side has taken no byte for `patience`.
///
/// Below TLS, so that it is bytes on the wire that count.
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// When to give up; only while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::interval;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_takes_a_byte_now_and_then_is_waited_for_and_one_that_takes_none_is_not() {
        let patience = Duration::from_secs(1);
        let (near, mut far) = duplex(1);
        let mut line = Patient { stream: near, patience, stalled: None };
        let slow = async {
            let mut pace = interval(patience / 4);
            for _ in 0..8 {
                pace.tick().await;
                far.read_u8().await.expect("open");
            }
        };
        let (written, ()) = tokio::join!(line.write_all(&[7; 8]), slow);
        written.expect("each byte came in time");
        let given_up = line.write_all(&[7; 2]).await.expect_err("nobody reads");
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
    }
}
