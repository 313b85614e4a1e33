//! A bare replication reader: the least that can follow a slot.

use std::io::{BufReader, Read, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::swarm::since;

/// Seconds from 1970 to 2000, where PostgreSQL's clock starts, in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A thread that reads a slot and notes how long after each commit it read of it.
#[derive(Debug)]
pub(crate) struct Replica {
    delays: Arc<Mutex<Vec<u32>>>,
}

impl Replica {
    /// Starts on a slot; the server must trust whoever comes.
    pub(crate) fn start(url: &str, slot: &str, publication: &str) -> Self {
        let mut stream = log_in(&url.parse().expect("a URL"));
        let start = format!(
            "START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names '{publication}')"
        );
        let mut query = BytesMut::new();
        frontend::query(&start, &mut query).expect("no zero bytes");
        stream.write_all(&query).expect("the server reads");
        wait_for(&mut stream, b'W');
        let delays = Arc::new(Mutex::default());
        let noted = Arc::clone(&delays);
        std::thread::spawn(move || follow(stream, &noted));
        Self { delays }
    }

    /// What was noted so far, in microseconds.
    pub(crate) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.delays.lock().expect("no panic"))
    }
}

fn log_in(config: &Config) -> TcpStream {
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("a URL with a TCP host") };
    let stream = TcpStream::connect((host.as_str(), config.get_ports()[0])).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut stream = stream;
    let parameters = [
        ("user", config.get_user().expect("in the URL")),
        ("database", config.get_dbname().expect("in the URL")),
        ("replication", "database"),
    ];
    let mut startup = BytesMut::new();
    frontend::startup_message(parameters, &mut startup).expect("no zero bytes");
    stream.write_all(&startup).expect("the server reads");
    wait_for(&mut stream, b'Z');
    stream
}

/// Reads messages up to the first of a kind.
fn wait_for(stream: &mut TcpStream, kind: u8) {
    let mut body = Vec::new();
    while message(stream, &mut body) != kind {}
}

fn follow(stream: TcpStream, delays: &Mutex<Vec<u32>>) {
    let mut stream = BufReader::with_capacity(256 * 1024, stream);
    let mut body = Vec::new();
    while message(&mut stream, &mut body) != 0 {
        // `w`, three numbers of eight bytes, then `C`: a flag, two positions, and the moment of the commit.
        if let [b'w', data @ ..] = &*body
            && let Some([b'C', commit @ ..]) = data.get(24..)
        {
            let moment = commit[17..25].try_into().expect("eight");
            let moment = u64::try_from(i64::from_be_bytes(moment) + EPOCH_MICROS).expect("after 1970");
            delays.lock().expect("no panic").push(since(moment));
        }
    }
}

/// Reads one message and gives its kind, 0 at the end.
fn message(stream: &mut impl Read, body: &mut Vec<u8>) -> u8 {
    let mut head = [0; 5];
    if stream.read_exact(&mut head).is_err() {
        return 0;
    }
    let length = u32::from_be_bytes(head[1..].try_into().expect("four"));
    body.resize(length as usize - 4, 0);
    stream.read_exact(body).expect("a message is sent whole");
    assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(body));
    head[0]
}
