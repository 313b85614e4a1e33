use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

use super::backoff::Return;
use super::frame::{Refusal, ServerFrame};
use super::request::Selection;
use super::socket::Socket;
use super::state::State;
use super::token::Token;
use super::view::{View, plain};
use super::{Error, say};
use crate::telemetry::Chain;

/// Silence that is believed before the server has named its heartbeat.
const FIRST_SILENCE: Duration = Duration::from_mins(1);
/// How many heartbeats may be missed; a half-open connection says nothing for ever.
const MISSED_HEARTBEATS: u32 = 3;
/// The longest heartbeat that is believed.
const LONGEST_HEARTBEAT_MS: u64 = 3_600_000;

/// The subscription, whatever connection it is on.
pub(super) struct Client {
    pub(super) selection: Selection,
    pub(super) state: State,
    pub(super) view: View,
    pub(super) token: Token,
}

/// How a connection ended, and what to do about it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) why: String,
    pub(super) then: Return,
    /// Whether the subscription was accepted on it.
    pub(super) subscribed: bool,
    /// How long after that it lasted.
    pub(super) lived: Duration,
}

impl End {
    /// A connection that broke, or never was.
    pub(super) fn lost(why: String) -> Self {
        Self::new(why, Return::after(None, ""))
    }

    fn new(why: String, then: Return) -> Self {
        Self { why, then, subscribed: false, lived: Duration::ZERO }
    }

    fn closed(frame: Option<&CloseFrame>) -> Self {
        let code = frame.map(|frame| u16::from(frame.code));
        let reason = frame.map(|frame| frame.reason.as_str()).unwrap_or_default();
        let why = match (code, reason) {
            (None, _) => "the server closed the connection".to_owned(),
            (Some(code), "") => format!("the server closed the connection ({code})"),
            (Some(code), reason) => format!("the server closed the connection ({code}: {})", plain(reason)),
        };
        Self::new(why, Return::after(code, reason))
    }
}

impl Client {
    /// Subscribes on `socket` and shows what comes until the connection ends.
    ///
    /// # Errors
    /// What no other connection would mend.
    pub(super) async fn converse(&mut self, mut socket: Socket) -> Result<End, Error> {
        let mut since = None;
        let end = self.exchange(&mut socket, &mut since).await;
        self.state.disconnect();
        end.map(|end| End {
            subscribed: since.is_some(),
            lived: since.map_or(Duration::ZERO, |since: Instant| since.elapsed()),
            ..end
        })
    }

    async fn exchange(
        &mut self,
        socket: &mut Socket,
        subscribed: &mut Option<Instant>,
    ) -> Result<End, Error> {
        if let Err(error) = socket.send(Message::text(self.selection.frame(&self.state))).await {
            return Ok(broken(&error));
        }
        let mut silence = FIRST_SILENCE;
        loop {
            let message = match timeout(silence, socket.next()).await {
                Err(_) => return Ok(End::lost("nothing was heard from the server".to_owned())),
                Ok(None) => return Ok(End::closed(None)),
                Ok(Some(Err(error))) => return Ok(broken(&error)),
                Ok(Some(Ok(message))) => message,
            };
            let text = match &message {
                Message::Text(text) => text.as_str(),
                Message::Close(frame) => return Ok(End::closed(frame.as_ref())),
                // Pings are answered by the library when the socket is read on.
                _ => continue,
            };
            let frame = ServerFrame::parse(text).map_err(Error::Protocol)?;
            match &frame {
                ServerFrame::Ready(ready) => {
                    let heartbeat =
                        Duration::from_millis(ready.heartbeat_ms.clamp(1000, LONGEST_HEARTBEAT_MS));
                    silence = heartbeat * MISSED_HEARTBEATS;
                }
                ServerFrame::Subscribed(accepted) => {
                    *subscribed = Some(Instant::now());
                    self.view.set_key(&accepted.key);
                }
                ServerFrame::Error(refusal) => return self.refused(refusal),
                ServerFrame::TokenExpiring => {
                    if let Err(error) = self.renew(socket).await? {
                        return Ok(broken(&error));
                    }
                }
                _ => {}
            }
            let lines = self.state.receive(frame, text.len());
            if !lines.is_empty() {
                self.view.show(&lines).map_err(Error::Output)?;
            }
        }
    }

    /// What passes is waited for; all else is for the user to mend.
    fn refused(&self, refusal: &Refusal) -> Result<End, Error> {
        match refusal.code.as_str() {
            "unavailable" | "rate_limited" | "internal" => {
                let wait = Duration::from_millis(refusal.retry_after_ms.unwrap_or_default());
                Ok(End::new(format!("{} ({})", refusal.message, refusal.code), Return::AfterWait(wait)))
            }
            _ => Err(Error::refused(self.selection.subject(), self.selection.filter(), refusal)),
        }
    }

    /// Sends the token that is in place now; the inner error is the connection's.
    async fn renew(&mut self, socket: &mut Socket) -> Result<Result<(), tungstenite::Error>, Error> {
        if !self.token.renew()? {
            say("the token expires soon, and there is no other yet");
            return Ok(Ok(()));
        }
        let frame = serde_json::json!({ "type": "auth", "token": self.token.get() });
        Ok(socket.send(Message::text(frame.to_string())).await)
    }
}

fn broken(error: &tungstenite::Error) -> End {
    End::lost(format!("lost the connection: {}", Chain(error)))
}
