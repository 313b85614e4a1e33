use std::sync::Arc;
use std::time::Duration;

use super::Services;
use super::order::Order;
use crate::auth::Identity;
use crate::event::Table;
use crate::filter::{self, Filter};
use crate::hub::{Projection, Rows};
use crate::postgres::privileges::{self, Privileges};
use crate::postgres::{Impersonation, literals};
use crate::protocol::{Delivery, ErrorCode, ErrorFrame, Param, Select};

/// A request, understood against the catalog.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// What the hub follows.
    pub(super) rows: Rows,
    /// The order of snapshot and pages.
    pub(super) order: Option<Arc<Order>>,
}

/// When a client may ask again after PostgreSQL was away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Understands a request for `identity`, asking PostgreSQL where only PostgreSQL knows.
///
/// # Errors
/// What was wrong with it, and how to mend it.
pub(super) async fn resolve(
    services: &Services,
    identity: &Identity,
    select: &Select,
) -> Result<Resolved, ErrorFrame> {
    let hints = services.config.hints;
    let table = services.catalogs.table(&select.table, hints).await?;
    let columns = match &select.columns {
        None => (0..table.columns.len()).collect(),
        Some(names) => names.iter().map(|name| column(&table, name)).collect::<Result<_, _>>()?,
    };
    let order = match &select.snapshot.order_by {
        None if select.snapshot.limit.is_some() => Some(Arc::new(Order::by_key(&table))),
        None => None,
        Some(text) => Some(Arc::new(Order::parse(text, &table).map_err(|error| refuse(&error, "order_by"))?)),
    };
    let filter = match &select.filter {
        None => None,
        Some(text) => {
            let filter = bind(services, text, &select.params, &table).await?;
            check_identity(services, &table, &filter)?;
            Some(Arc::new(filter))
        }
    };
    let projection = Arc::new(Projection::new(&table, columns));
    let read = filter.iter().flat_map(|filter| filter.columns()).chain(&projection.columns).copied();
    policy(services, identity, &table, read.collect()).await?;
    let delivery = match select.delivery {
        Delivery::Every => Delivery::Every,
        Delivery::Latest { interval_ms } => {
            let least = u32::try_from(services.config.latest_min_interval.as_millis()).unwrap_or(u32::MAX);
            Delivery::Latest { interval_ms: interval_ms.max(least) }
        }
    };
    Ok(Resolved { rows: Rows::new(table, filter, projection, delivery), order })
}

/// What `identity` may see of a table, whose columns with the indexes `read` are sent or judged.
///
/// # Errors
/// `forbidden` without the privilege to select all of these, and `policy_unsupported` where row-level security applies:
/// a snapshot would obey it, and what is streamed afterwards would not.
async fn policy(
    services: &Services,
    identity: &Identity,
    table: &Table,
    read: Vec<usize>,
) -> Result<(), ErrorFrame> {
    let Some(Impersonation { role, .. }) = identity.impersonation() else { return Ok(()) };
    let columns: Vec<_> = read.iter().map(|column| &*table.columns[*column].name).collect();
    let away = |error: crate::postgres::Error| {
        unavailable(format!("privileges could not be read: {}", crate::telemetry::Chain(&error)))
    };
    let client = services.pool.get().await.map_err(away)?;
    let privileges = privileges::read(&client, role, table.oid, &columns).await.map_err(away)?;
    match privileges {
        Privileges::Whole => Ok(()),
        Privileges::Secured => {
            let message = format!("row-level security applies to table {} for this role", table.name);
            Err(ErrorFrame { field: Some("table"), ..ErrorFrame::new(ErrorCode::PolicyUnsupported, message) })
        }
        Privileges::Missing => {
            let message = format!("this role may not read all of that from table {}", table.name);
            Err(ErrorFrame { field: Some("table"), ..ErrorFrame::new(ErrorCode::Forbidden, message) })
        }
    }
}

/// Whether `identity` may listen to channels.
///
/// # Errors
/// `forbidden`: there are no rules yet by which anybody who is asked for a token might.
pub(super) fn channel(identity: &Identity) -> Result<(), ErrorFrame> {
    if identity.impersonation().is_none() {
        return Ok(());
    }
    let message = "this role may listen to no channel";
    Err(ErrorFrame { field: Some("channel"), ..ErrorFrame::new(ErrorCode::Forbidden, message) })
}

