//! Reading the journal from a position while the writer goes on.

use std::io;
use std::sync::Arc;

use super::group::GroupHeader;
use super::segment;
use super::shared::{Segment, Shared};
use super::window::Window;
use super::{GroupView, Point, Position};
use crate::disk::Open;
use crate::error::StoreError;

/// Opens readers; cloned freely, and independent of the writer.
#[derive(Clone, Debug)]
pub struct JournalHandle {
    pub(super) shared: Arc<Shared>,
}

impl JournalHandle {
    /// A reader whose first group holds `from`, or is the next one to come when `from` is behind the published end.
    ///
    /// # Errors
    /// [`StoreError::JournalReleased`] when `from` has been released; damage on the way to it.
    pub fn reader(&self, from: Position) -> Result<Reader, StoreError> {
        let (segment, published, first) = {
            let table = self.shared.table();
            (table.holding(from).cloned(), table.published, table.first())
        };
        let segment = segment.ok_or(StoreError::JournalReleased { from, first })?;
        let start = segment.start_for(from);
        let window = open_segment(&self.shared, &segment, first)?;
        let mut reader =
            Reader { shared: Arc::clone(&self.shared), window, segment: segment.first, offset: start.offset, before: start.before };
        reader.skip_below(from.min(published.next()))?;
        Ok(reader)
    }

    /// The oldest position held.
    pub fn first(&self) -> Position {
        self.shared.table().first()
    }

    /// The last published position.
    pub fn published(&self) -> Position {
        self.shared.table().published
    }

    /// Deletes the segments whose records are all below `below`; the last segment stays. Answers how many went. The checkpoint must hold
    /// them. Needs no writer: deleting large files takes the disk a while, and groups are written meanwhile. One caller at a time.
    ///
    /// # Errors
    /// A failing disk; what was deleted before it stays deleted.
    pub(crate) fn release(&self, below: Position) -> Result<usize, StoreError> {
        let mut released = 0;
        while let Some(first) = self.forget_below(below) {
            let path = segment::path(&self.shared.dir, first);
            self.shared.disk.remove(&path).map_err(|error| StoreError::io("remove", &path, error))?;
            // Each removal by itself, the oldest first: two that reach the disk in the other order would leave a hole.
            self.shared.disk.flush_dir(&self.shared.dir).map_err(|error| StoreError::io("flush", &self.shared.dir, error))?;
            released += 1;
        }
        Ok(released)
    }

    /// Takes the oldest segment out of the table if it lies below `below`, before its file goes: readers are told that it was released.
    fn forget_below(&self, below: Position) -> Option<Position> {
        let mut table = self.shared.table();
        let is_below = table.segments.get(1).is_some_and(|next| next.first <= below);
        if is_below { table.segments.pop_front().map(|segment| segment.first) } else { None }
    }
}

/// Reads group by group, checking checksums and chain.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    window: Window,
    /// First position of the segment being read.
    segment: Position,
    offset: u64,
    /// The point before the next group.
    before: Point,
}

/// Where the next group lies.
enum Next {
    /// Nothing more is published.
    End,
    /// In the segment being read, whose published bytes end at the limit.
    Here { limit: u64 },
    /// At the start of this segment.
    Segment(Segment),
}

impl Reader {
    /// The next group up to the published end; `None` there, and perhaps more later.
    ///
    /// # Errors
    /// Damage, a broken chain, a segment that was released meanwhile, a record of a newer kind.
    pub fn next_group(&mut self) -> Result<Option<GroupView<'_>>, StoreError> {
        loop {
            match self.locate()? {
                Next::End => return Ok(None),
                Next::Segment(next) => self.turn_to(&next)?,
                Next::Here { limit } => {
                    let at = self.offset;
                    let header = self.check_group(limit)?;
                    if header.count > 0 {
                        return Ok(Some(self.window.held_group(at, header)));
                    }
                }
            }
        }
    }

    /// The point before the group that [`Reader::next_group`] answers next.
    pub fn position(&self) -> Point {
        self.before
    }

    /// Steps over the groups that end below `from`.
    fn skip_below(&mut self, from: Position) -> Result<(), StoreError> {
        while self.before.position.next() < from {
            let (offset, before) = (self.offset, self.before);
            let Next::Here { limit } = self.locate()? else { break };
            if self.check_group(limit)?.end().position >= from {
                (self.offset, self.before) = (offset, before);
                break;
            }
        }
        Ok(())
    }

    fn locate(&self) -> Result<Next, StoreError> {
        let next = self.before.position.next();
        let table = self.shared.table();
        if next > table.published {
            return Ok(Next::End);
        }
        let Some(holding) = table.holding(next) else {
            return Err(StoreError::JournalReleased { from: next, first: table.first() });
        };
        if holding.first != self.segment {
            return Ok(Next::Segment(holding.clone()));
        }
        if self.offset < holding.end {
            return Ok(Next::Here { limit: holding.end });
        }
        // The segment ends before the next one starts: it was not read when the journal was opened, and has been cut since it was written.
        let to =
            table.segments.iter().find(|segment| segment.first > next).map_or(table.published, |segment| Position(segment.first.0 - 1));
        Err(StoreError::JournalMissing { dir: self.shared.dir.clone(), from: next, to })
    }

    fn turn_to(&mut self, next: &Segment) -> Result<(), StoreError> {
        let first = self.shared.table().first();
        self.window = open_segment(&self.shared, next, first)?;
        let start = next.marks[0];
        if start.before != self.before {
            return Err(StoreError::JournalChain { path: self.window.path().clone(), offset: 0 });
        }
        self.segment = next.first;
        self.offset = start.offset;
        Ok(())
    }

    /// Checks the group at the current offset and steps behind it.
    fn check_group(&mut self, limit: u64) -> Result<GroupHeader, StoreError> {
        let (at, before) = (self.offset, self.before);
        match self.window.group(at, limit) {
            Ok(group) if group.follows(before) => {
                let header = group.header;
                self.offset += header.bytes();
                self.before = header.end();
                Ok(header)
            }
            Ok(_) => Err(StoreError::JournalChain { path: self.window.path().clone(), offset: at }),
            Err(fault) => Err(self.window.damage(at, fault)),
        }
    }
}

/// Opens a segment for reading. One that is not there has been released since the table was looked at.
fn open_segment(shared: &Shared, segment: &Segment, first: Position) -> Result<Window, StoreError> {
    let path = segment::path(&shared.dir, segment.first);
    let file = shared.disk.open(&path, Open::Read).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::JournalReleased { from: segment.first, first },
        _ => StoreError::io("open", &path, error),
    })?;
    Ok(Window::new(file, path, segment::salt(shared.owner, segment.first)))
}
