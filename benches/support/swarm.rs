//! Thousands of clients in a child process: what they cost is not the server's.
//!
//! ```text
//!  open NAME ADDRESS COUNT SUBSCRIBE   connect and subscribe; `{n}` in SUBSCRIBE is the client's number
//!  bare NAME ADDRESS COUNT             connect and only listen
//!  expect NAME FRAMES                  wait until so many changes have come in all; answer them and their bytes
//!  replica URL SLOT PUBLICATION        follow a slot with a bare reader
//!  clear · delays NAME                 forget, and tell, how long after their commits changes came
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::child::Child;
use super::frames::{CHANGES, Frames, SUBSCRIBED, subscribe};
use super::replica::Replica;

/// The argument that makes a bench a swarm.
const ARGUMENT: &str = "--swarm";
/// How many clients connect at once.
const CONNECTING: usize = 64;
/// A wait that takes longer has gone wrong.
const DEADLINE: Duration = Duration::from_mins(2);

/// Starts the child.
pub(crate) fn start() -> Child {
    Child::start(&[ARGUMENT])
}

/// Whether this process was started as the child; then it is that until its input ends.
pub(crate) fn is_this() -> bool {
    let is_this = std::env::args().any(|argument| argument == ARGUMENT);
    if is_this {
        rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised to its hard value");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(LocalSet::new().run_until(listen()));
    }
    is_this
}

/// The frames that a group of clients received and the bytes of their payloads.
pub(crate) fn expect(swarm: &mut Child, group: &str, frames: u64) -> (u64, u64) {
    let answer = swarm.ask(&format!("expect {group} {frames}"));
    let (frames, bytes) = answer.split_once(' ').expect("two numbers");
    (frames.parse().expect("a number"), bytes.parse().expect("a number"))
}

/// One group of clients.
#[derive(Debug, Default)]
struct Group {
    subscribed: Cell<u64>,
    frames: Cell<u64>,
    bytes: Cell<u64>,
    /// Microseconds from commit to here.
    delays: RefCell<Vec<u32>>,
    moved: Notify,
}

impl Group {
    fn take(&self, payload: &[u8]) {
        if payload.starts_with(CHANGES) {
            self.frames.update(|frames| frames + 1);
            self.bytes.update(|bytes| bytes + payload.len() as u64);
            self.delays.borrow_mut().extend(delay(payload));
        } else if payload.starts_with(SUBSCRIBED) {
            self.subscribed.update(|subscribed| subscribed + 1);
        }
    }

    async fn wait(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        let wait = async {
            while !reached(self) {
                self.moved.notified().await;
            }
        };
        let came = tokio::time::timeout(DEADLINE, wait).await.is_ok();
        assert!(came, "waited {DEADLINE:?} in vain for {what}: {} frames came", self.frames.get());
    }
}

async fn listen() {
    let mut groups: HashMap<String, Rc<Group>> = HashMap::new();
    let mut replica = None;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("the parent writes text") {
        let words: Vec<_> = line.splitn(5, ' ').collect();
        match *words {
            ["open", name, address, count, subscribe] => {
                let group = groups.entry(name.to_owned()).or_default();
                open(group, address, count, Some(subscribe)).await;
                println!("open");
            }
            ["bare", name, address, count] => {
                open(groups.entry(name.to_owned()).or_default(), address, count, None).await;
                println!("open");
            }
            ["expect", name, frames] => {
                let (group, frames) = (&groups[name], frames.parse().expect("a number"));
                group.wait("changes", |group| group.frames.get() >= frames).await;
                println!("{} {}", group.frames.get(), group.bytes.get());
            }
            ["replica", url, slot, publication] => {
                replica = Some(Replica::start(url, slot, publication));
                println!("follows");
            }
            ["clear"] => {
                for group in groups.values() {
                    group.delays.borrow_mut().clear();
                }
                drop(replica.as_ref().map(Replica::take));
                println!("clear");
            }
            ["delays", "replica"] => print_delays(replica.as_ref().map(Replica::take).unwrap_or_default()),
            ["delays", name] => print_delays(groups[name].delays.take()),
            _ => panic!("not a command: {line}"),
        }
    }
}

/// Connects clients, and subscribes them if they are to be.
async fn open(group: &Rc<Group>, address: &str, count: &str, text: Option<&str>) {
    let address: SocketAddr = address.parse().expect("an address");
    let count: u64 = count.parse().expect("a number");
    let connect = |number: u64| async move {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        if let Some(text) = text {
            let text = text.replace("{n}", &number.to_string());
            subscribe(&mut stream, &text).await.expect("the server upgrades");
        }
        stream
    };
    let mut connecting = stream::iter(0..count).map(connect).buffer_unordered(CONNECTING);
    while let Some(stream) = connecting.next().await {
        tokio::task::spawn_local(follow(stream, group.clone()));
    }
    if text.is_some() {
        group.wait("subscriptions", |group| group.subscribed.get() >= count).await;
    }
}

/// Reads until the server ends the connection.
async fn follow(stream: TcpStream, group: Rc<Group>) {
    let mut frames = Frames::default();
    let mut buffer = [0; 4096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                frames.feed(&buffer[..length], |payload| group.take(payload));
                group.moved.notify_one();
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// How long ago the transaction of a `changes` frame committed, by this machine's clock, in microseconds.
fn delay(payload: &[u8]) -> Option<u32> {
    const LABEL: &[u8] = b"\"committed_at\":\"";
    let at = payload.windows(LABEL.len()).position(|window| window == LABEL)? + LABEL.len();
    // `2026-11-22T10:08:17.123456Z`: minutes and below are enough, an hour later is no longer a delay.
    let text = std::str::from_utf8(payload.get(at + 14..at + 26)?).ok()?;
    let (minutes, seconds) = text.split_once(':')?;
    let (seconds, micros) = seconds.split_once('.')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let committed = (number(minutes)? * 60 + number(seconds)?) * 1_000_000 + number(micros)?;
    Some(since(committed))
}

/// Microseconds from `moment`, in microseconds since any full hour, until now.
pub(crate) fn since(moment: u64) -> u32 {
    const HOUR: u64 = 3_600_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_micros();
    let now = u64::try_from(now % u128::from(HOUR)).expect("less than an hour");
    u32::try_from((now + HOUR - moment % HOUR) % HOUR).expect("an hour fits")
}

/// Answers how many there were, and their 50th and 99th percentile.
fn print_delays(mut delays: Vec<u32>) {
    delays.sort_unstable();
    let percentile = |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap_or_default();
    println!("{} {} {}", delays.len(), percentile(50), percentile(99));
}
