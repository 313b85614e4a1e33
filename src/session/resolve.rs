use std::sync::Arc;
use std::time::Duration;

use super::Services;
use super::order::Order;
use crate::auth::{ChannelRight, Identity};
use crate::event::Table;
use crate::filter::{self, Filter};
use crate::hub::{Projection, Rows};
use crate::policy;
use crate::postgres::literals;
use crate::postgres::policy::Access;
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
    // As the asker may know it: what is hidden has no name, neither to be found nor to be suggested.
    let (known, access) = known(services, identity, &table).await?;
    let columns = match &select.columns {
        None => (0..known.columns.len()).filter(|index| !known.columns[*index].name.is_empty()).collect(),
        Some(names) => names.iter().map(|name| column(&known, name)).collect::<Result<_, _>>()?,
    };
    let order = match &select.snapshot.order_by {
        None if select.snapshot.limit.is_some() => Some(Arc::new(Order::by_key(&table))),
        None => None,
        Some(text) => Some(Arc::new(Order::parse(text, &known).map_err(|error| refuse(&error, "order_by"))?)),
    };
    let filter = match &select.filter {
        None => None,
        Some(text) => {
            let filter = bind(services, text, &select.params, &known).await?;
            check_identity(services, &table, &filter)?;
            Some(Arc::new(filter))
        }
    };
    let projection = Arc::new(Projection::new(&table, columns));
    let delivery = match select.delivery {
        Delivery::Every => Delivery::Every,
        Delivery::Latest { interval_ms } => {
            let least = u32::try_from(services.config.latest_min_interval.as_millis()).unwrap_or(u32::MAX);
            Delivery::Latest { interval_ms: interval_ms.max(least) }
        }
    };
    let visibility = match identity.impersonation() {
        None => None,
        Some(impersonation) => {
            let worked_out = services.policies.visibility(impersonation, &table, filter.as_deref()).await;
            let visibility = worked_out.map_err(|error| refuse_policy(&error, hints))?;
            // Columns and rows have to be of one moment.
            if access.is_none_or(|access| !visibility.grants.hold(&access)) {
                return Err(unavailable("what the role may read has changed meanwhile"));
            }
            Some(Arc::new(visibility))
        }
    };
    Ok(Resolved { rows: Rows::new(table, filter, projection, delivery, visibility), order })
}

/// The table with those of its columns that an identity may read, and by which grants.
async fn known(
    services: &Services,
    identity: &Identity,
    table: &Arc<Table>,
) -> Result<(Arc<Table>, Option<Arc<Access>>), ErrorFrame> {
    let Some(impersonation) = identity.impersonation() else { return Ok((table.clone(), None)) };
    let access = services.policies.access(&impersonation.role, table).await;
    let access = access.map_err(|error| refuse_policy(&error, services.config.hints))?;
    let known = table.with_only(|name| access.columns.iter().any(|column| **column == *name));
    if known.key.iter().any(|index| known.columns[*index].name.is_empty()) {
        let message = format!("the key of {} may not be read by role `{}`", table.name, impersonation.role);
        return Err(ErrorFrame { field: Some("table"), ..ErrorFrame::new(ErrorCode::Forbidden, message) });
    }
    Ok((Arc::new(known), Some(access)))
}

fn refuse_policy(error: &policy::Error, hints: bool) -> ErrorFrame {
    let told = error.to_string();
    match error {
        policy::Error::Forbidden { .. } => {
            ErrorFrame { field: Some("table"), ..ErrorFrame::new(ErrorCode::Forbidden, told) }
        }
        policy::Error::Unsupported(refusal) => {
            let hint = if hints { refusal.sql().map(str::to_owned) } else { None };
            ErrorFrame { hint, ..ErrorFrame::new(ErrorCode::PolicyUnsupported, told) }
        }
        policy::Error::Raised { .. } => ErrorFrame::new(ErrorCode::PolicyError, told),
        policy::Error::Postgres(error) => {
            unavailable(format!("policies could not be read: {}", crate::telemetry::Chain(error)))
        }
    }
}

/// Whether `identity` may listen to a channel.
///
/// # Errors
/// `forbidden`, whether there ever was an event or not.
pub(super) fn channel(services: &Services, identity: &Identity, channel: &str) -> Result<(), ErrorFrame> {
    if services.auth.allows(identity, ChannelRight::Subscribe, channel) {
        return Ok(());
    }
    let message = "no rule of the server lets this token listen to the channel";
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
