use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, VARY};
use hyper::{Method, Request, Response, StatusCode};
use ring::digest::{Context as Hash, SHA256};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::headers::is_known;
use super::problem::{Body, fault, problem, respond};
use super::visit::{Visit, denied, too_much};
use super::{Application, Context, who};
use crate::audit::{Action, Verdict};
use crate::auth::{Identity, Refusal};
use crate::command::{self, Input, Key, Operation, Route};
use crate::event::Lsn;
use crate::limit::Subject;
use crate::protocol::{ErrorCode, ErrorFrame};
use crate::query::{self, Asked, Kind, Read, Shown};
use crate::workspace::{Code, Fault, hex};

const JSON: &str = "application/json";
/// Where the document is.
const DOCUMENT: &str = "/openapi.json";
/// See <https://www.ietf.org/archive/id/draft-ietf-httpapi-idempotency-key-header-06.html>.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// What the caller has seen of the log already.
const MIN_LSN: &str = "tidegate-min-lsn";

/// What a request is for.
enum Target {
    Command(Arc<Operation>, Vec<String>),
    Read(Arc<Read>, Vec<String>),
    Document,
    OtherMethods(String),
}

/// Whether `path` is the application's to answer, if only by saying that there is nothing.
pub(super) fn has(context: &Context, path: &str) -> bool {
    context.application.is_some() && (path == DOCUMENT || path.starts_with("/v1/"))
}

