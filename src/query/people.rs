use super::operation::Reading;
use super::page::{Page, ROWS, behind, limit, page};
use super::{Answer, Asked, Kind, Read, Shown};
use crate::command::{self, statement};
use crate::workspace::tables::{CONTACT, USER};
use crate::workspace::{Fault, Shape};

pub(super) fn reads() -> Vec<Read> {
    vec![
        Read {
            id: "listUsers",
            path: "/v1/users",
            summary: "Everybody who works here, by their ids",
            query: Some(Shape::of::<Page>()),
            kind: Kind::Rows,
            shown: Shown::Page(&USER),
            tags: |marks, _| vec![marks.table("users")],
            run: |reading, asked| Box::pin(list(reading, asked)),
            noted: None,
        },
        Read {
            id: "getContact",
            path: "/v1/users/{user}/contact",
            summary: "How somebody can be reached: oneself, and those of the boards that one is an admin of",
            query: None,
            kind: Kind::Secret,
            shown: Shown::Row(&CONTACT),
            tags: |_, _| Vec::new(),
            run: |reading, asked| Box::pin(contact(reading, asked)),
            noted: Some(|asked| super::action::Action {
                verb: "viewed",
                subject: "contact",
                board: None,
                entry: None,
                detail: serde_json::json!({"user_id": asked.part(0)}),
            }),
        },
    ]
}

statement!(
    LIST = "
    select {}
    from public.users as u
    where ($1::text is null or u.id > $1::text)
    order by u.id
    limit $2",
    USER.select("u")
);
const OF: &str = "select c.email, c.phone from app.user_contacts as c where c.user_id = $1";

async fn list(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let Page { after, limit: most } = asked.query()?;
    let (behind, most) = (behind(after.as_deref(), 1)?, most.unwrap_or(ROWS));
    let values = [behind.first().map(String::as_str), Some(&*limit(most))];
    let rows = reading.work.rows(&LIST, &values).await?;
    Ok(page(&USER, rows, most, &["id"]))
}

async fn contact(reading: Reading<'_>, asked: &Asked) -> Result<Answer, Fault> {
    let user = asked.person(0)?;
    let found = reading.work.first(OF, &[Some(user.as_str())]).await?;
    let found = found.ok_or_else(|| Fault::not_found("contact of", user.as_str()))?;
    Ok(Answer::other(command::shown(reading.vault, user.as_str(), found.text(0), found.text(1))))
}
