use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::super::frame::Row;
use super::super::state::Line;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const CAME: Style = AnsiColor::Green.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const WENT: Style = AnsiColor::Red.on_default();
const SAID: Style = AnsiColor::Cyan.on_default();

/// Characters of a value that are shown; the rest is a matter for JSON lines.
const SHOWN_CHARACTERS: usize = 60;

/// Lines for people: what came, what changed from what, what went.
#[derive(Debug, Default)]
pub(in super::super) struct Text {
    key: Vec<String>,
}

impl Text {
    pub(super) fn set_key(&mut self, key: &[String]) {
        key.clone_into(&mut self.key);
    }

    pub(super) fn write(&self, out: &mut impl Write, line: &Line) -> io::Result<()> {
        let text = match line {
            Line::Row(row) => format!("{DIM}·{DIM:#} {}", self.whole(row)),
            Line::Live { rows } => {
                let noun = if *rows == 1 { "row" } else { "rows" };
                format!("{DIM}── {rows} {noun}; live from here ──{DIM:#}")
            }
            Line::Transaction { transaction, lsn } => {
                let (at, id) = (plain(&transaction.committed_at), plain(&transaction.id));
                format!("{DIM}── {at}  tx {id}  {} ──{DIM:#}", plain(lsn))
            }
            Line::Insert(row) => format!("{CAME}+{CAME:#} {}", self.whole(row)),
            Line::Update { row, old, missing } => {
                format!("{CHANGED}~{CHANGED:#} {}", self.update(row, old.as_ref(), missing))
            }
            Line::Delete { key, old } => {
                format!("{WENT}-{WENT:#} {}", self.whole(old.as_ref().unwrap_or(key)))
            }
            Line::Truncate { lsn } => {
                format!("{WENT}- all rows{WENT:#}  {DIM}truncate {}{DIM:#}", plain(lsn))
            }
            Line::Event(event) => format!("{SAID}»{SAID:#} {}", plain(event.get())),
            Line::Resync { reason } => {
                format!("{CHANGED}── starting over: {} ──{CHANGED:#}", plain(reason))
            }
        };
        writeln!(out, "{text}")
    }

    /// The key, then every other column.
    fn whole(&self, row: &Row) -> String {
        let mut text = self.name(row);
        for (column, value) in row.columns().filter(|(column, _)| !self.is_key(column)) {
            let _ = write!(text, "  {DIM}{}{DIM:#} {}", plain(column), shown(value));
        }
        text
    }

    /// The key, then what changed, from what to what.
    fn update(&self, row: &Row, old: Option<&Row>, missing: &[String]) -> String {
        let Some(old) = old else { return self.whole(row) };
        let mut text = self.name(row);
        let start = text.len();
        for (column, value) in row.columns() {
            let before = old.get(column);
            if before == Some(value) || missing.iter().any(|name| name == column) {
                continue;
            }
            let before = before.map_or_else(|| "?".to_owned(), shown);
            let (column, value) = (plain(column), shown(value));
            let _ = write!(text, "  {DIM}{column}{DIM:#} {WENT}{before}{WENT:#} → {CAME}{value}{CAME:#}");
        }
        if text.len() == start {
            let _ = write!(text, "  {DIM}written without a change{DIM:#}");
        }
        text
    }

    fn name(&self, row: &Row) -> String {
        let values = self.key.iter().filter_map(|column| row.get(column)).map(shown);
        let name = values.collect::<Vec<_>>().join(", ");
        format!("{BOLD}{name}{BOLD:#}")
    }

    fn is_key(&self, column: &str) -> bool {
        self.key.iter().any(|name| name == column)
    }
}

/// A JSON value as people write it: strings without quotes, cut off where they are long.
fn shown(value: &str) -> String {
    let text = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    let mut characters = text.chars();
    let head: String = characters.by_ref().take(SHOWN_CHARACTERS).collect();
    let cut = if characters.next().is_some() { "…" } else { "" };
    if text.is_empty() { "''".to_owned() } else { format!("{}{cut}", plain(&head)) }
}

/// `text` without power over the terminal: what a row says is nobody's order to it.
pub(in super::super) fn plain(text: &str) -> String {
    let commands = |c: char| {
        // Direction marks would let a value rearrange the line around it.
        c.is_control()
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut plain, c| {
        if commands(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &Line) -> String {
        let mut out = Vec::new();
        Text { key: vec!["id".into()] }.write(&mut out, line).expect("memory");
        anstream::adapter::strip_str(std::str::from_utf8(&out).expect("UTF-8")).to_string()
    }

    #[test]
    fn an_update_says_what_changed_from_what() {
        let row = || Row::of(r#"{"id":"12","status":"done","position":3,"title":"x"}"#);
        let old = |text| Some(Row::of(text));
        let update = |old, missing| Line::Update { row: row(), old, missing };
        let before = old(r#"{"id":"12","status":"open","position":3,"title":"x"}"#);
        assert_eq!(written(&update(before, vec![])), "~ 12  status open → done\n");
        let partly = old(r#"{"id":"12","status":"done","position":3}"#);
        assert_eq!(written(&update(partly, vec![])), "~ 12  title ? → x\n");
        assert_eq!(written(&update(Some(row()), vec![])), "~ 12  written without a change\n");
        assert_eq!(written(&update(None, vec![])), "~ 12  status done  position 3  title x\n");
    }

    #[test]
    fn rows_come_and_go_by_their_key() {
        let row = Row::of(r#"{"title":"","id":"12","done":null}"#);
        assert_eq!(written(&Line::Row(row.clone())), "· 12  title ''  done null\n");
        assert_eq!(written(&Line::Insert(row.clone())), "+ 12  title ''  done null\n");
        let key = Row::of(r#"{"id":"12"}"#);
        assert_eq!(
            written(&Line::Delete { key: key.clone(), old: Some(row) }),
            "- 12  title ''  done null\n"
        );
        assert_eq!(written(&Line::Delete { key, old: None }), "- 12\n");
    }

    #[test]
    fn a_value_cannot_command_the_terminal() {
        let hostile =
            Line::Row(Row::of("{\"id\":\"\\u001b]0;owned\\u0007\",\"a\\u001b[2J\":\"\u{9b}2J\u{202e}\"}"));
        let mut out = Vec::new();
        Text { key: vec!["id".into()] }.write(&mut out, &hostile).expect("memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(!text.contains("\u{1b}]") && !text.contains("[2J\u{1b}[0m\u{9b}"), "{text:?}");
        assert!(
            !text.contains('\u{9b}') && !text.contains('\u{202e}') && !text.contains('\u{7}'),
            "{text:?}"
        );
        assert!(text.contains("\\u{1b}]0;owned\\u{7}"), "{text:?}");
    }

    #[test]
    fn long_values_are_cut_by_characters() {
        let long = format!("\"{}\"", "ß".repeat(100));
        assert_eq!(shown(&long), format!("{}…", "ß".repeat(SHOWN_CHARACTERS)));
        assert_eq!(shown("{\"a\": 1}"), "{\"a\": 1}");
    }
}
