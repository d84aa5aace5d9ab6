//! A commit group: what one write appends to the journal.

use super::record::{self, Record, RecordError, RecordKind};
use super::{Chain, Point, Position};
use crate::error::StoreError;
use limosa_core::limits::COMMIT_BYTES_MAX;
use limosa_core::varint::{self, Reader};

/// Most bytes of a group's body: the largest commit, and room for what was pending before it.
pub const BODY_BYTES_MAX: usize = COMMIT_BYTES_MAX + (64 << 20);
/// Bytes of a group's header.
pub(crate) const HEADER_BYTES: usize = 56;
pub(crate) const MAGIC: [u8; 4] = *b"LGRP";

const _: () = assert!(BODY_BYTES_MAX < u32::MAX as usize, "lengths and counts of a group fit 32 bits");

/// Records on their way into the journal, in one reusable buffer.
///
/// A group knows the position of its first record from the start, so that a record has its position before it is written.
#[derive(Debug)]
pub struct Group {
    first: Position,
    count: u32,
    /// Whether it holds frames of a transfer: bytes that nobody will read soon.
    is_bulk: bool,
    /// The header's room, then the body: one buffer, so that one write takes both.
    bytes: Vec<u8>,
}

impl Group {
    /// An empty group whose first record will stand at `first`.
    pub fn new(first: Position) -> Self {
        Self { first, count: 0, is_bulk: false, bytes: vec![0; HEADER_BYTES] }
    }

    /// Empties it for records from `first` on; the buffer is kept.
    pub fn restart(&mut self, first: Position) {
        self.first = first;
        self.count = 0;
        self.is_bulk = false;
        self.bytes.truncate(HEADER_BYTES);
    }

    /// Appends a record and answers its position.
    ///
    /// # Errors
    /// The group would pass [`BODY_BYTES_MAX`]: write it first. Nothing was appended.
    pub fn push(&mut self, kind: RecordKind, body: &[u8]) -> Result<Position, StoreError> {
        self.push_pieces(kind, &[body])
    }

    /// As [`Group::push`], with a body that lies in pieces.
    ///
    /// # Errors
    /// As [`Group::push`].
    pub fn push_pieces(&mut self, kind: RecordKind, body: &[&[u8]]) -> Result<Position, StoreError> {
        check_room(self.body_bytes(), record::body_bytes(body))?;
        record::put(&mut self.bytes, kind, body);
        self.is_bulk |= kind == RecordKind::StageFrame;
        let position = self.next();
        self.count += 1;
        Ok(position)
    }

    /// As [`Group::push`], with a body of about `guess` bytes that `write` appends where it will lie.
    ///
    /// # Panics
    /// If the group passes [`BODY_BYTES_MAX`]: whoever writes a body in place has bounded it, and the group.
    pub(crate) fn push_with(&mut self, kind: RecordKind, guess: usize, write: impl FnOnce(&mut Vec<u8>)) -> Position {
        record::put_with(&mut self.bytes, kind, guess, write);
        assert!(self.body_bytes() <= BODY_BYTES_MAX, "a group is closed while the largest record still fits");
        self.is_bulk |= kind == RecordKind::StageFrame;
        let position = self.next();
        self.count += 1;
        position
    }

