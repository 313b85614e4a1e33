use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::stream::{Archive, Passage, Ride};
use super::window::{Hold, Read, Standing, Tail, Window};
use crate::event::{Incarnation, Position, Record};
use crate::protocol::ResyncReason;

/// The journal, to be read by position. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Journal {
    window: Window,
    /// What lies before the window, if that is kept anywhere.
    archive: Option<Archive>,
}

/// Reads what lies before the window, for one reader.
#[derive(Debug)]
pub struct CatchUp {
    journal: Journal,
    incarnation: Incarnation,
    passage: Option<Passage>,
}

impl Journal {
    pub(super) fn new(window: Window, archive: Option<Archive>) -> Self {
        Self { window, archive }
    }

    /// Where the journal ends.
    pub fn tail(&self) -> Tail {
        self.window.tail()
    }

    /// At most `limit` records after `position` in the life `incarnation`, from the window.
    ///
    /// Anything that is not the end of a transaction in this life and within its bounds is a [`Read::Gap`].
    pub fn read(&self, incarnation: Incarnation, position: Position, limit: usize) -> Read {
        self.window.read(incarnation, position, limit)
    }

    /// As [`Journal::read`], for one who has read up to `position` already: the end of any record.
    pub fn read_on(&self, incarnation: Incarnation, position: Position, limit: usize) -> Read {
        self.window.read_on(incarnation, position, limit)
    }

    /// Keeps what follows a position in the life `incarnation`, for one who will read it.
    #[must_use = "nothing is held once it is dropped"]
    pub fn hold(&self, incarnation: Incarnation, position: Position) -> Hold {
        self.window.hold(incarnation, position)
    }

    /// Why a cursor cannot be resumed, if it cannot.
    ///
    /// # Errors
    /// [`NotYet`] if it is of another process that has read more of the journal: ask again when this one has moved on.
    pub fn refuse(
        &self,
        incarnation: Incarnation,
        position: Position,
    ) -> Result<Option<ResyncReason>, NotYet> {
        Ok(Some(match (self.window.standing(incarnation, position), &self.archive) {
            (Standing::Kept, _) | (Standing::Older, Some(_)) => return Ok(None),
            (Standing::Ahead | Standing::OfLaterLife, Some(_)) => return Err(NotYet),
            (Standing::Older, None) => ResyncReason::CursorExpired,
            (Standing::OfFormerLife | Standing::OfLaterLife, _) => ResyncReason::SourceReset,
            (Standing::Ahead | Standing::Nowhere, _) => ResyncReason::CursorInvalid,
        }))
    }

    /// Reads what the window does not have any more, if it is kept elsewhere.
    pub fn catch_up(&self, incarnation: Incarnation) -> Option<CatchUp> {
        self.archive.as_ref().map(|_| CatchUp { journal: self.clone(), incarnation, passage: None })
    }
}

/// A cursor is of another process that has read more of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process has not read as far yet")]
pub struct NotYet;

/// How long a reader waits for a place in a reading of the stream before it starts over.
const BOARD_WITHIN: Duration = Duration::from_secs(60);

impl CatchUp {
    /// At most `limit` records after `position`, none if the window has them by now. Waits until there may be one more
    /// reading of the stream.
    ///
    /// # Errors
    /// Why they cannot be had any more.
    pub async fn next(&mut self, position: Position, limit: usize) -> Result<Vec<Arc<Record>>, ResyncReason> {
        let Some(archive) = &self.journal.archive else { return Err(ResyncReason::CursorExpired) };
        loop {
            match self.journal.window.standing(self.incarnation, position) {
                Standing::OfFormerLife => return Err(ResyncReason::SourceReset),
                Standing::Older => {}
                _ => {
                    self.passage = None;
                    return Ok(Vec::new());
                }
            }
            let passage = match self.passage.take() {
                Some(passage) => passage,
                None => timeout(BOARD_WITHIN, archive.board(self.incarnation, position))
                    .await
                    .map_err(|_| ResyncReason::SlowReader)?,
            };
            match passage.next(position, limit).await? {
                Ride::Records(records) => {
                    self.passage = Some(passage);
                    return Ok(records);
                }
                Ride::Arrived | Ride::Left => {}
            }
        }
    }
}
