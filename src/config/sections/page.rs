use std::path::PathBuf;

use hyper::http::uri::Authority;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{list, path, text};

/// A page tries them one after another.
const MOST_SERVERS: usize = 64;

/// `[page]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Page {
    /// Where the build is; none for no build.
    #[serde(deserialize_with = "path")]
    pub folder: Option<PathBuf>,
    /// Servers of the same data.
    #[serde(deserialize_with = "servers")]
    pub servers: Vec<Authority>,
    /// What controls a demo; none beside one.
    #[serde(deserialize_with = "control")]
    pub control_url: Option<String>,
}

fn servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Authority>, D::Error> {
    let servers = list(deserializer)?;
    if servers.len() > MOST_SERVERS {
        return Err(D::Error::custom(format_args!("must name {MOST_SERVERS} servers at most")));
    }
    let checked = servers.into_iter().map(|server| {
        address(&server).ok_or_else(|| {
            D::Error::custom(format_args!(
                "`{server}` is no address: write host or host:port, as in [\"a:1\"]"
            ))
        })
    });
    checked.collect()
}

/// It stands in a policy's list of sources: no user, and nothing that would end the list.
fn address(text: &str) -> Option<Authority> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    text.parse().ok().filter(|_| plain && !text.ends_with(':'))
}

fn control<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let url = text(deserializer)?;
    if url.is_empty() {
        return Ok(None);
    }
    let port = url.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(Some(url)),
        None => Err(D::Error::custom("must be a port of this machine, as in http://127.0.0.1:9000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_or_a_host_and_a_port() {
        for text in ["127.0.0.1:8080", "tide-1.example.com", "[::1]:80", "localhost:1"] {
            assert!(address(text).is_some(), "{text}");
        }
        for text in ["", "a b", "http://a", "a/b", "a;b:1", "u@a:1", "a:1 *", "a:", "'self'", "*", "a,b"] {
            assert!(address(text).is_none(), "{text}");
        }
    }
}
