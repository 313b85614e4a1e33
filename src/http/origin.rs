use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

/// Which pages may connect: what a browser says in `Origin` and `Host`.
///
/// A client that is no browser sends no `Origin` and may say anything: this protects a browser's user, not the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Pages of loopback addresses only, under a loopback name only: for a server without authentication on its user's
    /// own machine, which pages from elsewhere must not reach, whatever name they give it.
    Loopback,
    /// Pages of the server's own host, and of loopback addresses.
    Own,
    /// These, as in `https://app.example.org`.
    Listed(Vec<String>),
    /// Any.
    Any,
}

impl Origins {
    /// Whether a request with these headers may connect.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(&name).map(|value| value.to_str().unwrap_or_default());
        let (origin, host) = (text(ORIGIN), text(HOST).unwrap_or_default());
        match self {
            Self::Any => true,
            Self::Listed(listed) => {
                origin.is_none_or(|origin| listed.iter().any(|it| it.eq_ignore_ascii_case(origin)))
            }
            Self::Own => origin.is_none_or(|origin| {
                let of = authority(origin);
                of.is_some_and(|of| of.eq_ignore_ascii_case(host) || is_loopback(of))
            }),
            Self::Loopback => {
                is_loopback(host) && origin.is_none_or(|origin| authority(origin).is_some_and(is_loopback))
            }
        }
    }
}

/// `https://app.example.org:8443` → `app.example.org:8443`.
fn authority(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, authority)| authority)
}

/// Whether `host[:port]` names this machine to itself.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a header"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn pages_from_elsewhere_are_kept_out() {
        let listed = Origins::Listed(vec!["https://app.example.org".into()]);
        for (origins, origin, host, admitted) in [
            (&Origins::Loopback, None, "127.0.0.1:8080", true),
            (&Origins::Loopback, None, "evil.example:8080", false),
            (&Origins::Loopback, Some("http://evil.example:8080"), "evil.example:8080", false),
            (&Origins::Loopback, Some("http://localhost:5173"), "localhost:8080", true),
            (&Origins::Loopback, Some("http://[::1]:5173"), "[::1]:8080", true),
            (&Origins::Loopback, Some("null"), "localhost:8080", false),
            (&Origins::Own, Some("https://app.example.org"), "app.example.org", true),
            (&Origins::Own, Some("https://evil.example"), "app.example.org", false),
            (&Origins::Own, None, "app.example.org", true),
            (&listed, Some("https://app.example.org"), "api.example.org", true),
            (&listed, Some("https://evil.example"), "api.example.org", false),
            (&Origins::Any, Some("https://evil.example"), "api.example.org", true),
        ] {
            assert_eq!(origins.admit(&headers(origin, host)), admitted, "{origins:?} {origin:?} {host}");
        }
    }
}
