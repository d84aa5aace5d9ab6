//! Opening a journal: what may be cut, what must be refused, and where it goes on.
//!
//! | Found | Done |
//! |---|---|
//! | last segment, no valid group at an offset, and no header behind it that proves the flush of what should stand there | cut: that write was torn |
//! | the same with such a header behind it, or any fault in an earlier segment | refused: damage |
//! | a valid group, or a segment, that does not continue the chain | refused: exchanged |
//! | the newest segment no longer than a header, and that not whole | made again: its creation was torn |
//! | an end before the point that the checkpoint holds | refused: missing or damaged |
//!
//! Nothing is changed on the disk before everything has been judged.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{self, HEADER_BYTES, HeaderFault, SegmentHeader};
use super::shared::{Mark, Segment};
use super::window::{Fault, Window};
use super::writer::TornTail;
use super::{Owner, Point, Position};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::StoreError;

/// A journal as found, before anything was changed.
pub(crate) struct Found {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) end: Point,
    pub(crate) last: Last,
}

/// What is at the journal's end.
pub(crate) enum Last {
    /// No segment to go on in: one is to be made, starting behind the end.
    None,
    /// The last segment.
    Segment {
        file: Arc<dyn DiskFile>,
        path: PathBuf,
        torn: Option<TornTail>,
        /// Where the groups start that nothing in the journal proves to be flushed.
        unproven: u64,
    },
}

/// Judges every segment from the one that holds the record behind `expect`, and the headers of those before.
pub(crate) fn judge(disk: &dyn Disk, dir: &Path, owner: Owner, expect: Point) -> Result<Found, StoreError> {
    let firsts = firsts(disk, dir)?;
    let mut judge = Judge { disk, dir, owner, expect, segments: VecDeque::new(), end: expect };
    let Some(start) = firsts.partition_point(|first| *first <= expect.position.next()).checked_sub(1) else {
        let missing_to = firsts.first().map_or(expect.position, |first| Position(first.0 - 1));
        let is_new = firsts.is_empty() && expect == Point::genesis(&owner);
        return if is_new { Ok(judge.found(Last::None)) } else { Err(judge.missing(expect.position.next(), missing_to)) };
    };
    for first in &firsts[..start] {
        judge.take_unread(*first)?;
    }
    let mut last = Last::None;
    for (index, first) in firsts.iter().enumerate().skip(start) {
        last = judge.take(*first, index == start, index + 1 == firsts.len())?;
    }
    judge.reaches_expected(&last)?;
    Ok(judge.found(last))
}