    /// Position of the first record, pushed or to come.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Position that the next record will get.
    pub fn next(&self) -> Position {
        self.first.plus(u64::from(self.count))
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it holds frames of a transfer.
    pub(crate) fn is_bulk(&self) -> bool {
        self.is_bulk
    }

    /// Bytes that its buffer keeps.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that the group takes in the journal.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of the records so far.
    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    /// The records with their positions.
    pub fn records(&self) -> impl Iterator<Item = (Position, Record<'_>)> {
        records(self.first, &self.bytes[HEADER_BYTES..])
    }

    /// Fills the header's room: `before` is where the journal ends, `flushed` what it knows to be on the disk.
    /// Answers the whole group and the point behind it.
    pub(crate) fn seal(&mut self, salt: Salt, before: Point, flushed: Position) -> (&[u8], Point) {
        assert_eq!(self.first, before.position.next(), "a group starts where the journal ends");
        let body = &self.bytes[HEADER_BYTES..];
        let header = GroupHeader {
            body_bytes: u32::try_from(body.len()).expect("bounded by push"),
            body_crc: salt.crc(body),
            first: self.first,
            count: self.count,
            flushed,
            chain: before.chain.extended(body),
        };
        self.bytes[..HEADER_BYTES].copy_from_slice(&header.encode(salt));
        (&self.bytes, header.end())
    }
}

/// Whether a record with a body of `more` bytes may join a group of `held` bytes.
pub(crate) fn check_room(held: usize, more: usize) -> Result<(), StoreError> {
    let bytes = held.saturating_add(more).saturating_add(varint::len(more as u64 + 1) + 1);
    if bytes > BODY_BYTES_MAX {
        return Err(StoreError::Limit { what: "bytes of a commit group", value: bytes as u64, max: BODY_BYTES_MAX as u64 });
    }
    Ok(())
}

/// What the checksums of one segment's groups start from: nobody who can only choose values can write bytes that look like a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Salt(pub(crate) u32);

impl Salt {
    pub(crate) fn crc(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// The fixed part of a group. Numbers are little-endian.
///
/// ```text
///  0 magic "LGRP"      4 | 16 first position  8 | 32 flushed position  8
///  4 CRC-32 of 8..56   4 | 24 records         4 | 40 chain behind it  16
///  8 body bytes        4 | 28 zero            4 |
/// 12 CRC-32 of body    4 |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GroupHeader {
    pub(crate) body_bytes: u32,
    pub(crate) body_crc: u32,
    pub(crate) first: Position,
    pub(crate) count: u32,
    /// All records up to here were on the disk when this group was written: damage below is damage, not a torn write.
    pub(crate) flushed: Position,
    pub(crate) chain: Chain,
}

impl GroupHeader {
    pub(crate) fn encode(&self, salt: Salt) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        out[24..28].copy_from_slice(&self.count.to_le_bytes());
        out[32..40].copy_from_slice(&self.flushed.0.to_le_bytes());
        out[40..56].copy_from_slice(&self.chain.0);
        let crc = salt.crc(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Answers why the bytes are no header of this segment.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES], salt: Salt) -> Result<Self, &'static str> {
        let mut reader = Reader::new(bytes);
        let mut u32_at = || reader.array::<4>("group").map(u32::from_le_bytes).expect("the header is whole");
        let (magic, crc, body_bytes, body_crc) = (u32_at(), u32_at(), u32_at(), u32_at());
        if magic != u32::from_le_bytes(MAGIC) {
            return Err("no group starts here");
        }
        if crc != salt.crc(&bytes[8..]) {
            return Err("the checksum of the group's header does not match");
        }
        let mut u64_at = || reader.array::<8>("group").map(u64::from_le_bytes).expect("the header is whole");
        let (first, count, flushed) = (u64_at(), u64_at(), u64_at());
        let chain = Chain(reader.array("group").expect("the header is whole"));
        let Ok(count) = u32::try_from(count) else { return Err("a reserved field of the group's header is set") };
        let header = Self { body_bytes, body_crc, first: Position(first), count, flushed: Position(flushed), chain };
        header.check()
    }

    /// Bounds that hold for every group that Limosa writes; whatever is computed from a header relies on them.
    fn check(self) -> Result<Self, &'static str> {
        let end = self.first.0.checked_add(u64::from(self.count));
        if self.body_bytes as usize > BODY_BYTES_MAX {
            return Err("the group's length is above its limit");
        }
        // A record has at least its length and its kind.
        if u64::from(self.count) * 2 > u64::from(self.body_bytes) || (self.count == 0) != (self.body_bytes == 0) {
            return Err("the group's count does not fit its length");
        }
        if self.first == Position::ZERO || end.is_none() || self.flushed >= self.first {
            return Err("the group's positions are impossible");
        }
        Ok(self)
    }

    /// The point behind the group.
    pub(crate) fn end(&self) -> Point {
        Point { position: Position(self.first.0 + u64::from(self.count) - 1), chain: self.chain }
    }

    /// Header and body.
    pub(crate) fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }
}

/// A group read back and checked.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    pub(crate) header: GroupHeader,
    pub(crate) body: &'a [u8],
}

impl<'a> GroupView<'a> {
    /// Position of the first record.
    pub fn first(&self) -> Position {
        self.header.first
    }

    /// The point behind the last record.
    pub fn end(&self) -> Point {
        self.header.end()
    }

    /// Whether it continues the history that ends at `before`.
    pub(crate) fn follows(&self, before: Point) -> bool {
        self.header.first == before.position.next() && self.header.chain == before.chain.extended(self.body)
    }

    /// The records with their positions.
    pub fn records(&self) -> impl Iterator<Item = (Position, Record<'a>)> + use<'a> {
        records(self.header.first, self.body)
    }
}

/// Refuses a body whose records are not exactly `count` whole ones of known kinds.
pub(crate) fn check_body(body: &[u8], count: u32) -> Result<(), RecordError> {
    let mut reader = Reader::new(body);
    for _ in 0..count {
        record::read(&mut reader)?;
    }
    if reader.is_empty() {
        Ok(())
    } else {
        Err(limosa_core::DecodeError::Invalid { field: "group", why: "more records than counted" }.into())
    }
}

fn records(first: Position, body: &[u8]) -> impl Iterator<Item = (Position, Record<'_>)> {
    let mut reader = Reader::new(body);
    let mut position = first;
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let record = record::read(&mut reader).expect("written here, or checked when the group was read");
        let at = position;
        position = position.next();
        Some((at, record))
    })
}
