use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::{Etl, Range, Retention, count};
use crate::postgres::{Error, Fields};

/// What happened, in rows with numbers: how they are read and loaded.
pub(super) struct Source {
    /// In `analytics.watermarks` and `analytics.rejects`.
    pub(super) name: &'static str,
    /// What it becomes.
    pub(super) table: &'static str,
    /// The last number, the oldest transaction that runs, and the first that has not begun.
    pub(super) moment: &'static str,
    /// Rows behind one number up to another, as JSON: 20,000 at most, and the last one's number. Of those up to a third
    /// number only what transactions wrote that a fourth is not behind.
    pub(super) behind: &'static str,
    /// The same within a span of time, behind a number.
    pub(super) within: &'static str,
    /// The days of a span, the last eight without one, and what tells the rows of each from others.
    pub(super) days: &'static str,
    /// The same of what is loaded.
    pub(super) loaded_days: &'static str,
    /// What is loaded of a day behind a number: as `behind`.
    pub(super) loaded: &'static str,
    /// How many days of it the application keeps.
    pub(super) days_kept: fn(&Retention) -> Option<u32>,
    /// Of rows that are loaded, the numbers of those that are there no more, as JSON; none that is older than so many days.
    pub(super) gone: &'static str,
    /// Of the same, the rows that are of another moment now: as `behind`.
    pub(super) elsewhere: &'static str,
    /// Takes a day's rows of some numbers out.
    pub(super) forget: &'static str,
    /// Takes rows out that are loaded at another moment than they are of.
    pub(super) moved: &'static str,
    /// Loads rows; how many.
    pub(super) load: &'static str,
}

/// Up to where all is loaded; what was seen beyond, and the first transaction that had not begun by then; what was read
/// last, and the oldest transaction that ran.
const WATERMARK: &str = "
insert into analytics.watermarks as kept (source) values ($1)
on conflict (source) do update set seen_at = now()
returning settled_id::text, seen_id::text, seen_xmax::text, read_id::text, read_xmin::text";
/// More than so many rows are looked through once more at once, if everybody ends who was at it.
const MUCH: u64 = 100_000;
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: usize = 50;
const BEGUN: &str = "select pg_snapshot_xmax(pg_current_snapshot())::text";
/// What was seen before this load began is settled with it if all had ended that ran then, and what is seen now waits; if they
/// had not, what was seen waits on. Transactions that are counted anew, as in a database that was restored, are others.
const MARK: &str = "
update analytics.watermarks as kept
set
  settled_id = case
    when $10::boolean then greatest(settled_id, $6::bigint)
    when ended then greatest(settled_id, seen_id)
    else settled_id
  end,
  seen_id = case when ended or $10::boolean then $6::bigint else seen_id end,
  seen_xmax = case when ended or $10::boolean then $7::bigint else seen_xmax end,
  seen_at = now(),
  read_id = $6::bigint,
  read_xmin = $8::bigint
from (
  select source, seen_xmax <= $8::bigint or seen_xmax > $9::bigint as ended
  from analytics.watermarks
) as runs
where runs.source = kept.source
  and kept.source = $1
  and seen_id = $2::bigint
  and seen_xmax = $3::bigint
  and read_id = $4::bigint
  and read_xmin = $5::bigint
returning ''";
const PREPARE: &str = "
select analytics.prepare($2, min(d.at), max(d.at))::text
from json_to_recordset($1) as d (at timestamptz)
join analytics.partitioned as p on p.parent = $2
where d.at between greatest('2000-01-01', p.retired_before) and now() + interval '1 day'
having count(*) > 0";
/// From when on there is something to be loaded of a range: what was let go is not taken again.
const KEPT: &str = "
select greatest($1::timestamptz, retired_before)::text
from analytics.partitioned
where parent = $2";

