//! The writing end of the journal.
//!
//! ```text
//! write ──ok──> flush ──ok──> (published by the store) ..
//!   │              └─failed─> poisoned, until opened again: the system may have dropped the bytes and call the next flush a success
//!   ├─no room─> the part written is cut off again: usable, the same write works later
//!   └─else────> poisoned
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::group::Salt;
use super::recover::{self, Found, Last};
use super::segment::{self, SegmentHeader};
use super::shared::{Mark, Segment, Shared, Table};
use super::{Group, JournalHandle, Owner, Point, Position};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{StoreError, is_full};

/// What may be chosen about a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalOptions {
    /// A group that would take a segment beyond this many bytes goes into a new one. Default 64 MiB.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Where the journal ends; all of it is on the disk.
    pub end: Point,
    /// What was cut, if a write was torn.
    pub torn: Option<TornTail>,
}

/// A write that the last crash had torn; nothing proves that it had been flushed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The segment.
    pub path: PathBuf,
    /// Where it ends now.
    pub offset: u64,
    /// Bytes cut.
    pub bytes: u64,
    /// Why the first group there was not taken.
    pub why: String,
}

/// The writing end. There is one of it; the folder's lock sees to that.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    options: JournalOptions,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    salt: Salt,
    /// First position of the current segment.
    first: Position,
    /// Behind the last group written, bytes from the start of the file.
    offset: u64,
    end: Point,
    flushed: Position,
    /// What the last header written says was flushed.
    proven: Position,
    /// The current segment has a change that no position tells of, and that a crash may still undo or tear: a mark, or a cut of what a
    /// full disk left of a group.
    is_loose: bool,
    /// What failed, if anything did.
    poison: Option<String>,
}

/// A flush that can run without the journal at hand, while groups go on being written.
#[derive(Debug)]
#[must_use = "a flush counts when its outcome is handed to Journal::flushed_by"]
pub struct FlushJob {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    upto: Position,
    is_needed: bool,
}

/// A flush that has run.
#[derive(Debug)]
#[must_use = "a flush counts when its outcome is handed to Journal::flushed_by"]
pub struct FlushDone {
    upto: Position,
    path: PathBuf,
    outcome: io::Result<()>,
}

impl FlushJob {
    /// Flushes; blocks for as long as the disk takes.
    pub fn run(self) -> FlushDone {
        let outcome = if self.is_needed { self.file.flush() } else { Ok(()) };
        FlushDone { upto: self.upto, path: self.path, outcome }
    }
}

