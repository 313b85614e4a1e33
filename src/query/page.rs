//! Pages: so many rows behind a place that only this server reads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Answer;
use crate::postgres::Fields;
use crate::workspace::{Fault, Resource};

/// Which page of a list.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// `next` of the page before.
    #[schema(max_length = 2_000)]
    pub(super) after: Option<String>,
    /// The most rows.
    #[schema(minimum = 1, maximum = 500)]
    pub(super) limit: Option<u16>,
}

/// Rows of a page that asks for no other number.
pub(super) const ROWS: u16 = 50;

/// Where a page begins: behind the row with these values of what the rows are ordered by.
///
/// # Errors
/// It is not what a page before has given.
pub(super) fn behind(after: Option<&str>, values: usize) -> Result<Vec<String>, Fault> {
    let Some(after) = after else { return Ok(Vec::new()) };
    let read = URL_SAFE_NO_PAD.decode(after).ok();
    let read: Option<Vec<String>> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let is_ours = |list: &Vec<String>| list.len() == values && !list.iter().any(|text| text.contains('\0'));
    read.filter(is_ours).ok_or_else(|| Fault::field("after", "is no `next` of a page before"))
}

/// A page of rows, of which one more was read than it shows; they are ordered by these columns.
pub(super) fn page(resource: &Resource, mut rows: Vec<Fields>, most: u16, order: &[&str]) -> Answer {
    let more = rows.len() > usize::from(most);
    rows.truncate(usize::from(most));
    part(resource, &rows, more, order)
}

/// A page of these rows, behind which there are more or not.
pub(super) fn part(resource: &Resource, rows: &[Fields], more: bool, order: &[&str]) -> Answer {
    let mut body = b"{\"rows\":".to_vec();
    body.extend_from_slice(&resource.array(rows));
    body.extend_from_slice(b",\"next\":");
    match rows.last().filter(|_| more) {
        Some(last) => {
            let values: Vec<&str> =
                order.iter().map(|column| resource.value(last, column).unwrap_or_default()).collect();
            let values = serde_json::to_vec(&values).expect("texts");
            body.push(b'"');
            body.extend_from_slice(URL_SAFE_NO_PAD.encode(values).as_bytes());
            body.push(b'"');
        }
        None => body.extend_from_slice(b"null"),
    }
    body.push(b'}');
    Answer::other(body)
}

/// The number of rows to read, as a statement takes it: one more than the page shows.
pub(super) fn limit(most: u16) -> String {
    (u32::from(most) + 1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_this_server_did_not_give_is_refused() {
        let place = URL_SAFE_NO_PAD.encode(r#"["2026-01-01","7"]"#);
        assert_eq!(behind(Some(&place), 2).expect("ours"), ["2026-01-01", "7"]);
        assert!(behind(None, 2).expect("the first").is_empty());
        let nul = URL_SAFE_NO_PAD.encode(r#"["\u0000","7"]"#);
        for (place, values) in [("!", 2), ("", 2), (&*place, 1), ("e30", 1), (&*nul, 2)] {
            assert!(behind(Some(place), values).is_err(), "{place}");
        }
    }
}
