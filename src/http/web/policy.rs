use hyper::header::HeaderValue;

use super::super::{Origins, Page};

/// What a page may do: everything that it loads is the server's own. It may connect to its server, and `beyond`.
///
/// See <https://www.w3.org/TR/CSP3/>.
pub(super) fn of(beyond: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         manifest-src 'self'; worker-src 'self'; connect-src 'self'{beyond}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("origins and authorities are visible ASCII")
}

/// What the page may connect to beside its server: the servers that it is told of; from loopback any on the same machine,
/// since such servers let each other's pages in, as does what controls a demo; and where it logs in.
///
/// A source with `ws:` or `http:` takes the same over TLS too.
pub(super) fn beyond(origins: &Origins, page: &Page) -> String {
    let local = *origins == Origins::Loopback || page.control.is_some();
    let loopback = ["127.0.0.1:*", "localhost:*"].map(str::to_owned);
    let named = page.servers.iter().map(ToString::to_string);
    let servers = loopback.into_iter().filter(|_| local).chain(named);
    let mut sources: Vec<_> = servers.flat_map(|it| [format!("ws://{it}"), format!("http://{it}")]).collect();
    sources.extend(page.login.as_ref().map(|login| login.origin.clone()));
    sources.iter().map(|source| format!(" {source}")).collect()
}
