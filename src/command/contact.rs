//! E-mail and telephone: encrypted before PostgreSQL sees them.

use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::statement;
use super::{Input, Operation, Outcome};
use crate::postgres::{self, Access, Begun, Pool, Work};
use crate::workspace::tables::{CONTACT, MEMBER};
use crate::workspace::{Code, Fault, Shape, Unreadable, Vault};

/// What reaches one. What is left out stays as it is, and null deletes it.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewContact)]
#[serde(deny_unknown_fields)]
struct Contact {
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<String>, max_length = 254, pattern = "^[^\\u0000-\\u0020@]+@[^\\u0000-\\u0020@]+$",
             examples("ada@example.com"))]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "crate::workspace::present")]
    #[schema(value_type = Option<String>, pattern = "^\\+?[0-9][0-9 ()/.-]{2,39}$", examples("+49 30 901820"))]
    phone: Option<Option<String>>,
}

/// Whether the admins of a board are shown it.
#[derive(Deserialize, ToSchema)]
#[schema(as = ContactSharing)]
#[serde(deny_unknown_fields)]
struct Sharing {
    shared: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    let share = Operation {
        id: "shareContact",
        method: "PUT",
        path: "/v1/boards/{board}/contact",
        summary: "Shows the admins of a board how one can be reached, or no longer",
        body: Some(Shape::of::<Sharing>()),
        versioned: false,
        row: Some(&MEMBER),
        run: |act, input| Box::pin(share(act, input)),
    };
    let put = Operation {
        id: "putContact",
        method: "PATCH",
        path: "/v1/me/contact",
        summary: "Says how one can be reached: kept encrypted, and shown to oneself and to the admins of boards that one lets",
        body: Some(Shape::of::<Contact>()),
        versioned: false,
        row: Some(&CONTACT),
        run: |act, input| Box::pin(put(act, input)),
    };
    vec![put, share]
}

const PUT: &str = "
insert into app.user_contacts as c (user_id, email, phone)
values ($1, $3, $5)
on conflict (user_id) do update set
  email = case when $2::boolean then excluded.email else c.email end,
  phone = case when $4::boolean then excluded.phone else c.phone end,
  updated_at = now()
returning c.email, c.phone";

const OF: &str = "select email, phone from app.user_contacts where user_id = $1";

statement!(SHARE = "select {} from app.share_contact($1, $2) as m", MEMBER.select("m"));

async fn share(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    act.user()?;
    let board = input.id(0, "board")?;
    let Sharing { shared } = input.body()?;
    match act.work.first(&SHARE, &[Some(board.as_str()), super::record::truth(shared)]).await? {
        Some(row) => Ok(Outcome::changed(MEMBER.json(&row), None)),
        None => Err(Fault::not_found("board", board.as_str()).into()),
    }
}

async fn put(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let user = act.user()?;
    let Contact { email, phone } = input.body()?;
    if !act.vault.is_open() {
        let detail = "nothing of the kind is kept here: `app.contact_keys` is empty";
        return Err(Fault::new(Code::Forbidden, detail).into());
    }
    let seal = |column: &str, value: &Option<Option<String>>| {
        let value = value.as_ref().and_then(|value| value.as_deref());
        let sealed = value.map(|value| act.vault.seal(user, column, value)).transpose();
        sealed.map_err(|error| Fault::new(Code::Unavailable, error.to_string()))
    };
    if email.is_none() && phone.is_none() {
        let row = act.work.first(OF, &[Some(user)]).await?;
        let value = |place| row.as_ref().and_then(|row| row.text(place));
        let row = shown(act.vault, user, value(0), value(1));
        return Ok(Outcome { secret: true, ..Outcome::changed(row, None) });
    }
    let (sealed_email, sealed_phone) = (seal("email", &email)?, seal("phone", &phone)?);
    let values = [
        Some(user),
        super::record::truth(email.is_some()),
        sealed_email.as_deref(),
        super::record::truth(phone.is_some()),
        sealed_phone.as_deref(),
    ];
    let row = act.work.first(PUT, &values).await?.ok_or(Trouble::Again)?;
    let row = shown(act.vault, user, row.text(0), row.text(1));
    Ok(Outcome { secret: true, ..Outcome::changed(row, None) })
}

