use std::net::IpAddr;

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A socket or a stream; the object is the route.
    Connect,
    /// To go on as fast as before; the object is the route.
    Send,
    /// Rows of a table, or events of a channel.
    Subscribe,
    /// An event on a channel.
    Publish,
    /// An answer; the object is the route.
    Request,
    /// Something to be done; the object is the method and the path.
    Command,
    /// Something to be read; the object is the path.
    Read,
}

impl Action {
    /// As the log names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Request => "request",
            Self::Command => "command",
            Self::Read => "read",
        }
    }
}

/// Whether they got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They did.
    Allowed,
    /// They did not, for a reason that is a word of the code's: an error code of the protocol.
    Denied(&'static str),
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) session: u64,
    pub(super) who: Option<&'a str>,
    pub(super) from: IpAddr,
    pub(super) action: Action,
    pub(super) object: &'a str,
    pub(super) verdict: Verdict,
}

/// Objects and names are of the client's choice: so much of them is told.
const MOST_CHARS: usize = 200;

impl Entry<'_> {
    /// Why it was denied, if it was.
    pub(super) const fn reason(&self) -> Option<&'static str> {
        match self.verdict {
            Verdict::Allowed => None,
            Verdict::Denied(reason) => Some(reason),
        }
    }

    pub(super) fn log(&self) {
        // Quoted: a line break in a name begins no line of the log's.
        tracing::info!(
            target: "audit",
            session = %session(self.session),
            who = self.who.map(short).map(tracing::field::debug),
            from = %self.from,
            object = ?short(self.object),
            allowed = self.reason().is_none(),
            reason = self.reason(),
            "{}",
            self.action.as_str(),
        );
    }
}

/// The session's name, as `ready` tells it.
pub(super) fn session(number: u64) -> String {
    format!("{number:016x}")
}

/// As much of a text as is told, without what PostgreSQL's texts cannot hold.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|character| *character != '\0').take(MOST_CHARS).collect()
}
