use super::policy::Proof;
use super::quote_literal;

/// As whom a transaction's statements run: a role, and the claims where PostgREST and Supabase put them, so that
/// policies people already have work unchanged.
///
/// See <https://docs.postgrest.org/en/stable/references/transactions.html>.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Impersonation {
    /// The role's name, as in `pg_roles.rolname`. The server's own role must be a member of it.
    pub role: Box<str>,
    /// A JSON object, for `current_setting('request.jwt.claims')`.
    pub claims: Box<str>,
}

/// An impersonation in a transaction of ours.
#[derive(Clone, Copy, Debug)]
pub struct Acting<'a> {
    /// As whom.
    pub impersonation: &'a Impersonation,
    /// Where functions without one of their own look for names.
    pub search_path: &'a str,
    /// What has to be unchanged for the rows to be what they are taken for.
    pub proof: Option<&'a Proof>,
}

impl Impersonation {
    /// The statement that puts it on, from there to the transaction's end; with policies in force.
    pub(super) fn sql(&self, search_path: &str) -> String {
        format!(
            "select set_config('row_security', 'on', true), set_config('request.jwt.claims', {claims}, true), \
             set_config('search_path', {path}, true), set_config('role', {role}, true);",
            path = quote_literal(search_path),
            claims = quote_literal(&self.claims),
            role = quote_literal(&self.role),
        )
    }
}
