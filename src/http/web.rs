//! The pages: at `/` the application's build, or one that tells how to get it; at `/docs` the reference.
//!
//! ```text
//!  page.folder ──▶ folder::read ──▶ File: type, tag, gzip ─┐
//!  compiled in: web/unbuilt, web/reference ────────────────┼─▶ Pages ── path ─▶ Response
//!  login, servers, control ──▶ /page.json ─────────────────┘
//! ```
//!
//! All of it is read once, at the start, and held in memory: a request names a file in a map, and reaches no disk.

mod file;
mod folder;
mod policy;

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::headers::protect_page;
use super::problem::{Body, respond};
use super::{Origins, Page};
use crate::telemetry::Chain;
use file::File;

/// Where the page at `/` asks what it is the page of.
const TOLD: &str = "/page.json";
const FAVICON: &str = "/favicon.ico";
/// What links to the reference, on the page without a build, where there is one.
const LINK: &str = "<p>What the application's commands and reads are: <a href=\"/docs\">/docs</a></p>";

/// What is at `/` where there is no build.
const UNBUILT: &[(&str, &str)] = &[
    ("/index.html", include_str!("../../web/unbuilt/index.html")),
    ("/unbuilt.css", include_str!("../../web/unbuilt/unbuilt.css")),
];

/// The files of the page at `/docs`, where the application is on: it shows what `/openapi.json` says.
const REFERENCE: &[(&str, &str)] = &[
    ("/docs/index.html", include_str!("../../web/reference/index.html")),
    ("/docs/reference.js", include_str!("../../web/reference/reference.js")),
    ("/docs/style.css", include_str!("../../web/reference/style.css")),
];

/// What paths of the server's own begin with: nothing below them is a place in the page, and a file of a build that is gone
/// is not answered with another one.
const OWN: &[&str] = &[
    "v1",
    "docs",
    "openapi.json",
    "healthz",
    "readyz",
    "metrics",
    "page.json",
    "login.json",
    "favicon.ico",
    "assets",
];

/// The pages of a server, held in memory.
pub struct Pages {
    /// By path. The page's start is at `/`.
    files: HashMap<String, File>,
    /// Whether they are a build, which knows places that are no files.
    built: bool,
    /// Below `/docs`; empty without the application.
    reference: HashMap<String, File>,
    policy: HeaderValue,
    reference_policy: HeaderValue,
}

impl Pages {
    /// Reads the build, if there is one that can be used; the log says why not.
    pub async fn open(page: &Page, origins: &Origins, application: bool) -> Self {
        let files = match page.folder.clone() {
            None => None,
            Some(folder) => {
                spawn_blocking(move || build(&folder)).await.expect("reading files does not panic")
            }
        };
        Self::of(files, page, origins, application)
    }

    fn of(build: Option<Files>, page: &Page, origins: &Origins, application: bool) -> Self {
        let built = build.is_some();
        let files = build.unwrap_or_else(|| {
            let link = if application { LINK } else { "" };
            compiled(UNBUILT).map(|(path, text)| (path, text.replace("<!-- docs -->", link).into())).collect()
        });
        let told = (TOLD.to_owned(), told(page, application).into());
        let reference = if application { REFERENCE } else { &[] };
        let reference = compiled(reference).map(|(path, text)| (path, text.into()));
        Self {
            files: held(files.into_iter().chain([told])),
            built,
            reference: held(reference),
            policy: policy::of(&policy::beyond(origins, page)),
            reference_policy: policy::of(""),
        }
    }

    /// Whether there is a file at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        path == FAVICON || self.files.contains_key(path) || self.reference.contains_key(path)
    }

    /// The answer to a `GET` or `HEAD` of `path`; `None` if that is neither a file nor a place in the page.
    pub(super) fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        if let Some(file) = self.reference.get(path) {
            return Some(with_policy(file.answer(headers), &self.reference_policy));
        }
        let place = || (self.built && is_place(path, headers)).then(|| self.files.get("/")).flatten();
        match self.files.get(path).or_else(place) {
            Some(file) => Some(with_policy(file.answer(headers), &self.policy)),
            None => (path == FAVICON).then(|| respond(StatusCode::NO_CONTENT, "image/x-icon", "")),
        }
    }
}

/// Files by their paths from the page's root, as in `/assets/index-BX2f9aQ1.js`.
type Files = Vec<(String, Bytes)>;

/// The build's files; `None` if there is none, or none that can be used.
fn build(folder: &Path) -> Option<Files> {
    match folder::read(folder) {
        Ok(files) => {
            tracing::info!(folder = %folder.display(), files = files.len(), "the page is this build");
            Some(files)
        }
        Err(folder::Error::Absent { .. }) => {
            tracing::info!(folder = %folder.display(), "the page is not built");
            None
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the page's build cannot be used");
            None
        }
    }
}

fn compiled(files: &'static [(&'static str, &'static str)]) -> impl Iterator<Item = (String, &'static str)> {
    files.iter().map(|(path, text)| ((*path).to_owned(), *text))
}

/// An `index.html` is what its folder answers with: at `/`, and at `/docs`.
fn held(files: impl IntoIterator<Item = (String, Bytes)>) -> HashMap<String, File> {
    let at = |path: &str| match path.strip_suffix("/index.html") {
        Some("") => "/".to_owned(),
        Some(folder) => folder.to_owned(),
        None => path.to_owned(),
    };
    files.into_iter().map(|(path, bytes)| (at(&path), File::of(&path, bytes))).collect()
}

fn with_policy(mut response: Response<Body>, policy: &HeaderValue) -> Response<Body> {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.clone());
    protect_page(&mut response);
    response
}

/// Whether a browser that is led to `path` is meant for a place in the page, which the page itself knows.
fn is_place(path: &str, headers: &HeaderMap) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|list| list.split(',')).map(|kind| kind.split(';').next());
    !OWN.contains(&first) && kinds.any(|kind| kind.is_some_and(|kind| kind.trim() == "text/html"))
}

/// How the page logs in, what controls the demo, and where else it may go; `null` for what there is not.
fn told(page: &Page, application: bool) -> String {
    let login = page.login.as_ref().map(|login| {
        json!({
            "issuer": login.issuer,
            "client_id": login.client_id,
            "scope": login.scope,
            "resource": login.resource,
        })
    });
    let demo = page.control.as_ref().map(|control| json!({ "control": control }));
    let servers: Vec<_> = page.servers.iter().map(ToString::to_string).collect();
    json!({"login": login, "demo": demo, "servers": servers, "application": application}).to_string()
}

#[cfg(test)]
mod tests;
