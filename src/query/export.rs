use serde_json::json;

use super::action::Action;
use super::board::{board, of_board};
use super::operation::Reading;
use super::{Answer, Asked, Kind, Read, Shown};
use crate::command::statement;
use crate::event::{Datum, write_json};
use crate::postgres::Fields;
use crate::workspace::tables::ENTRY;
use crate::workspace::{Code, Fault, Id};

pub(super) fn reads() -> Vec<Read> {
    vec![Read {
        id: "exportEntries",
        path: "/v1/boards/{board}/export",
        summary: "All entries of a board, as comma-separated values (RFC 4180)",
        query: None,
        kind: Kind::Large,
        shown: Shown::Csv,
        tags: |marks, asked| of_board(marks, asked, &["entries"]),
        run: |reading, asked| Box::pin(export(reading, asked)),
        noted: Some(|asked| Action {
            verb: "exported",
            subject: "board",
            board: Id::parse(asked.part(0)).map(|id| id.to_string()),
            entry: None,
            detail: json!({}),
        }),
    }]
}

/// Whether all of it goes into memory at once. Nothing is added in between: both see the same moment.
const FITS: &str = "
select (count(*) <= 50000 and coalesce(sum(octet_length(body) + octet_length(title)), 0) <= 67108864)::text
from public.entries
where board_id = $1";
statement!(
    ALL = "
    select {}
    from public.entries as e
    where e.board_id = $1
    order by e.state_id, e.position",
    ENTRY.select("e")
);

async fn export(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let (_, id) = board(reading, asked).await?;
    let fits = reading.work.first(FITS, &[Some(id.as_str())]).await?;
    if fits.is_none_or(|fits| fits.text(0) != Some("true")) {
        let detail = "the board has more than 50,000 entries, or 64 MiB of them: read them page by page";
        return Err(Fault::new(Code::TooLarge, detail));
    }
    let rows = reading.work.rows(&ALL, &[Some(id.as_str())]).await?;
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let names = ENTRY.columns.iter().map(|column| column.name);
    let mut written = csv.write_record(names);
    for row in &rows {
        let values = (0..ENTRY.columns.len()).map(|place| cell(row, place));
        written = written.and_then(|()| csv.write_record(values));
    }
    let body = written.ok().and_then(|()| csv.into_inner().ok()).expect("memory takes what is written");
    Ok(Answer::other(body))
}

/// A value as the wire protocol writes it, texts without their quotes, and none that a spreadsheet takes for a formula.
///
/// See <https://owasp.org/www-community/attacks/CSV_Injection>.
fn cell(row: &Fields, place: usize) -> String {
    let Some(text) = row.text(place) else { return String::new() };
    let mut json = Vec::new();
    write_json(ENTRY.columns[place].form.class(), Datum::Text(text.as_bytes()), &mut json);
    let text = match serde_json::from_slice(&json) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::from_utf8(json).expect("PostgreSQL's text is UTF-8"),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}
