use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::super::simulator::{HIGHEST_RATE, Rate};
use super::super::{lines, servers};
use super::answer::{Body, Fault, json, nothing, preflight, shared};
use super::guard::{Guard, Verdict};
use super::{PATIENCE, Stage};

/// A body here is one number, or one word.
const MOST_BYTES: usize = 1_024;

/// How everything stands.
#[derive(Serialize)]
struct Standing {
    pace: f64,
    max_pace: f64,
    servers: Vec<servers::Standing>,
    lines: Vec<lines::Standing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pace {
    per_second: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    up: bool,
}

/// Answers one request.
pub(super) async fn answer(stage: Stage, guard: &Guard, request: Request<Incoming>) -> Response<Body> {
    let page = match guard.judge(request.headers()) {
        Verdict::Refused => return shared(Fault::Forbidden.answer(), None),
        Verdict::Plain => None,
        Verdict::Page(page) => Some(page),
    };
    let answered = if request.method() == Method::OPTIONS {
        preflight()
    } else {
        dispatch(stage, request).await.unwrap_or_else(|fault| fault.answer())
    };
    shared(answered, page)
}

async fn dispatch(mut stage: Stage, request: Request<Incoming>) -> Result<Response<Body>, Fault> {
    let (head, body) = request.into_parts();
    let path: Vec<_> = head.uri.path().split('/').skip(1).collect();
    match (&head.method, &path[..]) {
        (&Method::GET | &Method::HEAD, [""]) => Ok(standing(&stage)),
        (&Method::PUT, ["pace"]) => {
            let Pace { per_second } = read(body, r#"{"per_second": NUMBER}"#).await?;
            stage.pace.send_replace(Rate::new(per_second)?);
            Ok(standing(&stage))
        }
        (&Method::POST, ["servers", number, "kill"]) => {
            let at = number.parse().map_err(|_| Fault::NotFound)?;
            // Until all are ready for the first time none is killed; the wish stands.
            match timeout(PATIENCE, stage.servers.kill(at)).await.unwrap_or(servers::Kill::Sent) {
                servers::Kill::Sent => Ok(standing(&stage)),
                servers::Kill::NotRunning => Err(Fault::NotRunning),
                servers::Kill::Unknown => Err(Fault::NotFound),
            }
        }
        (&Method::POST, ["lines"]) => Ok(json(StatusCode::CREATED, &stage.lines.open().await?)),
        (&Method::PUT, ["lines", id]) => {
            let Line { up } = read(body, r#"{"up": true} or {"up": false}"#).await?;
            let line = stage.lines.set(id, up).ok_or(Fault::NotFound)?;
            Ok(json(StatusCode::OK, &line))
        }
        (&Method::DELETE, ["lines", id]) if stage.lines.close(id) => Ok(nothing()),
        (&Method::DELETE, ["lines", _]) => Err(Fault::NotFound),
        (_, path) => Err(elsewhere(path)),
    }
}

fn elsewhere(path: &[&str]) -> Fault {
    match path {
        [""] => Fault::Method("GET"),
        ["pace"] => Fault::Method("PUT"),
        ["lines"] | ["servers", _, "kill"] => Fault::Method("POST"),
        ["lines", _] => Fault::Method("PUT, DELETE"),
        _ => Fault::NotFound,
    }
}

fn standing(stage: &Stage) -> Response<Body> {
    let standing = Standing {
        pace: stage.pace.borrow().per_second(),
        max_pace: HIGHEST_RATE,
        servers: stage.servers.standings(),
        lines: stage.lines.standings(),
    };
    json(StatusCode::OK, &standing)
}

/// The body, if it is of the shape that `asked` shows.
async fn read<T: DeserializeOwned>(body: Incoming, asked: &'static str) -> Result<T, Fault> {
    let bytes = timeout(PATIENCE, Limited::new(body, MOST_BYTES).collect()).await;
    let bytes = bytes.ok().and_then(Result::ok).ok_or(Fault::Body(asked))?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|_| Fault::Body(asked))
}
