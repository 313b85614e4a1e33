use std::collections::HashMap;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use tokio_postgres::Row;

use crate::event::{Class, Kind};

/// The types of the given tables' columns, and those that they are made of: a domain's base, an array's element, the
/// attributes of a composite type.
///
/// A true array is one that its element type names as its own; `oidvector` and its like are written otherwise.
pub(super) const TYPES: &str = "
with recursive needed (oid) as (
       select a.atttypid
         from pg_attribute a
        where a.attrelid = any($1)
          and a.attnum > 0
          and not a.attisdropped
        union
       select part.oid
         from needed
         join pg_type t on t.oid = needed.oid
        cross join lateral (
                select t.typbasetype
                 where t.typtype = 'd'
                 union all
                select e.oid
                  from pg_type e
                 where e.oid = t.typelem
                   and e.typarray = t.oid
                 union all
                select a.atttypid
                  from pg_attribute a
                 where t.typtype = 'c'
                   and a.attrelid = t.typrelid
                   and a.attnum > 0
                   and not a.attisdropped
              ) part (oid)
     )
select t.oid,
       t.typname,
       t.typdelim::text,
       case when t.typtype = 'd' then t.typbasetype end as base,
       (select e.oid from pg_type e where e.oid = t.typelem and e.typarray = t.oid) as element,
       case when t.typtype = 'e'
            then array(select l.enumlabel from pg_enum l where l.enumtypid = t.oid order by l.enumsortorder)
       end as labels,
       case when t.typtype = 'c'
            then array(select a.atttypid
                         from pg_attribute a
                        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
                        order by a.attnum)
       end as attributes,
       case when t.typtype = 'c'
            then array(select a.attnum
                         from pg_attribute a
                        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
                        order by a.attnum)
       end as places
  from needed
  join pg_type t on t.oid = needed.oid";

/// Types by oid, as the catalog has them.
#[derive(Default)]
pub(super) struct Kinds(HashMap<u32, Type>);

struct Type {
    name: String,
    delimiter: u8,
    shape: Shape,
}

enum Shape {
    Plain,
    Domain {
        base: u32,
    },
    Array {
        element: u32,
    },
    Enum {
        labels: Vec<String>,
    },
    /// The attributes' types, and their places among all that there ever were.
    Composite {
        attributes: Vec<u32>,
        places: Vec<i16>,
    },
}

impl Kinds {
    pub(super) fn read(rows: &[Row]) -> Result<Self, tokio_postgres::Error> {
        let mut kinds = Self::default();
        for row in rows {
            let delimiter: &str = row.try_get("typdelim")?;
            let shape = if let Some(base) = row.try_get("base")? {
                Shape::Domain { base }
            } else if let Some(element) = row.try_get("element")? {
                Shape::Array { element }
            } else if let Some(labels) = row.try_get("labels")? {
                Shape::Enum { labels }
            } else if let Some(attributes) = row.try_get("attributes")? {
                Shape::Composite { attributes, places: row.try_get("places")? }
            } else {
                Shape::Plain
            };
            let delimiter = delimiter.bytes().next().unwrap_or(b',');
            let named = Type { name: row.try_get("typname")?, delimiter, shape };
            kinds.0.insert(row.try_get("oid")?, named);
        }
        Ok(kinds)
    }

    /// The type as the stream's readers see it; a type that the catalog no longer has is known by its text only.
    pub(super) fn resolve(&self, oid: u32) -> Kind {
        let Some(named) = self.0.get(&oid) else {
            return Kind { oid, name: "unknown".into(), class: Class::Other };
        };
        let name: Arc<str> = named.name.as_str().into();
        match &named.shape {
            // PostgreSQL has no domain over itself: the recursion ends at a base type.
            Shape::Domain { base } => self.resolve(*base),
            Shape::Array { element } => {
                // The element's own type decides, be it a domain.
                let delimiter = self.0.get(element).map_or(b',', |element| element.delimiter);
                let element = Box::new(self.resolve(*element));
                let name = format!("{}[]", element.name).into();
                Kind { oid, name, class: Class::Array { element, delimiter } }
            }
            Shape::Enum { labels } => {
                let labels = labels.iter().map(|label| label.as_str().into()).collect();
                Kind { oid, name, class: Class::Enum(labels) }
            }
            Shape::Plain | Shape::Composite { .. } => {
                Kind { oid, name, class: Class::of_builtin(oid).unwrap_or(Class::Other) }
            }
        }
    }

    /// Takes in what stands inside values of the type and can change without a rewrite of the table: the attributes of
    /// composite types, and the labels of enums in them.
    pub(super) fn hash_inside(&self, oid: u32, hasher: &mut impl Hasher) {
        match self.0.get(&oid).map(|named| &named.shape) {
            Some(Shape::Domain { base: inner } | Shape::Array { element: inner }) => {
                self.hash_inside(*inner, hasher);
            }
            Some(Shape::Enum { labels }) => labels.hash(hasher),
            // PostgreSQL makes no composite type a member of itself: the recursion ends.
            Some(Shape::Composite { attributes, places }) => {
                (attributes, places).hash(hasher);
                for attribute in attributes {
                    self.hash_inside(*attribute, hasher);
                }
            }
            Some(Shape::Plain) | None => {}
        }
    }
}
