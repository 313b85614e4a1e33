//! Who is at the far end of the proxies.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

/// See <https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For>.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whose word on a client's address is believed, and how they give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// The header that they write; what a client writes into the other one is nobody's word.
    pub header: Header,
}

/// The header that tells of a client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// `X-Forwarded-For`, a list of addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded`, as RFC 7239 has it.
    Forwarded,
}

impl Proxies {
    /// Whether a proxy is at `address`.
    pub(super) fn hold(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Who asks: `peer`, or whom a proxy there asks for. Each proxy adds at the right whom it was asked by, so the
    /// right-most address that is no proxy's is the last that somebody we trust has seen; what is left of it anybody may
    /// have written.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let name = match self.header {
            Header::XForwardedFor => X_FORWARDED_FOR,
            Header::Forwarded => FORWARDED,
        };
        let lines = headers.get_all(name);
        // Several lines are one list.
        let lines: Vec<_> = lines.iter().map(|line| line.to_str().unwrap_or_default()).collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            if !self.hold(client) {
                break;
            }
            let address = match self.header {
                Header::XForwardedFor => address(entry),
                Header::Forwarded => entry.split(';').find_map(node),
            };
            // A proxy that does not say whom it asks for asks for itself.
            let Some(address) = address else { break };
            client = address;
        }
        client
    }
}

/// `for=192.0.2.60`, `for="[2001:db8::1]:4711"`; nothing for another parameter, or a name that hides who it is.
///
/// See <https://www.rfc-editor.org/rfc/rfc7239#section-6>.
fn node(parameter: &str) -> Option<IpAddr> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"'))).flatten()
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: Header, peer: &str, lines: &[&str]) -> String {
        let networks = ["10.0.0.0/8", "2001:db8:aa::/48", "127.0.0.1/32"];
        let networks = networks.map(|network| network.parse().expect("a network")).into();
        let name = match header {
            Header::XForwardedFor => "x-forwarded-for",
            Header::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().expect("a header"));
        }
        // What nobody asked for.
        let other = if name == "forwarded" { "x-forwarded-for" } else { "forwarded" };
        headers.append(other, "for=6.6.6.6".parse().expect("a header"));
        let proxies = Proxies { networks, header };
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn the_right_most_address_that_is_no_proxys_is_the_clients() {
        for (peer, lines, found) in [
            // Nobody's word but the network's.
            ("192.0.2.1", &["1.1.1.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            // What a client wrote itself stands further left.
            ("10.0.0.1", &["1.1.1.1, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["1.1.1.1", "192.0.2.7, 10.1.1.1"], "192.0.2.7"),
            ("10.0.0.1", &["127.0.0.1, 192.0.2.7,10.2.3.4 , 2001:db8:aa::5"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("10.0.0.1", &["[2001:db8:1::1]:4711"], "2001:db8:1::1"),
            ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            // All of them ours: the client is one of us.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7, "], "10.0.0.1"),
        ] {
            assert_eq!(client(Header::XForwardedFor, peer, lines), found, "{peer} {lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_has_it() {
        for (lines, found) in [
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"][..], "192.0.2.60"),
            (&["for=1.1.1.1, For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["proto=https;FOR=192.0.2.43:47011", "for=10.1.1.1"], "192.0.2.43"),
            (&["for=192.0.2.43, for=unknown"], "10.0.0.1"),
            (&["for=_gazonk"], "10.0.0.1"),
            (&["by=192.0.2.43"], "10.0.0.1"),
        ] {
            assert_eq!(client(Header::Forwarded, "10.0.0.1", lines), found, "{lines:?}");
        }
    }
}
