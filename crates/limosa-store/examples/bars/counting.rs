//! A disk that counts what is written to it, by kind of file.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use limosa_store::disk::{Disk, DiskFile, Open, RealDisk};

/// Bytes written so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) journal: AtomicU64,
    pub(crate) extents: AtomicU64,
    pub(crate) redb: AtomicU64,
    /// Blocks that memory had no room for and no checkpoint had.
    pub(crate) spilled: AtomicU64,
}

impl Written {
    /// Journal, extent files, redb, spill files.
    pub(crate) fn now(&self) -> [u64; 4] {
        [&self.journal, &self.extents, &self.redb, &self.spilled].map(|count| count.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct CountingDisk {
    pub(crate) written: Arc<Written>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Journal,
    Extents,
    Redb,
    Spilled,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn DiskFile>,
    written: Arc<Written>,
    kind: Kind,
}

impl Disk for CountingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn DiskFile>> {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => Kind::Journal,
            Some("blk") => Kind::Extents,
            Some("tmp") if path.parent().is_some_and(|folder| folder.ends_with("spill")) => Kind::Spilled,
            _ => Kind::Redb,
        };
        Ok(Arc::new(CountingFile { file: RealDisk.open(path, mode)?, written: self.written.clone(), kind }))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn flush_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.flush_dir(dir)
    }
}

impl DiskFile for CountingFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let count = match self.kind {
            Kind::Journal => &self.written.journal,
            Kind::Extents => &self.written.extents,
            Kind::Redb => &self.written.redb,
            Kind::Spilled => &self.written.spilled,
        };
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(offset, bytes)
    }
    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.file.set_bytes(bytes)
    }
    fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }
    fn flush_all(&self) -> io::Result<()> {
        self.file.flush_all()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}