/// Answers a command or a read.
pub(super) async fn answer(
    context: &Context,
    mut visit: Visit,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some(app) = &context.application else {
        return fault(&Fault::new(Code::NotFound, "there is nothing here"));
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (target, action) = match target(app, &method, &path) {
        Target::OtherMethods(methods) if methods.is_empty() => return super::route::not_found(&path),
        Target::OtherMethods(methods) => return not_allowed(&path, &methods),
        Target::Document => return document(app),
        target @ Target::Command(..) => (target, Action::Command),
        target => (target, Action::Read),
    };
    let object = if action == Action::Command { format!("{method} {path}") } else { path };
    if !context.config.origins.admit(request.headers()) {
        visit.guest.trail.tell(action, &object, denied(ErrorCode::Forbidden));
        let message = "this page's origin is not allowed: name it in `http.allowed_origins`";
        return problem(&ErrorFrame::new(ErrorCode::Forbidden, message));
    }
    let identity = match asks(context, action, request.headers()).await {
        Ok(identity) => identity,
        Err(refusal) => {
            visit.guest.trail.tell(action, &object, denied(ErrorCode::Unauthenticated));
            return who::unauthorized(refusal);
        }
    };
    visit.guest.identify(&identity);
    if let Err(much) = visit.guest.meter.take_of_identity(Subject::Requests, 1) {
        visit.guest.trail.tell(action, &object, denied(ErrorCode::RateLimited));
        return too_much(&much);
    }
    let done = match target {
        Target::Command(operation, path) => {
            command(context, app, &identity, request, (&operation, path)).await
        }
        Target::Read(read, path) => self::read(app, &identity, &request, (&read, path)).await,
        Target::Document | Target::OtherMethods(_) => unreachable!("answered before"),
    };
    let verdict = match &done {
        Ok(_) => Verdict::Allowed,
        Err(fault) => Verdict::Denied(fault.code.as_str()),
    };
    visit.guest.trail.tell(action, &object, verdict);
    done.unwrap_or_else(|refused| fault(&refused))
}

async fn asks(context: &Context, action: Action, headers: &HeaderMap) -> Result<Arc<Identity>, Refusal> {
    match action {
        Action::Command => who::must_be_known_and_meant(context, headers).await,
        _ => who::must_be_known(context, headers).await,
    }
}

fn target(app: &Application, method: &Method, path: &str) -> Target {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if reads && path == DOCUMENT {
        return Target::Document;
    }
    // `/v1/notifications/read` is a command, and no notification.
    let narrower = |read: &Read| app.commands.catalogue().path(path).is_some_and(|of| narrows(of, read.path));
    let read = app.queries.catalogue().find(path).filter(|(read, _)| !narrower(read));
    match read {
        Some((read, parts)) if reads => return Target::Read(read, parts),
        _ => {}
    }
    let others = match app.commands.catalogue().find(method.as_str(), path) {
        Route::Found(operation, parts) => return Target::Command(operation, parts),
        Route::OtherMethods(methods) => methods,
        Route::Nothing => Vec::new(),
    };
    let reads = (read.is_some() || path == DOCUMENT).then_some("GET");
    Target::OtherMethods(reads.into_iter().chain(others).collect::<Vec<_>>().join(", "))
}

/// Whether a path says in words what another leaves to the client.
fn narrows(path: &str, other: &str) -> bool {
    let is_open = |part: &str| part.starts_with('{');
    path.split('/').zip(other.split('/')).any(|(part, other)| !is_open(part) && is_open(other))
}

async fn command(
    context: &Context,
    app: &Application,
    identity: &Identity,
    request: Request<Incoming>,
    (operation, path): (&Operation, Vec<String>),
) -> Result<Response<Body>, Fault> {
    let (head, body) = request.into_parts();
    if let Some((name, _)) = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).next() {
        return Err(Fault::field(&name, "is not known here: a command says what it wants in its body"));
    }
    let version = if_match(&head.headers)?;
    if version.is_some() && !operation.versioned {
        let detail = "`If-Match` does not go with this: what it writes has no version. Leave it out";
        return Err(Fault::new(Code::BadRequest, detail));
    }
    let key = text(&head.headers, IDEMPOTENCY_KEY)?.map(str::to_owned);
    if key.as_ref().is_some_and(|key| !is_key(key)) {
        return Err(Fault::field(IDEMPOTENCY_KEY, "must be 1 to 255 characters of ASCII without spaces"));
    }
    let body = whole(context, app, body).await?;
    let is_json = text(&head.headers, CONTENT_TYPE.as_str())?.is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == JSON || kind.starts_with("application/") && kind.ends_with("+json")
    });
    if !body.is_empty() && !is_json {
        return Err(Fault::new(Code::MediaType, "the body must be application/json"));
    }
    let fingerprint = fingerprint(&[head.method.as_str(), head.uri.path()], version, &body);
    let input = Input { path, body: parsed(operation, &body)?, version };
    let key = key.map(|key| Key { key, fingerprint });
    let asked = asked(operation, head.uri.path(), &input.body);
    let reply = match app.commands.run(command::Request { identity, operation, input, key }).await {
        Ok(reply) => reply,
        Err(fault) => {
            let refused = asked.get(fault.index.unwrap_or(0)).and_then(|path| moved(path));
            if let Some((user, entry)) = identity.subject().zip(refused) {
                app.queries.note_refusal(&user, entry, &fault);
            }
            return Err(fault);
        }
    };
    // As it was written: nothing of a number is to be lost on the way.
    let answer = match &reply.outcome.row {
        Some(row) => {
            let name = if operation.is_batch() { "results" } else { "row" };
            format!("{{\"tx\":\"{}\",\"{name}\":{row}}}", reply.tx)
        }
        None => format!("{{\"tx\":\"{}\"}}", reply.tx),
    };
    let status = if reply.outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = respond(status, JSON, answer);
    let headers = response.headers_mut();
    let ascii = |text: String| HeaderValue::try_from(text).expect("numbers and quotes are visible ASCII");
    headers.insert("tidegate-tx", ascii(reply.tx));
    headers.insert("tidegate-lsn", ascii(reply.lsn.to_string()));
    if let Some(version) = reply.outcome.version {
        headers.insert(ETAG, ascii(format!("\"{version}\"")));
    }
    if reply.repeated {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The paths of what is asked for: of a batch those of its commands.
fn asked(operation: &Operation, path: &str, body: &Value) -> Vec<String> {
    match body["commands"].as_array() {
        Some(commands) if operation.is_batch() => {
            commands.iter().map(|command| command["path"].as_str().unwrap_or_default().to_owned()).collect()
        }
        _ => vec![path.to_owned()],
    }
}

/// The card that a path moves.
fn moved(path: &str) -> Option<&str> {
    let (entry, what) = path.strip_prefix("/v1/entries/")?.split_once('/')?;
    (what == "move" || what.starts_with("transitions/")).then_some(entry)
}

async fn read(
    app: &Application,
    identity: &Identity,
    request: &Request<Incoming>,
    (read, path): (&Read, Vec<String>),
) -> Result<Response<Body>, Fault> {
    let query = query_of(read, request.uri().query().unwrap_or_default())?;
    let least = match text(request.headers(), MIN_LSN)? {
        Some(text) => {
            let least: Result<Lsn, _> = text.parse();
            Some(least.map_err(|_| Fault::field(MIN_LSN, "must be a position as in 16/B374D848"))?)
        }
        None => None,
    };
    let asked = Asked { path, query, user: identity.subject() };
    let answered = app.queries.read(query::Request { identity, read, asked, least }).await?;
    let mut response = if is_known(request.headers(), answered.tag()) {
        let mut response = respond(StatusCode::NOT_MODIFIED, JSON, "");
        response.headers_mut().remove(CONTENT_TYPE);
        response
    } else {
        let kind = if matches!(read.shown, Shown::Csv) { "text/csv; charset=utf-8" } else { JSON };
        respond(StatusCode::OK, kind, answered.answer().body.clone())
    };
    let headers = response.headers_mut();
    let tag = HeaderValue::try_from(answered.tag()).expect("quotes, digits and letters");
    headers.insert(ETAG, tag);
    // A browser keeps it, for whoever it asked for, and asks whether it still holds.
    let kept = !matches!(read.kind, Kind::Large | Kind::Secret);
    let control = if kept { "private, no-cache" } else { "private, no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
    headers.insert(VARY, HeaderValue::from_static("authorization, cookie"));
    Ok(response)
}

/// What a query says, if it is of the read's shape.
fn query_of(read: &Read, text: &str) -> Result<Value, Fault> {
    let pairs = form_urlencoded::parse(text.as_bytes());
    let mut pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
    match &read.query {
        Some(shape) => {
            let query = shape.query(pairs);
            let faults = shape.faults(&query);
            if faults.is_empty() { Ok(query) } else { Err(Fault::invalid(faults)) }
        }
        None => match pairs.next() {
            Some((name, _)) => Err(Fault::field(&name, "is not known here")),
            None => Ok(Value::Object(Map::new())),
        },
    }
}

/// The version that was read; `None` if any will do.
fn if_match(headers: &HeaderMap) -> Result<Option<i32>, Fault> {
    let Some(text) = text(headers, IF_MATCH.as_str())? else { return Ok(None) };
    if text == "*" {
        return Ok(None);
    }
    // Proxies that compress answers make weak tags of strong ones; of a read's tag the part before its hyphen is the version.
    let tag = text.strip_prefix("W/").unwrap_or(text);
    let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or_default();
    let version = Some(tag.split_once('-').map_or(tag, |(version, _)| version));
    let version = version.filter(|version| version.starts_with(|first| matches!(first, '1'..='9')));
    let version = version.and_then(|version| version.parse::<i32>().ok());
    let message = "must be the `ETag` of the row, as in \"3\"";
    version.map(Some).ok_or_else(|| Fault::new(Code::BadRequest, format!("`If-Match` {message}")))
}

/// As the document has `Idempotency-Key`.
fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A header that is there once at most, in visible ASCII.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str();
            text.map(Some).map_err(|_| Fault::new(Code::BadRequest, format!("`{name}` is not visible ASCII")))
        }
        (Some(_), Some(_)) => Err(Fault::new(Code::BadRequest, format!("`{name}` is given twice"))),
    }
}

