//! One extent file, read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::layout::{self, HEADER_BYTES, HeaderFault, Kind, RECORD_BYTES};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::StoreError;
use crate::journal::Owner;

/// A file that a commit names, or that the checkpoint under way writes. Whoever may read it holds it; it is opened when it is first read.
#[derive(Debug)]
pub(in crate::checkpoint) struct ExtentFile {
    number: u64,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    owner: Owner,
    open: Mutex<Option<Arc<dyn DiskFile>>>,
}

/// Why bytes of a file can't be had.
pub(in crate::checkpoint) enum ReadFault {
    /// They are not what was written, or not there.
    Damaged(String),
    /// The disk, or a newer format.
    Store(StoreError),
}

impl ExtentFile {
    pub(in crate::checkpoint) fn new(disk: Arc<dyn Disk>, dir: &Path, owner: Owner, number: u64) -> Self {
        Self { number, path: dir.join(layout::file_name(number)), disk, owner, open: Mutex::new(None) }
    }

    pub(in crate::checkpoint) fn number(&self) -> u64 {
        self.number
    }

    pub(in crate::checkpoint) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file and writes its header.
    pub(super) fn create(&self) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(&self.path, Open::CreateNew)?;
        file.write_at(0, &layout::header(self.owner, self.number))?;
        Ok(file)
    }

    /// Takes the file away; one that is not there is fine.
    pub(in crate::checkpoint) fn remove(&self) -> io::Result<()> {
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The body of `bytes` at `offset`, as it lies there: its reader judges it by its seal.
    pub(in crate::checkpoint) fn body(&self, offset: u64, bytes: u32) -> Result<Vec<u8>, ReadFault> {
        let file = self.opened()?;
        self.read(&*file, offset, u64::from(bytes))
    }

    /// The body of a block's record at `offset`, judged by the checksum that stands before it.
    pub(in crate::checkpoint) fn checked(&self, offset: u64, bytes: u32) -> Result<Vec<u8>, ReadFault> {
        self.record(Kind::Block, offset, bytes)
    }

    /// The body of the index, whose record's body lies at `offset`.
    pub(in crate::checkpoint) fn index(&self, offset: u64, bytes: u32) -> Result<Vec<u8>, ReadFault> {
        self.record(Kind::Index, offset, bytes)
    }

    fn record(&self, kind: Kind, offset: u64, bytes: u32) -> Result<Vec<u8>, ReadFault> {
        let start = offset.checked_sub(RECORD_BYTES as u64).ok_or_else(|| self.damaged("a record can't lie there"))?;
        let file = self.opened()?;
        let mut record = self.read(&*file, start, u64::from(bytes) + RECORD_BYTES as u64)?;
        let body = record.split_off(RECORD_BYTES);
        if layout::is_record(kind, self.number, offset, &record, &body) {
            Ok(body)
        } else {
            Err(self.damaged("a record's checksum does not match"))
        }
    }

    fn read(&self, file: &dyn DiskFile, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFault> {
        let held = file.bytes().map_err(|error| self.failed("read", error))?;
        // Before anything is allocated: a place is trusted no further than the file reaches.
        if offset.checked_add(bytes).is_none_or(|end| end > held) {
            return Err(self.damaged("it is shorter than what the checkpoint names"));
        }
        let mut out = vec![0; usize::try_from(bytes).map_err(|_| self.damaged("a record does not fit into memory"))?];
        let read = file.read_at(offset, &mut out).map_err(|error| self.failed("read", error))?;
        if read == out.len() { Ok(out) } else { Err(self.damaged("it became shorter while it was read")) }
    }

    fn opened(&self) -> Result<Arc<dyn DiskFile>, ReadFault> {
        let mut open = self.open.lock().expect("nothing panics while holding it");
        if let Some(file) = &*open {
            return Ok(file.clone());
        }
        let file = self.disk.open(&self.path, Open::Read).map_err(|error| self.failed("open", error))?;
        let mut header = [0; HEADER_BYTES];
        let read = file.read_at(0, &mut header).map_err(|error| self.failed("read", error))?;
        if read < HEADER_BYTES {
            return Err(self.damaged("its header is not whole"));
        }
        layout::check_header(&header, self.owner, self.number).map_err(|fault| match fault {
            HeaderFault::Damaged(why) => self.damaged(why),
            HeaderFault::Newer { what, found, known } => {
                ReadFault::Store(StoreError::FormatNewer { path: self.path.clone(), what, found: found.into(), known: known.into() })
            }
        })?;
        Ok(open.insert(file).clone())
    }

    fn damaged(&self, why: &str) -> ReadFault {
        ReadFault::Damaged(format!("{}: {why}", self.path.display()))
    }

    fn failed(&self, op: &'static str, error: io::Error) -> ReadFault {
        if error.kind() == io::ErrorKind::NotFound {
            return self.damaged("the file is gone");
        }
        ReadFault::Store(StoreError::io(op, &self.path, error))
    }
}
