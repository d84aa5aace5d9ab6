//! Messages out of a stream of bytes that arrive in pieces of any size.

use bytes::{Bytes, BytesMut};

use limosa_core::limits::MESSAGE_BYTES_MAX;

use crate::codec::{Context, decode_piece};
use crate::error::{WireError, limit};
use crate::header::{LENGTH_BYTES, message_length};
use crate::limits::LIVE_JOINED_BYTES_MAX;
use crate::message::{Live, Message};

/// Room that a reader should have at least: a read that fills it costs little beside a system call.
const ROOM_BYTES: usize = 16 << 10;

/// What a length is believed for, before more than a few bytes came.
const VOUCHED_BYTES: usize = 256 << 10;

/// Collects bytes until a message is whole, and joins records that were cut. Beside those it holds one message and one read at most,
/// if every read is followed by [`Decoder::next`] until `None`.
///
/// After an error the stream has no known message boundary any more: the connection must be closed.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    message_bytes_max: usize,
    /// Records whose last piece has not come.
    cut: Vec<u8>,
    /// Bytes on the wire of the pieces so far.
    cut_bytes: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MESSAGE_BYTES_MAX)
    }
}

impl Decoder {
    /// Refuses messages of more than `message_bytes_max` bytes, from their length field: a listener allows less before Hello.
    pub fn new(message_bytes_max: usize) -> Self {
        let message_bytes_max = message_bytes_max.min(MESSAGE_BYTES_MAX);
        Self { buffer: BytesMut::new(), message_bytes_max, cut: Vec::new(), cut_bytes: 0 }
    }

    /// Changes the limit for the messages that follow.
    pub fn set_message_bytes_max(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max.min(MESSAGE_BYTES_MAX);
    }

    /// Takes bytes that were read elsewhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where an async reader reads to (`read_buf`), without a copy in between. It only ever appends.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(ROOM_BYTES);
        &mut self.buffer
    }

    /// The next message, with its bytes on the wire; `None` when more bytes are needed.
    ///
    /// # Errors
    /// What [`crate::decode`] says of the message; records that were cut and do not go on, or grow beyond the longest commit.
    #[allow(clippy::should_implement_trait)] // an iterator ends at `None`, this goes on
    pub fn next(&mut self) -> Result<Option<(Message, Context, usize)>, WireError> {
        while let Some(whole) = self.next_bytes()? {
            let bytes = whole.len() + std::mem::take(&mut self.cut_bytes);
            let (message, context, goes_on) = decode_piece(whole)?;
            let Some(message) = self.join(message, goes_on)? else {
                self.cut_bytes = bytes;
                continue;
            };
            return Ok(Some((message, context, bytes)));
        }
        Ok(None)
    }

    /// The message with everything that came before it of its records; `None` when they go on.
    fn join(&mut self, message: Message, goes_on: bool) -> Result<Option<Message>, WireError> {
        if self.cut.is_empty() && !goes_on {
            return Ok(Some(message));
        }
        let Message::Live(live) = message else { return Err(WireError::invalid("live.more", "records that do not go on")) };
        if live.records.is_empty() {
            return Err(WireError::invalid("live.records", "an empty piece")); // many of them would never end
        }
        limit("records that were cut", self.cut.len() + live.records.len(), LIVE_JOINED_BYTES_MAX)?;
        self.cut.extend_from_slice(&live.records);
        if goes_on {
            return Ok(None);
        }
        Ok(Some(Message::Live(Live { records: std::mem::take(&mut self.cut).into(), ..live })))
    }

    /// Called when the stream ended.
    ///
    /// # Errors
    /// It ended inside a message.
    pub fn finish(&self) -> Result<(), WireError> {
        if self.buffer.is_empty() && self.cut.is_empty() {
            Ok(())
        } else {
            Err(WireError::Damaged { why: "the connection ended inside it" })
        }
    }

    /// Room for what is still to come of a message of `whole` bytes, as far as what came vouches for the length: a header alone makes nobody
    /// allocate a whole message, and a frame is moved at most once while it arrives.
    fn reserve(&mut self, whole: usize) {
        let vouched = (self.buffer.len() * 8).max(VOUCHED_BYTES);
        self.buffer.reserve((whole - self.buffer.len()).min(vouched));
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(&length_field) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let whole = message_length(length_field)?;
        limit("a message", whole, self.message_bytes_max)?;
        if self.buffer.len() < whole {
            self.reserve(whole);
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(whole).freeze()))
    }
}
