use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tokio::net::lookup_host;

use super::{Error, Parameters};

const DEFAULT_PORT: u16 = 5432;
/// Where Debian's and Red Hat's servers put their socket.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

/// One server that may be the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name or socket folder.
    pub host: Host,
    /// Its address, if the name is not to be looked up (`hostaddr`).
    pub address: Option<IpAddr>,
    /// Its port; of a socket the number in its name.
    pub port: u16,
}

/// What a server is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder of a Unix socket.
    Unix(PathBuf),
}

/// Takes the servers out of `parameters`: hosts, addresses and ports are lists that belong together.
pub(super) fn endpoints(parameters: &mut Parameters) -> Result<Vec<Endpoint>, Error> {
    let list = |text: Option<String>| -> Vec<String> {
        text.map(|text| text.split(',').map(|item| item.trim().to_owned()).collect()).unwrap_or_default()
    };
    let (mut hosts, addresses, ports) =
        (list(parameters.take("host")), list(parameters.take("hostaddr")), list(parameters.take("port")));
    if hosts.is_empty() {
        hosts = vec![String::new(); addresses.len().max(1)];
    }
    for (key, others, needed) in
        [("hostaddr", addresses.len(), !addresses.is_empty()), ("port", ports.len(), ports.len() > 1)]
    {
        if needed && others != hosts.len() {
            return Err(Error::Lists { key, hosts: hosts.len(), others });
        }
    }
    let mut endpoints = Vec::with_capacity(hosts.len());
    for (index, host) in hosts.iter().enumerate() {
        let address = match addresses.get(index).map(String::as_str) {
            None | Some("") => None,
            Some(text) => {
                let expected = "an IP address";
                Some(text.parse().map_err(|_| Error::Value { key: "hostaddr".into(), expected })?)
            }
        };
        let port = match ports.get(index).or(ports.first()).map(String::as_str) {
            None | Some("") => DEFAULT_PORT,
            Some(text) => {
                let expected = "a number from 1 to 65535";
                let port = text.parse().ok().filter(|port| *port > 0);
                port.ok_or_else(|| Error::Value { key: "port".into(), expected })?
            }
        };
        endpoints.push(Endpoint { host: Host::new(host, address), address, port });
    }
    Ok(endpoints)
}

impl Endpoint {
    /// The same server at each of the addresses that its name has, in the resolver's order. Never empty.
    ///
    /// # Errors
    /// That the name has none.
    pub async fn located(&self) -> io::Result<Vec<Self>> {
        let (Host::Tcp(name), None) = (&self.host, self.address) else { return Ok(vec![self.clone()]) };
        let at = |address: IpAddr| Self { address: Some(address), ..self.clone() };
        let located: Vec<_> =
            lookup_host((name.as_str(), self.port)).await?.map(|address| at(address.ip())).collect();
        if located.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(located)
    }
}

impl Host {
    fn new(text: &str, address: Option<IpAddr>) -> Self {
        match (text, address) {
            ("", Some(address)) => Self::Tcp(address.to_string()),
            ("", None) if Path::new(SOCKET_FOLDER).is_dir() => Self::Unix(SOCKET_FOLDER.into()),
            ("", None) => Self::Tcp("localhost".into()),
            (folder, _) if folder.starts_with('/') => Self::Unix(folder.into()),
            (name, _) => Self::Tcp(name.into()),
        }
    }
}

/// `host:port` or `folder/.s.PGSQL.port`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Unix(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }
}