impl Journal {
    /// Opens or creates the journal in `dir` (which must be there), and checks it from `expect` on: the point up to which the
    /// checkpoint holds it, [`Point::genesis`] without one. A torn tail is cut. Everything found is on the disk and published when this
    /// returns; [`JournalHandle::reader`] from `expect.position.next()` replays what the checkpoint lacks.
    ///
    /// # Errors
    /// Damage, a broken chain, positions missing from `expect` on, another node's segments, a newer format, a failing disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        owner: Owner,
        options: JournalOptions,
        expect: Point,
    ) -> Result<(Self, Recovered), StoreError> {
        let Found { mut segments, end, last } = recover::judge(&*disk, dir, owner, expect)?;
        let (file, path, torn, unproven) = match last {
            Last::Segment { file, path, torn, unproven } => (file, path, torn, Some(unproven)),
            Last::None => {
                segments.push_back(Segment::new(end));
                let (file, path) = create_segment(&*disk, dir, SegmentHeader { owner, before: end }).map_err(|failure| failure.error)?;
                (file, path, None, None)
            }
        };
        let last = segments.back().expect("one was found or made");
        let (offset, first) = (last.end, last.first);
        let published = Position::ZERO;
        let shared = Arc::new(Shared::new(disk, dir.to_path_buf(), owner, Table { segments, published }));
        let salt = segment::salt(owner, first);
        let (flushed, proven, is_loose, poison) = (end.position, end.position, false, None);
        let mut journal = Self { shared, options, file, path, salt, first, offset, end, flushed, proven, is_loose, poison };
        if let Some(unproven) = unproven {
            journal.settle(unproven, torn.is_some())?;
        }
        journal.publish();
        Ok((journal, Recovered { end, torn }))
    }

    /// Puts what was found on the disk, and cuts what was torn.
    fn settle(&mut self, unproven: u64, is_torn: bool) -> Result<(), StoreError> {
        if is_torn {
            self.file.set_bytes(self.offset).map_err(|error| StoreError::io("cut", &self.path, error))?;
        } else if unproven == self.offset {
            return Ok(());
        }
        // After a failed flush the system may hold groups in memory only and believe them to be on the disk. Writing the same bytes
        // again makes it flush them; a crash meanwhile leaves old or new sectors, which are the same.
        rewrite(&*self.file, unproven, self.offset).map_err(|error| StoreError::io("write", &self.path, error))?;
        // With all attributes: a cut that came back after a later, shorter write would put old groups behind new ones.
        self.file.flush_all().map_err(|error| StoreError::io("flush", &self.path, error))?;
        self.proven = Position::ZERO;
        match self.mark() {
            Err(StoreError::DiskFull { .. }) => Ok(()), // a full disk must not keep a node from starting
            outcome => outcome,
        }
    }

    /// Appends a group with one write and leaves it as it is. Not on the disk before [`Journal::flush`], not for readers before
    /// [`Journal::publish`]. An empty group changes nothing.
    ///
    /// # Errors
    /// A full disk: nothing of the group is in the journal, the same call works later. Anything else poisons.
    ///
    /// # Panics
    /// If the group does not start behind the last one.
    pub fn write(&mut self, group: &mut Group) -> Result<Point, StoreError> {
        self.usable()?;
        if group.is_empty() {
            return Ok(self.end);
        }
        // A mark alone does not count: the new segment would have the name of this one, and take its place.
        let has_records = self.end.position >= self.first;
        if has_records && self.offset + group.bytes() > self.options.segment_bytes {
            self.rotate()?;
        }
        self.append(group)?;
        Ok(self.end)
    }

    /// Writes a mark that what is flushed was flushed, if the last header does not say so yet: from then on damage in the last group is
    /// told from a torn write. For quiet moments and a clean stop.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn mark(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        if self.proven >= self.end.position || self.flushed < self.end.position {
            return Ok(());
        }
        self.is_loose = true;
        self.append(&mut Group::new(self.end.position.next()))
    }

    fn append(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let is_bulk = group.is_bulk();
        let (bytes, end) = group.seal(self.salt, self.end, self.flushed);
        let count = bytes.len() as u64;
        let written = if is_bulk { self.file.write_bulk_at(self.offset, bytes) } else { self.file.write_at(self.offset, bytes) };
        if let Err(error) = written {
            return Err(self.take_back(error));
        }
        let mark = Mark { before: self.end, offset: self.offset };
        self.offset += count;
        self.end = end;
        self.proven = self.flushed;
        let mut table = self.shared.table();
        let segment = table.segments.back_mut().expect("a journal has a segment");
        segment.note(mark);
        segment.end = self.offset;
        Ok(())
    }

    /// Cuts off what a failed write may have left. Only a full disk leaves the journal usable: after any other error the file can't be
    /// relied on.
    fn take_back(&mut self, error: io::Error) -> StoreError {
        let cut = self.file.set_bytes(self.offset);
        self.is_loose = true;
        if let Err(cut) = cut {
            self.poison(format!("a write to {} failed ({error}), and so did cutting it off ({cut})", self.path.display()));
        } else if !is_full(&error) {
            self.poison(format!("a write to {} failed: {error}", self.path.display()));
        }
        StoreError::io("write", &self.path, error)
    }

    /// Starts a new segment.
    fn rotate(&mut self) -> Result<(), StoreError> {
        // The old segment first: that the new one exists proves that all before it was flushed, so that a fault in it is damage.
        self.flush()?;
        self.fix_loose_end()?;
        let header = SegmentHeader { owner: self.shared.owner, before: self.end };
        assert!(header.first() > self.first, "segments have names of their own");
        let (file, path) = create_segment(&*self.shared.disk, &self.shared.dir, header).map_err(|failure| {
            if !failure.is_undone {
                self.poison(failure.error.to_string());
            }
            failure.error
        })?;
        self.file = file;
        self.path = path;
        self.first = header.first();
        self.salt = segment::salt(self.shared.owner, self.first);
        self.offset = segment::HEADER_BYTES as u64;
        self.proven = self.flushed;
        self.shared.table().segments.push_back(Segment::new(self.end));
        Ok(())
    }

    /// In a segment that is not the last one a torn mark, or the return of what was cut off, would pass for damage. Within the last one
    /// it is a torn tail like any other.
    fn fix_loose_end(&mut self) -> Result<(), StoreError> {
        if !self.is_loose {
            return Ok(());
        }
        // With all attributes: the cut, not only the bytes.
        if let Err(error) = self.file.flush_all() {
            self.poison(format!("a flush of {} failed: {error}", self.path.display()));
            return Err(StoreError::Io { op: "flush", path: self.path.clone(), source: error });
        }
        self.is_loose = false;
        Ok(())
    }

    /// Makes everything written survive a crash; answers up to where. Asks nothing of the disk when everything is flushed.
    ///
    /// # Errors
    /// A failed flush poisons the journal until it is opened again.
    pub fn flush(&mut self) -> Result<Position, StoreError> {
        let job = self.flush_job()?;
        self.flushed_by(job.run())
    }

    /// A flush of everything written so far, to be run elsewhere.
    ///
    /// # Errors
    /// The journal is poisoned.
    pub fn flush_job(&self) -> Result<FlushJob, StoreError> {
        self.usable()?;
        let is_needed = self.flushed < self.end.position;
        Ok(FlushJob { file: Arc::clone(&self.file), path: self.path.clone(), upto: self.end.position, is_needed })
    }

    /// Takes note of a flush that ran elsewhere.
    ///
    /// # Errors
    /// It failed: the journal is poisoned from now on.
    pub fn flushed_by(&mut self, done: FlushDone) -> Result<Position, StoreError> {
        self.usable()?;
        if let Err(error) = done.outcome {
            self.poison(format!("a flush of {} failed: {error}", done.path.display()));
            return Err(StoreError::Io { op: "flush", path: done.path, source: error });
        }
        // Segments before the current one were flushed when it was made, so one file's flush covers everything up to `upto`.
        self.flushed = self.flushed.max(done.upto);
        Ok(self.flushed)
    }

    /// Shows readers everything written so far.
    pub fn publish(&self) {
        self.shared.table().published = self.end.position;
    }

    /// Where the last written group ends.
    pub fn end(&self) -> Point {
        self.end
    }

    /// Up to where everything is known to be on the disk.
    pub fn flushed(&self) -> Position {
        self.flushed
    }

    /// The reading side.
    pub fn handle(&self) -> JournalHandle {
        JournalHandle { shared: Arc::clone(&self.shared) }
    }

    #[cfg(test)]
    pub(super) fn shared_marks(&self) -> usize {
        self.shared.table().segments.iter().map(|segment| segment.marks.len()).sum()
    }

    fn usable(&self) -> Result<(), StoreError> {
        self.poison.clone().map_or(Ok(()), |why| Err(StoreError::Poisoned { why }))
    }

    fn poison(&mut self, why: String) {
        tracing::error!(%why, "the journal takes no more writes");
        self.poison.get_or_insert(why);
    }
}

