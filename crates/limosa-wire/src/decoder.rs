//! Messages out of a stream of bytes that arrive in pieces of any size.

use bytes::{Bytes, BytesMut};

use limosa_core::limits::MESSAGE_BYTES_MAX;

use crate::codec::{Context, decode};
use crate::error::{WireError, limit};
use crate::header::{LENGTH_BYTES, message_length};
use crate::message::Message;

/// Room that a reader should have at least: a read that fills it costs little beside a system call.
const ROOM_BYTES: usize = 16 << 10;

/// Collects bytes until a message is whole. Holds one message and one read at most, if every read is followed by [`Decoder::next`] until `None`.
///
/// After an error the stream has no known message boundary any more: the connection must be closed.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    message_bytes_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(MESSAGE_BYTES_MAX)
    }
}

impl Decoder {
    /// Refuses messages of more than `message_bytes_max` bytes, from their length field: a listener allows less before Hello.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), message_bytes_max: message_bytes_max.min(MESSAGE_BYTES_MAX) }
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
    /// What [`decode`] says of the message.
    #[allow(clippy::should_implement_trait)] // an iterator ends at `None`, this goes on
    pub fn next(&mut self) -> Result<Option<(Message, Context, usize)>, WireError> {
        let Some(whole) = self.next_bytes()? else { return Ok(None) };
        let bytes = whole.len();
        let (message, context) = decode(whole)?;
        Ok(Some((message, context, bytes)))
    }

    /// Called when the stream ended.
    ///
    /// # Errors
    /// It ended inside a message.
    pub fn finish(&self) -> Result<(), WireError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(WireError::Damaged { why: "the connection ended inside it" }) }
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(&length_field) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let whole = message_length(length_field)?;
        limit("a message", whole, self.message_bytes_max)?;
        if self.buffer.len() < whole {
            self.buffer.reserve(whole - self.buffer.len());
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(whole).freeze()))
    }
}
