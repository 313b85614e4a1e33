//! What PostgreSQL knows about who may see what: grants, policies, the functions in them, and their answers for one identity.
//!
//! ```text
//!  Access     of a role: schema, columns, whether policies apply, and which       as often as `policy.refresh_ms` says
//!  Function   what a policy calls: volatility, language, body                     once for each policy
//!  ask        the parts of a policy without a row, and sets, as an identity        once for each identity and table
//! ```
//!
//! PostgreSQL is asked as the role itself: `has_column_privilege`, `row_security_active` and `pg_has_role` then say what
//! they would say to it.

mod access;
mod ask;
mod function;

pub use access::{Access, Accesses, PolicyText, Protected, accesses};
pub(in crate::postgres) use ask::answer;
pub use ask::{Proof, Question, Refused, Types, ask, ask_server, types};
pub use function::{Function, Language, TypeName, Volatility, functions, operator_schemas};
