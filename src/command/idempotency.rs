//! `Idempotency-Key`: a command that comes again is answered as it was answered first, also when both come at once.
//!
//! The key's row is written in the command's own transaction. Who comes second waits for it, and then finds the answer;
//! or, if the first was refused or rolled back, nothing, and is the first.
//!
//! See <https://www.ietf.org/archive/id/draft-ietf-httpapi-idempotency-key-header-06.html>.

use serde::{Deserialize, Serialize};

use super::operation::{Act, Trouble};
use super::{Key, Outcome};
use crate::workspace::{Code, Fault};

#[derive(Deserialize, Serialize)]
struct Answer {
    created: bool,
    row: Option<String>,
    version: Option<i32>,
    tx: String,
    /// Whether the row is encrypted: see [`Outcome::secret`].
    secret: bool,
}

/// What an encrypted row is authenticated as: no contact's column.
const COLUMN: &str = "answer";

const BEGIN: &str = "
insert into app.idempotency_keys (user_id, key, fingerprint)
values ($1, $2, $3)
on conflict do nothing
returning key";

const FOUND: &str = "
select fingerprint, answer::text
from app.idempotency_keys
where user_id = $1
  and key = $2";

const FINISH: &str = "
update app.idempotency_keys
set status = $3, answer = $4
where user_id = $1
  and key = $2";

/// Takes the key, or gives what was answered to it before, and in which transaction.
pub(super) async fn begin(act: &Act<'_>, key: &Key) -> Result<Option<(Outcome, String)>, Trouble> {
    let user = act.user.unwrap_or_default();
    let taken = act.work.first(BEGIN, &[Some(user), Some(&key.key), Some(&key.fingerprint)]).await?;
    if taken.is_some() {
        return Ok(None);
    }
    let Some(found) = act.work.first(FOUND, &[Some(user), Some(&key.key)]).await? else {
        return Err(Trouble::Again);
    };
    if found.text(0) != Some(&*key.fingerprint) {
        let detail = "this `Idempotency-Key` came with another request before: take a new one for each";
        return Err(Fault::new(Code::KeyReused, detail).into());
    }
    let answer = found.text(1).and_then(|answer| serde_json::from_str(answer).ok());
    let Answer { created, row, version, tx, secret } = answer.ok_or(Trouble::Again)?;
    let row = match row {
        Some(sealed) if secret => Some(act.vault.open(user, COLUMN, &sealed).map_err(|error| {
            tracing::warn!(%error, "an answer that was kept cannot be decrypted");
            Fault::new(
                Code::Unavailable,
                "it was carried out before, and what was answered cannot be read now",
            )
        })?),
        row => row,
    };
    Ok(Some((Outcome { created, row, version, secret }, tx)))
}

/// Keeps what is answered.
pub(super) async fn finish(act: &Act<'_>, key: &Key, outcome: &Outcome, tx: &str) -> Result<(), Trouble> {
    let Outcome { created, row, version, secret } = outcome.clone();
    let user = act.user.unwrap_or_default();
    let row = match row {
        Some(row) if secret => {
            let sealed = act.vault.seal(user, COLUMN, &row);
            Some(sealed.map_err(|error| Fault::new(Code::Unavailable, error.to_string()))?)
        }
        row => row,
    };
    let status = if created { "201" } else { "200" };
    let answer = Answer { created, row, version, tx: tx.to_owned(), secret };
    let answer = serde_json::to_string(&answer).expect("texts and numbers");
    act.work.rows(FINISH, &[Some(user), Some(&key.key), Some(status), Some(&answer)]).await?;
    Ok(())
}