impl Etl {
    /// Loads what a source has behind its watermark, some rows at a time.
    ///
    /// Numbers are given in order and seen out of it: whoever got one may commit long after whoever got the next. So what
    /// was seen is looked through again until everybody has ended who may have had a number below it, for what transactions
    /// wrote that are no older than the oldest which ran when it was read: a row's `xmin` tells. (Which of them had ended by
    /// then it does not tell: a part of a transaction has a number of its own.)
    pub(super) async fn follow(&self, source: &Source) -> Result<u64, Error> {
        let work = self.step().await?;
        let marked: [String; 5] = texts(work.first(WATERMARK, &[Some(source.name)]).await?.as_ref());
        work.commit().await?;
        let read = self.read().await?;
        let [last, xmin, xmax]: [String; 3] = texts(read.first(source.moment, &[]).await?.as_ref());
        read.end().await?;
        let [settled, seen, seen_xmax, read_id, read_xmin] = marked;
        let known = if comparable(&read_xmin, &xmax) { &read_id } else { &settled };
        let mut loaded = self.behind(source, &settled, &last, known, &read_xmin).await?;
        // Only now: whoever took a number before the last one was looked at, and nothing else yet, has begun by now.
        let read = self.read().await?;
        let begun = read.first(BEGUN, &[]).await?;
        read.end().await?;
        let begun = begun.as_ref().and_then(|row| row.text(0)).unwrap_or("0");
        // What much was read is not left to be looked through by the next load.
        let ended = loaded >= MUCH && self.have_ended(source, begun).await?;
        if ended {
            loaded += self.behind(source, &settled, &last, &last, &xmin).await?;
        }
        let work = self.step().await?;
        let marks = [
            Some(source.name),
            Some(&*seen),
            Some(&*seen_xmax),
            Some(&*read_id),
            Some(&*read_xmin),
            Some(&*last),
            Some(begun),
            Some(&*xmin),
            Some(&*xmax),
            Some(if ended { "t" } else { "f" }),
        ];
        work.rows(MARK, &marks).await?;
        work.commit().await?;
        Ok(loaded)
    }

