//! The replication connection: `tokio-postgres` does not speak `CopyBoth`, so it is written here.
//!
//! ```text
//!  dial ──▶ transport ──▶ login ──▶ Connection::query … ──▶ Connection::stream ──▶ frames ⇄ status updates
//! ```
//!
//! See <https://www.postgresql.org/docs/current/protocol-replication.html>.

mod binding;
mod dial;
mod frames;
mod login;

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, Message};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use self::dial::Transport;
use self::frames::Frames;
use super::error::ServerError;
use super::{Config, Error};

/// A command on the catalog takes milliseconds: a server that needs longer is frozen.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// A status update is 39 bytes; where they do not fit the socket for this long, nobody reads at its other end.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection in replication mode, logged in.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    frames: Frames,
    /// What is to be sent: survives a write that was cut short.
    out: BytesMut,
    endpoint: String,
}

/// A row of text values.
pub(super) type TextRow = Vec<Option<String>>;

/// One word of the server in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A part of the log, decoded.
    Data {
        /// The end of the log as the server knows it.
        wal_end: u64,
        /// One message of the output plugin.
        message: Bytes,
    },
    /// A sign of life.
    Keepalive {
        /// How far the log is decoded and sent.
        wal_end: u64,
        /// Whether it wants one in return, at once.
        wants_reply: bool,
    },
}

