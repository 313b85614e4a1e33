use std::collections::HashSet;
use std::fmt::Write as _;

use crate::event::{Class, Column, Kind, Table, TableName, write_json_string};

/// What every file starts with.
const HEADER: &str = "\
// Written by `tidegate types`: do not edit, write it again.
//
// bigint and numeric are strings, so that nothing rounds them; bytea is base64; timestamps, dates and intervals are
// ISO 8601; what PostgreSQL alone knows is its text. An array of several dimensions comes as arrays in arrays.

/** What JSON can hold, as it is. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A floating-point number; JSON has no others for these three. */
export type Float = number | \"NaN\" | \"Infinity\" | \"-Infinity\";
";

/// Names that the file itself has, and that no table may take.
const TAKEN: [&str; 3] = ["Json", "Float", "Tables"];

/// Writes the types of `tables`, and a map of them all by the name to subscribe with.
pub(super) fn write<'a>(tables: impl IntoIterator<Item = &'a Table>, publication: &str) -> String {
    let mut out = HEADER.to_owned();
    let mut names: HashSet<String> = TAKEN.map(str::to_owned).into();
    let mut index = String::new();
    for table in tables {
        let name = type_name(&table.name, &mut names);
        let shown = table.name.to_string();
        let key: Vec<&Column> = table.key.iter().filter_map(|place| table.columns.get(*place)).collect();
        let _ = write!(out, "\n/** {} */\nexport interface {name} {{\n", comment(&shown));
        write_columns(&mut out, table.columns.iter());
        let _ = write!(out, "}}\n\n/** The key of {}. */\nexport interface {name}Key {{\n", comment(&shown));
        write_columns(&mut out, key.into_iter());
        out.push_str("}\n");
        let _ = writeln!(index, "  {}: {{ row: {name}; key: {name}Key }};", string(&shown));
    }
    let publication = comment(publication).into_owned();
    let _ = write!(
        out,
        "\n/** Every table of publication {publication}, by the name to subscribe with. */\n\
         export interface Tables {{\n{index}}}\n"
    );
    out
}

fn write_columns<'a>(out: &mut String, columns: impl Iterator<Item = &'a Column>) {
    for column in columns {
        let kind = type_of(&column.kind);
        let null = if column.nullable && kind != "Json" { " | null" } else { "" };
        let name = property(&column.name);
        let _ = writeln!(out, "  /** {} */\n  {name}: {kind}{null};", comment(&column.kind.name));
    }
}

/// The type of a value that is not NULL.
fn type_of(kind: &Kind) -> String {
    match &kind.class {
        Class::Bool => "boolean".into(),
        Class::Int2 | Class::Int4 => "number".into(),
        Class::Float4 | Class::Float8 => "Float".into(),
        Class::Json | Class::Jsonb => "Json".into(),
        Class::Enum(labels) if !labels.is_empty() => {
            labels.iter().map(|label| string(label)).collect::<Vec<_>>().join(" | ")
        }
        Class::Array { element, .. } => match type_of(element) {
            json if json == "Json" => "Json[]".into(),
            element => format!("({element} | null)[]"),
        },
        Class::Enum(_)
        | Class::Int8
        | Class::Numeric
        | Class::Text
        | Class::Bpchar
        | Class::Bytea
        | Class::Uuid
        | Class::Timestamp
        | Class::Timestamptz
        | Class::Date
        | Class::Time
        | Class::Interval
        | Class::Other => "string".into(),
    }
}

/// `public.order_items` → `OrderItems`, `app.orders` → `AppOrders`; a number behind it where that is taken.
fn type_name(table: &TableName, names: &mut HashSet<String>) -> String {
    let schema = if &*table.schema == "public" { "" } else { &table.schema };
    let mut name = pascal(schema) + &pascal(&table.name);
    if !name.starts_with(|c: char| c.is_alphabetic()) {
        name.insert(0, 'T');
    }
    let mut free = name.clone();
    let mut number = 2;
    // A table's key has a name too.
    while names.contains(&free) || names.contains(&format!("{free}Key")) {
        free = format!("{name}{number}");
        number += 1;
    }
    names.insert(free.clone());
    names.insert(format!("{free}Key"));
    free
}

