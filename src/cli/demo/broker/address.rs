use std::fmt;
use std::net::TcpListener;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::machine::{self, free_port, generate_secret};

/// Where a private broker listens, and the administrator's way in.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) ports: Ports,
    pub(super) node: String,
    pub(super) password: String,
}

/// A broker's ports on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    /// The name server of its Erlang, by which `rabbitmqctl` finds the node.
    pub(super) epmd: u16,
    /// Where `rabbitmqctl` talks to the node.
    pub(super) distribution: u16,
}

/// The broker's administrator.
pub(super) const USER: &str = "tidegate";

impl Ports {
    pub(super) fn draw() -> Result<Self, machine::Error> {
        loop {
            let ports = Self { amqp: free_port()?, epmd: free_port()?, distribution: free_port()? };
            let Self { amqp, epmd, distribution } = ports;
            if amqp != epmd && epmd != distribution && distribution != amqp {
                return Ok(ports);
            }
        }
    }

    /// Looks whether another process has one. Erlang finds out only after seconds, and epmd says nothing about it.
    pub(super) fn check(self) -> Result<(), machine::Error> {
        for port in [self.amqp, self.epmd, self.distribution] {
            let address = ("127.0.0.1", port);
            TcpListener::bind(address)
                .map_err(machine::Error::file("listen on", format!("{}:{port}", address.0)))?;
        }
        Ok(())
    }
}

impl Address {
    pub(super) fn draw() -> Result<Self, machine::Error> {
        Ok(Self {
            ports: Ports::draw()?,
            // `localhost`, since the machine's own name need not resolve.
            node: format!("tidegate-{:08x}@localhost", fastrand::u32(..)),
            password: generate_secret()?,
        })
    }

    /// The TCP port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The administrator's name.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// The URL of one of its virtual hosts, for the administrator.
    pub fn url(&self, vhost: &str) -> String {
        let vhost = utf8_percent_encode(vhost, NON_ALPHANUMERIC);
        format!("amqp://{USER}:{}@127.0.0.1:{}/{vhost}", self.password, self.ports.amqp)
    }

    /// For a file: `<port> <port of epmd> <port of distribution> <node> <password>`.
    pub(super) fn to_text(&self) -> String {
        let Ports { amqp, epmd, distribution } = self.ports;
        format!("{amqp} {epmd} {distribution} {} {}\n", self.node, self.password)
    }

    /// Reads what [`Address::to_text`] wrote.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut port = || words.next()?.parse().ok();
        let ports = Ports { amqp: port()?, epmd: port()?, distribution: port()? };
        Some(Self { ports, node: words.next()?.to_owned(), password: words.next()?.to_owned() })
    }

    /// The node's name without its host.
    pub(super) fn short_name(&self) -> &str {
        self.node.split('@').next().unwrap_or(&self.node)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("ports", &self.ports)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let address = Address::draw().expect("there are free ports");
        assert_eq!(Address::from_text(&address.to_text()).as_ref(), Some(&address));
        assert_eq!(Address::from_text("5672 4369 tidegate@localhost secret"), None);
    }

    #[test]
    fn a_virtual_host_is_one_segment_of_the_url() {
        let address = Address::draw().expect("there are free ports");
        assert!(address.url("/").ends_with("/%2F"), "{}", address.url("/"));
        assert!(!format!("{address:?}").contains(&address.password));
    }
}