async fn whole(context: &Context, app: &Application, body: Incoming) -> Result<Bytes, Fault> {
    let (patience, most) = (context.config.handshake_timeout, app.body_bytes);
    let body = timeout(patience, Limited::new(body, most).collect()).await;
    let body =
        body.map_err(|_| Fault::new(Code::BadRequest, format!("the body did not come within {patience:?}")))?;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Fault::new(Code::TooLarge, format!("the body has more than {most} bytes"))
        } else {
            Fault::new(Code::BadRequest, format!("the body could not be read: {error}"))
        }
    })?;
    Ok(body.to_bytes())
}

/// The body, if it is of the operation's shape.
fn parsed(operation: &Operation, body: &[u8]) -> Result<Value, Fault> {
    let Some(shape) = &operation.body else {
        let says_nothing = |value| matches!(value, Value::Null) || value == Value::Object(Map::new());
        let empty = body.is_empty() || serde_json::from_slice(body).is_ok_and(says_nothing);
        let more = || Fault::new(Code::BadRequest, "this command takes no body");
        return if empty { Ok(Value::Null) } else { Err(more()) };
    };
    // What says nothing is enough where nothing has to be said.
    let value: Value = if body.is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Fault::new(Code::BadRequest, format!("the body is not JSON: {error}")))?
    };
    let faults = shape.faults(&value);
    if faults.is_empty() { Ok(value) } else { Err(Fault::invalid(faults)) }
}

fn fingerprint(parts: &[&str], version: Option<i32>, body: &[u8]) -> String {
    let mut hash = Hash::new(&SHA256);
    let version = version.map(|version| version.to_string()).unwrap_or_default();
    for part in parts.iter().map(|part| part.as_bytes()).chain([version.as_bytes(), body]) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(hash.finish().as_ref())
}

fn document(app: &Application) -> Response<Body> {
    let mut response = respond(StatusCode::OK, JSON, app.document.clone());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn not_allowed(path: &str, methods: &str) -> Response<Body> {
    let path: String = path.chars().take(200).collect();
    let mut response = fault(&Fault::new(Code::Method, format!("{path} answers {methods}")));
    response.headers_mut().insert(ALLOW, HeaderValue::from_str(methods).expect("names of methods"));
    response
}
