//! Who may see which rows: PostgreSQL's own grants and row-level security, as something that rows are judged by.
//!
//! ```text
//!  pg_policy ─pg_get_expr─▶ expression ─▶ plan: residual, folds, sets, guards           once for each role and table
//!                                          │
//!               folds and sets ──asked as──┴─▶ PostgreSQL ──answers──▶ Visibility        once for each identity
//!                                 the identity                           policy: a filter, judged by the hub
//!                                                                        guards: watched by the hub
//! ```
//!
//! A policy is taken apart into what reads the row and what does not. What does not (`auth.uid()`, a sub-select) is the same
//! for one identity until something changes that is watched, so PostgreSQL computes it, as that identity, and its answer
//! is put in its place: what is left is a filter. A *guard* names the rows of other tables that the answers depend on.
//! Once a transaction touches one, what was worked out no longer holds, and the reader starts over.
//!
//! What does not come apart exactly is refused, with the policy and the part ([`Refusal`]). Nothing is let through in
//! doubt, and nothing is silently hidden.

mod body;
mod check;
mod compile;
mod expression;
mod ident;
mod keeper;
mod library;
mod names;
mod plan;
mod refusal;
mod rows;
mod scene;
mod seen;
mod set;
mod subselect;
mod verdict;
mod visibility;

use std::time::Duration;

pub use keeper::{Digests, Policies};
pub use refusal::Refusal;
pub use seen::Granted;
pub use verdict::check;
pub use visibility::{Grants, Guard, Visibility};

use crate::postgres;

/// How policies are followed.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often grants, policies and memberships are looked at.
    pub refresh: Duration,
    /// Where functions without a `search_path` of their own look for names, as `search_path` has it.
    pub search_path: String,
    /// Functions of the identity alone, as `schema.name`: they are computed and not looked into.
    pub identity_functions: Vec<String>,
    /// The publication, for the SQL that mends what is missing from it.
    pub publication: String,
}

/// The most values that a policy's sub-select may give: each subscriber holds its own.
const SET_VALUES: usize = 5_000;

/// Why it cannot be said what an identity sees.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The role may not read the table, or there is no such role.
    #[error("role `{role}` may not read {table}")]
    Forbidden {
        /// Who.
        role: String,
        /// What.
        table: String,
    },
    /// A policy cannot be followed exactly.
    #[error(transparent)]
    Unsupported(Refusal),
    /// A policy raises for this identity, as it would in PostgreSQL.
    #[error("a policy raised: {message}")]
    Raised {
        /// PostgreSQL's message: for the identity itself, not for logs.
        message: String,
        /// For want of a privilege.
        forbidden: bool,
    },
    /// PostgreSQL is away.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
}
