use std::collections::{BTreeMap, BTreeSet};

use super::statements::{
    ACTIVITIES, ACTIVITIES_IN, ACTIVITY_DAYS, BOARD_DIGESTS, ENTRIES, ENTRIES_OF_BOARD, FORGET_ACTIVITIES,
    GONE_ENTRIES, LOAD_ACTIVITIES, LOAD_ENTRIES, LOAD_USER_ACTIONS, LOADED_DAYS, MARK, MOMENT,
    NUMBERS_OF_DAY, OTHER_BOARDS, PREPARE, SETTLE, USER_ACTIONS, WATERMARK,
};
use super::{Etl, Range, count};
use crate::postgres::{Error, Fields, Work};

/// What a source is, and how it is read and loaded.
struct Source {
    name: &'static str,
    /// Rows behind one number up to another, as JSON: at most so many, and the last one's number.
    read: &'static str,
    /// Takes them.
    load: &'static str,
    /// The moment that is looked at before: the last number, and the transactions that had not begun.
    moment: &'static str,
}

const ACTIVITY: Source =
    Source { name: "activities", read: ACTIVITIES, load: LOAD_ACTIVITIES, moment: MOMENT[0] };
const ACTION: Source =
    Source { name: "user_actions", read: USER_ACTIONS, load: LOAD_USER_ACTIONS, moment: MOMENT[1] };

impl Etl {
    pub(super) async fn activities(&self) -> Result<u64, Error> {
        self.follow(&ACTIVITY).await
    }

    pub(super) async fn user_actions(&self) -> Result<u64, Error> {
        self.follow(&ACTION).await
    }

