//! What every answer says to browsers beside what it is asked for.

use crate::stage::{Response, Stage, staged};

async fn get(stage: &Stage, path: &str) -> Response {
    let mut raw = stage.raw().await;
    raw.send(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).await;
    raw.response().await
}

#[test]
fn a_page_loads_nothing_from_elsewhere_and_is_framed_by_nobody() {
    staged(&[], async |_, stage| {
        for path in ["/", "/unbuilt.css", "/page.json"] {
            let head = get(stage, path).await.head;
            for part in [
                "x-content-type-options: nosniff\r\n",
                "referrer-policy: no-referrer\r\n",
                "cross-origin-opener-policy: same-origin\r\n",
                "default-src 'none'",
                "frame-ancestors 'none'",
            ] {
                assert!(head.contains(part), "{path} {part}: {head}");
            }
            assert!(!head.contains("unsafe"), "{head}");
            assert!(!head.contains("strict-transport-security"), "this is no TLS: {head}");
        }
        let (_, page) = stage.server.get("/").await.expect("an answer");
        for inline in ["<script>", "<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(inline), "the policy would keep `{inline}` from working");
        }
    });
}

#[test]
fn an_answer_is_taken_for_what_it_is_and_kept_by_nobody() {
    staged(&[], async |_, stage| {
        for path in [
            "/v1/stream",
            "/v1/stream?table=entries",
            "/v1/publish",
            "/v1/socket",
            "/healthz",
            "/readyz",
            "/metrics",
            "/nowhere",
        ] {
            let head = get(stage, path).await.head;
            assert!(head.contains("x-content-type-options: nosniff\r\n"), "{path}: {head}");
            assert!(head.contains("cache-control: no-store\r\n"), "{path}: {head}");
            assert!(!head.contains("strict-transport-security"), "this is no TLS: {head}");
        }
    });
}