fn pascal(name: &str) -> String {
    let mut out = String::new();
    for word in name.split(|c: char| !c.is_alphanumeric()) {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            out.extend(first.to_uppercase());
            out.extend(letters);
        }
    }
    out
}

/// A property's name: bare where that is valid, a string otherwise.
fn property(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if bare { name.to_owned() } else { string(name) }
}

/// A string literal: JSON's are TypeScript's.
fn string(text: &str) -> String {
    let mut out = Vec::new();
    write_json_string(text.as_bytes(), &mut out);
    String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
}

/// Text that cannot end the comment it stands in, nor its line.
fn comment(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains("*/") || text.contains(char::is_control) {
        text.replace("*/", "* /").replace(char::is_control, " ").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{Collation, ReplicaIdentity};

    use super::*;

    fn column(name: &str, type_name: &str, class: Class, nullable: bool) -> Column {
        let kind = Kind { oid: 0, name: type_name.into(), class };
        Column { name: name.into(), kind, type_oid: 0, nullable, collation: Collation::None }
    }

    fn table(schema: &str, name: &str, columns: Vec<Column>) -> Table {
        Table {
            oid: 1,
            name: TableName::new(schema, name),
            columns,
            key: vec![0],
            identity: ReplicaIdentity::Default,
            row_filter: None,
            storage: 0,
            membership: 0,
        }
    }

    #[test]
    fn every_class_is_what_the_protocol_sends() {
        let array = |class| Class::Array {
            element: Box::new(Kind { oid: 0, name: "element".into(), class }),
            delimiter: b',',
        };
        let kind = |class| type_of(&Kind { oid: 0, name: "x".into(), class });
        let labels: Class = Class::Enum(["sad", "so \"so\""].map(Into::into).into());
        assert_eq!(kind(Class::Bool), "boolean");
        assert_eq!(kind(Class::Int4), "number");
        assert_eq!(kind(Class::Int8), "string");
        assert_eq!(kind(Class::Numeric), "string");
        assert_eq!(kind(Class::Float8), "Float");
        assert_eq!(kind(Class::Jsonb), "Json");
        assert_eq!(kind(labels.clone()), r#""sad" | "so \"so\"""#);
        assert_eq!(kind(array(labels)), r#"("sad" | "so \"so\"" | null)[]"#);
        assert_eq!(kind(array(Class::Json)), "Json[]");
        assert_eq!(kind(Class::Other), "string");
    }

    #[test]
    fn a_table_is_an_interface_with_its_key_and_an_entry_in_the_map() {
        let entries = table(
            "public",
            "order_items",
            vec![
                column("id", "int8", Class::Int8, false),
                column("done at", "timestamptz", Class::Timestamptz, true),
            ],
        );
        let text = write([&entries], "tidegate");
        assert!(text.ends_with(
            "\n/** public.order_items */\nexport interface OrderItems {\n  /** int8 */\n  id: string;\n  \
             /** timestamptz */\n  \"done at\": string | null;\n}\n\n\
             /** The key of public.order_items. */\nexport interface OrderItemsKey {\n  /** int8 */\n  id: string;\n}\n\n\
             /** Every table of publication tidegate, by the name to subscribe with. */\nexport interface Tables {\n  \
             \"public.order_items\": { row: OrderItems; key: OrderItemsKey };\n}\n"
        ), "{text}");
    }

    #[test]
    fn odd_names_stay_valid_and_apart() {
        let mut names: HashSet<String> = TAKEN.map(str::to_owned).into();
        let mut name = |schema: &str, name: &str| type_name(&TableName::new(schema, name), &mut names);
        assert_eq!(name("public", "2024 \"x\""), "T2024X");
        assert_eq!(name("app", "orders"), "AppOrders");
        assert_eq!(name("public", "app_orders"), "AppOrders2");
        assert_eq!(name("public", "json"), "Json2");
        assert_eq!(name("public", "Größe"), "Größe");
        assert_eq!(name("public", "!"), "T");
        assert_eq!(name("public", "app_orders_key"), "AppOrdersKey2");
        assert_eq!(property("class"), "class");
        assert_eq!(property("Straße"), "\"Straße\"");
        assert_eq!(comment("a */ b\nc"), "a * / b c");
    }
}