/// A segment that could not be made.
struct CreateFailure {
    error: StoreError,
    /// Whether the folder is as before.
    is_undone: bool,
}

/// Makes a segment and puts it on the disk before the first group goes into it.
fn create_segment(disk: &dyn Disk, dir: &Path, header: SegmentHeader) -> Result<(Arc<dyn DiskFile>, PathBuf), CreateFailure> {
    let path = segment::path(dir, header.first());
    let made = make_segment(disk, dir, &path, header);
    made.map(|file| (file, path.clone())).map_err(|(op, error)| {
        // Left behind, a file with this name would end the segment before it at the wrong position; and what is written to that segment from
        // now on would pass for damage if a crash brought the name back.
        let is_removed = || disk.remove(&path).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true);
        let is_undone = is_full(&error) && is_removed() && disk.flush_dir(dir).is_ok();
        CreateFailure { error: StoreError::io(op, &path, error), is_undone }
    })
}

fn make_segment(disk: &dyn Disk, dir: &Path, path: &Path, header: SegmentHeader) -> Result<Arc<dyn DiskFile>, (&'static str, io::Error)> {
    let file = disk.open(path, Open::Create).map_err(|error| ("create", error))?;
    file.set_bytes(0).map_err(|error| ("cut", error))?; // what a torn creation left
    file.write_at(0, &header.encode()).map_err(|error| ("write", error))?;
    // The header before any group: a file longer than a header then always has one, and a bad one is damage.
    file.flush_all().map_err(|error| ("flush", error))?;
    // The name before any group counts as flushed: a flushed group in a file without a name is lost.
    disk.flush_dir(dir).map_err(|error| ("flush", error))?;
    Ok(file)
}

/// Writes what lies in `from..to` again, as it is.
fn rewrite(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<()> {
    let mut bytes = vec![0; 256 << 10];
    while from < to {
        let count = bytes.len().min(usize::try_from(to - from).unwrap_or(usize::MAX));
        let read = file.read_at(from, &mut bytes[..count])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(from, &bytes[..read])?;
        from += read as u64;
    }
    Ok(())
}
