//! Appends the records of one checkpoint to new extent files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limosa_core::{FragmentId, varint};

use super::ExtentFile;
use super::layout::{self, HEADER_BYTES, Kind, RECORD_BYTES};
use crate::checkpoint::place::Place;
use crate::disk::{Disk, DiskFile};
use crate::journal::Owner;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes after which what was written is flushed: a flush of much at once would hold up the journal's.
const FLUSH_BYTES: u64 = 16 << 20;

/// A file that is whole and on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::checkpoint) struct Finished {
    pub(in crate::checkpoint) number: u64,
    /// Bytes of the file.
    pub(in crate::checkpoint) bytes: u64,
    /// Bytes of its records, each with what stands before it; the index apart.
    pub(in crate::checkpoint) record_bytes: u64,
    pub(in crate::checkpoint) index_offset: u64,
    pub(in crate::checkpoint) index_bytes: u32,
}

/// A failure, with what was tried on which file.
pub(in crate::checkpoint) type Failure = (&'static str, PathBuf, io::Error);

/// The files of one checkpoint. They are taken away again unless [`ExtentWriter::keep`] takes them over.
#[derive(Debug)]
pub(in crate::checkpoint) struct ExtentWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    owner: Owner,
    next: Arc<AtomicU64>,
    file_bytes: u64,
    open: Option<Growing>,
    files: Vec<Arc<ExtentFile>>,
    finished: Vec<Finished>,
    written_bytes: u64,
}

#[derive(Debug)]
struct Growing {
    number: u64,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Bytes written before the buffer.
    written: u64,
    flushed: u64,
    rows: Vec<u8>,
    count: u64,
}

impl ExtentWriter {
    /// Files with numbers out of `next`, each followed by another when it has `file_bytes`.
    pub(in crate::checkpoint) fn new(disk: Arc<dyn Disk>, dir: &Path, owner: Owner, next: Arc<AtomicU64>, file_bytes: u64) -> Self {
        let dir = dir.to_path_buf();
        Self { disk, dir, owner, next, file_bytes, open: None, files: Vec::new(), finished: Vec::new(), written_bytes: 0 }
    }

    /// Appends a record and answers where it lies.
    pub(in crate::checkpoint) fn append(&mut self, fragment: FragmentId, first_key: &[u8], body: &[u8]) -> Result<Place, Failure> {
        if self.open.is_none() {
            // Taken for good: a file that could not be removed again keeps its number.
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let extent = Arc::new(ExtentFile::new(self.disk.clone(), &self.dir, self.owner, number));
            self.files.push(extent.clone());
            self.open = Some(Growing::start(&extent)?);
        }
        let growing = self.open.as_mut().expect("started above");
        let offset = growing.push(Kind::Block, body)?;
        layout::put_indexed(&mut growing.rows, fragment, first_key, offset, body.len());
        growing.count += 1;
        let place = Place::new(growing.number, offset, body);
        if growing.end() >= self.file_bytes {
            self.close()?;
        }
        Ok(place)
    }

    /// Ends the last file. All of it is on the disk when this returns, names included.
    pub(in crate::checkpoint) fn finish(&mut self) -> Result<&[Finished], Failure> {
        self.close()?;
        if !self.finished.is_empty() {
            self.disk.flush_dir(&self.dir).map_err(|error| ("flush", self.dir.clone(), error))?;
        }
        Ok(&self.finished)
    }

    /// Leaves the files where they are from now on, and answers them.
    pub(in crate::checkpoint) fn keep(&mut self) -> Vec<Arc<ExtentFile>> {
        std::mem::take(&mut self.files)
    }

    /// Bytes of the files so far.
    pub(in crate::checkpoint) fn bytes(&self) -> u64 {
        self.written_bytes + self.open.as_ref().map_or(0, Growing::end)
    }

    fn close(&mut self) -> Result<(), Failure> {
        let Some(mut growing) = self.open.take() else { return Ok(()) };
        let record_bytes = growing.end() - HEADER_BYTES as u64;
        let mut index = Vec::with_capacity(growing.rows.len() + 10);
        varint::put(&mut index, growing.count);
        index.extend_from_slice(&growing.rows);
        let index_offset = growing.push(Kind::Index, &index)?;
        growing.spill()?;
        growing.flush()?;
        self.written_bytes += growing.written;
        let index_bytes = u32::try_from(index.len()).expect("an index is far below 4 GiB");
        self.finished.push(Finished { number: growing.number, bytes: growing.written, record_bytes, index_offset, index_bytes });
        Ok(())
    }
}

impl Growing {
    fn start(extent: &ExtentFile) -> Result<Self, Failure> {
        let (number, path) = (extent.number(), extent.path().to_path_buf());
        let file = extent.create().map_err(|error| ("create", path.clone(), error))?;
        let written = HEADER_BYTES as u64;
        Ok(Self { number, path, file, buffer: Vec::new(), written, flushed: 0, rows: Vec::new(), count: 0 })
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends a record; answers where its body lies.
    fn push(&mut self, kind: Kind, body: &[u8]) -> Result<u64, Failure> {
        let offset = self.end() + RECORD_BYTES as u64;
        self.buffer.extend_from_slice(&layout::record(kind, self.number, offset, body));
        self.buffer.extend_from_slice(body);
        if self.buffer.len() >= BUFFER_BYTES {
            self.spill()?;
        }
        if self.written - self.flushed >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(offset)
    }

    fn spill(&mut self) -> Result<(), Failure> {
        self.file.write_at(self.written, &self.buffer).map_err(|error| ("write", self.path.clone(), error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| ("flush", self.path.clone(), error))?;
        self.flushed = self.written;
        Ok(())
    }
}

impl Drop for ExtentWriter {
    fn drop(&mut self) {
        self.open = None;
        for file in &self.files {
            if let Err(error) = file.remove() {
                tracing::warn!(path = %file.path().display(), %error, "a file of an unfinished checkpoint stays until the next start");
            }
        }
    }
}
