//! A disk whose reads wait until they are let through.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use limosa_store::disk::{Disk, DiskFile, MemoryDisk, Open};

/// While closed, nobody reads.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.closed.lock().expect("no panic").0 = true;
    }

    pub(crate) fn open(&self) {
        self.closed.lock().expect("no panic").0 = false;
        self.changed.notify_all();
    }

    /// Returns when `count` readers wait.
    pub(crate) fn wait_for(&self, count: usize) {
        let mut closed = self.closed.lock().expect("no panic");
        while closed.1 < count {
            closed = self.changed.wait(closed).expect("no panic");
        }
    }

    fn pass(&self) {
        let mut closed = self.closed.lock().expect("no panic");
        closed.1 += 1;
        self.changed.notify_all();
        while closed.0 {
            closed = self.changed.wait(closed).expect("no panic");
        }
        closed.1 -= 1;
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct SlowDisk {
    pub(crate) disk: MemoryDisk,
    pub(crate) gate: Arc<Gate>,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl Disk for SlowDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(SlowFile { file: self.disk.open(path, mode)?, gate: self.gate.clone() }))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn flush_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.flush_dir(dir)
    }
}

impl DiskFile for SlowFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.gate.pass();
        self.file.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
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
