use std::fmt;
use std::str::FromStr;

use tokio_tungstenite::tungstenite::http::Uri;

/// Where the server listens.
///
/// Text form: `ws://host[:port][/path]` or `wss://…`; `http` and `https` are taken for these. The socket's own path
/// is put behind whatever path there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    path: String,
}

/// The socket below the server's address.
const SOCKET: &str = "/v1/socket";

/// A text that is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected an address as in ws://127.0.0.1:8080 or wss://live.example.com")]
pub(super) struct InvalidAddress(&'static str);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let uri: Uri = text.parse().map_err(|_| InvalidAddress("not an address"))?;
        let secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(_) => return Err(InvalidAddress("only ws and wss are spoken")),
            None => return Err(InvalidAddress("the scheme is missing")),
        };
        let authority = uri.authority().ok_or(InvalidAddress("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(InvalidAddress("no credentials in an address: give a token in TIDEGATE_TOKEN"));
        }
        if uri.query().is_some() {
            return Err(InvalidAddress("an address has no query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path().trim_end_matches('/');
        let path = if path.ends_with(SOCKET) { path.to_owned() } else { format!("{path}{SOCKET}") };
        Ok(Self { secure, host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }), path })
    }
}

impl Address {
    /// Host and port, as in the `Host` header.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_socket() {
        for (text, shown) in [
            ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/socket"),
            ("http://localhost:8080/", "ws://localhost:8080/v1/socket"),
            ("wss://live.example.com", "wss://live.example.com:443/v1/socket"),
            ("https://example.com/live/", "wss://example.com:443/live/v1/socket"),
            ("ws://[::1]:9/v1/socket", "ws://[::1]:9/v1/socket"),
            ("ws://host", "ws://host:80/v1/socket"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "localhost", "127.0.0.1:8080", "ftp://host", "ws://", "ws://u:p@host", "ws://host/?token=x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
