use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::stage::spawn;

/// A line to a broker that can be cut, so that one server loses it and others do not.
pub(crate) struct Proxy {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Proxy {
    /// One that leads to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (whole, line) = watch::channel(true);
        spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                spawn(carry(client, port, line.clone()));
            }
        });
        Self { address, whole }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends all connections, and those that come.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut client: TcpStream, port: u16, mut line: watch::Receiver<bool>) {
    if !*line.borrow_and_update() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    tokio::select! {
        biased;
        _ = line.wait_for(|whole| !whole) => {}
        // Whichever side ends it.
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}
