use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Weather;
use crate::shutdown::Scope;

/// Connections through one line at once: a browser has a handful to each port, and what waits in a dead line with them.
const MOST_CONNECTIONS: usize = 256;
/// How long a connection hangs in a line that is down before it is given up, by both sides or by us.
const HANGS: Duration = Duration::from_mins(10);
/// After an accept that failed for want of resources, the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who uses a line, and since when nobody does.
pub(super) struct Traffic(Mutex<Use>);

enum Use {
    Busy(usize),
    Idle(Instant),
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Use::Idle(Instant::now())))
    }

    pub(super) fn connections(&self) -> usize {
        match *self.0.lock() {
            Use::Busy(connections) => connections,
            Use::Idle(_) => 0,
        }
    }

    pub(super) fn idle_since(&self) -> Option<Instant> {
        match *self.0.lock() {
            Use::Busy(_) => None,
            Use::Idle(since) => Some(since),
        }
    }

    /// A place for one more connection; `None` if there is none.
    fn enter(self: &Arc<Self>) -> Option<Seat> {
        let mut now = self.0.lock();
        *now = match *now {
            Use::Idle(_) => Use::Busy(1),
            Use::Busy(connections) if connections < MOST_CONNECTIONS => Use::Busy(connections + 1),
            Use::Busy(_) => return None,
        };
        Some(Seat(self.clone()))
    }
}

struct Seat(Arc<Traffic>);

impl Drop for Seat {
    fn drop(&mut self) {
        let mut now = self.0.0.lock();
        *now = match *now {
            Use::Busy(connections) if connections > 1 => Use::Busy(connections - 1),
            Use::Busy(_) | Use::Idle(_) => Use::Idle(Instant::now()),
        };
    }
}

/// One port of a line, to one server.
pub(super) struct Port {
    pub(super) listener: TcpListener,
    pub(super) server: SocketAddr,
    pub(super) traffic: Arc<Traffic>,
    pub(super) scope: Scope,
}

impl Port {
    /// Carries connections while the line is up, until its scope closes. While it is down the kernel takes new ones,
    /// and nobody looks at them.
    pub(super) async fn carry(self, mut weather: watch::Receiver<Weather>) {
        loop {
            tokio::select! {
                biased;
                // 1. The line is taken away.
                () = self.scope.closing() => return,
                // 2. It carries.
                up = until(&mut weather, |now| now.up) => if up.is_none() { return },
            }
            let accepted = tokio::select! {
                biased;
                // 1. The line is taken away.
                () = self.scope.closing() => return,
                // 2. It is down.
                _ = until(&mut weather, |now| !now.up) => continue,
                // 3. Who comes.
                accepted = self.listener.accept() => accepted,
            };
            match (accepted, self.traffic.enter()) {
                (Ok((client, _)), Some(seat)) => {
                    let began = *weather.borrow();
                    let connection = Connection { client, server: self.server, began, _seat: seat };
                    self.scope.spawn("connection", connection.carry(weather.clone(), self.scope.clone()));
                }
                (Ok((client, _)), None) => reset(&client),
                (Err(_), _) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// One connection through a line.
struct Connection {
    client: TcpStream,
    server: SocketAddr,
    /// The line when this began.
    began: Weather,
    _seat: Seat,
}

impl Connection {
    async fn carry(mut self, mut weather: watch::Receiver<Weather>, scope: Scope) {
        let began = self.began;
        let mut server = None;
        let carried = tokio::select! {
            biased;
            // 1. The line is taken away.
            () = scope.closing() => Err(None),
            // 2. It is, or was, down: whatever has not been carried yet is lost.
            now = until(&mut weather, |now| *now != began || !now.up) => Err(now),
            // 3. Bytes, both ways, until both sides have ended.
            carried = pass(&mut self.client, self.server, &mut server) => Ok(carried),
        };
        match carried {
            Ok(Ok(())) => return,
            // One side broke: the other one hears of it as it would have without us.
            Ok(Err(_)) | Err(None) => {}
            // Both hang, until the network is back, and does not know them any more. Whether the page is still there
            // cannot be seen meanwhile.
            Err(Some(_)) => tokio::select! {
                biased;
                () = scope.closing() => {}
                _ = until(&mut weather, |now| now.up) => {}
                () = sleep(HANGS) => {}
            },
        }
        reset(&self.client);
        if let Some(server) = &server {
            reset(server);
        }
    }
}

/// Passes bytes both ways; leaves the server's side where its connection can be reset.
async fn pass(
    client: &mut TcpStream,
    address: SocketAddr,
    server: &mut Option<TcpStream>,
) -> std::io::Result<()> {
    let server = server.insert(TcpStream::connect(address).await?);
    // Frames are written whole: there is nothing to wait for.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(client, server).await.map(drop)
}

/// Waits until the line is so; `None` if it has been taken away. Cancel safe.
async fn until(
    weather: &mut watch::Receiver<Weather>,
    is_so: impl FnMut(&Weather) -> bool,
) -> Option<Weather> {
    weather.wait_for(is_so).await.ok().map(|now| *now)
}

/// Has the connection end by a RST when it is dropped.
fn reset(stream: &TcpStream) {
    // A socket that is gone already needs none.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
