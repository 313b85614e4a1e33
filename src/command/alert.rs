use serde::Deserialize;
use utoipa::ToSchema;

use super::operation::{Act, Trouble};
use super::record::{must_be, statement, truth};
use super::{Input, Operation, Outcome};
use crate::workspace::tables::RULE;
use crate::workspace::{Code, Fault, FieldFault, Id, Shape, Uuid};

/// What one wants to be told of.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAlertRule)]
#[serde(deny_unknown_fields)]
struct Rule {
    kind: Kind,
    /// The board that it is for; of `mention`, `assigned` and `overdue` every board if it is left out.
    board_id: Option<Id>,
    /// The entry that is watched: with `watch` alone.
    entry_id: Option<Id>,
    /// The measure: with `kpi` alone, as are `comparison` and `threshold`.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\u0000]*$")]
    kpi: Option<String>,
    comparison: Option<Comparison>,
    #[schema(minimum = -1e15, maximum = 1e15)]
    threshold: Option<f64>,
    #[serde(default = "on")]
    #[schema(required = false, default = true)]
    enabled: bool,
    #[schema(minimum = 1)]
    version: Option<i32>,
}

/// What it is about.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, ToSchema)]
#[schema(as = AlertKind)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Mention,
    Assigned,
    Watch,
    Overdue,
    Kpi,
}

/// On which side of the threshold a measure alerts.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Comparison {
    Above,
    Below,
}

const fn on() -> bool {
    true
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation {
            id: "putAlertRule",
            method: "PUT",
            path: "/v1/alert-rules/{rule}",
            summary: "Keeps a rule of one's own under a UUID of one's own choice",
            body: Some(Shape::of::<Rule>()),
            versioned: true,
            row: Some(&RULE),
            run: |act, input| Box::pin(put(act, input)),
        },
        Operation {
            id: "deleteAlertRule",
            method: "DELETE",
            path: "/v1/alert-rules/{rule}",
            summary: "Deletes a rule of one's own",
            body: None,
            versioned: true,
            row: None,
            run: |act, input| Box::pin(delete(act, input)),
        },
    ]
}

statement!(SHOWN = "select {} from public.alert_rules as r where r.id = $1 for update", RULE.select("r"));
statement!(
    ADD = "
    insert into public.alert_rules as r
      (id, user_id, kind, board_id, entry_id, kpi, comparison, threshold, enabled)
    select $1, $2::text, $3, $4, $5, $6, $7, $8, $9
    where (select count(*) from public.alert_rules as o where o.user_id = $2::text) < {MOST}
    on conflict (id) do nothing
    returning {}",
    RULE.select("r")
);
statement!(
    CHANGE = "
    update public.alert_rules as r
    set kind = $2, board_id = $3, entry_id = $4, kpi = $5, comparison = $6, threshold = $7, enabled = $8
    where r.id = $1
    returning {}",
    RULE.select("r")
);
/// Whether a measure is one number for each board, which a threshold can be held to.
const WHOLE: &str = "select (dimension is null and enabled)::text from public.kpis where name = $1";
const NO_WHOLE: &str =
    "is no measure with one number a board: `GET /v1/kpis` shows those with an empty `item`";
/// Rules of one person: each is looked at with every comment and every activity of its boards.
const MOST: usize = 500;
const COUNT: &str = "select (count(*) >= 500)::text from public.alert_rules where user_id = $1";
const DELETE: &str = "delete from public.alert_rules where id = $1 returning id::text";

