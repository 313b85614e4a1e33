use clap::Args;
use serde::Serialize;

use super::state::State;

/// The only subscription on the socket.
pub(super) const ID: &str = "tail";

/// What is followed, as the command line says it.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub(super) struct Selection {
    /// The table, as `schema.table` or `table`.
    #[arg(required_unless_present = "channel", conflicts_with = "channel")]
    table: Option<String>,
    /// Follow the events on a channel instead of a table's rows.
    #[arg(long)]
    channel: Option<String>,
    /// Which rows: a PostgreSQL expression, as in `board_id = 7 AND status <> 'archived'`.
    #[arg(long = "where", value_name = "EXPRESSION", conflicts_with = "channel")]
    filter: Option<String>,
    /// What $1, $2 … stand for, in PostgreSQL's text form; once for each.
    #[arg(long = "param", value_name = "VALUE", requires = "filter")]
    params: Vec<String>,
    /// Only these columns, separated by commas; the key comes along in any case.
    #[arg(long, value_delimiter = ',', conflicts_with = "channel")]
    columns: Option<Vec<String>>,
    /// Only what happens from now on.
    #[arg(long, conflicts_with_all = ["channel", "order_by", "limit"])]
    no_snapshot: bool,
    /// The order of the snapshot, as in "at desc".
    #[arg(long, value_name = "COLUMNS", conflicts_with = "channel")]
    order_by: Option<String>,
    /// The most rows of the snapshot; later changes cover every match.
    #[arg(long, value_name = "ROWS", conflicts_with = "channel")]
    limit: Option<u32>,
    /// At most one change a key in each interval, the newest: for values, not for history.
    #[arg(long, conflicts_with = "channel")]
    latest: bool,
    /// The interval of --latest, in milliseconds.
    #[arg(long, value_name = "MS", requires = "latest")]
    interval_ms: Option<u32>,
}

#[derive(Serialize)]
struct Subscribe<'a> {
    r#type: &'static str,
    id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    params: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Snapshot<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_ms: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Snapshot<'a> {
    Wanted(bool),
    Options {
        #[serde(skip_serializing_if = "Option::is_none")]
        order_by: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
}

impl Selection {
    /// The `subscribe` frame that continues where `state` has come to, or begins.
    pub(super) fn frame(&self, state: &State) -> String {
        let place = state.place();
        let bounded = self.order_by.is_some() || self.limit.is_some();
        let snapshot = match &self.table {
            None => None,
            Some(_) if bounded => {
                Some(Snapshot::Options { order_by: self.order_by.as_deref(), limit: self.limit })
            }
            // Beside a cursor it would say nothing: a place that is gone is answered with a snapshot anyway.
            Some(_) if place.is_some() => None,
            Some(_) => (!self.no_snapshot || state.owes_snapshot()).then_some(Snapshot::Wanted(true)),
        };
        let frame = Subscribe {
            r#type: "subscribe",
            id: ID,
            table: self.table.as_deref(),
            channel: self.channel.as_deref(),
            filter: self.filter.as_deref(),
            params: &self.params,
            columns: self.columns.as_deref(),
            snapshot,
            cursor: place.map(|(cursor, _)| cursor),
            shape: place.and_then(|(_, shape)| shape),
            delivery: self.latest.then_some("latest"),
            interval_ms: self.interval_ms,
        };
        serde_json::to_string(&frame).expect("texts and numbers can be written as JSON")
    }

    /// The filter's text.
    pub(super) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// What is followed, for messages.
    pub(super) fn subject(&self) -> &str {
        self.table.as_deref().or(self.channel.as_deref()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::ServerFrame;
    use super::*;
    use crate::protocol::ClientFrame;

    #[test]
    fn every_request_is_one_that_the_server_understands() {
        let text = |text: &str| Some(text.to_owned());
        let table = Selection { table: text("public.entries"), ..Selection::default() };
        let mut resumed = State::default();
        let subscribed =
            r#"{"type":"subscribed","id":"tail","shape":"s","key":["id"],"columns":[],"cursor":"c"}"#;
        resumed.receive(ServerFrame::parse(subscribed).expect("valid"), 0);
        for (selection, state, expected) in [
            (table.clone(), State::default(), r#""table":"public.entries","snapshot":true}"#),
            (
                Selection { no_snapshot: true, ..table.clone() },
                State::default(),
                r#""table":"public.entries"}"#,
            ),
            (
                Selection {
                    filter: text("a = $1"),
                    params: vec!["7".into()],
                    columns: Some(vec!["id".into()]),
                    order_by: text("at desc"),
                    limit: Some(3),
                    latest: true,
                    interval_ms: Some(250),
                    ..table.clone()
                },
                State::default(),
                r#""where":"a = $1","params":["7"],"columns":["id"],"snapshot":{"order_by":"at desc","limit":3},"delivery":"latest","interval_ms":250}"#,
            ),
            (table, resumed, r#""table":"public.entries","cursor":"c","shape":"s"}"#),
            (
                Selection { channel: text("deploys.eu"), ..Selection::default() },
                State::default(),
                r#""channel":"deploys.eu"}"#,
            ),
        ] {
            let frame = selection.frame(&state);
            assert!(frame.ends_with(expected), "{frame}");
            ClientFrame::parse(frame.as_bytes()).unwrap_or_else(|error| panic!("{frame}: {error}"));
        }
    }
}
