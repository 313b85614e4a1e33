use serde::Deserialize;
use utoipa::ToSchema;

use super::operation::{Reading, asked_for};
use super::page::{ROWS, behind, limit, page};
use super::{Answer, Asked, Kind, Read, Shown};
use crate::command::statement;
use crate::workspace::tables::ACTIVITY;
use crate::workspace::{Fault, Id, Person, Shape};

/// Which activities.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    board_id: Option<Id>,
    entry_id: Option<Id>,
    actor_id: Option<Person>,
    subject: Option<Subject>,
    /// What was done, as in `moved`.
    #[schema(pattern = "^[a-z_]{1,40}$", examples("moved"))]
    action: Option<String>,
    /// No older ones.
    #[schema(
        pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$",
        examples("2026-01-31T08:00:00Z")
    )]
    since: Option<String>,
    /// Older ones alone.
    #[schema(
        pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$",
        examples("2026-01-31T08:00:00Z")
    )]
    until: Option<String>,
    /// `next` of the page before.
    #[schema(max_length = 2_000)]
    after: Option<String>,
    /// The most rows.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<u16>,
}

/// What it was done to.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = ActivitySubject)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Board,
    Member,
    Category,
    Workflow,
    Entry,
    Comment,
}

pub(super) fn reads() -> Vec<Read> {
    vec![Read {
        id: "listActivities",
        path: "/v1/activities",
        summary: "What happened on one's boards, the newest first",
        query: Some(Shape::of::<Which>()),
        kind: Kind::Rows,
        shown: Shown::Page(&ACTIVITY),
        tags: |marks, asked| {
            let happened = match asked.asks("board_id") {
                Some(board) => marks.rows("activities", "board_id", board),
                None => marks.table("activities"),
            };
            vec![happened, asked.membership(marks)]
        },
        run: |reading, asked| Box::pin(list(reading, asked)),
        noted: None,
    }]
}

// Board by board, the newest of each: what happens elsewhere is not looked at, however much it is.
statement!(
    LIST = "
    select {}
    from public.boards as b
    cross join lateral (
      select *
      from public.activities as o
      where o.board_id = b.id
        and ($2::bigint is null or o.entry_id = $2::bigint)
        and ($3::text is null or o.actor_id = $3::text)
        and ($4::text is null or o.subject = $4::text)
        and ($5::text is null or o.action = $5::text)
        and ($6::timestamptz is null or o.at >= $6::timestamptz)
        and ($7::timestamptz is null or o.at < $7::timestamptz)
        and ($8::timestamptz is null or (o.at, o.id) < ($8::timestamptz, $9::bigint))
      order by o.at desc, o.id desc
      limit $10
    ) as a
    where ($1::bigint is null or b.id = $1::bigint)
    order by a.at desc, a.id desc
    limit $10",
    ACTIVITY.select("a")
);

async fn list(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let which: Which = asked.query()?;
    let (behind, most) = (behind(which.after.as_deref(), 2)?, which.limit.unwrap_or(ROWS));
    let values = [
        which.board_id.as_ref().map(Id::as_str),
        which.entry_id.as_ref().map(Id::as_str),
        which.actor_id.as_ref().map(Person::as_str),
        which.subject.map(Subject::as_str),
        which.action.as_deref(),
        which.since.as_deref(),
        which.until.as_deref(),
        behind.first().map(String::as_str),
        behind.get(1).map(String::as_str),
        Some(&*limit(most)),
    ];
    let field = match (&which.after, &which.since) {
        (Some(_), _) => "after",
        (None, Some(_)) => "since",
        (None, None) => "until",
    };
    let rows = reading.work.rows(&LIST, &values).await.map_err(asked_for(field))?;
    Ok(page(&ACTIVITY, rows, most, &["at", "id"]))
}

impl Subject {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Member => "member",
            Self::Category => "category",
            Self::Workflow => "workflow",
            Self::Entry => "entry",
            Self::Comment => "comment",
        }
    }
}