/// Contacts as they are shown to those who may see them.
///
/// A value whose key is gone is null, and the log says so: nobody is kept from what else there is.
pub(crate) fn shown(vault: &Vault, user: &str, email: Option<&str>, phone: Option<&str>) -> Vec<u8> {
    let open = |column: &'static str, sealed: Option<&str>| {
        let opened = vault.open(user, column, sealed?);
        if let Err(error) = &opened {
            tracing::warn!(column, %error, "a contact cannot be decrypted");
        }
        opened.ok()
    };
    json!({"user_id": user, "email": open("email", email), "phone": open("phone", phone)})
        .to_string()
        .into_bytes()
}

/// Contacts could not all be encrypted anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// There is no key to encrypt with.
    #[error("`app.contact_keys` names no key to encrypt with")]
    NoKey,
    /// The database cannot be asked.
    #[error("contacts could not be read or written")]
    Postgres(#[from] postgres::Error),
    /// Some of them cannot be decrypted.
    #[error(
        "the {column} of `{user}` and {others} other values cannot be decrypted, and stay as they are; the contacts of \
         {done} people were encrypted anew"
    )]
    Unreadable {
        /// Whose the first is.
        user: String,
        /// Which it is.
        column: &'static str,
        /// How many others.
        others: usize,
        /// How many people's were encrypted.
        done: usize,
        /// What is wrong with the first.
        #[source]
        source: Unreadable,
    },
}

/// Contacts that are encrypted anew in one transaction.
const BATCH: usize = 500;
const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);

/// Those behind `$1` that are not encrypted with the key whose values begin with `$2`.
const OLD: &str = "
select c.user_id, c.email, c.phone
from app.user_contacts as c
where c.user_id > $1
  and (not starts_with(c.email, $2) or not starts_with(c.phone, $2))
order by c.user_id
limit 500
for update";
const RENEW: &str = "update app.user_contacts set email = $2, phone = $3 where user_id = $1";

/// Encrypts with the newest key what older ones have encrypted; gives how many people's. Can be run again at any time.
///
/// # Errors
/// [`RotateError`]; what was done stays done. One that cannot be decrypted keeps nobody else's from it.
pub async fn rotate(pool: &Pool, vault: &Vault) -> Result<usize, RotateError> {
    let prefix = format!("v1.{}.", vault.current().ok_or(RotateError::NoKey)?);
    let (mut behind, mut done) = (String::new(), 0);
    // The first of those that cannot be decrypted, and how many there are.
    let (mut first, mut unreadable) = (None, 0);
    loop {
        let Begun { work, .. } = Work::begin(pool, None, "pg_catalog", Access::Write, TIMEOUT).await?;
        let old = work.rows(OLD, &[Some(&behind), Some(&prefix)]).await?;
        for row in &old {
            let user = row.text(0).unwrap_or_default();
            let before = unreadable;
            let mut renew = |column: &'static str, sealed: Option<&str>| {
                let Some(sealed) = sealed else { return Ok(None) };
                match vault.open(user, column, sealed) {
                    Ok(opened) => vault.seal(user, column, &opened).map(Some).map_err(|_| RotateError::NoKey),
                    Err(source) => {
                        unreadable += 1;
                        first.get_or_insert((user.to_owned(), column, source));
                        Ok(Some(sealed.to_owned()))
                    }
                }
            };
            let (email, phone) = (renew("email", row.text(1))?, renew("phone", row.text(2))?);
            work.rows(RENEW, &[Some(user), email.as_deref(), phone.as_deref()]).await?;
            done += usize::from(unreadable == before);
        }
        work.commit().await?;
        match old.last().and_then(|row| row.text(0)) {
            Some(last) if old.len() == BATCH => last.clone_into(&mut behind),
            _ => break,
        }
    }
    match first {
        Some((user, column, source)) => {
            Err(RotateError::Unreadable { user, column, others: unreadable - 1, done, source })
        }
        None => Ok(done),
    }
}
