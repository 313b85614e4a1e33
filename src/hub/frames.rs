use std::sync::Arc;

use super::judge::{Images, Undecided, Verdict};
use super::outbox::{Delivery, Stamp};
use super::selection::{Fingerprint, Rows};
use crate::event::{ChannelEvent, Chunk, EventForm, OF_POSTGRES, write_json_string};
use crate::protocol::{Frame, Origin};

/// Gathers what one selection sees of one transaction into as few frames as their size allows.
#[derive(Debug, Default)]
pub(super) struct FrameBuilder {
    truncated: bool,
    /// JSON arrays that are full, without the closing bracket.
    full: Vec<Vec<u8>>,
    /// The JSON array in work, without the closing bracket; empty before its first change.
    open: Vec<u8>,
}

/// What most arrays of changes fit into.
const ARRAY_BYTES: usize = 512;

impl FrameBuilder {
    pub(super) fn truncate(&mut self) {
        self.truncated = true;
    }

    pub(super) fn push(
        &mut self,
        rows: &Rows,
        images: &Images<'_>,
        verdict: Verdict,
        frame_bytes: usize,
    ) -> Result<(), Undecided> {
        if verdict == Verdict::Nothing {
            return Ok(());
        }
        if self.open.len() >= frame_bytes {
            self.full.push(std::mem::take(&mut self.open));
        }
        if self.open.is_empty() {
            self.open.reserve(ARRAY_BYTES);
        }
        self.open.push(if self.open.is_empty() { b'[' } else { b',' });
        rows.write_change(images, verdict, &mut self.open)
    }

    /// The frames, of which only the last one has a cursor.
    pub(super) fn finish(self, stamp: &Stamp, origin: &Origin, shape: Fingerprint) -> Vec<Arc<Delivery>> {
        let lsn = stamp.position.commit_lsn;
        let mut arrays = self.full;
        if !self.open.is_empty() {
            arrays.push(self.open);
        }
        let mut frames = Vec::with_capacity(arrays.len() + usize::from(self.truncated));
        if self.truncated {
            frames.push(Frame::truncate(lsn));
        }
        let count = arrays.len();
        for (index, mut array) in arrays.into_iter().enumerate() {
            array.push(b']');
            frames.push(Frame::changes(origin, index + 1 == count, &array));
        }
        stamp_last(frames, stamp, Some(shape))
    }
}

/// The frame of the events that a transaction emitted on one channel, each with its index among its changes.
pub(super) fn events_frame(
    chunk: &Chunk,
    events: &[(u32, &ChannelEvent)],
    stamp: &Stamp,
) -> Vec<Arc<Delivery>> {
    let mut out = Vec::with_capacity(256);
    out.push(b'[');
    for (index, event) in events {
        if out.len() > 1 {
            out.push(b',');
        }
        match event.form {
            EventForm::Data => write_cloud_event(chunk, *index, event, &mut out),
            EventForm::CloudEvent => out.extend_from_slice(&event.data),
        }
    }
    out.push(b']');
    stamp_last(vec![Frame::events(stamp.position.commit_lsn, &out)], stamp, None)
}

/// One event in the JSON format of CloudEvents 1.0.
///
/// See <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
fn write_cloud_event(chunk: &Chunk, index: u32, event: &ChannelEvent, out: &mut Vec<u8>) {
    let (lsn, time) = (chunk.commit_lsn, chunk.committed_at);
    let head = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{lsn}/{index}\",\"source\":\"{OF_POSTGRES}\",\
         \"type\":\"tidegate.message\",\"subject\":"
    );
    out.extend_from_slice(head.as_bytes());
    write_json_string(event.channel.as_bytes(), out);
    out.extend_from_slice(
        format!(",\"time\":\"{time}\",\"datacontenttype\":\"application/json\",\"data\":").as_bytes(),
    );
    out.extend_from_slice(&event.data);
    out.push(b'}');
}

fn stamp_last(frames: Vec<Frame>, stamp: &Stamp, shape: Option<Fingerprint>) -> Vec<Arc<Delivery>> {
    let count = frames.len();
    let stamped = |(index, frame)| {
        let cursor = (index + 1 == count).then(|| stamp.clone());
        Arc::new(Delivery { frame, cursor, shape })
    };
    frames.into_iter().enumerate().map(stamped).collect()
}
