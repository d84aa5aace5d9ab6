//! Where a block lies: what a row of `summaries` says beside the summary.
//!
//! ```text
//! row     summary (93) | places.., the whole block first, then its patches from the oldest on; none: the block lies in `blocks` (format 1)
//! place   file | offset | bytes (varints) | seal (16): the last bytes of the record's body
//! ```
//! The seal binds the row to exactly these bytes: other bytes that once lay there, or elsewhere, do not pass for them.

use limosa_core::limits::COMMIT_ENTRIES_MAX;
use limosa_core::varint::{self, Reader};
use limosa_tree::summary::SUMMARY_BYTES;

use super::extent::RECORD_BYTES;

const SEAL_BYTES: usize = 16;

/// Where a record's body lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Number of the extent file.
    pub file: u64,
    /// Where the body starts.
    pub offset: u64,
    /// Bytes of the body.
    pub bytes: u32,
    /// The body's last 16 bytes.
    pub seal: [u8; SEAL_BYTES],
}

impl Place {
    pub(super) fn new(file: u64, offset: u64, body: &[u8]) -> Self {
        Self { file, offset, bytes: u32::try_from(body.len()).expect("a record is far below 4 GiB"), seal: seal_of(body) }
    }

    /// Whether `body` can be what lies there.
    pub(super) fn is_sealed_by(&self, body: &[u8]) -> bool {
        seal_of(body) == self.seal
    }

    /// Bytes of the file that the record takes.
    pub(super) fn record_bytes(&self) -> u64 {
        u64::from(self.bytes) + RECORD_BYTES as u64
    }
}

/// The last bytes of a body; a shorter one counts as preceded by zeros.
fn seal_of(body: &[u8]) -> [u8; SEAL_BYTES] {
    let mut seal = [0; SEAL_BYTES];
    let tail = &body[body.len().saturating_sub(SEAL_BYTES)..];
    seal[SEAL_BYTES - tail.len()..].copy_from_slice(tail);
    seal
}

/// A block's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) summary: Vec<u8>,
    pub(super) places: Vec<Place>,
}

impl Row {
    pub(super) fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.summary.len(), SUMMARY_BYTES);
        let mut out = self.summary.clone();
        for place in &self.places {
            varint::put(&mut out, place.file);
            varint::put(&mut out, place.offset);
            varint::put(&mut out, u64::from(place.bytes));
            out.extend_from_slice(&place.seal);
        }
        out
    }

    /// `None` when the bytes are no row.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (summary, places) = bytes.split_at_checked(SUMMARY_BYTES)?;
        let mut reader = Reader::new(places);
        let mut row = Self { summary: summary.to_vec(), places: Vec::new() };
        while !reader.is_empty() {
            let file = reader.varint("place.file").ok()?;
            let offset = reader.varint("place.offset").ok()?;
            let bytes = reader.varint_max("place.bytes", u64::from(u32::MAX)).ok()?;
            let seal = reader.array("place.seal").ok()?;
            row.places.push(Place { file, offset, bytes: u32::try_from(bytes).ok()?, seal });
        }
        (row.places.len() as u64 <= COMMIT_ENTRIES_MAX).then_some(row)
    }

    /// Bytes of the whole block, of its patches, and how many these are.
    pub(super) fn shape(&self) -> Option<Shape> {
        let (whole, patches) = self.places.split_first()?;
        let patch_bytes = patches.iter().map(|place| u64::from(place.bytes)).sum();
        Some(Shape { whole_bytes: u64::from(whole.bytes), patch_bytes, patches: patches.len() })
    }
}

/// What lies on the disk of one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Bytes of the whole block.
    pub whole_bytes: u64,
    /// Bytes of its patches, together.
    pub patch_bytes: u64,
    /// Number of its patches.
    pub patches: usize,
}
