use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How often the server is asked: it gets ready within a second or two.
const POLL: Duration = Duration::from_millis(50);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Waits until the server at `address` says that it is ready.
pub(super) async fn wait(address: SocketAddr) {
    while !matches!(timeout(ANSWER, ask(address)).await, Ok(Ok(true))) {
        sleep(POLL).await;
    }
}

async fn ask(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut head).await?;
    Ok(head == *b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_an_answer_of_200_is_ready() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = async {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut request = [0; 512];
                let read = stream.read(&mut request).await.expect("a request");
                assert!(request[..read].starts_with(b"GET /readyz "));
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("the client listens");
            }
        };
        tokio::join!(server, wait(address));
    }
}
