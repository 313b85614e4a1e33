use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ident::OF_THE_ROLE;
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

    /// A number that changes whenever what the role may see of any table does: the same in every process of one build.
    pub(super) fn digest(&self) -> u64 {
        // In no order: each table's number is spread over all bits first, so that no two changes cancel each other out.
        let spread = |(oid, digest): (u32, u64)| {
            let mut bits = digest ^ u64::from(oid).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            bits ^ (bits >> 31)
        };
        self.digests().map(spread).fold(0, u64::wrapping_add)
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
        let named = match schema {
            Some(schema) => TableName::new(schema, name),
            None => self.along(name, schemas)?,
        };
        match self.catalog.find(&named) {
            Found::Table(table) if table.row_filter.is_some() => {
                let reason = "is read by the policy, and the publication has a row filter on it: not all changes are seen";
                Err(Refusal::part(&named.to_string(), reason))
            }
            Found::Table(table) => Ok(table.clone()),
            Found::Refused(refusal) => {
                let sql = format!(
                    "alter publication {} add table {};",
                    crate::postgres::quote(&self.publication),
                    quote_table(&named)
                );
                let reason = format!("is read by the policy, and changes of it are not seen: {refusal}");
                Err(Refusal::part(&named.to_string(), &reason).mended_by(refusal.sql().or(Some(sql))))
            }
            Found::Unknown { .. } => Err(Refusal::part(name, "is read by the policy, and is not there")),
        }
    }

    /// The one relation of a name along a search path, of whatever kind: which of several PostgreSQL reads depends on which
    /// schemas who asks may use.
    fn along(&self, name: &str, schemas: &[String]) -> Result<TableName, Refusal> {
        // Those of `pg_catalog`, which comes first, are called so.
        if name.starts_with("pg_") {
            return Err(Refusal::part(name, "is read by the policy, and is PostgreSQL's own"));
        }
        if schemas.iter().any(|schema| schema == OF_THE_ROLE) {
            let reason = "is looked for in a schema of the role's own name first: write it with its schema";
            return Err(Refusal::part(name, reason));
        }
        let names = schemas.iter().map(|schema| TableName::new(schema, name));
        let mut there = names.filter(|name| self.catalog.has(name));
        match (there.next(), there.next()) {
            (Some(one), None) => Ok(one),
            (Some(one), Some(other)) => {
                let reason = format!("may be {one} or {other}: write it with its schema");
                Err(Refusal::part(name, &reason))
            }
            (None, _) => Err(Refusal::part(name, "is read by the policy, and is not there")),
        }
    }
}
