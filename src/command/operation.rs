use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{
    alert, batch, board, category, comment, contact, entry, me, member, movement, notification, workflow,
};
use crate::postgres::{self, Work};
use crate::workspace::{Fault, Id, Person, Resource, Shape, Vault};

/// One kind of command: where it is asked for, what its body must be, and what carries it out.
#[derive(Debug)]
pub struct Operation {
    /// Its name in the document, as in `moveEntry`.
    pub id: &'static str,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// The path, with a name in braces for each part that is the client's.
    pub path: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What its body must be; `None` for none.
    pub body: Option<Shape>,
    /// Whether the version that was read can be named.
    pub versioned: bool,
    /// What is in the reply; `None` for nothing but the transaction.
    pub row: Option<&'static Resource>,
    /// What carries it out.
    pub(super) run: Run,
}

pub(super) type Done<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Trouble>> + Send + 'a>>;
pub(super) type Run = for<'a> fn(Act<'a>, Input) -> Done<'a>;

/// What a request says, checked for its form.
#[derive(Clone, Debug)]
pub struct Input {
    /// The client's parts of the path, in order.
    pub path: Vec<String>,
    /// The body, which has the operation's shape; null for none.
    pub body: Value,
    /// The version that was read, if one was named beside the body.
    pub version: Option<i32>,
}

/// What came of a command, in its transaction.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Whether something new is there.
    pub created: bool,
    /// The row as it is now, in JSON.
    pub row: Option<String>,
    /// Its version.
    pub version: Option<i32>,
    /// Whether the row holds what nobody is to read in the database.
    pub secret: bool,
}

/// As whom and on what a command works.
#[derive(Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) work: &'a Work,
    /// The caller's `sub`; `None` for the server's own role and for whoever is nobody in particular.
    pub(super) user: Option<&'a str>,
    /// Whether this is the server's own role, which no policy binds.
    pub(super) is_server: bool,
    pub(super) vault: &'a Vault,
}

/// Why a command came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is refused.
    Refused(Fault),
    /// PostgreSQL said something, which may be that it should be tried again.
    Postgres(postgres::Error),
    /// What was read is no longer so.
    Again,
    /// The places in a state have grown so long that all of its entries are to be given new ones.
    Crowded(String),
}

impl Operation {
    /// How often the time that a command has by itself this one has: a board goes with every card that was ever on it.
    pub(super) fn patience(&self) -> u32 {
        if self.id == board::DELETE_BOARD { 60 } else { 1 }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl From<postgres::Error> for Trouble {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl<'a> Act<'a> {
    /// Who asks.
    pub(super) fn user(&self) -> Result<&'a str, Fault> {
        self.user.ok_or_else(|| {
            Fault::new(
                crate::workspace::Code::NoUser,
                "this is for somebody: come with a token that has a `sub`",
            )
        })
    }
}

impl Input {
    /// The body, as the operation knows it.
    pub(super) fn body<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, Fault> {
        // Its shape was checked; what is left is numbers beyond their range.
        serde_json::from_value(self.body.take()).map_err(|error| Fault::field("", error.to_string()))
    }

    /// A number in the path.
    pub(super) fn id(&self, place: usize, what: &str) -> Result<Id, Fault> {
        let text = self.path.get(place).map(String::as_str).unwrap_or_default();
        Id::parse(text).ok_or_else(|| Fault::not_found(what, text))
    }

    /// A person in the path.
    pub(super) fn person(&self, place: usize) -> Result<Person, Fault> {
        let text = self.path.get(place).map(String::as_str).unwrap_or_default();
        Person::parse(text).ok_or_else(|| Fault::not_found("person", text))
    }

    /// The version that was read, as the body or the request has it.
    pub(super) fn version(&self, own: Option<i32>) -> Result<Option<i32>, Fault> {
        match (own, self.version) {
            (Some(own), Some(other)) if own != other => {
                Err(Fault::field("version", "is another than `If-Match` has"))
            }
            (own, other) => Ok(own.or(other)),
        }
    }
}

impl Outcome {
    /// A row that is new.
    pub(super) fn created(row: Vec<u8>, version: Option<i32>) -> Self {
        Self { created: true, ..Self::changed(row, version) }
    }

    /// A row that was there before.
    pub(super) fn changed(row: Vec<u8>, version: Option<i32>) -> Self {
        Self {
            created: false,
            row: Some(String::from_utf8(row).expect("PostgreSQL's text is UTF-8")),
            version,
            secret: false,
        }
    }
}

/// All operations, and which of them a method and a path name.
pub struct Catalogue {
    operations: Vec<Arc<Operation>>,
    routes: matchit::Router<Vec<usize>>,
}

/// What a method and a path come to.
#[derive(Debug)]
pub enum Route {
    /// An operation, and the client's parts of the path.
    Found(Arc<Operation>, Vec<String>),
    /// There are others at this path.
    OtherMethods(Vec<&'static str>),
    /// There is nothing at it.
    Nothing,
}

impl Catalogue {
    pub(super) fn new() -> Self {
        let operations: Vec<Arc<Operation>> = [
            board::operations(),
            member::operations(),
            category::operations(),
            workflow::operations(),
            entry::operations(),
            movement::operations(),
            comment::operations(),
            me::operations(),
            contact::operations(),
            notification::operations(),
            alert::operations(),
            batch::operations(),
        ]
        .into_iter()
        .flatten()
        .map(Arc::new)
        .collect();
        let mut routes: matchit::Router<Vec<usize>> = matchit::Router::new();
        for (index, operation) in operations.iter().enumerate() {
            // Told apart by their places alone: two paths may name their parts differently.
            let path = anonymous(operation.path);
            match routes.at_mut(&path) {
                Ok(found) => found.value.push(index),
                Err(_) => routes.insert(path, vec![index]).expect("paths are well formed and do not overlap"),
            }
        }
        Self { operations, routes }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// The path, as operations have it, that a path goes by.
    pub fn path(&self, path: &str) -> Option<&'static str> {
        let found = self.routes.at(path).ok()?;
        found.value.first().map(|index| self.operations[*index].path)
    }

    /// Which a method and a path name.
    pub fn find(&self, method: &str, path: &str) -> Route {
        let Ok(found) = self.routes.at(path) else { return Route::Nothing };
        let here = || found.value.iter().map(|index| &self.operations[*index]);
        match here().find(|operation| operation.method == method) {
            Some(operation) => {
                let parts = found.params.iter().map(|(_, part)| decoded(part)).collect();
                Route::Found(operation.clone(), parts)
            }
            None => Route::OtherMethods(here().map(|operation| operation.method).collect()),
        }
    }
}

/// `/v1/boards/{board}/members/{user}` → `/v1/boards/{0}/members/{1}`
pub(crate) fn anonymous(path: &str) -> String {
    let mut number = 0..;
    let parts = path.split('/').map(|part| {
        if part.starts_with('{') { format!("{{p{}}}", number.next().unwrap_or(0)) } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A part of a path as the client meant it; one that is no UTF-8 is nothing that there is.
pub(crate) fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("operations", &self.operations.len()).finish_non_exhaustive()
    }
}
