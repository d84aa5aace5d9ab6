//! What the store asks of a disk, so small that a test can play one that fails or crashes at any effect.
//!
//! Everything that the store writes, redb's file included, goes through [`Disk`]. An *effect* is a call that changes what a disk
//! holds or promises: create, write, set length, flush, rename, remove, flush of a folder.
//!
//! # Errors
//! Every call answers the operating system's error; the store says what was tried on which file (`StoreError::Io`).
//!
//! # Not here
//! - What is assumed of a real disk: `docs/format.md`, last section.

#![allow(clippy::missing_errors_doc, reason = "said once, above")]

mod bulk;
mod content;
mod memory;
mod real;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use memory::{Fault, MemoryDisk, Survivors};
pub use real::RealDisk;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// It must be there; only read.
    Read,
    /// It must be there; read and written.
    Write,
    /// Made when it is not there.
    Create,
    /// It must not be there.
    CreateNew,
}

/// Files and folders by path.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Makes a folder and its parents; one that is there is fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Whether a file or folder is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Names of the files in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Gives a file another name; what had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` survive a crash.
    fn flush_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Closing is dropping.
pub trait DiskFile: Send + Sync + Debug + 'static {
    /// Bytes in the file.
    fn bytes(&self) -> io::Result<u64>;
    /// Reads up to `out.len()` bytes at `offset`; fewer only at the end of the file. Answers how many.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, in one call to the system when that takes them all. After an error any part may be there.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// As [`DiskFile::write_at`], for much that nobody will read soon: past the system's cache of file pages, where that can be done.
    fn write_bulk_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }
    /// Cuts the file, or extends it with zeros.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;
    /// Makes the bytes, and the length as far as reading them needs it, survive a crash.
    fn flush(&self) -> io::Result<()>;
    /// As [`DiskFile::flush`], with all of the file's attributes: a cut is sure to survive.
    fn flush_all(&self) -> io::Result<()>;
    /// Takes the advisory lock, which ends with the file; false when somebody else has it.
    fn try_lock(&self) -> io::Result<bool>;
}
