//! Names as PostgreSQL writes them, folds them, and looks for them.

use sqlparser::ast::{Ident, ObjectName};

/// In a `search_path`, the schema that has the name of the role.
pub(super) const OF_THE_ROLE: &str = "$user";

/// `name`, quoted.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// As PostgreSQL folds it.
pub(super) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// The parts of a name, folded.
pub(super) fn name_parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0.iter().map(|part| part.as_ident().map(fold)).collect()
}

/// The schemas of a `search_path`, the one that always comes first among them.
pub(super) fn schemas(search_path: &str) -> Vec<String> {
    let named = search_path.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    let named = named.filter(|name| !name.is_empty() && name != "pg_catalog");
    std::iter::once("pg_catalog".to_owned()).chain(named).collect()
}
