//! The bytes before an envelope.
//!
//! ```text
//! 0  4  length    big-endian: bytes behind this field
//! 4  4  checksum  big-endian: CRC-32 (IEEE) of the length field and of everything behind this field
//! 8  1  format    1
//! 9  .. envelope length (varint) | envelope | columns
//! ```

use limosa_core::limits::MESSAGE_BYTES_MAX;

use crate::error::{WireError, limit};

/// The layout of messages that this program reads and writes.
pub const FORMAT: u8 = 1;
/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of the length, the checksum and the format.
pub const HEADER_BYTES: usize = 9;

/// How many bytes the message that starts with these has in all, the length field included.
///
/// # Errors
/// More than `MESSAGE_BYTES_MAX`, or too few for a header: nothing should be allocated for it.
pub fn message_length(length_field: [u8; LENGTH_BYTES]) -> Result<usize, WireError> {
    let behind = u32::from_be_bytes(length_field) as usize;
    limit("a message", behind.saturating_add(LENGTH_BYTES), MESSAGE_BYTES_MAX)?;
    if behind + LENGTH_BYTES <= HEADER_BYTES {
        return Err(WireError::Damaged { why: "a length too short for a header" });
    }
    Ok(behind + LENGTH_BYTES)
}

/// The checksum of a message, given in its parts: what lies behind the checksum field.
pub(crate) fn checksum<'a>(length_field: [u8; LENGTH_BYTES], behind: impl IntoIterator<Item = &'a [u8]>) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length_field);
    behind.into_iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_be_bytes()
}
