//! Several commands in one transaction: all of them, or none.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operation::{Act, Route, Trouble};
use super::run::is_in_the_way;
use super::{Commands, Input, Operation, Outcome};
use crate::workspace::{Code, Fault, Shape};

/// Commands that are carried out one after the other, each on what those before it have left.
#[derive(Deserialize, ToSchema)]
#[schema(as = Batch)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[schema(min_items = 1, max_items = 100)]
    commands: Vec<Part>,
}

/// One of them.
#[derive(Deserialize, ToSchema)]
#[schema(as = BatchCommand)]
#[serde(deny_unknown_fields)]
struct Part {
    method: Method,
    /// As of the command by itself, as in `/v1/entries/7/move`.
    #[schema(pattern = "^/v1/[!-~]{1,1000}$", examples("/v1/notifications/read"))]
    path: String,
    /// Its body, if it has one.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    body: Option<Value>,
    /// The version that was read, in place of `If-Match`.
    #[schema(minimum = 1)]
    if_match: Option<i32>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

const ID: &str = "batch";
/// The most bytes of rows in one reply, which is kept beside its `Idempotency-Key` too: small changes of cards with long
/// texts come to hundreds of times what was sent.
const MOST_BYTES: usize = 8 << 20;

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        id: ID,
        method: "POST",
        path: "/v1/batch",
        summary: "Carries out several commands, all of them or none",
        body: Some(Shape::of::<Batch>()),
        versioned: false,
        row: None,
        // It needs to know the others: see `Commands::all`.
        run: |_, _| Box::pin(async { Err(Fault::field("commands", "hold a batch within a batch").into()) }),
    }]
}

impl Operation {
    /// Whether it is made of others.
    pub fn is_batch(&self) -> bool {
        self.id == ID
    }
}

impl Commands {
    /// Carries out all commands of a batch; the reply's row is the list of theirs.
    pub(super) async fn all(&self, act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
        let Batch { commands } = input.body()?;
        let most = self.0.config.batch;
        if commands.len() > most {
            return Err(
                Fault::field("commands", format!("are {}, and {most} are taken", commands.len())).into()
            );
        }
        let (mut rows, mut bytes, mut secret) = (Vec::with_capacity(commands.len()), 0, false);
        for (index, part) in commands.into_iter().enumerate() {
            let done = match self.part(part) {
                Ok((operation, input)) => (operation.run)(act, input).await,
                Err(fault) => Err(fault.into()),
            };
            let outcome = done.map_err(|trouble| match trouble {
                Trouble::Refused(fault) => Trouble::Refused(Fault { index: Some(index), ..fault }),
                Trouble::Postgres(error) if !is_in_the_way(&error) => {
                    Trouble::Refused(Fault { index: Some(index), ..error.into() })
                }
                other => other,
            })?;
            secret |= outcome.secret;
            let row = outcome.row.as_deref().unwrap_or("null");
            bytes += row.len();
            if bytes > MOST_BYTES {
                let detail = format!(
                    "the rows of these commands come to more than {MOST_BYTES} bytes: send {index} of them at once"
                );
                return Err(Fault::new(Code::TooLarge, detail).into());
            }
            rows.push(format!("{{\"row\":{row}}}"));
        }
        Ok(Outcome { created: false, row: Some(format!("[{}]", rows.join(","))), version: None, secret })
    }

    fn part(&self, part: Part) -> Result<(std::sync::Arc<Operation>, Input), Fault> {
        let method = match part.method {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        };
        let (operation, path) = match self.catalogue().find(method, &part.path) {
            Route::Found(operation, path) => (operation, path),
            Route::OtherMethods(methods) => {
                return Err(Fault::field("method", format!("must be {} at this path", methods.join(" or "))));
            }
            Route::Nothing => return Err(Fault::field("path", "is no command's")),
        };
        let body = part.body.unwrap_or_else(|| match &operation.body {
            Some(_) => json!({}),
            None => Value::Null,
        });
        match &operation.body {
            Some(shape) => {
                let faults = shape.faults(&body);
                if !faults.is_empty() {
                    return Err(Fault::invalid(faults));
                }
            }
            None if !body.is_null() => return Err(Fault::field("body", "is more than this command takes")),
            None => {}
        }
        if part.if_match.is_some() && !operation.versioned {
            return Err(Fault::field("if_match", "does not go with this: what it writes has no version"));
        }
        Ok((operation, Input { path, body, version: part.if_match }))
    }
}