impl Connection {
    /// Connects to the first of the servers that will do, and logs in.
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        dial::dial(config).await
    }

    /// Where it leads.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs one statement or replication command, and returns its rows.
    pub(super) async fn query(&mut self, action: &'static str, sql: &str) -> Result<Vec<TextRow>, Error> {
        let seconds = QUERY_TIMEOUT.as_secs();
        timeout(QUERY_TIMEOUT, self.query_patiently(action, sql))
            .await
            .unwrap_or(Err(Error::Silent { seconds }))
    }

    /// Runs one command that may take as long as other people's transactions.
    pub(super) async fn query_patiently(
        &mut self,
        action: &'static str,
        sql: &str,
    ) -> Result<Vec<TextRow>, Error> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut refusal = None;
        loop {
            match self.message().await? {
                Message::DataRow(row) => rows.push(texts(&row)?),
                Message::ErrorResponse(body) => refusal = Some(Box::new(server_error(body.fields()))),
                Message::ReadyForQuery(_) => break,
                Message::RowDescription(_)
                | Message::CommandComplete(_)
                | Message::EmptyQueryResponse
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {}
                _ => return Err(Error::Unexpected("to a query")),
            }
        }
        match refusal {
            None => Ok(rows),
            Some(source) => Err(Error::Server { action, source }),
        }
    }

    /// Starts the stream.
    pub(super) async fn stream(&mut self, sql: &str) -> Result<(), Error> {
        let starting = async {
            self.send_query(sql).await?;
            let mut refusal = None;
            loop {
                if self.frames.takes_copy_both()? {
                    return Ok(());
                }
                match self.frames.message()? {
                    None => {
                        self.fill().await?;
                    }
                    Some(Message::ErrorResponse(body)) => {
                        refusal = Some(Box::new(server_error(body.fields())));
                    }
                    Some(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                    Some(Message::ReadyForQuery(_)) => {
                        let source = refusal.ok_or(Error::Unexpected("to START_REPLICATION"))?;
                        return Err(Error::Server { action: "start replication", source });
                    }
                    Some(_) => return Err(Error::Unexpected("to START_REPLICATION")),
                }
            }
        };
        let seconds = QUERY_TIMEOUT.as_secs();
        timeout(QUERY_TIMEOUT, starting).await.unwrap_or(Err(Error::Silent { seconds }))
    }

    /// Takes the next word of the stream out of what has been received; `None` where [`Connection::fill`] is due.
    pub(super) fn word(&mut self) -> Result<Option<Word>, Error> {
        loop {
            if let Some(content) = self.frames.copy_data()? {
                return word(content).map(Some);
            }
            match self.frames.message()? {
                None => return Ok(None),
                Some(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                Some(Message::ErrorResponse(body)) => {
                    let source = Box::new(server_error(body.fields()));
                    return Err(Error::Server { action: "go on with the stream", source });
                }
                Some(Message::CopyDone | Message::CommandComplete(_)) => return Err(Error::Ended),
                Some(_) => return Err(Error::Unexpected("in the stream")),
            }
        }
    }

    /// Waits until more has been received. Returns how many bytes.
    ///
    /// Cancel safe.
    pub(super) async fn fill(&mut self) -> Result<usize, Error> {
        self.frames.fill(&mut self.transport).await
    }

    /// Tells the server how far we are.
    pub(super) async fn send_copy_data(&mut self, content: &[u8]) -> Result<(), Error> {
        let frame = frontend::CopyData::new(content).map_err(Error::Lost)?;
        frame.write(&mut self.out);
        self.flush().await
    }

    /// Ends the stream and says goodbye, as far as that is possible.
    pub(super) async fn close(mut self) {
        frontend::copy_done(&mut self.out);
        self.terminate().await;
    }

    /// Says goodbye, as far as that is possible.
    pub(super) async fn terminate(mut self) {
        frontend::terminate(&mut self.out);
        // The server is told as a courtesy: it notices the closed socket too.
        if self.flush().await.is_ok() {
            let _ = timeout(WRITE_TIMEOUT, self.transport.shutdown()).await;
        }
    }

    async fn send_query(&mut self, sql: &str) -> Result<(), Error> {
        frontend::query(sql, &mut self.out).map_err(Error::Lost)?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let writing = async {
            self.transport.write_all_buf(&mut self.out).await?;
            self.transport.flush().await
        };
        match timeout(WRITE_TIMEOUT, writing).await {
            Ok(written) => written.map_err(Error::Lost),
            Err(_) => Err(Error::Silent { seconds: WRITE_TIMEOUT.as_secs() }),
        }
    }

    async fn message(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.frames.message()? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }
}

/// Reads the content of a `CopyData`.
fn word(mut content: Bytes) -> Result<Word, Error> {
    const SHORT: Error = Error::Unexpected("a word of the stream is cut short");
    match content.try_get_u8().map_err(|_| SHORT)? {
        b'w' => {
            // Where the message starts, where the log ends, when that was.
            if content.len() < 24 {
                return Err(SHORT);
            }
            content.advance(8);
            let wal_end = content.get_u64();
            content.advance(8);
            Ok(Word::Data { wal_end, message: content })
        }
        b'k' => {
            if content.len() != 17 {
                return Err(SHORT);
            }
            let wal_end = content.get_u64();
            content.advance(8);
            Ok(Word::Keepalive { wal_end, wants_reply: content.get_u8() != 0 })
        }
        _ => Err(Error::Unexpected("an unknown word in the stream")),
    }
}

fn texts(row: &DataRowBody) -> Result<TextRow, Error> {
    let buffer = row.buffer();
    let text = |range: Option<std::ops::Range<usize>>| {
        Ok(range.map(|range| String::from_utf8_lossy(&buffer[range]).into_owned()))
    };
    row.ranges().map(text).collect().map_err(Error::Lost)
}

/// What the fields of an `ErrorResponse` say.
fn server_error(mut fields: ErrorFields<'_>) -> ServerError {
    let mut error = ServerError::default();
    // A broken field ends the list: what came before it is still the server's word.
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => error.code = value,
            b'M' => error.message = value,
            b'D' => error.detail = Some(value),
            b'H' => error.hint = Some(value),
            _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    #[test]
    fn words_are_read_and_every_prefix_of_one_is_refused_or_shorter() {
        let mut data = BytesMut::from(&b"w"[..]);
        data.put_u64(1);
        data.put_u64(2);
        data.put_u64(3);
        data.put_slice(b"message");
        let data = data.freeze();
        let expected = Word::Data { wal_end: 2, message: Bytes::from_static(b"message") };
        assert_eq!(word(data.clone()).expect("whole"), expected);
        for length in 0..25 {
            assert!(word(data.slice(..length)).is_err());
        }
        let mut keepalive = BytesMut::from(&b"k"[..]);
        keepalive.put_u64(7);
        keepalive.put_u64(8);
        keepalive.put_u8(1);
        let keepalive = keepalive.freeze();
        let expected = Word::Keepalive { wal_end: 7, wants_reply: true };
        assert_eq!(word(keepalive.clone()).expect("whole"), expected);
        for length in 0..keepalive.len() {
            assert!(word(keepalive.slice(..length)).is_err());
        }
        assert!(word(Bytes::from_static(b"x")).is_err());
    }
}
