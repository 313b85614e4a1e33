use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::one::person;
use super::operation::{Reading, asked_for, rows_of};
use super::page::{ROWS, behind, limit, page};
use super::{Answer, Asked, Kind, Read, Shown};
use crate::command::statement;
use crate::workspace::tables::{MEMBER, NOTIFICATION, PREFERENCES, RULE, USER};
use crate::workspace::{Fault, Shape};

/// Which notifications.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Those alone that one has not read yet, or has.
    unread: Option<bool>,
    /// `next` of the page before.
    #[schema(max_length = 2_000)]
    after: Option<String>,
    /// The most rows.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<u16>,
}

pub(super) fn reads() -> Vec<Read> {
    vec![
        Read {
            id: "getMe",
            path: "/v1/me",
            summary: "Who one is, and the boards that one belongs to",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Other("Me", me_schema),
            tags: |marks, asked| {
                let user = asked.user.as_deref().unwrap_or_default();
                vec![marks.rows("users", "id", user), asked.membership(marks)]
            },
            run: |reading, asked| Box::pin(me(reading, asked)),
            noted: None,
        },
        Read {
            id: "getPreferences",
            path: "/v1/me/preferences",
            summary: "What one likes",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Row(&PREFERENCES),
            tags: |marks, asked| vec![asked.own(marks, "user_preferences")],
            run: |reading, asked| Box::pin(preferences(reading, asked)),
            noted: None,
        },
        Read {
            id: "listNotifications",
            path: "/v1/notifications",
            summary: "What one was told, the newest first",
            query: Some(Shape::of::<Which>()),
            kind: Kind::Rows,
            shown: Shown::Page(&NOTIFICATION),
            tags: |marks, asked| vec![asked.own(marks, "notifications")],
            run: |reading, asked| Box::pin(notifications(reading, asked)),
            noted: None,
        },
        Read {
            id: "listAlertRules",
            path: "/v1/alert-rules",
            summary: "What one wants to be told of",
            query: None,
            kind: Kind::Rows,
            shown: Shown::Other("AlertRules", || rows_of(&RULE)),
            tags: |marks, asked| vec![asked.own(marks, "alert_rules")],
            run: |reading, asked| Box::pin(rules(reading, asked)),
            noted: None,
        },
    ]
}

fn me_schema() -> Value {
    json!({
        "type": "object",
        "required": ["user", "memberships"],
        "properties": {
            "user": {"$ref": "#/components/schemas/User"},
            "memberships": {"type": "array", "items": {"$ref": "#/components/schemas/Member"}},
        },
    })
}

statement!(
    MEMBERSHIPS = "
    select {}
    from public.board_members as m
    where m.user_id = $1
    order by m.board_id
    limit 1000",
    MEMBER.select("m")
);
statement!(
    PREFERENCES_OF = "select {} from public.user_preferences as p where p.user_id = $1",
    PREFERENCES.select("p")
);
statement!(
    NOTIFICATIONS = "
    select {}
    from public.notifications as n
    where n.user_id = $1
      and ($2::boolean is null or (n.read_at is null) = $2::boolean)
      and ($3::timestamptz is null or (n.created_at, n.id) < ($3::timestamptz, $4::bigint))
    order by n.created_at desc, n.id desc
    limit $5",
    NOTIFICATION.select("n")
);
statement!(
    RULES = "
    select {}
    from public.alert_rules as r
    where r.user_id = $1
    order by r.created_at, r.id
    limit 1000",
    RULE.select("r")
);

async fn me(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let user = asked.user()?;
    let found = person(reading, user).await?;
    let memberships = reading.work.rows(&MEMBERSHIPS, &[Some(user)]).await?;
    let parts: [&[u8]; 5] =
        [b"{\"user\":", &USER.json(&found), b",\"memberships\":", &MEMBER.array(&memberships), b"}"];
    Ok(Answer::other(parts.concat()))
}

async fn preferences(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let user = asked.user()?;
    let found = reading.work.first(&PREFERENCES_OF, &[Some(user)]).await?;
    let found = found.ok_or_else(|| Fault::not_found("preferences of", user))?;
    Ok(Answer::row(PREFERENCES.json(&found), PREFERENCES.version(&found)))
}

async fn notifications(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let user = asked.user()?;
    let which: Which = asked.query()?;
    let (behind, most) = (behind(which.after.as_deref(), 2)?, which.limit.unwrap_or(ROWS));
    let values = [
        Some(user),
        which.unread.map(|unread| if unread { "t" } else { "f" }),
        behind.first().map(String::as_str),
        behind.get(1).map(String::as_str),
        Some(&*limit(most)),
    ];
    let rows = reading.work.rows(&NOTIFICATIONS, &values).await.map_err(asked_for("after"))?;
    Ok(page(&NOTIFICATION, rows, most, &["created_at", "id"]))
}

async fn rules(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let user = asked.user()?;
    let rows = reading.work.rows(&RULES, &[Some(user)]).await?;
    Ok(Answer::other([b"{\"rows\":", &*RULE.array(&rows), b"}"].concat()))
}
