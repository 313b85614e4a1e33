use crate::event::TableName;

/// Writes `name` as an SQL identifier, quoted whatever it is.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes `table` as an SQL identifier, schema and name quoted.
pub fn quote_table(table: &TableName) -> String {
    format!("{}.{}", quote(&table.schema), quote(&table.name))
}

/// Writes `text` as an SQL string literal, for statements that take no parameters (`comment on`, `set`).
///
/// Holds under `standard_conforming_strings = on`, which every session is pinned to.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
