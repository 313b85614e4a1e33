use super::operation::{Act, Trouble};
use super::record::statement;
use super::{Input, Operation, Outcome};
use crate::workspace::Fault;
use crate::workspace::tables::NOTIFICATION;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "readNotification",
            method: "POST",
            path: "/v1/notifications/{notification}/read",
            summary: "Notes that one has read a notification",
            body: None,
            versioned: false,
            row: Some(&NOTIFICATION),
            run: |act, input| Box::pin(read(act, input)),
        },
        Operation {
            id: "readNotifications",
            method: "POST",
            path: "/v1/notifications/read",
            summary: "Notes that one has read all of one's notifications",
            body: None,
            versioned: false,
            row: None,
            run: |act, _| Box::pin(read_all(act)),
        },
        Operation {
            id: "deleteNotification",
            method: "DELETE",
            path: "/v1/notifications/{notification}",
            summary: "Deletes a notification of one's own",
            body: None,
            versioned: false,
            row: None,
            run: |act, input| Box::pin(delete(act, input)),
        },
    ]
}

// Read once is read: a second time changes nothing, and tells nobody.
statement!(
    READ = "
    with noted as (
      update public.notifications
      set read_at = now()
      where id = $1
        and read_at is null
      returning *
    )
    select {} from noted as n
    union all
    select {} from public.notifications as n where n.id = $1 and n.read_at is not null",
    NOTIFICATION.select("n"),
    NOTIFICATION.select("n")
);
const READ_ALL: &str = "
update public.notifications
set read_at = now()
where user_id = app.user_id()
  and read_at is null";
const DELETE: &str = "delete from public.notifications where id = $1 returning id::text";

async fn read(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    act.user()?;
    let id = input.id(0, "notification")?;
    match act.work.first(&READ, &[Some(id.as_str())]).await? {
        Some(row) => Ok(Outcome::changed(NOTIFICATION.json(&row), None)),
        None => Err(Fault::not_found("notification", id.as_str()).into()),
    }
}

async fn read_all(act: Act<'_>) -> Result<Outcome, Trouble> {
    act.user()?;
    act.work.rows(READ_ALL, &[]).await?;
    Ok(Outcome::default())
}

async fn delete(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    act.user()?;
    let id = input.id(0, "notification")?;
    match act.work.first(DELETE, &[Some(id.as_str())]).await? {
        Some(_) => Ok(Outcome::default()),
        None => Err(Fault::not_found("notification", id.as_str()).into()),
    }
}