/// What a client is told while PostgreSQL is away.
pub(super) fn unavailable(message: impl Into<String>) -> ErrorFrame {
    ErrorFrame { retry_after: Some(RETRY_AFTER), ..ErrorFrame::new(ErrorCode::Unavailable, message) }
}

fn column(table: &Table, name: &str) -> Result<usize, ErrorFrame> {
    table.column(name).ok_or_else(|| {
        let near = |column: &&crate::event::Column| {
            let distance = strsim::damerau_levenshtein(&column.name, name);
            (distance <= 1 + name.chars().count() / 3).then_some(distance)
        };
        let nearest =
            table.columns.iter().filter_map(|column| Some((near(&column)?, column))).min_by_key(|it| it.0);
        let meant =
            nearest.map(|(_, column)| format!("; did you mean `{}`?", column.name)).unwrap_or_default();
        let message = format!("table {} has no column `{name}`{meant}", table.name);
        ErrorFrame { field: Some("columns"), ..ErrorFrame::new(ErrorCode::UnknownColumn, message) }
    })
}

async fn bind(
    services: &Services,
    text: &str,
    params: &[Param],
    table: &Table,
) -> Result<Filter, ErrorFrame> {
    let params: Vec<_> = params.iter().map(param).collect();
    let where_ = |error| refuse(&error, "where");
    let bound = filter::parse(text, &params).and_then(|parsed| parsed.bind(table)).map_err(where_)?;
    let unresolved = bound.unresolved();
    if unresolved.is_empty() {
        return bound.resolve(&[]).map_err(where_);
    }
    let literals: Vec<_> =
        unresolved.iter().map(|literal| (literal.text.as_str(), literal.kind.oid)).collect();
    let away = |error: crate::postgres::Error| {
        unavailable(format!("the filter's literals could not be read: {}", crate::telemetry::Chain(&error)))
    };
    let client = services.pool.get().await.map_err(away)?;
    let answers = literals::canonical(&client, &literals).await.map_err(away)?;
    let mut canonical = Vec::with_capacity(answers.len());
    for (answer, literal) in answers.into_iter().zip(unresolved) {
        canonical.push(answer.map_err(|message| ErrorFrame {
            field: Some("where"),
            position: Some(literal.position),
            ..ErrorFrame::new(ErrorCode::FilterType, message)
        })?);
    }
    bound.resolve(&canonical).map_err(where_)
}

fn param(param: &Param) -> filter::Param {
    match param {
        Param::Null => filter::Param::Null,
        Param::Bool(value) => filter::Param::Bool(*value),
        Param::Number(number) => filter::Param::Number(number.to_string()),
        Param::Text(text) => filter::Param::Text(text.clone()),
        Param::Array(items) => filter::Param::Array(items.iter().map(self::param).collect()),
    }
}

fn refuse(error: &filter::Error, field: &'static str) -> ErrorFrame {
    let code = match error.kind() {
        filter::ErrorKind::UnknownColumn => ErrorCode::UnknownColumn,
        filter::ErrorKind::Syntax => ErrorCode::FilterSyntax,
        filter::ErrorKind::Unsupported => ErrorCode::FilterUnsupported,
        filter::ErrorKind::Type => ErrorCode::FilterType,
    };
    let position = error.position();
    ErrorFrame { field: Some(field), position, ..ErrorFrame::new(code, error.to_string()) }
}

/// A filter is judged on old images too: they must carry what it reads.
fn check_identity(services: &Services, table: &Table, filter: &Filter) -> Result<(), ErrorFrame> {
    let Some(column) = filter.columns().iter().find(|column| !table.old_image_has(**column)) else {
        return Ok(());
    };
    let (name, column) = (&table.name, &table.columns[*column].name);
    let message = format!(
        "the filter reads column `{column}`, which the old images of {name}'s rows do not carry: \
         the table's replica identity must be full"
    );
    let hint = if services.config.hints { services.catalogs.full_identity(table) } else { None };
    Err(ErrorFrame { field: Some("where"), hint, ..ErrorFrame::new(ErrorCode::ReplicaIdentity, message) })
}
