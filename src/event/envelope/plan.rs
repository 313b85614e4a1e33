use std::collections::HashMap;
use std::sync::Arc;

use super::super::value::write_json_string;
use super::super::{Datum, Relation, ReplicaIdentity, Row};
use super::form::{Form, Types};
use super::message::What;
use super::{routing, value};

/// What the messages of one table have in common.
pub(super) struct Plan {
    pub(super) relation: Arc<Relation>,
    columns: Vec<Column>,
    /// The columns whose change makes it another row, by their place.
    key: Vec<usize>,
    /// By what was done.
    routing_keys: [Arc<str>; 4],
    pub(super) subject: Arc<str>,
    /// `"schema":"…","table":"…",`
    pub(super) names: Vec<u8>,
}

struct Column {
    /// `"name":`
    name: Vec<u8>,
    form: Form,
}

impl Plan {
    pub(super) fn new(relation: &Arc<Relation>, types: &Types, keys: &HashMap<u32, Vec<Arc<str>>>) -> Self {
        let quoted = |name: &str| {
            let mut out = Vec::new();
            write_json_string(name.as_bytes(), &mut out);
            out
        };
        let columns = relation.columns.iter().map(|column| {
            let name = [&*quoted(&column.name), b":"].concat();
            Column { name, form: types.form(column.type_oid, column.type_modifier) }
        });
        let is_key = |place: &usize| {
            let column = &relation.columns[*place];
            match relation.identity {
                // The stream calls every column a part of such an identity.
                ReplicaIdentity::Full => {
                    keys.get(&relation.oid).is_some_and(|key| key.contains(&column.name))
                }
                _ => column.key,
            }
        };
        let prefix = routing::prefix(relation);
        let names =
            [b"\"schema\":", &*quoted(&relation.schema), b",\"table\":", &*quoted(&relation.name), b","]
                .concat();
        Self {
            relation: Arc::clone(relation),
            columns: columns.collect(),
            key: (0..relation.columns.len()).filter(is_key).collect(),
            routing_keys: What::ALL.map(|what| format!("{prefix}.{}", what.word()).into()),
            subject: routing::subject(relation).into(),
            names,
        }
    }

    pub(super) fn routing_key(&self, what: What) -> Arc<str> {
        Arc::clone(&self.routing_keys[what as usize])
    }

    /// Whether both images are of rows with different keys; not where the key is not known.
    pub(super) fn is_another(&self, old: &Row, new: &Row) -> bool {
        self.key.iter().any(|place| {
            let (old, new) = (old.get(*place).unwrap_or(Datum::Null), new.get(*place).unwrap_or(Datum::Null));
            if old == new || new == Datum::Unchanged {
                return false;
            }
            // `1.0` and `1.00` are one number.
            let written = |datum| {
                let mut out = Vec::new();
                value::write(&self.columns[*place].form, datum, &mut out);
                out
            };
            written(old) != written(new)
        })
    }

    /// The row as a JSON object.
    pub(super) fn write_row(&self, row: &Row, out: &mut Vec<u8>) {
        let mut before = b'{';
        for (column, datum) in self.columns.iter().zip(row.columns()) {
            out.push(before);
            out.extend_from_slice(&column.name);
            value::write(&column.form, datum, out);
            before = b',';
        }
        if before == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }

    /// The key's columns as a JSON object.
    pub(super) fn key_of(&self, row: &Row) -> String {
        let mut out = vec![b'{'];
        for place in &self.key {
            if out.len() > 1 {
                out.push(b',');
            }
            let column = &self.columns[*place];
            out.extend_from_slice(&column.name);
            value::write(&column.form, row.get(*place).unwrap_or(Datum::Null), &mut out);
        }
        out.push(b'}');
        String::from_utf8_lossy(&out).into_owned()
    }
}