    /// Loads what a source has behind its watermark, some rows at a time.
    async fn follow(&self, source: &Source) -> Result<u64, Error> {
        let read = self.read().await?;
        let moment = read.first(source.moment, &[]).await?;
        read.end().await?;
        let text = |place| moment.as_ref().and_then(|row| row.text(place)).unwrap_or("0").to_owned();
        let (last, xmin, xmax) = (text(0), text(1), text(2));
        let work = self.step().await?;
        // What was not settled when it was read last, is by now if all have ended that ran then.
        let settled = work.first(SETTLE, &[Some(source.name), Some(&xmin)]).await?;
        work.commit().await?;
        let mut after =
            settled.and_then(|row| row.text(0).map(str::to_owned)).unwrap_or_else(|| "0".to_owned());
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let rows = read.first(source.read, &[Some(&after), Some(&last)]).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { break };
            let work = self.step().await?;
            prepare(&work, rows.text(0)).await?;
            loaded += count(&work, source.load, &[rows.text(0)]).await?;
            work.commit().await?;
            rows.text(1).unwrap_or_default().clone_into(&mut after);
        }
        let work = self.step().await?;
        work.rows(MARK, &[Some(source.name), Some(&last), Some(&xmax)]).await?;
        work.commit().await?;
        Ok(loaded)
    }

    /// Loads the cards that have changed since they were read last, or up to so long before.
    pub(super) async fn entries(&self, before: &str) -> Result<u64, Error> {
        let work = self.step().await?;
        let since = work.first(WATERMARK, &[Some("entries"), Some(before)]).await?;
        work.commit().await?;
        let mut after =
            (since.and_then(|row| row.text(0).map(str::to_owned)).unwrap_or_default(), "0".to_owned());
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let rows = read.first(ENTRIES, &[Some(&after.0), Some(&after.1)]).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { break };
            after =
                (rows.text(1).unwrap_or_default().to_owned(), rows.text(2).unwrap_or_default().to_owned());
            let work = self.step().await?;
            loaded += count(&work, LOAD_ENTRIES, &[rows.text(0), Some(&after.0)]).await?;
            work.commit().await?;
        }
        Ok(loaded)
    }

    /// Loads what happened within a range.
    pub(super) async fn reload(&self, range: &Range) -> Result<u64, Error> {
        let mut after = "0".to_owned();
        let mut loaded = 0;
        loop {
            let read = self.read().await?;
            let values = [Some(&*range.from), Some(&*range.to), Some(&*after)];
            let rows = read.first(ACTIVITIES_IN, &values).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { return Ok(loaded) };
            let work = self.step().await?;
            prepare(&work, rows.text(0)).await?;
            loaded += count(&work, LOAD_ACTIVITIES, &[rows.text(0)]).await?;
            work.commit().await?;
            rows.text(1).unwrap_or_default().clone_into(&mut after);
        }
    }

    /// Compares what is loaded with what is there, and loads what differs once more: activities of some days, the last
    /// eight without a range, and the cards of all boards.
    pub(super) async fn reconcile(&self, range: Option<&Range>) -> Result<u64, Error> {
        let values = [range.map(|range| &*range.from), range.map(|range| &*range.to)];
        let read = self.read().await?;
        let there = days(&read.rows(ACTIVITY_DAYS, &values).await?);
        read.end().await?;
        let work = self.step().await?;
        let here = days(&work.rows(LOADED_DAYS, &values).await?);
        work.commit().await?;
        let mut loaded = 0;
        // The oldest may be gone in part: what the application lets go in time is kept here.
        let oldest = there.keys().next().cloned();
        for day in there.keys().chain(here.keys()).collect::<BTreeSet<_>>() {
            if there.get(day) == here.get(day) {
                continue;
            }
            loaded += self.reload(&Range { from: day.clone(), to: format!("{day} 24:00") }).await?;
            if oldest.as_ref().is_some_and(|oldest| day > oldest) {
                self.forget(day).await?;
            }
        }
        Ok(loaded + self.boards().await?)
    }

    /// Lets go what is no longer among a day's activities.
    async fn forget(&self, day: &str) -> Result<(), Error> {
        let read = self.read().await?;
        let numbers = read.first(NUMBERS_OF_DAY, &[Some(day)]).await?;
        read.end().await?;
        let work = self.step().await?;
        work.rows(FORGET_ACTIVITIES, &[Some(day), numbers.as_ref().and_then(|row| row.text(0))]).await?;
        work.commit().await.map(drop)
    }

    /// Loads the cards of boards once more of which others are loaded than are there, and marks those that are gone.
    async fn boards(&self) -> Result<u64, Error> {
        let read = self.read().await?;
        let there = read.first(BOARD_DIGESTS, &[]).await?;
        read.end().await?;
        let work = self.step().await?;
        let boards = work.rows(OTHER_BOARDS, &[there.as_ref().and_then(|row| row.text(0))]).await?;
        work.commit().await?;
        let mut changed = 0;
        for board in boards.iter().filter_map(|row| row.text(0)) {
            changed += self.board(board).await?;
        }
        Ok(changed)
    }

    async fn board(&self, board: &str) -> Result<u64, Error> {
        const NUMBERS: &str =
            "select coalesce(jsonb_agg(id), '[]')::text from public.entries where board_id = $1::bigint";
        let mut changed = 0;
        let mut after = "0".to_owned();
        loop {
            let read = self.read().await?;
            let rows = read.first(ENTRIES_OF_BOARD, &[Some(board), Some(&after)]).await?;
            read.end().await?;
            let Some(rows) = rows.filter(|rows| rows.text(1).is_some()) else { break };
            let work = self.step().await?;
            changed += count(&work, LOAD_ENTRIES, &[rows.text(0), Some("-infinity")]).await?;
            work.commit().await?;
            rows.text(1).unwrap_or_default().clone_into(&mut after);
        }
        let read = self.read().await?;
        let numbers = read.first(NUMBERS, &[Some(board)]).await?;
        read.end().await?;
        let work = self.step().await?;
        let numbers = numbers.as_ref().and_then(|row| row.text(0));
        changed += count(&work, GONE_ENTRIES, &[Some(board), numbers]).await?;
        work.commit().await?;
        Ok(changed)
    }
}

/// Days, and what tells the rows of each from others.
fn days(rows: &[Fields]) -> BTreeMap<String, String> {
    let day = |row: &Fields| Some((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
    rows.iter().filter_map(day).collect()
}

/// Makes the parts that the rows go into.
async fn prepare(work: &Work, rows: Option<&str>) -> Result<(), Error> {
    work.rows(PREPARE, &[rows]).await.map(drop)
}
