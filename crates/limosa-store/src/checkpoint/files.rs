//! The extent files of a folder: which are there, who may still read them, and when one can go.
//!
//! # Invariants
//! - A file that a commit names, or named for a view that is still held, is not removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::choice::ExtentFacts;
use super::extent::{ExtentFile, ExtentWriter, file_name, number_of};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::Owner;

/// The files of one state, each held open for reading.
pub(super) type FileSet = Arc<BTreeMap<u64, Arc<ExtentFile>>>;

#[derive(Debug)]
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    owner: Owner,
    file_bytes: u64,
    /// Number of the next file.
    next: Arc<AtomicU64>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    files: BTreeMap<u64, Arc<ExtentFile>>,
    /// Numbers that the last commit names.
    named: Vec<u64>,
}

impl Files {
    /// The files in `dir`.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, owner: Owner, file_bytes: u64) -> Self {
        let known = Known { files: BTreeMap::new(), named: Vec::new() };
        Self { disk, dir: dir.to_path_buf(), owner, file_bytes, next: Arc::new(AtomicU64::new(1)), known: Mutex::new(known) }
    }

    /// Makes the folder when it is not there, and removes what no commit names: what a crash left of a checkpoint that did not come about,
    /// or of a removal. Before anything is written.
    pub(super) fn settle(&self, named: &[ExtentFacts]) -> Result<(), StoreError> {
        let io = |op| move |error| StoreError::io(op, &self.dir, error);
        if !self.disk.exists(&self.dir).map_err(io("look for"))? {
            self.disk.create_dir(&self.dir).map_err(io("create"))?;
            let above = self.dir.parent().unwrap_or(Path::new(""));
            // Before a file in it counts, its own name must be on the disk.
            self.disk.flush_dir(above).map_err(io("flush the folder of"))?;
        }
        let names = self.disk.list(&self.dir).map_err(io("list"))?;
        let found: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        let is_named = |number: u64| named.iter().any(|file| file.number == number);
        for number in found.iter().copied().filter(|number| !is_named(*number)) {
            let path = self.dir.join(file_name(number));
            self.disk.remove(&path).map_err(|error| StoreError::io("remove", &path, error))?;
        }
        for file in named.iter().filter(|file| !found.contains(&file.number)) {
            // Not refused: what other files hold can be served, and a peer has the rest.
            tracing::error!(path = %self.dir.join(file_name(file.number)).display(), "an extent file that the checkpoint names is gone");
        }
        let last = found.iter().copied().chain(named.iter().map(|file| file.number)).max().unwrap_or(0);
        self.next.store(last + 1, Ordering::Relaxed);
        Ok(())
    }

    /// The files that a commit names, for the view of its state.
    pub(super) fn set_of(&self, named: &[ExtentFacts]) -> FileSet {
        let mut known = self.known();
        known.named = named.iter().map(|file| file.number).collect();
        let mut set = BTreeMap::new();
        for file in named {
            let new = || Arc::new(ExtentFile::new(self.disk.clone(), &self.dir, self.owner, file.number));
            set.insert(file.number, known.files.entry(file.number).or_insert_with(new).clone());
        }
        Arc::new(set)
    }

    /// New files, for one checkpoint.
    pub(super) fn writer(&self) -> ExtentWriter {
        ExtentWriter::new(self.disk.clone(), &self.dir, self.owner, self.next.clone(), self.file_bytes)
    }

    /// Takes over the files of a checkpoint that was handed to redb: the next view says whether a commit names them.
    pub(super) fn adopt(&self, files: Vec<Arc<ExtentFile>>) {
        self.known().files.extend(files.into_iter().map(|file| (file.number(), file)));
    }

    /// Removes the files that no commit names any more and nobody holds. One that can't be removed is tried again next time.
    pub(super) fn sweep(&self) {
        let mut known = self.known();
        let Known { files, named, .. } = &mut *known;
        files.retain(|number, file| {
            // Only a view holds a file, and gets it from here: with one holder nobody else can come to have it.
            if named.contains(number) || Arc::strong_count(file) > 1 {
                return true;
            }
            file.remove().inspect_err(|error| tracing::warn!(path = %file.path().display(), %error, "an extent file stays")).is_err()
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics while holding it")
    }
}
