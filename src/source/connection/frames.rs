use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use postgres_protocol::message::backend::{COPY_DATA_TAG, Header, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::super::Error;

/// One read takes as much as a busy socket holds, and a journal that keeps a row keeps at most this much beside it.
const READ_BYTES: usize = 256 * 1024;
/// Less room than this and a new buffer is taken, instead of many small reads.
const LEAST_ROOM_BYTES: usize = 16 * 1024;
/// PostgreSQL's own limit of a message, `MaxAllocSize`.
const LARGEST_BYTES: usize = 1 << 30;
/// Before it is known who is at the other end; libpq has 30,000 here.
const LARGEST_AT_LOGIN_BYTES: usize = 64 * 1024;
/// A byte of kind and four of length.
const HEADER_BYTES: usize = 5;
const COPY_BOTH_TAG: u8 = b'W';

/// Cuts what is received into messages, without copying them.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    largest_bytes: usize,
}

/// What stands at the front of the buffer.
struct Front {
    tag: u8,
    total_bytes: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), largest_bytes: LARGEST_AT_LOGIN_BYTES }
    }

    /// The server is the one: it may send large messages from now on.
    pub(super) const fn trust(&mut self) {
        self.largest_bytes = LARGEST_BYTES;
    }

    /// Takes the content of a `CopyData`, if one is complete at the front.
    pub(super) fn copy_data(&mut self) -> Result<Option<Bytes>, Error> {
        match self.front()? {
            Some(Front { tag: COPY_DATA_TAG, total_bytes }) if self.buffer.len() >= total_bytes => {
                let mut frame = self.buffer.split_to(total_bytes);
                frame.advance(HEADER_BYTES);
                Ok(Some(frame.freeze()))
            }
            _ => Ok(None),
        }
    }

    /// Takes a message of any other kind, if one is complete at the front.
    pub(super) fn message(&mut self) -> Result<Option<Message>, Error> {
        match self.front()? {
            Some(Front { total_bytes, .. }) if self.buffer.len() >= total_bytes => {
                Message::parse(&mut self.buffer).map_err(Error::Lost)
            }
            _ => Ok(None),
        }
    }

    /// Takes a `CopyBothResponse`, if one is complete at the front; `postgres-protocol` does not know it.
    pub(super) fn takes_copy_both(&mut self) -> Result<bool, Error> {
        match self.front()? {
            Some(Front { tag: COPY_BOTH_TAG, total_bytes }) if self.buffer.len() >= total_bytes => {
                self.buffer.advance(total_bytes);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Reads once. Cancel safe.
    pub(super) async fn fill(&mut self, transport: &mut (impl AsyncRead + Unpin)) -> Result<usize, Error> {
        self.make_room()?;
        match transport.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Error::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(bytes) => Ok(bytes),
            Err(source) => Err(Error::Lost(source)),
        }
    }

    fn front(&self) -> Result<Option<Front>, Error> {
        let Some(header) = Header::parse(&self.buffer).map_err(Error::Lost)? else { return Ok(None) };
        let total_bytes = usize::try_from(header.len()).unwrap_or(usize::MAX).saturating_add(1);
        if total_bytes > self.largest_bytes {
            return Err(Error::Unexpected("a message is larger than any can be"));
        }
        Ok(Some(Front { tag: header.tag(), total_bytes }))
    }

    /// A message larger than the buffer gets one of its own, of exactly its size: small ones behind it would keep
    /// all of it in memory.
    fn make_room(&mut self) -> Result<(), Error> {
        let needed = self.front()?.map_or(0, |front| front.total_bytes);
        if needed > READ_BYTES {
            if self.buffer.capacity() < needed {
                let mut large = BytesMut::with_capacity(needed);
                large.extend_from_slice(&self.buffer);
                self.buffer = large;
            }
        } else if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn frame(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = vec![tag];
        frame.put_u32(u32::try_from(content.len() + 4).expect("small"));
        frame.extend_from_slice(content);
        frame
    }

    async fn all_of(input: &[u8], largest_bytes: usize) -> Result<Vec<Bytes>, Error> {
        let mut frames = Frames::new();
        frames.largest_bytes = largest_bytes;
        let mut reader = input;
        let mut taken = Vec::new();
        while frames.fill(&mut reader).await.is_ok() {
            while let Some(frame) = frames.copy_data()? {
                taken.push(frame);
            }
        }
        Ok(taken)
    }

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_whatever_their_size() {
        let sizes = [0, 1, 30, READ_BYTES - 5, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES, 7, 0, 100];
        let contents: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| vec![u8::try_from(index).expect("few"); *size])
            .collect();
        let input: Vec<u8> = contents.iter().flat_map(|content| frame(COPY_DATA_TAG, content)).collect();
        assert_eq!(all_of(&input, LARGEST_BYTES).await.expect("whole"), contents);
    }

    #[tokio::test]
    async fn a_small_frame_behind_a_large_one_does_not_share_its_memory() {
        let mut input = frame(COPY_DATA_TAG, &vec![1; 4 * READ_BYTES]);
        input.extend(frame(COPY_DATA_TAG, b"small"));
        let taken = all_of(&input, LARGEST_BYTES).await.expect("whole");
        assert!(!taken[0].as_ptr_range().contains(&taken[1].as_ptr()));
        assert!(taken[0].clone().try_into_mut().is_err_and(|shared| !shared.is_unique()));
        let mut taken = taken.into_iter();
        assert!(taken.next().expect("the large one").try_into_mut().is_ok(), "nobody else holds it");
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_or_below_its_own_is_refused() {
        let input = frame(COPY_DATA_TAG, &[0; 200]);
        assert!(all_of(&input, 100).await.is_err());
        let mut frames = Frames::new();
        frames.buffer.extend_from_slice(b"d\0\0\0\x03");
        assert!(frames.copy_data().is_err());
        let mut frames = Frames::new();
        frames.buffer.extend_from_slice(b"d\xFF\xFF\xFF\xFF");
        assert!(frames.copy_data().is_err());
    }
}