/// First positions of the segments in the folder, ascending.
fn firsts(disk: &dyn Disk, dir: &Path) -> Result<Vec<Position>, StoreError> {
    let names = disk.list(dir).map_err(|error| StoreError::io("list", dir, error))?;
    let mut firsts: Vec<_> = names.iter().filter_map(|name| segment::first_of(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

struct Judge<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    owner: Owner,
    expect: Point,
    segments: VecDeque<Segment>,
    end: Point,
}

/// A segment being judged.
struct Opened {
    window: Window,
    bytes: u64,
    header: Result<SegmentHeader, HeaderFault>,
}

impl Judge<'_> {
    fn found(self, last: Last) -> Found {
        Found { segments: self.segments, end: self.end, last }
    }

    fn missing(&self, from: Position, to: Position) -> StoreError {
        StoreError::JournalMissing { dir: self.dir.to_path_buf(), from, to: to.max(from) }
    }

    fn open(&self, first: Position) -> Result<Opened, StoreError> {
        let path = segment::path(self.dir, first);
        let file = self.disk.open(&path, Open::Write).map_err(|error| StoreError::io("open", &path, error))?;
        let bytes = file.bytes().map_err(|error| StoreError::io("read", &path, error))?;
        let mut window = Window::new(file, path, segment::salt(self.owner, first));
        let header = match window.piece(0, HEADER_BYTES, bytes) {
            Ok(piece) => SegmentHeader::decode(piece),
            Err(fault) => return Err(window.damage(0, fault)),
        };
        Ok(Opened { window, bytes, header })
    }

    /// The header of a segment, where it must be whole.
    fn admit(&self, opened: &Opened, first: Position) -> Result<SegmentHeader, StoreError> {
        let path = opened.window.path();
        match &opened.header {
            Ok(header) => segment::admit(path, header, self.owner, first).map(|()| *header),
            Err(HeaderFault::Newer { what, found, known }) => {
                Err(StoreError::FormatNewer { path: path.clone(), what, found: *found, known: *known })
            }
            Err(HeaderFault::Damaged(why)) => Err(StoreError::JournalDamaged { path: path.clone(), offset: 0, why: (*why).to_owned() }),
        }
    }

    /// A segment that lies wholly in the checkpoint: only readers that come back for old records will read it, and they check.
    fn take_unread(&mut self, first: Position) -> Result<(), StoreError> {
        let opened = self.open(first)?;
        let header = self.admit(&opened, first)?;
        self.segments.push_back(Segment { end: opened.bytes, ..Segment::new(header.before) });
        Ok(())
    }

    fn take(&mut self, first: Position, is_start: bool, is_last: bool) -> Result<Last, StoreError> {
        let opened = self.open(first)?;
        let previous = if is_start { None } else { Some(self.end) };
        if is_last && opened.bytes <= HEADER_BYTES as u64 && matches!(opened.header, Err(HeaderFault::Damaged(_))) {
            return self.take_torn_creation(first, previous);
        }
        let header = self.admit(&opened, first)?;
        self.joins(&opened, header.before, previous)?;
        self.end = header.before;
        self.meets_expected(&opened.window, 0, header.before.position)?;
        self.read_groups(opened, header, is_last)
    }

    /// A crash hit between the creation of a segment and the flush of its header, so no group was written to it yet (a file with a
    /// group is longer), and everything before it had been flushed. Where the journal ends without it must be where it starts.
    fn take_torn_creation(&mut self, first: Position, previous: Option<Point>) -> Result<Last, StoreError> {
        let end = previous.unwrap_or(self.expect);
        if end.position.next() < first {
            return Err(self.missing(end.position.next(), Position(first.0 - 1)));
        }
        if end.position.next() > first {
            return Err(self.missing(first, end.position));
        }
        self.end = end;
        Ok(Last::None)
    }

    /// Whether a segment goes on where the one before ended.
    fn joins(&self, opened: &Opened, before: Point, previous: Option<Point>) -> Result<(), StoreError> {
        let Some(previous) = previous.filter(|previous| *previous != before) else { return Ok(()) };
        if before.position > previous.position {
            return Err(self.missing(previous.position.next(), before.position));
        }
        Err(StoreError::JournalChain { path: opened.window.path().clone(), offset: 0 })
    }

    /// The chain at the checkpoint's point must be the checkpoint's; a group that runs over the point is none that it was made from.
    fn meets_expected(&self, window: &Window, offset: u64, before: Position) -> Result<(), StoreError> {
        let Point { position, chain } = self.expect;
        let runs_over = before < position && position < self.end.position;
        if runs_over || (self.end.position == position && self.end.chain != chain) {
            return Err(StoreError::JournalChain { path: window.path().clone(), offset });
        }
        Ok(())
    }

    fn read_groups(&mut self, opened: Opened, header: SegmentHeader, is_last: bool) -> Result<Last, StoreError> {
        let Opened { mut window, bytes, .. } = opened;
        let mut segment = Segment::new(header.before);
        let mut unproven = VecDeque::new();
        let mut fault = None;
        while segment.end < bytes {
            let at = segment.end;
            let group = match window.group(at, bytes) {
                Ok(group) => group,
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            };
            if !group.follows(self.end) {
                return Err(StoreError::JournalChain { path: window.path().clone(), offset: at });
            }
            let group = group.header;
            segment.note(Mark { before: self.end, offset: at });
            let before = self.end.position;
            self.end = group.end();
            segment.end = at + group.bytes();
            self.meets_expected(&window, at, before)?;
            unproven.push_back((at, group.end().position));
            while unproven.front().is_some_and(|(_, end)| *end <= group.flushed) {
                unproven.pop_front();
            }
        }
        let end = segment.end;
        self.segments.push_back(segment);
        let torn = fault.map(|fault| self.judge_fault(&mut window, fault, end, bytes, is_last)).transpose()?;
        let unproven = unproven.front().map_or(end, |(at, _)| *at);
        Ok(Last::Segment { file: Arc::clone(window.file()), path: window.path().clone(), torn, unproven })
    }

    /// A fault is a torn write only in the last segment, and only when nothing behind it proves that what should stand there was flushed.
    fn judge_fault(&self, window: &mut Window, fault: Fault, offset: u64, bytes: u64, is_last: bool) -> Result<TornTail, StoreError> {
        let why = match fault {
            Fault::Bytes(why) if is_last => why,
            fault => return Err(window.damage(offset, fault)),
        };
        if let Some(witness) = window.witness_behind(offset, bytes, self.end.position.next())? {
            let why = format!("{why}, and the group at byte {witness} proves that it had been flushed");
            return Err(window.damage(offset, Fault::Bytes(why)));
        }
        Ok(TornTail { path: window.path().clone(), offset, bytes: bytes - offset, why })
    }

    /// What the checkpoint holds had been flushed before: an end below it is a loss, whatever it looks like.
    fn reaches_expected(&self, last: &Last) -> Result<(), StoreError> {
        if self.end.position >= self.expect.position {
            return Ok(());
        }
        match last {
            Last::Segment { torn: Some(torn), .. } => {
                let why = format!("{}, and the checkpoint holds positions up to {}", torn.why, self.expect.position);
                Err(StoreError::JournalDamaged { path: torn.path.clone(), offset: torn.offset, why })
            }
            _ => Err(self.missing(self.end.position.next(), self.expect.position)),
        }
    }
}
