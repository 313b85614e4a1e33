use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::problem::{Body, problem, respond};
use super::visit::{Visit, denied};
use super::{Context, who};
use crate::audit::{Action, Verdict};
use crate::auth::ChannelRight;
use crate::event::{Attributes, InvalidPublication, Publication};
use crate::journal::{PublishError, now};
use crate::protocol::{ErrorCode, ErrorFrame};
use crate::telemetry::Chain;

/// A structured `CloudEvent`, whose channel is in the query.
///
/// See <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>.
const STRUCTURED: &str = "application/cloudevents+json";
/// How much more than the event a body may hold: its channel, and the names of its members.
const AROUND_BYTES: usize = 4_096;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Publishes one event, and answers when it is safe: in the journal, or in the queue before it.
pub(super) async fn answer(context: &Context, visit: &Visit, request: Request<Incoming>) -> Response<Body> {
    let trail = &visit.guest.trail;
    if !context.config.origins.admit(request.headers()) {
        trail.tell(Action::Publish, "/v1/publish", denied(ErrorCode::Forbidden));
        let message = "this page's origin is not allowed: name it in `http.allowed_origins`";
        return problem(&ErrorFrame::new(ErrorCode::Forbidden, message));
    }
    let identity = match who::must_be_known_and_meant(context, request.headers()).await {
        Ok(identity) => identity,
        Err(refusal) => {
            trail.tell(Action::Publish, "/v1/publish", denied(ErrorCode::Unauthenticated));
            return who::unauthorized(refusal);
        }
    };
    if !context.config.publishes {
        trail.tell(Action::Publish, "/v1/publish", denied(ErrorCode::Forbidden));
        let message = "nobody may publish by HTTP here: `publish.http` is false";
        return problem(&ErrorFrame::new(ErrorCode::Forbidden, message));
    }
    let most = context.config.event_bytes;
    let publication = match read(request, most, context.config.handshake_timeout).await {
        Ok(publication) => publication,
        Err(error) => return problem(&error),
    };
    let channel = &publication.event.channel;
    if !context.services.auth.allows(&identity, ChannelRight::Publish, channel) {
        trail.tell(Action::Publish, channel, denied(ErrorCode::Forbidden));
        let message = "no rule of the server lets this token publish on the channel";
        let error = ErrorFrame::new(ErrorCode::Forbidden, message);
        return problem(&ErrorFrame { field: Some("channel"), ..error });
    }
    let bytes = publication.event.data.len();
    if bytes > most {
        let message =
            format!("the event has {bytes} bytes with its attributes, and at most {most} are taken");
        return problem(&ErrorFrame::new(ErrorCode::TooLarge, message));
    }
    trail.tell(Action::Publish, channel, Verdict::Allowed);
    match context.publisher.publish(publication).await {
        Ok(()) => respond(StatusCode::OK, "application/json", "{\"published\":1}\n"),
        Err(error) => {
            if let PublishError::Broker(_) = &error {
                tracing::warn!(error = %Chain(&error), "an event was not published");
            }
            let frame = ErrorFrame::new(
                ErrorCode::Unavailable,
                format!("{error}; send it again with the same `source` and `id`, and it is told once"),
            );
            problem(&ErrorFrame { retry_after: Some(RETRY_AFTER), ..frame })
        }
    }
}

async fn read(
    request: Request<Incoming>,
    most: usize,
    patience: Duration,
) -> Result<Publication, ErrorFrame> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|text| text.to_str().ok());
    let structured = content_type.is_some_and(|text| text.to_ascii_lowercase().starts_with(STRUCTURED));
    let query = request.uri().query().unwrap_or_default();
    let channel = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "channel");
    let channel = channel.map(|(_, channel)| channel.into_owned());
    let body = body(request, most, patience).await?;
    let random = fastrand::u128(..);
    if structured {
        let channel =
            channel.ok_or_else(|| bad("the query names the `channel` of a structured CloudEvent"))?;
        return Publication::structured(&channel, &body, now(), random).map_err(|error| refused(&error));
    }
    binary(&body, random)
}

/// An object with `channel`, `data`, and attributes of the `CloudEvent` beside them.
fn binary(body: &[u8], random: u128) -> Result<Publication, ErrorFrame> {
    let explained = |error: serde_json::Error| {
        bad(format!("the body is an object with `channel`, `data`, and attributes of a CloudEvent: {error}"))
    };
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(explained)?;
    let mut member = |name| {
        let missing = || ErrorFrame { field: Some(name), ..bad(format!("the body has no `{name}`")) };
        members.remove(name).ok_or_else(missing)
    };
    let (channel, data) = (member("channel")?, member("data")?);
    let channel: String = serde_json::from_str(channel.get()).map_err(explained)?;
    let mut attributes = Attributes::default();
    for (name, value) in members {
        attributes.set_json(name, value).map_err(|error| refused(&error))?;
    }
    Publication::binary(&channel, attributes, data.get().as_bytes(), now(), random)
        .map_err(|error| refused(&error))
}

async fn body(request: Request<Incoming>, most: usize, patience: Duration) -> Result<Bytes, ErrorFrame> {
    let body = timeout(patience, Limited::new(request.into_body(), most + AROUND_BYTES).collect()).await;
    let body = body.map_err(|_| bad(format!("the body did not come within {patience:?}")))?;
    let body = body.map_err(|error| {
        let code = if error.is::<LengthLimitError>() { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
        ErrorFrame::new(code, format!("the body could not be read, of at most {most} bytes: {error}"))
    })?;
    Ok(body.to_bytes())
}

fn bad(message: impl Into<String>) -> ErrorFrame {
    ErrorFrame::new(ErrorCode::BadRequest, message.into())
}

fn refused(error: &InvalidPublication) -> ErrorFrame {
    match error {
        InvalidPublication::Channel => ErrorFrame {
            field: Some("channel"),
            ..ErrorFrame::new(ErrorCode::UnknownChannel, error.to_string())
        },
        _ => bad(error.to_string()),
    }
}
