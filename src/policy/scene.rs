use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlparser::ast::{Ident, ObjectName, Query, TableFactor};

use super::expression::{quoted, select_of};
use super::subselect::{From, sources};
use super::{Config, Refusal};
use crate::event::{Table, TableName};
use crate::postgres::catalog::{Catalog, Found};
use crate::postgres::policy::{Access, Accesses, Protected};
use crate::postgres::quote_table;

/// What a role may see of every table, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    accesses: HashMap<u32, Arc<Access>>,
    unbound: HashSet<u32>,
}

/// Against what a policy is read: the tables there are, and what a role may see of them.
#[derive(Clone, Debug)]
pub(super) struct Scene<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) rights: &'a Rights,
    /// Where functions without one of their own look for names.
    pub(super) search_path: String,
    pub(super) publication: String,
}

impl Rights {
    pub(super) fn new(accesses: Accesses) -> Self {
        let tables = accesses.tables.into_iter();
        Self {
            accesses: tables.map(|access| (access.oid, Arc::new(access))).collect(),
            unbound: accesses.unbound.into_iter().collect(),
        }
    }

    pub(super) fn access(&self, oid: u32) -> Option<&Arc<Access>> {
        self.accesses.get(&oid)
    }

    /// A number for each table that changes whenever what the role may see of it does.
    pub(super) fn digests(&self) -> impl Iterator<Item = (u32, u64)> {
        self.accesses.iter().map(|(oid, access)| (*oid, access.digest()))
    }
}

impl<'a> Scene<'a> {
    pub(super) fn new(config: &Config, catalog: &'a Catalog, rights: &'a Rights) -> Self {
        let (search_path, publication) = (config.search_path.clone(), config.publication.clone());
        Self { catalog, rights, search_path, publication }
    }

    pub(super) fn access(&self, oid: u32) -> Option<Arc<Access>> {
        self.rights.access(oid).cloned()
    }

    /// Whether no policy of a table binds a role.
    pub(super) fn is_unbound(&self, role: u32, oid: u32) -> bool {
        self.rights.access(oid).is_some_and(|access| match access.protected {
            Protected::No => true,
            Protected::FromOthers => access.owner == role || self.rights.unbound.contains(&role),
            Protected::FromAll => self.rights.unbound.contains(&role),
        })
    }

    /// The table that a sub-select reads.
    ///
    /// # Errors
    /// The stream does not carry it.
    pub(super) fn table(
        &self,
        schema: Option<&str>,
        name: &str,
        schemas: &[String],
    ) -> Result<Arc<Table>, Refusal> {
        let names = match schema {
            Some(schema) => vec![TableName::new(schema, name)],
            None => schemas.iter().map(|schema| TableName::new(schema, name)).collect(),
        };
        let mut refused = None;
        for name in &names {
            match self.catalog.find(name) {
                Found::Table(table) if table.row_filter.is_some() => {
                    let reason = "is read by the policy, and the publication has a row filter on it: not all changes are seen";
                    return Err(Refusal::part(&name.to_string(), reason));
                }
                Found::Table(table) => return Ok(table.clone()),
                Found::Refused(refusal) => refused = refused.or(Some((name, refusal))),
                Found::Unknown { .. } => {}
            }
        }
        Err(match refused {
            Some((name, refusal)) => {
                let sql = format!(
                    "alter publication {} add table {};",
                    crate::postgres::quote(&self.publication),
                    quote_table(name)
                );
                let reason = format!("is read by the policy, and changes of it are not seen: {refusal}");
                Refusal::part(&name.to_string(), &reason).mended_by(refusal.sql().or(Some(sql)))
            }
            None => Refusal::part(name, "is read by the policy, and is not there"),
        })
    }

    /// The query with its table under its full name, so that it means the same outside of its function.
    pub(super) fn qualified(&self, mut query: Query, schemas: &[String]) -> Query {
        let Some(From::Relation(None, name)) =
            sources(&query).ok().and_then(|sources| sources.into_iter().next()).map(|source| source.from)
        else {
            return query;
        };
        let Ok(table) = self.table(None, &name, schemas) else { return query };
        if let Some(select) = select_of(&mut query) {
            for from in &mut select.from {
                if let TableFactor::Table { name, alias, .. } = &mut from.relation {
                    let own = quoted(&table.name.name);
                    let parts: Vec<Ident> = vec![quoted(&table.name.schema), own.clone()];
                    *name = ObjectName::from(parts);
                    let _ = alias;
                }
            }
        }
        query
    }
}
