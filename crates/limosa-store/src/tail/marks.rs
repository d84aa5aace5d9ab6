//! Signposts in the journal: what the heads were at some positions, so that a tail finds where to start without reading all of it.

use std::ops::Range;

use limosa_core::DecodeError;
use limosa_core::Version;
use limosa_core::varint::{self, Reader};
use limosa_tree::Fragment;

use crate::codec::{put_version, read_version};
use crate::journal::Position;

/// Most journal bytes between two marks.
const SPACING_BYTES_MAX: u64 = 1 << 20;
/// Most marks that a checkpoint may declare.
const MARKS_MAX: u64 = 1 << 16;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Mark {
    position: Position,
    /// Bytes of all records up to here, since this journal began.
    bytes: u64,
    heads: Vec<Version>,
}

/// Marks in ascending order; the first is the oldest place where a tail can start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    all: Vec<Mark>,
    bytes: u64,
    spacing_bytes: u64,
}

/// Bytes between two marks, when `tail_bytes` of journal are kept for tails of so many fragments.
fn spacing(tail_bytes: u64, fragments: usize) -> u64 {
    // with many fragments a mark is large itself: marks stay below a sixteenth of what they speak of
    (tail_bytes / 16).min(SPACING_BYTES_MAX).max(fragments as u64 * 16 * 16)
}

impl Marks {
    pub(crate) fn new(position: Position, heads: Vec<Version>, tail_bytes: u64) -> Self {
        let spacing_bytes = spacing(tail_bytes, heads.len());
        Self { all: vec![Mark { position, bytes: 0, heads }], bytes: 0, spacing_bytes }
    }

    /// What lies before is another history of the fragment at `index`: no mark says anything of it. Who asks for a tail of it has all that
    /// it began with, so any place before will do.
    pub(crate) fn forget(&mut self, index: usize) {
        self.all.iter_mut().for_each(|mark| mark.heads[index] = Version::ZERO);
    }

    /// Other fragments stand where the fragments were: for each its index before, or none where it is new.
    pub(crate) fn reorder(&mut self, from: &[Option<usize>]) {
        for mark in &mut self.all {
            mark.heads = from.iter().map(|from| from.map_or(Version::ZERO, |index| mark.heads[index])).collect();
        }
    }

    /// As many others stand where the fragments at `taken` were; as [`Marks::forget`] for them.
    pub(crate) fn reframe(&mut self, taken: Range<usize>, made: usize) {
        for mark in &mut self.all {
            mark.heads.splice(taken.clone(), vec![Version::ZERO; made]);
        }
    }

    /// Bytes of all records so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes note of records up to `position`.
    pub(crate) fn advance(&mut self, position: Position, bytes: u64, fragments: &[Fragment]) {
        self.advance_at(position, bytes, || fragments.iter().map(Fragment::head).collect());
    }

    /// [`Marks::advance`] where the heads at `position` are not those of the fragments.
    pub(crate) fn advance_at(&mut self, position: Position, bytes: u64, heads: impl FnOnce() -> Vec<Version>) {
        self.bytes += bytes;
        if self.all.last().is_none_or(|last| self.bytes - last.bytes >= self.spacing_bytes) {
            let heads = heads();
            self.all.push(Mark { position, bytes: self.bytes, heads });
        }
    }

    /// The newest mark at which no fragment had passed `since`.
    pub(crate) fn find(&self, since: &[(usize, Version)]) -> Option<Position> {
        let passed = |mark: &Mark| since.iter().any(|&(index, version)| mark.heads[index] > version);
        let reached = self.all.partition_point(|mark| !passed(mark)); // heads only grow
        reached.checked_sub(1).map(|i| self.all[i].position)
    }

    /// Bytes of records behind `position`, at most a mark's distance too many.
    pub(crate) fn bytes_behind(&self, position: Position) -> u64 {
        let place = self.all.partition_point(|mark| mark.position <= position);
        self.bytes - place.checked_sub(1).map_or(0, |i| self.all[i].bytes)
    }

    /// The position behind which at least `bytes` of records lie.
    pub(crate) fn position_before(&self, bytes: u64) -> Position {
        let place = self.all.partition_point(|mark| mark.bytes + bytes <= self.bytes);
        place.checked_sub(1).map_or(Position::ZERO, |i| self.all[i].position)
    }

    /// Forgets marks below the journal's first record.
    pub(crate) fn release(&mut self, first: Position) {
        let gone = self.all.iter().take_while(|mark| mark.position.next() < first).count();
        self.all.drain(..gone.min(self.all.len() - 1));
    }

    /// For the checkpoint.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.bytes);
        varint::put(&mut out, self.all.len() as u64);
        for mark in &self.all {
            varint::put(&mut out, mark.position.0);
            varint::put(&mut out, mark.bytes);
            mark.heads.iter().for_each(|&head| put_version(&mut out, head));
        }
        out
    }

    /// The inverse of [`Marks::encode`].
    pub(crate) fn decode(bytes: &[u8], fragments: usize, tail_bytes: u64) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let total = reader.varint("marks.bytes")?;
        let count = reader.varint_max("marks.count", MARKS_MAX)?;
        let mark = |reader: &mut Reader<'_>| {
            Ok(Mark {
                position: Position(reader.varint("marks.position")?),
                bytes: reader.varint_max("marks.at", total)?,
                heads: (0..fragments).map(|_| read_version(reader)).collect::<Result<_, DecodeError>>()?,
            })
        };
        let all: Vec<Mark> = (0..count).map(|_| mark(&mut reader)).collect::<Result<_, DecodeError>>()?;
        if all.is_empty() {
            return Err(DecodeError::Invalid { field: "marks", why: "there are none" });
        }
        Ok(Self { all, bytes: total, spacing_bytes: spacing(tail_bytes, fragments) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_starts_at_the_newest_mark_that_no_fragment_had_passed() {
        let v = |seq| Version::new(1, seq);
        let mut marks = Marks::new(Position(0), vec![v(0), v(0)], 100);
        for i in 1..=3u64 {
            marks.all.push(Mark { position: Position(i * 10), bytes: i * 100, heads: vec![v(i * 5), v(i * 4)] });
        }
        marks.bytes = 350;
        assert_eq!(marks.find(&[(0, v(10)), (1, v(9))]), Some(Position(20)));
        assert_eq!(marks.find(&[(0, v(10)), (1, v(7))]), Some(Position(10)));
        assert_eq!(marks.find(&[(0, v(99)), (1, v(99))]), Some(Position(30)));
        assert_eq!(marks.position_before(100), Position(20));
        assert_eq!(marks.position_before(1000), Position::ZERO);
        assert_eq!(Marks::decode(&marks.encode(), 2, 100), Ok(marks.clone()));
        let mut other = marks.clone();
        other.forget(0);
        assert_eq!(other.find(&[(0, v(16)), (1, v(9))]), Some(Position(20)), "the other fragment alone decides");
        other.reframe(1..2, 2);
        assert_eq!(other.find(&[(0, v(16)), (1, v(1)), (2, v(1))]), Some(Position(30)));
        marks.release(Position(15));
        assert_eq!(marks.find(&[(0, v(1)), (1, v(1))]), None, "released");
    }
}
