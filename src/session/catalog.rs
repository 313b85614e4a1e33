use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::event::{Table, TableName};
use crate::postgres::catalog::{Catalog, Found, Refusal};
use crate::protocol::{ErrorCode, ErrorFrame};

/// The tables there are, as sessions look them up. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Catalogs {
    current: watch::Receiver<Option<Arc<Catalog>>>,
    refreshes: mpsc::Sender<Refresh>,
}

/// A wish that the catalog be read again now; answered when it has been.
pub type Refresh = oneshot::Sender<()>;

/// How long a subscriber waits for the catalog to be read again.
const REFRESH_WITHIN: Duration = Duration::from_secs(5);
/// When a client may ask again for a table that cannot be followed yet.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Catalogs {
    /// Looks tables up in `current`, which is empty until changes come in for the first time, and asks for a fresher one through `refreshes`.
    pub fn new(current: watch::Receiver<Option<Arc<Catalog>>>, refreshes: mpsc::Sender<Refresh>) -> Self {
        Self { current, refreshes }
    }

    /// The table called `text`. One that is not known is looked for once more in a fresh catalog.
    ///
    /// # Errors
    /// Why it cannot be subscribed to.
    pub(super) async fn table(&self, text: &str, hints: bool) -> Result<Arc<Table>, ErrorFrame> {
        let name = TableName::parse(text).ok_or_else(|| {
            let message =
                format!("`{text}` is no table's name: write `schema.table`, quoted as in SQL where needed");
            ErrorFrame { field: Some("table"), ..ErrorFrame::new(ErrorCode::BadRequest, message) }
        })?;
        self.ready()?;
        if let Ok(table) = self.look_up(&name, hints) {
            return Ok(table);
        }
        self.refresh().await;
        self.look_up(&name, hints)
    }

    /// Whether changes have come in: what is committed before is in no stream.
    ///
    /// # Errors
    /// That it is too early.
    pub(super) fn ready(&self) -> Result<(), ErrorFrame> {
        if self.current.borrow().is_some() {
            return Ok(());
        }
        let message = "PostgreSQL's changes do not come in yet";
        Err(ErrorFrame { retry_after: Some(RETRY_AFTER), ..ErrorFrame::new(ErrorCode::Unavailable, message) })
    }

    /// Has the catalog read again, unless that takes too long.
    pub(super) async fn refresh(&self) {
        let (done, refreshed) = oneshot::channel();
        let asked = async {
            if self.refreshes.send(done).await.is_ok() {
                // A catalog that could not be read leaves the last one in place.
                _ = refreshed.await;
            }
        };
        _ = timeout(REFRESH_WITHIN, asked).await;
    }

    /// The SQL that has the table's old images carry every column, where that is possible.
    pub(super) fn full_identity(&self, table: &Table) -> Option<String> {
        self.current.borrow().as_ref()?.full_identity(table.oid).map(str::to_owned)
    }

    fn look_up(&self, name: &TableName, hints: bool) -> Result<Arc<Table>, ErrorFrame> {
        let refuse = |code, message: String, hint| ErrorFrame {
            field: Some("table"),
            hint,
            ..ErrorFrame::new(code, message)
        };
        let current = self.current.borrow().clone().unwrap_or_default();
        match current.find(name) {
            Found::Table(table) => Ok(table.clone()),
            Found::Refused(refusal) => {
                let hint = if hints { refusal.sql() } else { None };
                let error = refuse(code_of(&refusal), refusal.to_string(), hint);
                let passes = matches!(refusal, Refusal::Settling { .. } | Refusal::Withheld { .. });
                Err(ErrorFrame { retry_after: passes.then_some(RETRY_AFTER), ..error })
            }
            Found::Unknown { nearest } => {
                let meant = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
                Err(refuse(ErrorCode::UnknownTable, format!("there is no table {name}{meant}"), None))
            }
        }
    }
}

const fn code_of(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::Kind { .. } => ErrorCode::RelationUnsupported,
        Refusal::NoKey { .. } => ErrorCode::NoKey,
        Refusal::Settling { .. } => ErrorCode::Unavailable,
        // Not `unavailable`, for which a subscription waits: nobody knows how long this will take.
        Refusal::NotPublished { .. } | Refusal::Withheld { .. } => ErrorCode::UnknownTable,
    }
}
