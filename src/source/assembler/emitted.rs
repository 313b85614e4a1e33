//! What `pg_logical_emit_message` may say to us.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::event::{Lsn, is_channel};
use crate::pgoutput::LogicalMessage;
use crate::telemetry::metric;

/// Before a channel's name.
const CHANNEL: &str = "tidegate:";
const SCHEMA: &str = "tidegate.schema";
const MARK: &str = "tidegate.mark";
/// One line tells of all that went wrong meanwhile: whoever emits rubbish may emit a lot of it.
const WARN_INTERVAL: Duration = Duration::from_secs(1);

/// A message, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Emitted {
    /// One JSON value for those who listen on a channel.
    Event { channel: Arc<str>, data: Bytes },
    /// Definitions of tables may have changed.
    Schema,
    /// Someone waits for this number to come by.
    Token(u64),
    /// The log moves.
    Heartbeat,
    /// Not for us.
    Foreign,
}

/// Why a message is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotTransactional,
    Channel,
    NotUtf8,
    NotJson,
    Token,
    TooManyMarks,
}

impl Emitted {
    pub(super) fn read(message: LogicalMessage) -> Result<Self, Reason> {
        let LogicalMessage { transactional, prefix, content, .. } = message;
        let ours = prefix.starts_with(CHANNEL) || *prefix == *SCHEMA || *prefix == *MARK;
        if !ours {
            return Ok(Self::Foreign);
        }
        if !transactional {
            return Err(Reason::NotTransactional);
        }
        match &*prefix {
            SCHEMA => Ok(Self::Schema),
            MARK if content.is_empty() => Ok(Self::Heartbeat),
            MARK => token(&content).map(Self::Token).ok_or(Reason::Token),
            _ => {
                let channel = &prefix[CHANNEL.len()..];
                if !is_channel(channel) {
                    return Err(Reason::Channel);
                }
                let text = std::str::from_utf8(&content).map_err(|_| Reason::NotUtf8)?;
                serde_json::from_str::<IgnoredAny>(text).map_err(|_| Reason::NotJson)?;
                Ok(Self::Event { channel: channel.into(), data: content })
            }
        }
    }
}

fn token(content: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(content).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NotTransactional => "not_transactional",
            Self::Channel => "channel",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::Token => "token",
            Self::TooManyMarks => "too_many_marks",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::NotTransactional => {
                "a message must be transactional: pass `true` as the first argument of `pg_logical_emit_message`"
            }
            Self::Channel => {
                "after `tidegate:` comes the channel's name: 1 to 255 bytes without control characters"
            }
            Self::NotUtf8 | Self::NotJson => "the content of an event must be one JSON value in UTF-8",
            Self::Token => "the content of `tidegate.mark` must be a decimal number of 64 bits, or empty",
            Self::TooManyMarks => "a transaction takes at most 1,024 marks",
        }
    }
}

/// Tells of messages that were left out: each in the metric, one line a second in the log.
#[derive(Debug, Default)]
pub(super) struct Rejected {
    warned_at: Option<Instant>,
    unsaid: u64,
}

impl Rejected {
    pub(super) fn note(&mut self, reason: Reason, lsn: Lsn) {
        metrics::counter!(metric::SOURCE_BAD_EVENTS, metric::REASON => reason.as_str()).increment(1);
        if self.warned_at.is_some_and(|at| at.elapsed() < WARN_INTERVAL) {
            self.unsaid += 1;
            return;
        }
        self.warned_at = Some(Instant::now());
        let unsaid = std::mem::take(&mut self.unsaid);
        tracing::warn!(
            reason = reason.as_str(),
            %lsn,
            unsaid,
            "left out a message of `pg_logical_emit_message`: {}",
            reason.advice()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(transactional: bool, prefix: &str, content: &'static [u8]) -> Result<Emitted, Reason> {
        let content = Bytes::from_static(content);
        Emitted::read(LogicalMessage { transactional, lsn: Lsn::new(1), prefix: prefix.into(), content })
    }

    #[test]
    fn what_is_for_us_is_read() {
        let event = Emitted::Event {
            channel: "deploys.eu".into(),
            data: Bytes::from_static(b" {\"a\": [1, null]}\n"),
        };
        assert_eq!(read(true, "tidegate:deploys.eu", b" {\"a\": [1, null]}\n"), Ok(event));
        assert_eq!(read(true, "tidegate.schema", b"alter table"), Ok(Emitted::Schema));
        assert_eq!(read(true, "tidegate.mark", b""), Ok(Emitted::Heartbeat));
        assert_eq!(read(true, "tidegate.mark", b"18446744073709551615"), Ok(Emitted::Token(u64::MAX)));
        for prefix in ["", "tidegate", "tidegate.", "debezium", "tidegate.marks"] {
            assert_eq!(read(true, prefix, b"{}"), Ok(Emitted::Foreign), "{prefix}");
            assert_eq!(read(false, prefix, b"{}"), Ok(Emitted::Foreign), "{prefix}");
        }
    }

    #[test]
    fn what_is_unfit_is_left_out_with_its_reason() {
        for prefix in ["tidegate:a", "tidegate.mark", "tidegate.schema"] {
            assert_eq!(read(false, prefix, b"1"), Err(Reason::NotTransactional), "{prefix}");
        }
        let long = format!("tidegate:{}", "c".repeat(256));
        for prefix in ["tidegate:", "tidegate:a\nb", "tidegate:a\u{85}", &long] {
            assert_eq!(read(true, prefix, b"{}"), Err(Reason::Channel), "{prefix:?}");
        }
        for content in [&b""[..], b"{", b"{} {}", b"'a'", b"nul", b"{\"a\":1,}"] {
            assert_eq!(read(true, "tidegate:a", content), Err(Reason::NotJson), "{content:?}");
        }
        assert_eq!(read(true, "tidegate:a", b"\"\xFF\""), Err(Reason::NotUtf8));
        for content in [&b"x"[..], b"-1", b"+1", b" 1", b"18446744073709551616"] {
            assert_eq!(read(true, "tidegate.mark", content), Err(Reason::Token), "{content:?}");
        }
    }

    #[test]
    fn a_deeply_nested_value_is_read_without_recursion() {
        let deep: &'static [u8] = Box::leak("[".repeat(1_000_000).into_bytes().into_boxed_slice());
        assert_eq!(read(true, "tidegate:a", deep), Err(Reason::NotJson));
    }
}
