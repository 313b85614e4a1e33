use super::Services;
use super::flight::rows_json;
use super::order::Order;
use super::resolve::unavailable;
use crate::auth::Identity;
use crate::hub::Rows;
use crate::postgres::snapshot::{self, Condition, Query};
use crate::protocol::{ErrorCode, ErrorFrame, Frame, Page, Select};
use crate::telemetry::Chain;

/// Reads the rows behind the last one that a client has, in the order of its subscription.
///
/// # Errors
/// What was wrong with the request, or that PostgreSQL is away.
pub(super) async fn read(
    services: &Services,
    identity: &Identity,
    rows: &Rows,
    select: &Select,
    page: &Page,
) -> Result<Frame, ErrorFrame> {
    let bad = |message: String| ErrorFrame {
        field: Some("after"),
        ..ErrorFrame::new(ErrorCode::BadRequest, message)
    };
    let order = match &select.snapshot.order_by {
        None => Order::by_key(&rows.table),
        Some(text) => Order::parse(text, &rows.table).map_err(|error| bad(error.to_string()))?,
    };
    let filter = rows.filter.as_ref().map(|filter| filter.to_sql());
    let mut values = filter.as_ref().map(|sql| sql.params.clone()).unwrap_or_default();
    let after = order.after(&rows.table, &page.after, values.len() + 1).map_err(bad)?;
    values.extend(after.values);
    let condition = match &filter {
        Some(filter) => format!("({}) and {}", filter.text, after.sql),
        None => after.sql,
    };
    let query = Query {
        impersonation: identity.impersonation(),
        table: &rows.table,
        columns: &rows.projection.columns,
        condition: Some(Condition { sql: &condition, values: &values }),
        order: Some(&order.to_sql()),
        limit: Some(u64::from(page.limit)),
        timeout: services.config.snapshot.timeout,
    };
    read_all(services, rows, &query, page.limit).await.map_err(|error| explain(&error))
}

async fn read_all(
    services: &Services,
    rows: &Rows,
    query: &Query<'_>,
    limit: u32,
) -> Result<Frame, snapshot::Error> {
    let _permit = services.snapshots.permit().await;
    let mut reader = snapshot::open(&services.pool, query).await?;
    let mut read = Vec::new();
    let mut bytes = 0;
    // What does not fit into one frame is read by the next page, which starts behind it.
    while bytes < services.config.outbox_bytes / 2 {
        let Some(chunk) = reader.next_chunk(services.config.snapshot.chunk_bytes).await? else { break };
        bytes += chunk.iter().map(crate::event::Row::len).sum::<usize>();
        read.extend(chunk);
    }
    let complete = bytes < services.config.outbox_bytes / 2;
    let last = complete && u32::try_from(read.len()).is_ok_and(|count| count < limit);
    Ok(Frame::page(&rows_json(rows, &read), last))
}

fn explain(error: &snapshot::Error) -> ErrorFrame {
    let told = Chain(error).to_string();
    match error {
        snapshot::Error::Filter { .. } => {
            ErrorFrame { field: Some("after"), ..ErrorFrame::new(ErrorCode::BadRequest, told) }
        }
        snapshot::Error::Forbidden { .. } => ErrorFrame::new(ErrorCode::Forbidden, told),
        _ => {
            tracing::warn!(error = %told, "a page could not be read");
            unavailable("the rows could not be read now")
        }
    }
}
