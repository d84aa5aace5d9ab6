//! What the journal's writer and its readers share: the segments that exist, and how far readers may go.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Owner, Point, Position, segment};
use crate::disk::Disk;

/// Distance of the places that a reader can start from, bytes.
const MARK_BYTES: u64 = 1 << 20;

/// One segment, as far as it is published.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) first: Position,
    /// Behind the last published group, bytes from the start of the file.
    pub(crate) end: u64,
    /// Ascending places where a group starts, the first one behind the header; readers start there.
    pub(crate) marks: Vec<Mark>,
}

/// A place where a group starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) before: Point,
    pub(crate) offset: u64,
}

impl Segment {
    /// A segment with nothing published.
    pub(crate) fn new(before: Point) -> Self {
        let offset = segment::HEADER_BYTES as u64;
        Self { first: before.position.next(), end: offset, marks: vec![Mark { before, offset }] }
    }

    /// Remembers that a group starts at `mark`, if the last place remembered lies far enough before it.
    pub(crate) fn note(&mut self, mark: Mark) {
        let last = self.marks.last().expect("a segment has the mark behind its header");
        if mark.offset >= last.offset + MARK_BYTES {
            self.marks.push(mark);
        }
    }

    /// The last place remembered at or before the group that holds `position`.
    pub(crate) fn start_for(&self, position: Position) -> Mark {
        let behind = self.marks.partition_point(|mark| mark.before.position < position);
        self.marks[behind.max(1) - 1]
    }
}

/// The segments, ascending and without gaps, and the published end.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) published: Position,
}

impl Table {
    /// The oldest position held.
    pub(crate) fn first(&self) -> Position {
        self.segments.front().expect("a journal has a segment").first
    }

    /// The segment that holds, or will hold, `position`; `None` when it has been released.
    pub(crate) fn holding(&self, position: Position) -> Option<&Segment> {
        let behind = self.segments.partition_point(|segment| segment.first <= position);
        self.segments.get(behind.checked_sub(1)?)
    }
}

/// Where a journal lies and what its readers may see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) owner: Owner,
    table: Mutex<Table>,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, owner: Owner, table: Table) -> Self {
        Self { disk, dir, owner, table: Mutex::new(table) }
    }

    /// Never held over a call to the disk.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while holding the table")
    }
}
