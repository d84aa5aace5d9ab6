//! A run of raw bytes behind an envelope, compressed where that pays.
//!
//! zstd is used in one shot on both sides: the decompressor writes straight into a buffer of the declared and checked size,
//! so it needs no window of its own and a stream that would give more fails. What zstd's own header declares is never believed.

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::error::{WireError, limit};
use crate::generated::{self as pb, Compression as Method};

/// Whether sections may be compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// Bytes as they lie: the peer lacks [`crate::features::ZSTD`], or the link is faster than a core compresses.
    Never,
    /// zstd level 1, where a sample shrinks.
    #[default]
    WhereItShrinks,
}

const LEVEL: i32 = 1;
/// Below this compression can't save what its frame costs.
const WORTHWHILE_BYTES: usize = 256;
/// What is compressed first, to see whether the rest would shrink.
const SAMPLE_BYTES: usize = 8 << 10;

thread_local! {
    // Making these costs more than compressing a small frame. They hold no state from one section to the next.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// Describes `raw` and gives the bytes to send. Bytes that are not compressed are shared, not copied.
pub(crate) fn pack(raw: Bytes, compression: Compression) -> (pb::Section, Bytes) {
    let packed = (compression == Compression::WhereItShrinks).then(|| compress(&raw)).flatten();
    let (bytes, method, raw_bytes) = match packed {
        Some(packed) => (Bytes::from(packed), Method::Zstd, raw.len()),
        None => (raw, Method::None, 0),
    };
    let section = pb::Section { bytes: to_u32(bytes.len()), compression: method.into(), raw_bytes: to_u32(raw_bytes) };
    (section, bytes)
}

/// Cuts a section off the front of `columns`; it must not have more than `max` bytes when decompressed.
pub(crate) fn unpack(columns: &mut Bytes, section: Option<pb::Section>, what: &'static str, max: usize) -> Result<Bytes, WireError> {
    let section = section.ok_or(WireError::invalid(what, "it is missing"))?;
    let count = section.bytes as usize;
    if count > columns.len() {
        return Err(WireError::invalid(what, "it is longer than the columns"));
    }
    let bytes = columns.split_to(count);
    match section.compression() {
        Method::None if section.compression == Method::None as i32 => {
            limit(what, count, max)?;
            Ok(bytes)
        }
        Method::Zstd => decompress(&bytes, section.raw_bytes as usize, what, max),
        Method::None => Err(WireError::invalid(what, "an unknown compression")),
    }
}

fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() < WORTHWHILE_BYTES {
        return None;
    }
    if raw.len() > 2 * SAMPLE_BYTES {
        squeeze(&raw[..SAMPLE_BYTES])?;
    }
    squeeze(raw)
}

fn squeeze(raw: &[u8]) -> Option<Vec<u8>> {
    let packed = COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(raw).ok())?;
    shrinks(packed.len(), raw.len()).then_some(packed)
}

/// A sixteenth less at least: less than that is not worth the peer's time to decompress.
fn shrinks(packed: usize, raw: usize) -> bool {
    packed + raw / 16 < raw
}

fn decompress(bytes: &[u8], raw_bytes: usize, what: &'static str, max: usize) -> Result<Bytes, WireError> {
    limit(what, raw_bytes, max)?;
    let mut out = Vec::with_capacity(raw_bytes);
    let written = DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.as_mut()?.decompress_to_buffer(bytes, &mut out).ok());
    if written.ok_or(WireError::invalid(what, "it does not decompress"))? != raw_bytes {
        return Err(WireError::invalid(what, "it decompresses to another size than declared"));
    }
    Ok(out.into())
}

pub(crate) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).expect("sections are bounded by the limits of a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(raw: &[u8]) -> (pb::Section, Bytes) {
        pack(Bytes::copy_from_slice(raw), Compression::WhereItShrinks)
    }

    #[test]
    fn what_shrinks_is_compressed_and_what_does_not_is_shared() {
        let text = b"state moves ".repeat(4000);
        let (section, mut bytes) = packed(&text);
        assert!(bytes.len() < text.len() / 20);
        assert_eq!(unpack(&mut bytes, Some(section), "values", text.len()), Ok(Bytes::from(text)));

        let raw = Bytes::from(noise(40_000));
        let (section, bytes) = pack(raw.clone(), Compression::WhereItShrinks);
        assert_eq!(section.compression(), Method::None);
        assert_eq!(bytes.as_ptr(), raw.as_ptr(), "not a copy");
    }

    #[test]
    fn a_refused_section_leaves_nothing_behind_for_the_next() {
        let text = b"state moves ".repeat(4000);
        let (section, bytes) = packed(&text);
        assert!(unpack(&mut bytes.slice(..bytes.len() / 2), Some(section), "values", text.len()).is_err());
        let half = pb::Section { bytes: section.bytes / 2, ..section };
        assert!(unpack(&mut bytes.clone(), Some(half), "values", text.len()).is_err());
        assert_eq!(unpack(&mut bytes.clone(), Some(section), "values", text.len()), Ok(Bytes::from(text)));
    }

    /// A xorshift generator: nothing that zstd can shrink.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_bomb_is_refused_whatever_size_it_declares() {
        let bomb = zstd::bulk::compress(&vec![0u8; 64 << 20], LEVEL).expect("compresses");
        assert!(bomb.len() < 16 << 10);
        for declared in [0, 1000, 1 << 20, (1 << 20) + 1, 64 << 20, u32::MAX as usize] {
            let section = pb::Section { bytes: to_u32(bomb.len()), compression: Method::Zstd.into(), raw_bytes: to_u32(declared) };
            let result = unpack(&mut Bytes::from(bomb.clone()), Some(section), "values", 1 << 20);
            assert!(matches!(result, Err(WireError::TooLarge { .. } | WireError::Malformed(_))), "declared {declared}: {result:?}");
        }
    }

    #[test]
    fn an_unknown_compression_is_refused() {
        let section = pb::Section { bytes: 1, compression: 7, raw_bytes: 0 };
        assert!(unpack(&mut Bytes::from_static(b"x"), Some(section), "values", 9).is_err());
    }
}
