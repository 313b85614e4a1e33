//! One row of what lists show: for whoever has its number, from a frame or a notification.

use super::board::of_board;
use super::operation::Reading;
use super::{Answer, Asked, Kind, Read, Shown};
use crate::cache::{Marks, Tag};
use crate::command::statement;
use crate::postgres::Fields;
use crate::workspace::tables::{CATEGORY, COMMENT, MEMBER, NOTIFICATION, RULE, STATE, TRANSITION, USER};
use crate::workspace::{Fault, Resource, Uuid};

pub(super) fn reads() -> Vec<Read> {
    of_boards().into_iter().chain(of_persons()).collect()
}

fn of_boards() -> Vec<Read> {
    vec![
        Read {
            id: "getMember",
            path: "/v1/boards/{board}/members/{user}",
            summary: "What somebody is on a board",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&MEMBER),
            tags: |marks, asked| of_board(marks, asked, &["board_members"]),
            run: |reading, asked| Box::pin(member(reading, asked)),
            noted: None,
        },
        Read {
            id: "getCategory",
            path: "/v1/categories/{category}",
            summary: "A category",
            query: None,
            kind: Kind::Categories,
            shown: Shown::Row(&CATEGORY),
            tags: |marks, asked| numbered(marks, asked, "categories"),
            run: |reading, asked| Box::pin(row(reading, asked, "category", &CATEGORY, &CATEGORY_OF)),
            noted: None,
        },
        Read {
            id: "getState",
            path: "/v1/workflow-states/{state}",
            summary: "A state of a workflow",
            query: None,
            kind: Kind::Categories,
            shown: Shown::Row(&STATE),
            tags: |marks, asked| numbered(marks, asked, "workflow_states"),
            run: |reading, asked| Box::pin(row(reading, asked, "state", &STATE, &STATE_OF)),
            noted: None,
        },
        Read {
            id: "getTransition",
            path: "/v1/workflow-transitions/{transition}",
            summary: "A way between two states",
            query: None,
            kind: Kind::Categories,
            shown: Shown::Row(&TRANSITION),
            tags: |marks, asked| numbered(marks, asked, "workflow_transitions"),
            run: |reading, asked| Box::pin(row(reading, asked, "transition", &TRANSITION, &TRANSITION_OF)),
            noted: None,
        },
        Read {
            id: "getComment",
            path: "/v1/comments/{comment}",
            summary: "What somebody said about an entry",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&COMMENT),
            tags: |marks, asked| numbered(marks, asked, "comments"),
            run: |reading, asked| Box::pin(row(reading, asked, "comment", &COMMENT, &COMMENT_OF)),
            noted: None,
        },
    ]
}

fn of_persons() -> Vec<Read> {
    vec![
        Read {
            id: "getUser",
            path: "/v1/users/{user}",
            summary: "Somebody who works here",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&USER),
            tags: |marks, asked| vec![marks.rows("users", "id", asked.part(0))],
            run: |reading, asked| Box::pin(user(reading, asked)),
            noted: None,
        },
        Read {
            id: "getAlertRule",
            path: "/v1/alert-rules/{rule}",
            summary: "A rule of one's own",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&RULE),
            tags: |marks, asked| vec![asked.own(marks, "alert_rules")],
            run: |reading, asked| Box::pin(rule(reading, asked)),
            noted: None,
        },
        Read {
            id: "getNotification",
            path: "/v1/notifications/{notification}",
            summary: "Something one was told",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&NOTIFICATION),
            tags: |marks, asked| vec![asked.own(marks, "notifications")],
            run: |reading, asked| Box::pin(notification(reading, asked)),
            noted: None,
        },
    ]
}

/// The row of a table with the number in the path, as one who belongs to its board sees it.
fn numbered(marks: &Marks, asked: &Asked, table: &str) -> Vec<Tag> {
    vec![marks.rows(table, "id", asked.part(0)), asked.membership(marks)]
}

statement!(USER_OF = "select {} from public.users as u where u.id = $1", USER.select("u"));
statement!(
    MEMBER_OF = "select {} from public.board_members as m where m.board_id = $1 and m.user_id = $2",
    MEMBER.select("m")
);
statement!(CATEGORY_OF = "select {} from public.categories as c where c.id = $1", CATEGORY.select("c"));
statement!(STATE_OF = "select {} from public.workflow_states as s where s.id = $1", STATE.select("s"));
statement!(
    TRANSITION_OF = "select {} from public.workflow_transitions as t where t.id = $1",
    TRANSITION.select("t")
);
statement!(COMMENT_OF = "select {} from public.comments as c where c.id = $1", COMMENT.select("c"));
statement!(RULE_OF = "select {} from public.alert_rules as r where r.id = $1", RULE.select("r"));
statement!(
    NOTIFICATION_OF = "select {} from public.notifications as n where n.id = $1",
    NOTIFICATION.select("n")
);

async fn user(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let found = person(reading, asked.person(0)?.as_str()).await?;
    Ok(Answer::row(USER.json(&found), None))
}

/// Somebody by name.
pub(super) async fn person(reading: Reading<'_>, user: &str) -> Result<Fields, Fault> {
    let found = reading.work.first(&USER_OF, &[Some(user)]).await?;
    found.ok_or_else(|| Fault::not_found("person", user))
}

async fn member(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let (board, user) = (asked.id(0, "board")?, asked.person(1)?);
    found(reading, "member", &MEMBER, &MEMBER_OF, &[board.as_str(), user.as_str()]).await
}

async fn rule(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    asked.user()?;
    let rule = Uuid::parse(asked.part(0)).ok_or_else(|| Fault::not_found("alert rule", asked.part(0)))?;
    found(reading, "alert rule", &RULE, &RULE_OF, &[rule.as_str()]).await
}

async fn notification(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    asked.user()?;
    row(reading, asked, "notification", &NOTIFICATION, &NOTIFICATION_OF).await
}

async fn row(
    reading: Reading<'_>,
    asked: &Asked,
    what: &str,
    of: &Resource,
    sql: &'static str,
) -> Result<Answer, Fault> {
    found(reading, what, of, sql, &[asked.id(0, what)?.as_str()]).await
}

/// The row with these values, the last of which is its name.
async fn found(
    reading: Reading<'_>,
    what: &str,
    of: &Resource,
    sql: &'static str,
    values: &[&str],
) -> Result<Answer, Fault> {
    let name = values.last().copied().unwrap_or_default();
    let values: Vec<_> = values.iter().copied().map(Some).collect();
    let row = reading.work.first(sql, &values).await?;
    let row = row.ok_or_else(|| Fault::not_found(what, name))?;
    Ok(Answer::row(of.json(&row), of.version(&row)))
}
