use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{activity, board, entry, export, figure, history, me, one, people};
use crate::cache::{Marks, Tag};
use crate::command;
use crate::postgres::{self, Pool, Work};
use crate::workspace::{Code, Fault, Id, Person, Resource, Shape, Vault};

/// One kind of read: where it is asked for, what may be asked, and what makes it.
#[derive(Debug)]
pub struct Read {
    /// Its name in the document, as in `listEntries`.
    pub id: &'static str,
    /// The path, with a name in braces for each part that is the client's.
    pub path: &'static str,
    /// What it gives.
    pub summary: &'static str,
    /// What its query may say.
    pub query: Option<Shape>,
    /// For how long it is kept.
    pub kind: Kind,
    /// What is in the answer.
    pub shown: Shown,
    /// What it depends on.
    pub(super) tags: fn(&Marks, &Asked) -> Vec<Tag>,
    /// What makes it.
    pub(super) run: Run,
    /// What is noted of whoever asks, if anything is.
    pub(super) noted: Option<fn(&Asked) -> super::action::Action>,
}

pub(super) type Made<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send + 'a>>;
pub(super) type Run = for<'a> fn(Reading<'a>, &'a Asked) -> Made<'a>;

/// For how long an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Lifetimes::rows`](super::Lifetimes::rows)
    Rows,
    /// [`Lifetimes::categories`](super::Lifetimes::categories)
    Categories,
    /// [`Lifetimes::kpis`](super::Lifetimes::kpis)
    Kpis,
    /// [`Lifetimes::charts`](super::Lifetimes::charts)
    Charts,
    /// Not at all, since it is large: few are made at the same time, and each counts until its last byte is taken.
    Large,
    /// Not at all, and of the primary alone: the stream tells of no change of it.
    Secret,
}

/// What is in an answer.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// One row, whose version is the answer's.
    Row(&'static Resource),
    /// Rows, and where the next page begins.
    Page(&'static Resource),
    /// Something else: its name and JSON Schema.
    Other(&'static str, fn() -> Value),
    /// Comma-separated values.
    Csv,
}

/// What a request asks.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client's parts of the path, in order.
    pub path: Vec<String>,
    /// What the query says, which has the read's shape.
    pub query: Value,
    /// Who asks, if that is somebody.
    pub user: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// JSON, or what [`Shown`] says.
    pub body: Bytes,
    /// The version of the row, if it is one that has.
    pub version: Option<i32>,
}

/// As whom and on what a read works.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) work: &'a Work,
    pub(super) vault: &'a Vault,
    /// Where the history is, if one is kept, and how long it may take.
    pub(super) warehouse: Option<(&'a Pool, Duration)>,
}

impl Asked {
    /// The query, as the read knows it.
    pub(super) fn query<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Fault> {
        // Its shape was checked; what is left is numbers beyond their range.
        T::deserialize(&self.query).map_err(|error| Fault::field("", error.to_string()))
    }

    /// A member of the query, as it stands there.
    pub(super) fn asks(&self, name: &str) -> Option<&str> {
        self.query.get(name)?.as_str()
    }

    /// A part of the path, as it stands there.
    pub(super) fn part(&self, place: usize) -> &str {
        self.path.get(place).map(String::as_str).unwrap_or_default()
    }

    /// A number in the path.
    pub(super) fn id(&self, place: usize, what: &str) -> Result<Id, Fault> {
        Id::parse(self.part(place)).ok_or_else(|| Fault::not_found(what, self.part(place)))
    }

    /// A person in the path.
    pub(super) fn person(&self, place: usize) -> Result<Person, Fault> {
        Person::parse(self.part(place)).ok_or_else(|| Fault::not_found("person", self.part(place)))
    }

    /// Who asks.
    pub(super) fn user(&self) -> Result<&str, Fault> {
        let nobody = || Fault::new(Code::NoUser, "this is for somebody: come with a token that has a `sub`");
        self.user.as_deref().ok_or_else(nobody)
    }

    /// What all that this caller may see hangs on: the boards that it belongs to.
    pub(super) fn membership(&self, marks: &Marks) -> Tag {
        self.own(marks, "board_members")
    }

    /// The caller's own rows of a table.
    pub(super) fn own(&self, marks: &Marks, table: &str) -> Tag {
        marks.rows(table, "user_id", self.user.as_deref().unwrap_or_default())
    }
}

impl Answer {
    /// One row.
    pub(super) fn row(body: Vec<u8>, version: Option<i32>) -> Self {
        Self { body: body.into(), version }
    }

    /// Something without a version of its own.
    pub(super) fn other(body: Vec<u8>) -> Self {
        Self { body: body.into(), version: None }
    }
}

/// The JSON Schema of an object with all rows of a kind.
pub(super) fn rows_of(resource: &Resource) -> Value {
    let row = json!({"$ref": format!("#/components/schemas/{}", resource.name)});
    json!({
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array", "items": row}},
    })
}

/// PostgreSQL's words on what stands in a query, which is the client's doing.
pub(super) fn asked_for(field: &'static str) -> impl Fn(postgres::Error) -> Fault {
    move |error| match error.code() {
        Some("22007" | "22008" | "22009" | "22021" | "22023" | "22P02" | "22003") => {
            Fault::field(field, "is no such value")
        }
        _ => error.into(),
    }
}

/// All reads, and which of them a path names.
pub struct Catalogue {
    reads: Vec<Arc<Read>>,
    routes: matchit::Router<usize>,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let reads: Vec<Arc<Read>> = [
            board::reads(),
            entry::reads(),
            export::reads(),
            activity::reads(),
            figure::reads(),
            history::reads(),
            people::reads(),
            me::reads(),
            one::reads(),
        ]
        .into_iter()
        .flatten()
        .map(Arc::new)
        .collect();
        let mut routes = matchit::Router::new();
        for (index, read) in reads.iter().enumerate() {
            routes.insert(command::anonymous(read.path), index).expect("paths are well formed and differ");
        }
        Self { reads, routes }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Read>] {
        &self.reads
    }

    /// Which a path names, and the client's parts of it.
    pub fn find(&self, path: &str) -> Option<(Arc<Read>, Vec<String>)> {
        let found = self.routes.at(path).ok()?;
        let parts = found.params.iter().map(|(_, part)| command::decoded(part)).collect();
        Some((self.reads[*found.value].clone(), parts))
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("reads", &self.reads.len()).finish_non_exhaustive()
    }
}

impl Shown {
    /// Its name and JSON Schema; rows are referred to by their names.
    pub fn schema(self) -> Value {
        let row = |resource: &Resource| json!({"$ref": format!("#/components/schemas/{}", resource.name)});
        match self {
            Self::Row(resource) => row(resource),
            Self::Page(resource) => json!({
                "type": "object",
                "required": ["rows", "next"],
                "properties": {
                    "rows": {"type": "array", "items": row(resource)},
                    "next": {"type": ["string", "null"], "description": "`after` of the next page; null on the last."},
                },
            }),
            Self::Other(_, schema) => schema(),
            Self::Csv => json!({"type": "string"}),
        }
    }
}
