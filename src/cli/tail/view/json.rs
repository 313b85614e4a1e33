use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::frame::{Row, Transaction};
use super::super::state::Line;

/// JSON lines, as `tidegate tail --help` documents them.
#[derive(Debug, Default)]
pub(in super::super) struct Json {
    transaction: Option<(Transaction, String)>,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Record<'a> {
    Row {
        row: &'a Row,
    },
    Live {
        rows: usize,
    },
    Insert {
        row: &'a Row,
        #[serde(flatten)]
        origin: Option<Origin<'a>>,
    },
    Update {
        row: &'a Row,
        #[serde(skip_serializing_if = "Option::is_none")]
        old: Option<&'a Row>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        unchanged: &'a [String],
        #[serde(flatten)]
        origin: Option<Origin<'a>>,
    },
    Delete {
        key: &'a Row,
        #[serde(skip_serializing_if = "Option::is_none")]
        old: Option<&'a Row>,
        #[serde(flatten)]
        origin: Option<Origin<'a>>,
    },
    Truncate {
        lsn: &'a str,
    },
    Event {
        event: &'a RawValue,
    },
    Resync {
        reason: &'a str,
    },
}

#[derive(Clone, Copy, Serialize)]
struct Origin<'a> {
    lsn: &'a str,
    tx: &'a str,
    committed_at: &'a str,
}

impl Json {
    pub(super) fn write(&mut self, out: &mut impl Write, line: &Line) -> io::Result<()> {
        if let Line::Transaction { transaction, lsn } = line {
            self.transaction = Some((transaction.clone(), lsn.clone()));
            return Ok(());
        }
        let origin = self.transaction.as_ref().map(|(transaction, lsn)| Origin {
            lsn,
            tx: &transaction.id,
            committed_at: &transaction.committed_at,
        });
        let record = match line {
            Line::Row(row) => Record::Row { row },
            Line::Live { rows } => Record::Live { rows: *rows },
            Line::Insert(row) => Record::Insert { row, origin },
            Line::Update { row, old, missing } => {
                Record::Update { row, old: old.as_ref(), unchanged: missing, origin }
            }
            Line::Delete { key, old } => Record::Delete { key, old: old.as_ref(), origin },
            Line::Truncate { lsn } => Record::Truncate { lsn },
            Line::Event(event) => Record::Event { event },
            Line::Resync { reason } => Record::Resync { reason },
            Line::Transaction { .. } => return Ok(()),
        };
        serde_json::to_writer(&mut *out, &record)?;
        out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &[Line]) -> String {
        let (mut json, mut out) = (Json::default(), Vec::new());
        for line in lines {
            json.write(&mut out, line).expect("memory");
        }
        String::from_utf8(out).expect("JSON")
    }

    #[test]
    fn every_line_is_an_object_that_says_what_happened() {
        let transaction =
            Transaction { id: "743".into(), committed_at: "2026-11-22T10:08:17Z".into(), last: true };
        let row = |text| Row::of(text);
        let text = written(&[
            Line::Row(row(r#"{"id":"1","n":1.50}"#)),
            Line::Live { rows: 1 },
            Line::Transaction { transaction, lsn: "0/2".into() },
            Line::Insert(row(r#"{"id":"2"}"#)),
            Line::Update {
                row: row(r#"{"id":"1","n":2}"#),
                old: Some(row(r#"{"id":"1","n":1.50}"#)),
                missing: vec!["body".into()],
            },
            Line::Delete { key: row(r#"{"id":"2"}"#), old: None },
            Line::Truncate { lsn: "0/3".into() },
            Line::Event(serde_json::from_str(r#"{"id":"e"}"#).expect("JSON")),
            Line::Resync { reason: "slow_reader".into() },
        ]);
        let origin = r#""lsn":"0/2","tx":"743","committed_at":"2026-11-22T10:08:17Z""#;
        assert_eq!(
            text,
            format!(
                r#"{{"op":"row","row":{{"id":"1","n":1.50}}}}
{{"op":"live","rows":1}}
{{"op":"insert","row":{{"id":"2"}},{origin}}}
{{"op":"update","row":{{"id":"1","n":2}},"old":{{"id":"1","n":1.50}},"unchanged":["body"],{origin}}}
{{"op":"delete","key":{{"id":"2"}},{origin}}}
{{"op":"truncate","lsn":"0/3"}}
{{"op":"event","event":{{"id":"e"}}}}
{{"op":"resync","reason":"slow_reader"}}
"#
            )
        );
    }

    #[test]
    fn without_a_transaction_a_change_stands_alone() {
        assert_eq!(
            written(&[Line::Insert(Row::of(r#"{"id":1}"#))]),
            "{\"op\":\"insert\",\"row\":{\"id\":1}}\n"
        );
    }
}
