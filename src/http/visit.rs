use std::net::IpAddr;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response};

use super::Context;
use super::problem::{Body, problem, seconds};
use crate::audit::{Action, Verdict};
use crate::limit::{Allowance, Denied, Seat, Subject};
use crate::protocol::{ErrorCode, ErrorFrame};
use crate::session::Guest;

const POLICY: &str = "ratelimit-policy";
const LEFT: &str = "ratelimit";

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: IpAddr,
    /// Whether it is a proxy, whose word on its clients' addresses is believed.
    pub(super) proxy: bool,
    /// Why it is told to go, whatever it asks.
    pub(super) denied: Option<Denied>,
}

/// One request's client.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) guest: Guest,
    /// Its place among its client's, if the connection itself has none: a proxy's.
    pub(super) seat: Seat,
    /// What it may, after this request.
    pub(super) allowed: Result<Option<Allowance>, Denied>,
}

impl Visit {
    /// Counts a request for a route, and whether that is for a socket or a stream, which stay.
    pub(super) fn begin(
        context: &Context,
        peer: &Peer,
        request: &Request<Incoming>,
        (route, stays): (&str, bool),
    ) -> Self {
        let address = context.config.proxies.client(peer.address, request.headers());
        let guest = Guest { meter: context.limits.meter(address), trail: context.audit.trail(address) };
        let mut seat = Seat::default();
        let allowed = peer.denied.map_or(Ok(()), Err).and_then(|()| {
            let left = guest.meter.take(Subject::Requests, 1)?;
            guest.meter.take(Subject::Bytes, body_bytes(context, request))?;
            if stays && peer.proxy {
                guest.meter.take(Subject::Connections, 1)?;
                seat = context.limits.seat(address)?;
            }
            Ok(left)
        });
        if allowed.is_err() {
            let action = if stays { Action::Connect } else { Action::Request };
            guest.trail.tell(action, route, denied(ErrorCode::RateLimited));
        }
        Self { guest, seat, allowed }
    }
}

/// As many bytes as the body says that it has; one that does not say counts as the largest that is taken.
fn body_bytes(context: &Context, request: &Request<Incoming>) -> u32 {
    let most = context.services.config.max_frame_bytes.max(context.config.event_bytes) as u64;
    let said = request.body().size_hint().upper();
    let bytes = if request.method() == Method::GET { said.unwrap_or(0) } else { said.unwrap_or(most) };
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What the audit log is told of a refusal.
pub(super) const fn denied(code: ErrorCode) -> Verdict {
    Verdict::Denied(code.as_str())
}

/// The answer to one who asks too much.
pub(super) fn too_much(denied: &Denied) -> Response<Body> {
    let frame = ErrorFrame::new(ErrorCode::RateLimited, denied.to_string());
    problem(&ErrorFrame { retry_after: Some(denied.retry_after()), ..frame })
}

/// Says what is left.
///
/// See <https://www.ietf.org/archive/id/draft-ietf-httpapi-ratelimit-headers-10.html>.
pub(super) fn tell(response: &mut Response<Body>, allowed: &Result<Option<Allowance>, Denied>) {
    let (subject, pace, remaining, until) = match allowed {
        Ok(None) | Err(Denied::NoSeat) => return,
        Ok(Some(left)) => {
            let missing = left.pace.burst.get() - left.remaining.min(left.pace.burst.get());
            let until = Duration::from_secs(1) * missing / left.pace.per_second.get();
            (left.subject, left.pace, left.remaining, until)
        }
        Err(Denied::TooFast { subject, pace, retry_after }) => (*subject, *pace, 0, *retry_after),
    };
    let (name, window) = (subject.as_str(), seconds(pace.window()).max(1));
    let text = |text: String| HeaderValue::try_from(text).expect("names and numbers");
    let headers = response.headers_mut();
    headers.insert(POLICY, text(format!("\"{name}\";q={};w={window}", pace.burst)));
    headers.insert(LEFT, text(format!("\"{name}\";r={remaining};t={}", seconds(until))));
}
