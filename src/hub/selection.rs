use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::Identity;
use crate::event::{Datum, Table, write_json, write_json_string};
use crate::filter::Filter;
use crate::policy::Visibility;
use crate::postgres::Acting;
use crate::protocol::Delivery;

/// What a shape selects. Equal selections are one shape: matched once, encoded once.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Rows of a table.
    Rows(Rows),
    /// Events on a channel.
    Channel(Arc<str>),
}

/// Which rows of which table, which of their columns, and how paced.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table, as the catalog described it when the selection was made.
    pub table: Arc<Table>,
    /// Which rows; `None` for all.
    pub filter: Option<Arc<Filter>>,
    /// Both: what the policy shows and the filter wants.
    whole: Option<Arc<Filter>>,
    /// Who sees them, and for how long; `None` for whom no policy binds. Not part of what is selected: several
    /// identities may see the same.
    pub visibility: Option<Arc<Visibility>>,
    /// Which columns, and how they are written.
    pub projection: Arc<Projection>,
    /// How paced.
    pub delivery: Delivery,
    /// What it is, across processes.
    pub fingerprint: Fingerprint,
}

/// Tells whether two selections are the same, across processes and restarts: what is asked for (table, columns, filter, and
/// the storage behind the table), and what of it may be seen (the policy as compiled, with the contents of its sets).
///
/// It guards against honest mistakes only: a client that forges one gets rows that it may see anyhow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    asked: u128,
    /// `None` for whom no policy binds.
    seen: Option<u64>,
}

impl Rows {
    /// Selects `columns` (indexes into the table's) of the rows that `visibility` shows and `filter` matches.
    pub fn new(
        table: Arc<Table>,
        filter: Option<Arc<Filter>>,
        projection: Arc<Projection>,
        delivery: Delivery,
        visibility: Option<Arc<Visibility>>,
    ) -> Self {
        let policy = visibility.as_ref().and_then(|visibility| visibility.policy.as_ref());
        let whole = match (policy, &filter) {
            (None, filter) => filter.clone(),
            (Some(policy), None) => Some(policy.clone()),
            (Some(policy), Some(filter)) => Some(Arc::new(policy.and(filter))),
        };
        let mut hash = Fnv128::default();
        table.hash(&mut hash);
        projection.columns.hash(&mut hash);
        filter.as_ref().map(|filter| filter.canonical()).hash(&mut hash);
        let seen = policy.map(|policy| {
            let mut hash = Fnv128::default();
            policy.canonical().hash(&mut hash);
            hash.finish()
        });
        let fingerprint = Fingerprint { asked: hash.0, seen };
        Self { table, filter, whole, visibility, projection, delivery, fingerprint }
    }

    /// Which rows may be seen; `None` for all.
    pub fn policy(&self) -> Option<&Filter> {
        self.visibility.as_ref()?.policy.as_deref()
    }

    /// As whom a snapshot of them is read; `None` for whom no policy binds.
    pub fn acting<'a>(&'a self, identity: &'a Identity) -> Option<Acting<'a>> {
        let visibility = self.visibility.as_deref()?;
        Some(Acting {
            impersonation: identity.impersonation()?,
            search_path: &visibility.search_path,
            proof: Some(&visibility.proof),
        })
    }

    /// The same, whatever else its readers' rights depend on.
    pub(super) fn without_guards(&self) -> Self {
        let mut rows = self.clone();
        rows.visibility = self.visibility.as_deref().map(|visibility| {
            let guards = Arc::default();
            Arc::new(Visibility { guards, ..visibility.clone() })
        });
        rows
    }

    /// Which rows are seen: those that the policy shows and the filter wants.
    pub(super) fn whole(&self) -> Option<&Filter> {
        self.whole.as_deref()
    }
}

impl Selection {
    /// What clients know it as; channels have a name instead, and share one that says nothing.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Rows(rows) => rows.fingerprint,
            Self::Channel(_) => Fingerprint { asked: 0, seen: None },
        }
    }
}

