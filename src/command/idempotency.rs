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
}

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
    let Answer { created, row, version, tx } = answer.ok_or(Trouble::Again)?;
    Ok(Some((Outcome { created, row, version }, tx)))
}

/// Keeps what is answered.
pub(super) async fn finish(act: &Act<'_>, key: &Key, outcome: &Outcome, tx: &str) -> Result<(), Trouble> {
    let Outcome { created, row, version } = outcome.clone();
    let status = if created { "201" } else { "200" };
    let answer = Answer { created, row, version, tx: tx.to_owned() };
    let answer = serde_json::to_string(&answer).expect("texts and numbers");
    let user = act.user.unwrap_or_default();
    act.work.rows(FINISH, &[Some(user), Some(&key.key), Some(status), Some(&answer)]).await?;
    Ok(())
}
