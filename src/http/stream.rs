use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Frame as BodyFrame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::problem::{Body, problem};
use super::visit::{Visit, denied, too_much};
use super::{Context, who};
use crate::audit::Action;
use crate::limit::{Seat, Subject};
use crate::protocol::{ClientFrame, ErrorCode, ErrorFrame, FrameError, Subscribe};
use crate::session::{self, Stream, Wanted};

/// What a subscription of a GET is called, which has no name of its own.
const ONLY: &str = "stream";
/// Query parameters and the fields of a `subscribe` that they are.
const PARAMETERS: &str = "`table`, `where`, `param`, `columns`, `snapshot`, `order_by`, `limit`, `cursor`, `shape`, \
                          `delivery`, `interval_ms`, `channel`";

/// Answers with a stream of server-sent events.
pub(super) async fn answer(context: &Context, visit: Visit, request: Request<Incoming>) -> Response<Body> {
    if !context.config.origins.admit(request.headers()) {
        visit.guest.trail.tell(Action::Connect, "/v1/stream", denied(ErrorCode::Forbidden));
        let message = "this page's origin is not allowed: name it in `http.allowed_origins`";
        return problem(&ErrorFrame::new(ErrorCode::Forbidden, message));
    }
    let identity = match who::must_be_known(context, request.headers()).await {
        Ok(identity) => identity,
        Err(refusal) => {
            visit.guest.trail.tell(Action::Connect, "/v1/stream", denied(ErrorCode::Unauthenticated));
            return who::unauthorized(refusal);
        }
    };
    let last_event_id =
        request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let wanted = if request.method() == Method::POST {
        of_body(request, context.services.config.max_frame_bytes, context.config.handshake_timeout).await
    } else {
        of_query(request.uri().query().unwrap_or_default())
            .map(|subscribe| Wanted { subscribes: vec![subscribe], ..Wanted::default() })
    };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return problem(&error),
    };
    let Wanted { subscribes, misunderstood, awaited } = &wanted;
    // Each is answered, be it with an error.
    let count = u32::try_from(subscribes.len() + misunderstood.len() + awaited.len()).unwrap_or(u32::MAX);
    if let Err(much) = visit.guest.meter.take(Subject::Subscribes, count) {
        visit.guest.trail.tell(Action::Subscribe, "/v1/stream", denied(ErrorCode::RateLimited));
        return too_much(&much);
    }
    let Stream { pieces, refused } =
        session::stream(context.services.clone(), visit.guest, identity, wanted, last_event_id.as_deref())
            .await;
    if let Some(error) = refused {
        return problem(&error);
    }
    let mut response = Response::new(Pieces { pieces, _seat: visit.seat }.boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx holds answers back unless told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// What a body asks for: a `subscribe` frame, or an array of them, with `await` frames among them.
async fn of_body(request: Request<Incoming>, limit: usize, patience: Duration) -> Result<Wanted, ErrorFrame> {
    let body = timeout(patience, Limited::new(request.into_body(), limit).collect()).await;
    let body = body.map_err(|_| bad(format!("the body did not come within {patience:?}")))?;
    let body = body.map_err(|error| {
        let large = error.is::<LengthLimitError>();
        let code = if large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
        ErrorFrame::new(code, format!("the body could not be read, of at most {limit} bytes: {error}"))
    })?;
    let frames = match serde_json::from_slice(&body.to_bytes()) {
        Ok(Value::Array(frames)) if !frames.is_empty() => frames,
        Ok(frame @ Value::Object(_)) => vec![frame],
        Ok(_) => return Err(bad("the body is a `subscribe` frame, or an array of them")),
        Err(error) => return Err(bad(format!("the body is not JSON: {error}"))),
    };
    let several = frames.len() > 1;
    let mut wanted = Wanted::default();
    for frame in &frames {
        match parse(frame) {
            Ok(ClientFrame::Subscribe(subscribe)) => wanted.subscribes.push(subscribe),
            Ok(ClientFrame::Await(lsn)) => wanted.awaited.push(lsn),
            Ok(_) => return Err(bad("a stream takes `subscribe` and `await` frames only")),
            Err(FrameError::BadRequest { id: Some(id), message, field }) if several => {
                wanted.misunderstood.push((id, ErrorFrame { field, ..bad(message) }));
            }
            Err(error) => return Err(explain(error)),
        }
    }
    if wanted.subscribes.is_empty() {
        return Err(bad("a stream needs a `subscribe` frame"));
    }
    Ok(wanted)
}

fn of_query(query: &str) -> Result<Subscribe, ErrorFrame> {
    let mut frame = Map::from_iter([("type".into(), json!("subscribe")), ("id".into(), json!(ONLY))]);
    let (mut params, mut snapshot, mut options) = (Vec::new(), None, Map::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (text, field) = (json!(value), name.to_string());
        let number = || {
            let number = value.parse::<u32>();
            number
                .map(|number| json!(number))
                .map_err(|_| bad(format!("`{name}` is a number, not `{value}`")))
        };
        let twice = match &*name {
            "param" => {
                params.push(text);
                None
            }
            "columns" => frame.insert(field, value.split(',').map(|column| json!(column.trim())).collect()),
            "snapshot" => match &*value {
                "true" | "false" => snapshot.replace(value == "true").map(Value::Bool),
                _ => return Err(bad(format!("`snapshot` is true or false, not `{value}`"))),
            },
            "order_by" => options.insert(field, text),
            "limit" => options.insert(field, number()?),
            "interval_ms" => frame.insert(field, number()?),
            "table" | "where" | "cursor" | "shape" | "delivery" | "channel" => frame.insert(field, text),
            other => return Err(bad(format!("unknown parameter `{other}`; there are {PARAMETERS}"))),
        };
        if twice.is_some() {
            return Err(bad(format!("`{name}` is given twice")));
        }
    }
    if !params.is_empty() {
        frame.insert("params".into(), params.into());
    }
    let live = frame.contains_key("channel") || frame.contains_key("cursor") || snapshot == Some(false);
    if !options.is_empty() {
        frame.insert("snapshot".into(), options.into());
    } else if !live {
        frame.insert("snapshot".into(), json!(true));
    }
    subscribe(&Value::Object(frame))
}

fn subscribe(frame: &Value) -> Result<Subscribe, ErrorFrame> {
    match parse(frame) {
        Ok(ClientFrame::Subscribe(subscribe)) => Ok(subscribe),
        Ok(_) => Err(bad("a query is a `subscribe` frame")),
        Err(error) => Err(explain(error)),
    }
}

fn parse(frame: &Value) -> Result<ClientFrame, FrameError> {
    ClientFrame::parse(frame.to_string().as_bytes())
}

fn explain(error: FrameError) -> ErrorFrame {
    match error {
        FrameError::BadRequest { message, field, .. } => ErrorFrame { field, ..bad(message) },
        error @ FrameError::NotAnObject(_) => bad(error.to_string()),
    }
}

fn bad(message: impl Into<String>) -> ErrorFrame {
    ErrorFrame::new(ErrorCode::BadRequest, message)
}

/// The pieces of a stream as a body.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    /// The stream's place among its client's, if the connection is a proxy's.
    _seat: Seat,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        self.pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(BodyFrame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Start, Target};

    #[test]
    fn a_query_is_a_subscription() {
        let read =
            of_query("table=public.entries&where=board_id%20%3D%20%241&param=7&columns=id,title&limit=5");
        let subscribe = read.expect("valid");
        assert_eq!(subscribe.start, Start::Snapshot);
        let Target::Table(select) = subscribe.target else { panic!("a table") };
        assert_eq!(select.filter.as_deref(), Some("board_id = $1"));
        assert_eq!(select.columns, Some(vec!["id".into(), "title".into()]));
        assert_eq!(select.snapshot.limit, Some(5));
        assert_eq!(of_query("table=a&snapshot=false").expect("valid").start, Start::Now);
        assert_eq!(of_query("channel=a").expect("valid").start, Start::Now);
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, part) in [
            ("", "names a `table` or a `channel`"),
            ("tabel=a", "unknown parameter `tabel`"),
            ("table=a&table=b", "`table` is given twice"),
            ("table=a&limit=many", "`limit` is a number"),
            ("table=a&snapshot=maybe", "true or false"),
        ] {
            let error = of_query(query).expect_err(query);
            assert!(error.message.contains(part), "{query}: {}", error.message);
        }
    }

    #[test]
    fn no_query_panics() {
        let corpus = b"table=public.entries&where=a%20%3D%20%241&param=7&columns=id,title&limit=5&snapshot=true&cursor=x";
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut bytes = corpus.to_vec();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, b"&=%,+"[random.usize(..5)]),
                }
            }
            drop(of_query(&String::from_utf8_lossy(&bytes)));
        }
    }
}
