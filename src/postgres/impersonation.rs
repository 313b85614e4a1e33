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

impl Impersonation {
    /// The statement that puts it on, from there to the transaction's end; with policies in force.
    pub(super) fn sql(&self) -> String {
        format!(
            "select set_config('row_security', 'on', true), set_config('request.jwt.claims', {claims}, true), \
             set_config('role', {role}, true);",
            claims = quote_literal(&self.claims),
            role = quote_literal(&self.role),
        )
    }
}
