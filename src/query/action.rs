use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::postgres::{self, Access, Begun, Pool, Work};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// What somebody looked at, searched for or took away.
#[derive(Clone, Debug)]
pub(super) struct Action {
    /// `viewed`, `searched`, `exported` or `refused`.
    pub(super) verb: &'static str,
    /// What, as in `entry`.
    pub(super) subject: &'static str,
    pub(super) board: Option<String>,
    pub(super) entry: Option<String>,
    pub(super) detail: Value,
}

impl Action {
    /// A movement of a card that was refused.
    pub(super) fn refused(entry: &str, code: &str) -> Self {
        let detail = json!({"code": code});
        Self { verb: "refused", subject: "entry", board: None, entry: Some(entry.to_owned()), detail }
    }
}

/// Writes what people did in batches, behind the answers: nobody waits for it. What does not fit into the queue is counted
/// and let go, as is what PostgreSQL is away for.
#[derive(Clone, Debug)]
pub(super) struct Actions(mpsc::Sender<Noted>);

#[derive(Debug)]
struct Noted {
    at: SystemTime,
    user: String,
    action: Action,
}

const BATCH: usize = 500;
/// How long the first of a batch waits for others.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);

const WRITE: &str = "
insert into app.user_actions (at, user_id, action, subject, board_id, entry_id, detail)
select timestamptz 'epoch' + n.at * interval '1 microsecond', n.who, n.action, n.subject, n.board, n.entry, n.detail
from jsonb_to_recordset($1) as n (
  at bigint, who text, action text, subject text, board bigint, entry bigint, detail jsonb
)";

impl Actions {
    pub(super) fn start(pool: Pool, queue: usize, scope: &Scope) -> Self {
        let (sender, noted) = mpsc::channel(queue);
        scope.spawn("user actions", write(pool, noted, scope.clone()));
        Self(sender)
    }

    pub(super) fn note(&self, user: &str, action: Action) {
        let noted = Noted { at: SystemTime::now(), user: user.to_owned(), action };
        if self.0.try_send(noted).is_err() {
            metrics::counter!(metric::USER_ACTIONS_LOST).increment(1);
        }
    }
}

async fn write(pool: Pool, mut noted: mpsc::Receiver<Noted>, scope: Scope) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let closing = tokio::select! {
            biased;
            taken = noted.recv() => match taken {
                Some(first) => {
                    batch.push(first);
                    false
                }
                None => return,
            },
            () = scope.closing() => true,
        };
        let full = async {
            while batch.len() < BATCH {
                match noted.recv().await {
                    Some(next) => batch.push(next),
                    None => return,
                }
            }
        };
        let wait = if closing { Duration::ZERO } else { INTERVAL };
        tokio::select! {
            biased;
            _ = timeout(wait, full) => {}
            () = scope.closing(), if !closing => {}
        }
        if !batch.is_empty() {
            let count = batch.len() as u64;
            if let Err(error) = append(&pool, &batch).await {
                tracing::warn!(error = %Chain(&error), count, "what people did was not written");
                metrics::counter!(metric::USER_ACTIONS_LOST).increment(count);
            }
            batch.clear();
        } else if closing {
            return;
        }
    }
}

async fn append(pool: &Pool, batch: &[Noted]) -> Result<(), postgres::Error> {
    let rows: Vec<Value> = batch
        .iter()
        .map(|Noted { at, user, action }| {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
            serde_json::json!({
                "at": u64::try_from(at).unwrap_or_default(), "who": user, "action": action.verb,
                "subject": action.subject, "board": action.board, "entry": action.entry, "detail": action.detail,
            })
        })
        .collect();
    let rows = Value::Array(rows).to_string();
    let Begun { work, .. } = Work::begin(pool, None, "pg_catalog", Access::Write, TIMEOUT).await?;
    work.rows(WRITE, &[Some(&rows)]).await?;
    work.commit().await?;
    Ok(())
}
