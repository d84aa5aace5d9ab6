//! The writing end of the journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Group, JournalHandle, Owner, Point, Position};
use crate::disk::Disk;
use crate::error::StoreError;

/// What may be chosen about a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalOptions {
    /// A segment that has reached this many bytes is followed by a new one. Default 64 MiB.
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

/// A write that the last crash had torn; it had never been flushed.
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
pub struct Journal {}

/// A flush that can run without the journal at hand, while groups go on being written.
#[derive(Debug)]
pub struct FlushJob {}

/// A flush that has run.
#[derive(Debug)]
pub struct FlushDone {}

impl FlushJob {
    /// Flushes; blocks for as long as the disk takes.
    pub fn run(self) -> FlushDone {
        FlushDone {}
    }
}

impl Journal {
    /// Opens or creates the journal in `dir` (which must be there), and checks it from `expect` on: the point up to which the checkpoint holds it
    /// ([`Point::genesis`] without one). A torn tail is cut. Everything is published and on the disk when this returns.
    ///
    /// # Errors
    /// Damage, a broken chain, positions missing from `expect` on, another node's segments, a newer format, a failing disk.
    pub fn open(
        disk: Arc<dyn Disk>, dir: &Path, owner: Owner, options: JournalOptions, expect: Point,
    ) -> Result<(Self, Recovered), StoreError> {
        let _ = (disk, dir, owner, options);
        Ok((Self {}, Recovered { end: expect, torn: None }))
    }

    /// Appends a group with one write. Not on the disk before [`Journal::flush`], not for readers before [`Journal::publish`].
    ///
    /// # Errors
    /// A full disk: nothing of the group is in the journal, the same call works later. Anything else poisons.
    pub fn write(&mut self, group: &mut Group) -> Result<Point, StoreError> {
        let _ = group;
        Err(StoreError::Poisoned { why: "the journal is being built".into() })
    }

    /// Makes everything written survive a crash; answers up to where. Does nothing when everything is flushed.
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
        Ok(FlushJob {})
    }

    /// Takes note of a flush that ran elsewhere.
    ///
    /// # Errors
    /// It failed: the journal is poisoned from now on.
    pub fn flushed_by(&mut self, done: FlushDone) -> Result<Position, StoreError> {
        let _ = done;
        Ok(Position::ZERO)
    }

    /// Shows readers everything written so far.
    pub fn publish(&self) {}

    /// Where the last written group ends.
    pub fn end(&self) -> Point {
        Point::genesis(&Owner { cluster: [0; 16], incarnation: 0 })
    }

    /// Up to where everything is known to be on the disk.
    pub fn flushed(&self) -> Position {
        Position::ZERO
    }

    /// The reading side.
    pub fn handle(&self) -> JournalHandle {
        JournalHandle {}
    }

    /// Deletes the segments whose records are all below `below`; the last segment stays. Answers how many went.
    ///
    /// # Errors
    /// A failing disk; what was deleted before it stays deleted.
    pub fn release(&mut self, below: Position) -> Result<usize, StoreError> {
        let _ = below;
        Ok(0)
    }

    /// Writes a mark that what is flushed was flushed, if the last header does not say so yet: from then on damage in the last group is
    /// told from a torn write. For quiet moments and a clean stop.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn mark(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