/// Equality of what is seen and how paced; the fingerprint stands for table, columns, filter and policy.
impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rows(a), Self::Rows(b)) => {
                a.fingerprint == b.fingerprint
                    && a.delivery == b.delivery
                    && a.filter == b.filter
                    && a.policy() == b.policy()
                    && a.projection.columns == b.projection.columns
                    && a.table == b.table
            }
            (Self::Channel(a), Self::Channel(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Selection {}

impl Hash for Selection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Rows(rows) => {
                rows.fingerprint.hash(state);
                rows.delivery.hash(state);
            }
            Self::Channel(name) => name.hash(state),
        }
    }
}

impl Fingerprint {
    /// Whether `shape`, a text form, is of one that asks for the same, whatever of it may be seen.
    pub fn asks_as(&self, shape: &str) -> bool {
        shape.split(SEEN).next() == Some(&self.asked())
    }

    fn asked(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.asked.to_be_bytes())
    }
}

/// Stands before what may be seen.
const SEEN: char = '.';

/// The text form that clients hold as `shape`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.asked())?;
        match self.seen {
            None => Ok(()),
            Some(seen) => write!(f, "{SEEN}{}", URL_SAFE_NO_PAD.encode(seen.to_be_bytes())),
        }
    }
}

/// FNV-1a in 128 bits: the same in every process and version, which the standard library's hashers do not promise.
///
/// See <https://www.rfc-editor.org/rfc/rfc9923>.
struct Fnv128(u128);

impl Default for Fnv128 {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hasher for Fnv128 {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the whole value is read from the field")]
    fn finish(&self) -> u64 {
        self.0 as u64
    }
}

/// Which columns of a table are sent, and how: what rows of many shapes share.
#[derive(Debug, PartialEq, Eq)]
pub struct Projection {
    /// Indexes into the table's columns, ascending; the key is always among them.
    pub columns: Vec<usize>,
    /// `"name":` for each of `columns`.
    labels: Vec<Box<[u8]>>,
}

impl Projection {
    /// The projection of `table` to `columns` and its key.
    pub fn new(table: &Table, mut columns: Vec<usize>) -> Self {
        columns.extend(&table.key);
        columns.sort_unstable();
        columns.dedup();
        let label = |column: &usize| {
            let mut label = Vec::new();
            write_json_string(table.columns[*column].name.as_bytes(), &mut label);
            label.push(b':');
            label.into()
        };
        let labels = columns.iter().map(label).collect();
        Self { columns, labels }
    }

    /// Writes a row, by index into the table's columns, as a JSON object; values that are left out as unchanged are
    /// left out here too.
    pub fn write_row(&self, table: &Table, row: &[Datum<'_>], out: &mut Vec<u8>) {
        self.write_some(table, row, |_| true, out);
    }

    /// Writes the key of a row as a JSON object.
    pub(super) fn write_key(&self, table: &Table, row: &[Datum<'_>], out: &mut Vec<u8>) {
        self.write_some(table, row, |column| table.key.contains(&column), out);
    }

    /// Writes the names of those of its columns for which `chosen` says so as a JSON array.
    pub(super) fn write_names(&self, chosen: impl Fn(usize) -> bool, out: &mut Vec<u8>) {
        out.push(b'[');
        let mut separator = &b""[..];
        for (column, label) in self.columns.iter().zip(&self.labels) {
            if chosen(*column) {
                out.extend_from_slice(separator);
                out.extend_from_slice(&label[..label.len() - 1]);
                separator = b",";
            }
        }
        out.push(b']');
    }

    fn write_some(
        &self,
        table: &Table,
        row: &[Datum<'_>],
        chosen: impl Fn(usize) -> bool,
        out: &mut Vec<u8>,
    ) {
        out.push(b'{');
        let mut separator = &b""[..];
        for (column, label) in self.columns.iter().zip(&self.labels) {
            let datum = row[*column];
            if chosen(*column) && datum != Datum::Unchanged {
                out.extend_from_slice(separator);
                out.extend_from_slice(label);
                write_json(&table.columns[*column].kind.class, datum, out);
                separator = b",";
            }
        }
        out.push(b'}');
    }
}
