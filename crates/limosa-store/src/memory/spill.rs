//! Files beside journal and checkpoint that hold blocks which no checkpoint has, while this process lives.
//!
//! Nothing here need survive: whatever is spilled is in the journal, from which a start makes it again. A start removes what it finds.
//!
//! # Invariants
//! - A file is appended to by one holder of the lock, and removed when the last block that lies in it has gone from every tree.
//! - What is read back is a block's encoding with its checksum, compared with its summary: as one from a checkpoint.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use limosa_tree::{LoadError, SpilledBlock};

use crate::disk::{Disk, DiskFile, Open};
use crate::error::StoreError;

/// A file of this size is followed by a new one: what is spilled together goes together, more or less.
const FILE_BYTES: u64 = 32 << 20;

/// Where blocks are spilled to.
#[derive(Debug)]
pub(super) struct Spill {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    open: Option<(Arc<SpillFile>, u64)>,
    count: u64,
    /// Files that nobody needs any more.
    unused: Arc<Mutex<Vec<PathBuf>>>,
}

#[derive(Debug)]
struct SpillFile {
    unused: Arc<Mutex<Vec<PathBuf>>>,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // The last block may go anywhere, also under the state's lock: the file is removed by whoever spills next, or by the next start.
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.path));
    }
}

/// One block in a file.
struct Spilled {
    file: Arc<SpillFile>,
    offset: u64,
    bytes: usize,
}

impl SpilledBlock for Spilled {
    fn read(&self) -> Result<Vec<u8>, LoadError> {
        let mut out = vec![0; self.bytes];
        match self.file.file.read_at(self.offset, &mut out) {
            Ok(read) if read == out.len() => Ok(out),
            Ok(_) => Err(LoadError::Failed { why: format!("{} is shorter than it was", self.file.path.display()) }),
            Err(error) => Err(LoadError::Failed { why: format!("{}: {error}", self.file.path.display()) }),
        }
    }
}

impl Spill {
    /// Spills into `dir`, which is made when it is needed, and emptied now.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, StoreError> {
        let io = |op, path: &Path, error| StoreError::io(op, path, error);
        if disk.exists(&dir).map_err(|error| io("look for", &dir, error))? {
            for name in disk.list(&dir).map_err(|error| io("list", &dir, error))? {
                let path = dir.join(name);
                disk.remove(&path).map_err(|error| io("remove", &path, error))?;
            }
        }
        Ok(Self { disk, dir, open: None, count: 0, unused: Arc::default() })
    }

    /// Writes a block's bytes; not flushed, for nothing depends on them behind a crash.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Arc<dyn SpilledBlock>, StoreError> {
        if self.open.as_ref().is_none_or(|(_, end)| *end >= FILE_BYTES) {
            self.open = None;
            self.remove_unused();
            self.open = Some((Arc::new(self.create()?), 0));
        }
        let (file, end) = self.open.as_mut().expect("opened above");
        file.file.write_at(*end, bytes).map_err(|error| StoreError::io("spill to", &file.path, error))?;
        let spilled = Spilled { file: file.clone(), offset: *end, bytes: bytes.len() };
        *end += bytes.len() as u64;
        Ok(Arc::new(spilled))
    }

    /// Removes the files in which nothing lies any more.
    pub(super) fn remove_unused(&self) {
        let unused = std::mem::take(&mut *self.unused.lock().unwrap_or_else(PoisonError::into_inner));
        for path in unused {
            let _ = self.disk.remove(&path); // what can't be removed now is removed by the next start
        }
    }

    fn create(&mut self) -> Result<SpillFile, StoreError> {
        self.disk.create_dir(&self.dir).map_err(|error| StoreError::io("create", &self.dir, error))?;
        self.count += 1;
        let path = self.dir.join(format!("blocks-{:020}.tmp", self.count));
        let file = self.disk.open(&path, Open::CreateNew).map_err(|error| StoreError::io("create", &path, error))?;
        Ok(SpillFile { unused: self.unused.clone(), path, file })
    }
}
