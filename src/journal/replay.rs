use std::time::Duration;

use tokio::time::timeout;

use super::stream::{Archive, Passage, Ride};
use super::stretch::Stretch;
use super::window::{Hold, Read, Standing, Tail, Window};
use crate::event::{Incarnation, Position};
use crate::protocol::ResyncReason;

/// The journal, to be read by position. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Journal {
    window: Window,
    /// What lies before the window, if that is kept anywhere.
    archive: Option<Archive>,
}

/// Reads the journal for one who catches up, from the window or from what is kept behind it.
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

    /// Reads the journal in stretches, for one who catches up in the life `incarnation`.
    pub fn catch_up(&self, incarnation: Incarnation) -> CatchUp {
        CatchUp { journal: self.clone(), incarnation, passage: None }
    }
}

/// A cursor is of another process that has read more of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process has not read as far yet")]
pub struct NotYet;

/// How long a reader waits for a place in a reading of the stream before it starts over.
const BOARD_WITHIN: Duration = Duration::from_mins(1);

impl CatchUp {
    /// The stretch that follows `position`, the end of a record, up to `until`, which is further on: the end of a
    /// transaction that the window has. Waits until there may be one more reading of the stream, where it needs one.
    ///
    /// # Errors
    /// Why it cannot be had any more.
    pub async fn next(&mut self, position: Position, until: Position) -> Result<Stretch, ResyncReason> {
        let Journal { window, archive } = &self.journal;
        loop {
            if let Some(stretch) = window.stretch(self.incarnation, position, until) {
                self.passage = None;
                return Ok(stretch);
            }
            let Some(archive) = archive else { return Err(ResyncReason::CursorExpired) };
            match window.standing(self.incarnation, position) {
                Standing::Older => {}
                // The window has moved on in between.
                Standing::Kept => continue,
                Standing::OfFormerLife => return Err(ResyncReason::SourceReset),
                Standing::Ahead | Standing::Nowhere | Standing::OfLaterLife => {
                    return Err(ResyncReason::CursorInvalid);
                }
            }
            let passage = if let Some(passage) = &self.passage {
                passage
            } else {
                let boarded = timeout(BOARD_WITHIN, archive.board(self.incarnation, position)).await;
                self.passage.insert(boarded.map_err(|_| ResyncReason::SlowReader)?)
            };
            // Kept over what follows: whoever is broken off while it waits goes on in the same reading.
            match passage.next(position).await? {
                Ride::Block(block) => return Ok(Stretch::of_block(block, until)),
                Ride::Arrived | Ride::Left => self.passage = None,
            }
        }
    }
}
