use std::sync::Arc;

use crate::event::Table;
use crate::filter::Filter;
use crate::postgres::policy::{Access, Proof};

/// What one identity sees of a table, and for how long that holds.
#[derive(Clone, Debug)]
pub struct Visibility {
    /// Which rows; `None` for all. The contents of sets are in it, so that equal ones see the same.
    pub policy: Option<Arc<Filter>>,
    /// What it depends on besides: once any of them is touched, it has to be worked out anew.
    pub guards: Arc<[Guard]>,
    /// By which grants and policies.
    pub grants: Arc<Grants>,
    /// Where functions in policies look for names.
    pub search_path: Arc<str>,
    /// What a snapshot has to find unchanged.
    pub proof: Arc<Proof>,
}

/// Rows of another table that a policy reads.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Arc<Table>,
    filter: Option<Filter>,
    columns: Vec<usize>,
    name: Box<str>,
}

/// The grants and policies that something was worked out by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Of whom.
    pub role: Arc<str>,
    /// `pg_class.oid`, and a number that changes whenever what the role may see of that table does.
    pub tables: Vec<(u32, u64)>,
}

impl Grants {
    /// Whether they are those that `access` tells of.
    pub fn hold(&self, access: &Access) -> bool {
        self.tables.contains(&(access.oid, access.digest()))
    }
}

impl Guard {
    pub(crate) fn new(table: Arc<Table>, filter: Option<Filter>, columns: Vec<usize>) -> Self {
        let text = filter.as_ref().map_or("", Filter::canonical);
        let name = format!("{} {columns:?} {text}", table.oid).into();
        Self(Arc::new(Inner { table, filter, columns, name }))
    }

    /// Whose rows.
    pub fn table(&self) -> &Arc<Table> {
        &self.0.table
    }

    /// Which of them; `None` for all.
    pub fn filter(&self) -> Option<&Filter> {
        self.0.filter.as_ref()
    }

    /// The columns that count: indexes into the table's, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.0.columns
    }

    /// The same for guards that watch the same.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}
