use std::io::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, VARY,
};
use hyper::{Response, StatusCode};
use ring::digest::{SHA256, digest};

use super::super::headers::is_known;
use super::super::problem::{Body, respond};

/// As many letters as the build's hash of a file has in its name.
const HASH: usize = 8;
/// A name with a hash never means other bytes; every other one is asked for again, by its tag.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// By the name's ending, and whether it is worth packing.
const KINDS: &[(&str, &str, bool)] = &[
    ("html", "text/html; charset=utf-8", true),
    ("js", "text/javascript; charset=utf-8", true),
    ("mjs", "text/javascript; charset=utf-8", true),
    ("css", "text/css; charset=utf-8", true),
    ("json", "application/json", true),
    ("map", "application/json", true),
    ("webmanifest", "application/manifest+json", true),
    ("svg", "image/svg+xml", true),
    ("txt", "text/plain; charset=utf-8", true),
    ("wasm", "application/wasm", true),
    ("woff2", "font/woff2", false),
    ("woff", "font/woff", false),
    ("png", "image/png", false),
    ("jpg", "image/jpeg", false),
    ("webp", "image/webp", false),
    ("avif", "image/avif", false),
    ("ico", "image/x-icon", false),
];

/// A file of a page, as it is sent.
#[derive(Debug)]
pub(super) struct File {
    kind: &'static str,
    whole: Variant,
    /// Where that is shorter.
    packed: Option<Variant>,
    cache: HeaderValue,
}

/// Bytes, and the tag of just these: one for each coding, since a strong tag means the same bytes.
#[derive(Debug)]
struct Variant {
    bytes: Bytes,
    tag: String,
}

impl File {
    /// What is at `path` in a build.
    pub(super) fn of(path: &str, bytes: Bytes) -> Self {
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        let kind = KINDS.iter().find(|(known, ..)| *known == ending);
        let (kind, packs) =
            kind.map_or(("application/octet-stream", false), |(_, kind, packs)| (kind, *packs));
        let hash = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, &bytes).as_ref()[..16]);
        let packed = packs.then(|| gzip(&bytes)).filter(|packed| packed.len() < bytes.len());
        Self {
            kind,
            packed: packed.map(|bytes| Variant { bytes, tag: format!("\"{hash}-gzip\"") }),
            whole: Variant { bytes, tag: format!("\"{hash}\"") },
            cache: if is_hashed(path) { FOR_EVER } else { ASK_AGAIN },
        }
    }

    /// The answer to a request with these headers; without a body if the client has it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let packed = self.packed.as_ref().filter(|_| takes_gzip(headers));
        let Variant { bytes, tag } = packed.unwrap_or(&self.whole);
        let mut response = if is_known(headers, tag) {
            let mut response = respond(StatusCode::NOT_MODIFIED, self.kind, "");
            response.headers_mut().remove(CONTENT_TYPE);
            response
        } else {
            let mut response = respond(StatusCode::OK, self.kind, bytes.clone());
            if packed.is_some() {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let tag = HeaderValue::from_str(tag).expect("base64 is visible ASCII");
        response.headers_mut().insert(ETAG, tag);
        response.headers_mut().insert(CACHE_CONTROL, self.cache.clone());
        if self.packed.is_some() {
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything").into()
}

/// `/assets/index-BX2f9aQ1.js`: what the build names so has its content in its name.
fn is_hashed(path: &str) -> bool {
    let Some(name) = path.strip_prefix("/assets/") else { return false };
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem).as_bytes();
    let Some(before) = stem.len().checked_sub(HASH + 1) else { return false };
    let (before, hash) = (stem[before], &stem[before + 1..]);
    before == b'-' && hash.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}

/// See <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt as _;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: hyper::header::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn only_what_has_its_content_in_its_name_is_kept_for_ever() {
        for (path, hashed) in [
            ("/assets/index-BX2f9aQ1.js", true),
            ("/assets/index-B_2f-aQ1.js", true),
            ("/assets/inter-latin-DLF2f9aQ.woff2", true),
            ("/assets/index.js", false),
            ("/assets/a-b.js", false),
            ("/assets/-short.js", false),
            ("/assets/index-BX2f9 Q1.js", false),
            ("/index-BX2f9aQ1.js", false),
            ("/index.html", false),
        ] {
            assert_eq!(is_hashed(path), hashed, "{path}");
            let answer = File::of(path, Bytes::new()).answer(&HeaderMap::new());
            assert_eq!(answer.headers()[CACHE_CONTROL] == FOR_EVER, hashed, "{path}");
        }
    }

    #[test]
    fn gzip_is_sent_to_whoever_takes_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=x", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(&[("accept-encoding", accepted)])), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn each_coding_has_a_tag_of_its_own_and_a_known_one_is_not_sent_again() {
        let text = Bytes::from("let a = 1\n".repeat(100));
        let file = File::of("/a.js", text.clone());
        let (plain, packed) = (HeaderMap::new(), headers(&[("accept-encoding", "gzip")]));
        let (whole, short) = (file.answer(&plain), file.answer(&packed));
        assert_ne!(whole.headers()[ETAG], short.headers()[ETAG]);
        assert_eq!(short.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(short.headers()[VARY], "accept-encoding");
        let tag = short.headers()[ETAG].to_str().expect("visible ASCII").to_owned();
        let body = short.into_body().collect().await.expect("infallible").to_bytes();
        let mut unpacked = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut unpacked).expect("gzip");
        assert_eq!(unpacked, text);
        let known = headers(&[("accept-encoding", "gzip"), ("if-none-match", &tag)]);
        assert_eq!(file.answer(&known).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file.answer(&headers(&[("if-none-match", &tag)])).status(), StatusCode::OK, "other bytes");
    }

    #[test]
    fn what_would_not_get_shorter_is_not_packed() {
        let packed = headers(&[("accept-encoding", "gzip")]);
        for (path, text) in [("/a.js", "a"), ("/a.woff2", &*"a".repeat(1_000))] {
            let answer = File::of(path, Bytes::from(text.to_owned())).answer(&packed);
            assert!(!answer.headers().contains_key(CONTENT_ENCODING), "{path}");
        }
        assert_eq!(File::of("/x.bin", Bytes::new()).kind, "application/octet-stream");
    }
}
