//! What is at `/`: a build from a folder, read once, or a page that says how to make one.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::stage::{Raw, Response, staged};

const SCRIPT: &str = "/assets/index-BX2f9aQ1.js";

/// A small build, which goes with its test.
struct Build(PathBuf);

impl Build {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("tidegate-build-{:016x}", fastrand::u64(..)));
        fs::create_dir_all(folder.join("assets")).expect("a new folder");
        fs::write(folder.join("index.html"), "<!doctype html><title>Built</title>").expect("ours");
        fs::write(folder.join(&SCRIPT[1..]), "export const a = 1\n".repeat(200)).expect("ours");
        fs::write(folder.join("site.webmanifest"), "{}").expect("ours");
        Self(folder)
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // What is left is in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The answer to `method path`, and its body as far as it is text.
async fn ask(raw: &mut Raw, line: &str, headers: &str) -> (Response, Vec<u8>) {
    raw.send(format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n")).await;
    let response = raw.response().await;
    let without = line.starts_with("HEAD") || [204, 304].contains(&response.status);
    let body = if without { Vec::new() } else { raw.body(&response).await };
    (response, body)
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let start = format!("{name}: ");
    response.head.lines().find_map(|line| line.strip_prefix(&start))
}

#[test]
fn a_build_is_served_from_memory_with_tags_and_packed() {
    let build = Build::new();
    let folder = build.0.display().to_string();
    staged(&[("page.folder", &folder)], async |_, stage| {
        // A request reaches no disk.
        fs::remove_file(build.0.join("index.html")).expect("ours");
        let mut raw = stage.raw().await;
        let (page, body) = ask(&mut raw, "GET /", "").await;
        assert_eq!((page.status, &body[..]), (200, &b"<!doctype html><title>Built</title>"[..]));
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(header(&page, "cache-control"), Some("no-cache"));
        assert!(page.head.contains("script-src 'self'; style-src 'self'") && !page.head.contains("unsafe"));

        let (script, body) = ask(&mut raw, &format!("GET {SCRIPT}"), "accept-encoding: gzip, br\r\n").await;
        assert_eq!(header(&script, "cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(header(&script, "content-encoding"), Some("gzip"));
        assert!(body.len() < 200, "{} bytes", body.len());
        let (manifest, _) = ask(&mut raw, "GET /site.webmanifest", "").await;
        assert_eq!(header(&manifest, "content-type"), Some("application/manifest+json"));

        // The tag as it was sent: heads are read in lower case here.
        raw.send("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nif-none-match: *\r\n\r\n").await;
        let known = raw.response().await;
        assert_eq!((known.status, header(&known, "cache-control")), (304, Some("no-cache")));
        assert_eq!(header(&known, "etag"), header(&page, "etag"));
        let (head, _) = ask(&mut raw, "HEAD /", "").await;
        assert_eq!((head.status, header(&head, "content-length")), (200, Some("35")));
        let (refused, _) = ask(&mut raw, "POST /", "content-length: 0\r\n").await;
        assert_eq!((refused.status, header(&refused, "allow")), (405, Some("get, head")));
    });
}

#[test]
fn a_place_in_the_page_is_the_page_for_a_browser_and_a_problem_for_everybody_else() {
    let build = Build::new();
    let folder = build.0.display().to_string();
    staged(&[("page.folder", &folder)], async |_, stage| {
        let mut raw = stage.raw().await;
        let (page, body) = ask(&mut raw, "GET /boards/3?card=7", "accept: text/html,*/*;q=0.8\r\n").await;
        assert!(page.status == 200 && body.ends_with(b"<title>Built</title>"), "{}", page.head);
        for (line, accept) in [
            ("GET /boards/3", "*/*"),
            ("GET /v1/nowhere", "text/html"),
            ("GET /assets/index-00000000.js", "text/html"),
            ("GET /..%2fCargo.toml", "*/*"),
            ("GET /../../etc/passwd", "*/*"),
            ("DELETE /boards/3", "text/html"),
        ] {
            let (answer, _) = ask(&mut raw, line, &format!("accept: {accept}\r\n")).await;
            assert_eq!(answer.status, 404, "{line}");
            assert_eq!(header(&answer, "content-type"), Some("application/problem+json"), "{line}");
        }
    });
}

#[test]
fn without_a_build_the_page_says_how_to_make_one() {
    staged(&[("page.folder", "/nonexistent/dist")], async |_, stage| {
        let mut raw = stage.raw().await;
        let (page, body) = ask(&mut raw, "GET /", "").await;
        let body = String::from_utf8(body).expect("UTF-8");
        assert_eq!((page.status, header(&page, "content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(body.contains("npm run build") && body.contains("/v1/stream"), "{body}");
        assert!(!body.contains("/docs"), "there is no application to describe");
        let (told, body) = ask(&mut raw, "GET /page.json", "").await;
        assert_eq!(header(&told, "cache-control"), Some("no-cache"));
        let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(told, json!({"login": null, "demo": null, "servers": [], "application": false}));
        let (icon, _) = ask(&mut raw, "GET /favicon.ico", "").await;
        assert_eq!(icon.status, 204);
    });
}

#[test]
fn a_build_that_cannot_be_used_is_a_warning_and_no_reason_to_stay_away() {
    let build = Build::new();
    std::os::unix::fs::symlink("/etc/hostname", build.0.join("hostname.txt")).expect("a new link");
    let folder = build.0.display().to_string();
    staged(&[("page.folder", &folder)], async |test, stage| {
        test.expect_in_log("the page's build cannot be used");
        let mut raw = stage.raw().await;
        let (page, body) = ask(&mut raw, "GET /", "").await;
        assert!(page.status == 200 && String::from_utf8_lossy(&body).contains("is not built"));
        assert_eq!(ask(&mut raw, "GET /hostname.txt", "").await.0.status, 404);
    });
}