async fn put(act: Act<'_>, mut input: Input) -> Result<Outcome, Trouble> {
    let user = act.user()?;
    let id = uuid(&input)?;
    let rule: Rule = input.body()?;
    let faults = rule.faults();
    if !faults.is_empty() {
        return Err(Fault::invalid(faults).into());
    }
    let read = input.version(rule.version)?;
    if let Some(measure) = &rule.kpi {
        let known = act.work.first(WHOLE, &[Some(measure)]).await?;
        if known.is_none_or(|known| known.text(0) != Some("true")) {
            return Err(Fault::field("kpi", NO_WHOLE).into());
        }
    }
    let kept = act.work.first(&SHOWN, &[Some(id.as_str())]).await?;
    let threshold = rule.threshold.map(|threshold| threshold.to_string());
    let what = [
        Some(rule.kind.as_str()),
        rule.board_id.as_ref().map(Id::as_str),
        rule.entry_id.as_ref().map(Id::as_str),
        rule.kpi.as_deref(),
        rule.comparison.map(Comparison::as_str),
        threshold.as_deref(),
        truth(rule.enabled),
    ];
    let (row, created) = if let Some(kept) = &kept {
        must_be(&RULE, kept, read)?;
        let values: Vec<_> = [Some(id.as_str())].into_iter().chain(what).collect();
        (act.work.first(&CHANGE, &values).await?, false)
    } else {
        if read.is_some() {
            return Err(Fault::not_found("alert rule", id.as_str()).into());
        }
        let values: Vec<_> = [Some(id.as_str()), Some(user)].into_iter().chain(what).collect();
        (act.work.first(&ADD, &values).await?, true)
    };
    let Some(row) = row else {
        // The same came twice at once; or it is somebody else's: UUIDs are not guessed, but copied.
        let is_own = !created || act.work.first(&SHOWN, &[Some(id.as_str())]).await?.is_some();
        return Err(if is_own { Trouble::Again } else { unused(&act, user).await? });
    };
    let (json, version) = (RULE.json(&row), RULE.version(&row));
    Ok(if created { Outcome::created(json, version) } else { Outcome::changed(json, version) })
}

/// Why a rule could not be added.
async fn unused(act: &Act<'_>, user: &str) -> Result<Trouble, Trouble> {
    let count = act.work.first(COUNT, &[Some(user)]).await?;
    let many = count.is_some_and(|count| count.text(0) == Some("true"));
    Ok(if many {
        Fault::new(Code::LimitReached, format!("a person has {MOST} rules at most")).into()
    } else {
        Fault::field("rule", "is in use: choose another UUID").into()
    })
}

async fn delete(act: Act<'_>, input: Input) -> Result<Outcome, Trouble> {
    act.user()?;
    let id = uuid(&input)?;
    let Some(kept) = act.work.first(&SHOWN, &[Some(id.as_str())]).await? else {
        return Err(Fault::not_found("alert rule", id.as_str()).into());
    };
    must_be(&RULE, &kept, input.version(None)?)?;
    act.work.rows(DELETE, &[Some(id.as_str())]).await?;
    Ok(Outcome::default())
}

/// Which rule the path names.
fn uuid(input: &Input) -> Result<Uuid, Fault> {
    let text = input.path.first().map(String::as_str).unwrap_or_default();
    Uuid::parse(text).ok_or_else(|| Fault::not_found("alert rule", text))
}

impl Rule {
    /// What does not go together.
    fn faults(&self) -> Vec<FieldFault> {
        let watch = self.kind == Kind::Watch;
        let kpi = self.kind == Kind::Kpi;
        let given = [
            ("board_id", self.board_id.is_some(), watch || kpi, true),
            ("entry_id", self.entry_id.is_some(), watch, watch),
            ("kpi", self.kpi.is_some(), kpi, kpi),
            ("comparison", self.comparison.is_some(), kpi, kpi),
            ("threshold", self.threshold.is_some(), kpi, kpi),
        ];
        let fault = |field: &str, message: String| FieldFault { field: field.to_owned(), message };
        let faults = given.into_iter().filter_map(|(field, is_given, needed, allowed)| {
            let kind = self.kind.as_str();
            match is_given {
                false if needed => Some(fault(field, format!("is needed for `{kind}`"))),
                true if !allowed => Some(fault(field, format!("does not go with `{kind}`"))),
                _ => None,
            }
        });
        faults.collect()
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mention => "mention",
            Self::Assigned => "assigned",
            Self::Watch => "watch",
            Self::Overdue => "overdue",
            Self::Kpi => "kpi",
        }
    }
}

impl Comparison {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}