    /// Loads what there is behind a number up to another; of what is known already what transactions wrote that are no older
    /// than one.
    async fn behind(
        &self,
        source: &Source,
        behind: &str,
        last: &str,
        known: &str,
        oldest: &str,
    ) -> Result<u64, Error> {
        let mut after = behind.to_owned();
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let values = [Some(&*after), Some(last), Some(known), Some(oldest)];
            let rows = read.first(source.behind, &values).await?;
            read.end().await?;
            let Some(next) = rows.as_ref().and_then(|rows| rows.text(1)) else { return Ok(loaded) };
            loaded += self.take(source, rows.as_ref()).await?;
            next.clone_into(&mut after);
        }
    }

    /// Whether all transactions before one have ended, in a moment.
    async fn have_ended(&self, source: &Source, before: &str) -> Result<bool, Error> {
        let before: u64 = before.parse().unwrap_or(u64::MAX);
        for _ in 0..LOOKS {
            let read = self.read().await?;
            let [_, xmin, _]: [String; 3] = texts(read.first(source.moment, &[]).await?.as_ref());
            read.end().await?;
            if xmin.parse().is_ok_and(|xmin: u64| xmin >= before) {
                return Ok(true);
            }
            sleep(LOOK).await;
        }
        Ok(false)
    }

    /// Loads rows that were read, in the parts made for them.
    async fn take(&self, source: &Source, rows: Option<&Fields>) -> Result<u64, Error> {
        let Some(rows) = rows.and_then(|rows| rows.text(0)) else { return Ok(0) };
        let work = self.step().await?;
        work.rows(PREPARE, &[Some(rows), Some(source.table)]).await?;
        work.rows(source.moved, &[Some(rows)]).await?;
        let loaded = count(&work, source.load, &[Some(rows)]).await?;
        work.commit().await?;
        Ok(loaded)
    }

    /// Loads what happened within a range once more, and compares.
    pub(super) async fn again(&self, source: &Source, range: &Range) -> Result<u64, Error> {
        let work = self.step().await?;
        let from = work.first(KEPT, &[Some(&range.from), Some(source.table)]).await?;
        work.commit().await?;
        let from = from.as_ref().and_then(|row| row.text(0)).unwrap_or(&range.from);
        let range = Range { from: from.to_owned(), to: range.to.clone() };
        Ok(self.reload(source, &range).await? + self.reconcile(source, Some(&range)).await?)
    }

    async fn reload(&self, source: &Source, range: &Range) -> Result<u64, Error> {
        let mut after = "0".to_owned();
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let values = [Some(&*range.from), Some(&*range.to), Some(&*after)];
            let rows = read.first(source.within, &values).await?;
            read.end().await?;
            let Some(next) = rows.as_ref().and_then(|rows| rows.text(1)) else { return Ok(loaded) };
            loaded += self.take(source, rows.as_ref()).await?;
            next.clone_into(&mut after);
        }
    }

    /// Compares what is loaded with what is there, by the day, and loads days once more that differ: those of a range, or
    /// the last eight.
    pub(super) async fn reconcile(&self, source: &Source, range: Option<&Range>) -> Result<u64, Error> {
        let values = [range.map(|range| &*range.from), range.map(|range| &*range.to)];
        let read = self.read().await?;
        let there = days(&read.rows(source.days, &values).await?);
        read.end().await?;
        let work = self.step().await?;
        let here = days(&work.rows(source.loaded_days, &values).await?);
        work.commit().await?;
        let mut loaded = 0;
        for day in there.keys().chain(here.keys()).collect::<BTreeSet<_>>() {
            if there.get(day) == here.get(day) {
                continue;
            }
            // First: what was told twice is told once if the first of both is gone.
            loaded += self.forget(source, day).await?;
            loaded += self.reload(source, &Range { from: day.clone(), to: format!("{day} 24:00") }).await?;
        }
        Ok(loaded)
    }

    /// Lets go what is no longer there of a day, and loads what is of another moment now.
    async fn forget(&self, source: &Source, day: &str) -> Result<u64, Error> {
        let days_kept = (source.days_kept)(&self.retention).map(|days| days.to_string());
        let mut after = "0".to_owned();
        let mut loaded = 0;
        loop {
            let work = self.step().await?;
            let rows = work.first(source.loaded, &[Some(day), Some(&after)]).await?;
            work.commit().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { return Ok(loaded) };
            // In one moment: whether a row is there, and what it would have gone with.
            let read = self.read().await?;
            let gone = read.first(source.gone, &[rows.text(0), days_kept.as_deref()]).await?;
            let elsewhere = read.first(source.elsewhere, &[rows.text(0)]).await?;
            read.end().await?;
            let work = self.step().await?;
            work.rows(source.forget, &[Some(day), gone.as_ref().and_then(|row| row.text(0))]).await?;
            work.commit().await?;
            loaded += self.take(source, elsewhere.as_ref()).await?;
            rows.text(1).unwrap_or_default().clone_into(&mut after);
        }
    }
}

/// The first values of a row of numbers.
fn texts<const N: usize>(row: Option<&Fields>) -> [String; N] {
    std::array::from_fn(|place| row.and_then(|row| row.text(place)).unwrap_or("0").to_owned())
}

/// Whether a row's `xmin`, which is the lower half of a transaction's number, tells if that one is before `then`.
fn comparable(then: &str, now: &str) -> bool {
    let [then, now] = [then, now].map(|number| number.parse::<u64>().unwrap_or(0));
    now.checked_sub(then).is_some_and(|since| since < 1 << 31)
}

/// Days, and what tells the rows of each from others.
fn days(rows: &[Fields]) -> BTreeMap<String, String> {
    let day = |row: &Fields| Some((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
    rows.iter().filter_map(day).collect()
}
