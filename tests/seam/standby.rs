use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use postgres_protocol::message::frontend;
use tidegate::cli::demo::cluster::Cluster;
use tidegate::event::Lsn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::fixture::Database;

/// What it calls itself, for `synchronous_standby_names`.
pub(crate) const NAME: &str = "late";

/// A physical standby as far as PostgreSQL can tell: it takes the log and acknowledges all of it, late.
///
/// It keeps nothing. Ends when it is dropped.
pub(crate) struct Standby {
    _task: JoinSet<()>,
}

impl Standby {
    pub(crate) async fn start(cluster: &Cluster, database: &Database) -> Self {
        let client = database.client().await;
        let row = client.query_one("select pg_current_wal_flush_lsn()::text", &[]).await.expect("up");
        let start: Lsn = row.get::<_, &str>(0).parse().expect("a position");
        let user: String = client.query_one("select current_user::text", &[]).await.expect("up").get(0);
        let connection = Connection::open(cluster.address().port().expect("it runs"), &user, start).await;
        let connection = connection.unwrap_or_else(|error| panic!("no standby: {error}"));
        let mut task = JoinSet::new();
        task.spawn(connection.follow());
        Self { _task: task }
    }
}

struct Connection {
    stream: TcpStream,
    read: BytesMut,
    received: Lsn,
}

/// Between two acknowledgements, in milliseconds: some commits wait for hardly any time, some for long.
const PAUSES_MS: [u64; 5] = [1, 5, 20, 80, 250];

impl Connection {
    /// See <https://www.postgresql.org/docs/current/protocol-replication.html>.
    async fn open(port: u16, user: &str, start: Lsn) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut connection = Self { stream, read: BytesMut::new(), received: start };
        let mut out = BytesMut::new();
        let parameters = [("user", user), ("replication", "true"), ("application_name", NAME)];
        frontend::startup_message(parameters, &mut out)?;
        connection.stream.write_all(&out).await?;
        while connection.message().await?.0 != b'Z' {}
        out.clear();
        frontend::query(&format!("START_REPLICATION PHYSICAL {start}"), &mut out)?;
        connection.stream.write_all(&out).await?;
        while connection.message().await?.0 != b'W' {}
        connection.acknowledge().await?;
        Ok(connection)
    }

    async fn follow(mut self) {
        let mut acknowledge_at = Instant::now();
        loop {
            let turn = tokio::select! {
                () = sleep_until(acknowledge_at) => {
                    let pause = PAUSES_MS[fastrand::usize(..PAUSES_MS.len())];
                    acknowledge_at = Instant::now() + Duration::from_millis(pause);
                    self.acknowledge().await
                }
                message = self.message() => message.map(|(kind, body)| self.take(kind, body)),
            };
            if turn.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, kind: u8, mut body: BytesMut) {
        if kind == b'd' && body.get_u8() == b'w' {
            let start = body.get_u64();
            // The server's own end and clock.
            body.advance(16);
            self.received = self.received.max(Lsn::new(start + body.len() as u64));
        }
    }

    async fn acknowledge(&mut self) -> io::Result<()> {
        let mut status = BytesMut::new();
        status.put_u8(b'r');
        // Written, flushed, applied.
        (0..3).for_each(|_| status.put_u64(self.received.get()));
        status.put_u64(0);
        status.put_u8(0);
        let mut out = BytesMut::new();
        frontend::CopyData::new(status)?.write(&mut out);
        self.stream.write_all(&out).await
    }

    /// The next message: kind and body. Cancel safe.
    async fn message(&mut self) -> io::Result<(u8, BytesMut)> {
        loop {
            if let Some(header) = self.read.first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
                if self.read.len() > length {
                    let mut message = self.read.split_to(1 + length);
                    let kind = message.get_u8();
                    message.advance(4);
                    if kind == b'E' {
                        return Err(io::Error::other(String::from_utf8_lossy(&message).into_owned()));
                    }
                    return Ok((kind, message));
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
