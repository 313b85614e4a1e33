use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderValue, ORIGIN};

/// Who may ask.
pub(super) struct Guard {
    /// What we are called, as browsers write it in `Host`.
    hosts: [String; 2],
    /// The pages that may ask, as browsers write them in `Origin`.
    origins: Vec<String>,
}

/// What a guard says of a request.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes from no page.
    Plain,
    /// It comes from this page, which may read the answer.
    Page(HeaderValue),
    /// It is answered with a refusal that no page can read.
    Refused,
}

impl Guard {
    /// Of what listens at `own`, for the pages of these servers.
    pub(super) fn new(own: SocketAddr, pages: &[SocketAddr]) -> Self {
        let named = |address: &SocketAddr| [address.to_string(), format!("localhost:{}", address.port())];
        let origins = pages.iter().flat_map(named).map(|host| format!("http://{host}"));
        Self { hosts: named(&own), origins: origins.collect() }
    }

    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Verdict::Refused;
        }
        match headers.get(ORIGIN) {
            None => Verdict::Plain,
            Some(origin) if self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) => {
                Verdict::Page(origin.clone())
            }
            Some(_) => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_demos_own_servers_may_ask_and_no_others() {
        let guard = Guard::new(
            ([127, 0, 0, 1], 9000).into(),
            &[([127, 0, 0, 1], 8080).into(), ([127, 0, 0, 1], 8081).into()],
        );
        let judged = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().expect("a header"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().expect("a header"));
            }
            guard.judge(&headers)
        };
        for host in ["127.0.0.1:9000", "localhost:9000"] {
            assert_eq!(judged(host, None), Verdict::Plain);
            for origin in ["http://127.0.0.1:8080", "http://localhost:8080", "http://127.0.0.1:8081"] {
                let page = Verdict::Page(origin.parse().expect("a header"));
                assert_eq!(judged(host, Some(origin)), page, "{origin}");
            }
            for origin in [
                "null",
                "http://evil.example",
                "http://127.0.0.1:9000",
                "http://127.0.0.1:808",
                "https://127.0.0.1:8080",
                "http://127.0.0.1:8080.evil.example",
            ] {
                assert_eq!(judged(host, Some(origin)), Verdict::Refused, "{origin}");
            }
        }
        for host in ["evil.example:9000", "evil.example", "127.0.0.1", "127.0.0.1:9001", ""] {
            assert_eq!(judged(host, None), Verdict::Refused, "{host}");
            assert_eq!(judged(host, Some("http://127.0.0.1:8080")), Verdict::Refused, "{host}");
        }
        assert_eq!(guard.judge(&HeaderMap::new()), Verdict::Refused);
    }
}
