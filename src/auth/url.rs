use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

/// Where keys are fetched from: `https`, or `http` on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct SecureUrl(Uri);

/// A text that is no [`SecureUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL that begins with https:// (http:// only for 127.0.0.1, [::1] and localhost)")]
pub struct InvalidUrl;

impl SecureUrl {
    /// Whether a connection to it is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Host and port, as in the `Host` header.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Scheme, host and port, as a page's policy names it.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.0.scheme_str().unwrap_or_default(), self.authority())
    }

    /// Path and query, as in the request line.
    pub(super) fn path(&self) -> &str {
        self.0.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The document below an issuer that says where its keys are.
    ///
    /// See <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig>.
    pub(super) fn discovery(&self) -> Result<Self, InvalidUrl> {
        format!("{}/.well-known/openid-configuration", self.0.to_string().trim_end_matches('/')).parse()
    }
}

impl FromStr for SecureUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl)?;
        let url = Self(uri);
        let local = url.host().eq_ignore_ascii_case("localhost")
            || url.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let secure = match url.0.scheme_str() {
            Some("https") => true,
            Some("http") => local,
            _ => false,
        };
        let plain = !url.host().is_empty() && !url.authority().contains('@');
        if secure && plain { Ok(url) } else { Err(InvalidUrl) }
    }
}

impl fmt::Display for SecureUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SecureUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_come_over_an_open_line() {
        for text in
            ["https://a.example/jwks", "http://127.0.0.1:9/jwks", "http://[::1]/", "http://localhost:1/a?b=c"]
        {
            assert!(text.parse::<SecureUrl>().is_ok(), "{text}");
        }
        for text in [
            "http://a.example/jwks",
            "http://127.0.0.1.a.example/",
            "http://localhost.a.example/",
            "ftp://127.0.0.1/",
            "https://u:p@a.example/",
            "http://a.example@127.0.0.1/",
            "/jwks",
            "a.example",
            "https://",
            "",
        ] {
            assert!(text.parse::<SecureUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_issuer_says_where_its_keys_are_below_itself() {
        for (issuer, document) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example:8/realm", "https://a.example:8/realm/.well-known/openid-configuration"),
        ] {
            let url: SecureUrl = issuer.parse().expect("a URL");
            assert_eq!(url.discovery().expect("a URL").to_string(), document);
        }
    }
}
