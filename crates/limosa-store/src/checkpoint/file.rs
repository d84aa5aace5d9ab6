//! The checkpoint's file: opening it, and what follows a commit.

use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use limosa_core::FragmentId;
use redb::Database;

use super::backend::Backend;
use super::files::Files;
use super::guard::Guard;
use super::value::{self, BLOCKS, EXTENTS, FormatFault, META, SUMMARIES};
use super::view::{CheckpointView, StoredBytes};
use super::writer::{self, CheckpointWriter};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::StoreError;
use crate::journal::{Owner, Point};

/// What may be chosen about a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointOptions {
    /// Most bytes of redb's page cache, read and written pages together. Default 16 MiB.
    pub cache_bytes: usize,
    /// An extent file that has reached this many bytes is followed by a new one. Default 128 MiB.
    pub extent_bytes: u64,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, extent_bytes: 128 << 20 }
    }
}

/// The checkpoint. Shared by reference; readers and the one writer do not wait for each other.
#[derive(Debug)]
pub struct Checkpoint {
    disk: Arc<dyn Disk>,
    options: CheckpointOptions,
    guard: Guard,
    owner: Owner,
    files: Files,
    open: RwLock<Opened>,
}

/// The open file, replaced as a whole when redb has to be opened again.
#[derive(Debug)]
struct Opened {
    /// `None` only while it is being replaced, or when that failed; the guard is poisoned then.
    db: Option<Database>,
    view: Option<Arc<CheckpointView>>,
}

/// Bytes that hold redb's header, with the bit that says which of its two commit slots counts.
const HEADER_BYTES: usize = 4096;
/// Folder of the extent files, beside redb's file.
const EXTENTS_DIR: &str = "extents";

impl Checkpoint {
    /// Opens or creates the checkpoint file at `path` for `owner`, and the folder of extent files beside it.
    ///
    /// # Errors
    /// Another node's file, a newer format, damage, a failing disk.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, owner: Owner, options: CheckpointOptions) -> Result<Self, StoreError> {
        let guard = Guard::new(path.to_path_buf());
        if !disk.exists(path).map_err(|error| StoreError::io("look for", path, error))? {
            create(&*disk, &guard, owner, options)?;
        }
        let db = open_file(&*disk, &guard, options)?;
        let files = Files::new(disk.clone(), &path.with_file_name(EXTENTS_DIR), owner, options.extent_bytes);
        let view = CheckpointView::new(guard.clone(), &db, &files)?;
        admit(&guard, &view, owner)?;
        files.settle(view.extents())?;
        let open = RwLock::new(Opened { db: Some(db), view: Some(Arc::new(view)) });
        Ok(Self { disk, options, guard, owner, files, open })
    }

    /// The point of the journal that the last commit holds; [`Point::genesis`] when there was none.
    ///
    /// # Errors
    /// The checkpoint is poisoned.
    pub fn point(&self) -> Result<Point, StoreError> {
        Ok(self.view()?.point())
    }

    /// Why it refuses all work; `None` while it does not.
    pub fn poison(&self) -> Option<StoreError> {
        self.guard.poison()
    }

    /// The state of the last commit.
    ///
    /// # Errors
    /// The checkpoint is poisoned.
    pub fn view(&self) -> Result<Arc<CheckpointView>, StoreError> {
        self.opened().view.clone().ok_or_else(|| self.closed())
    }

    /// One block, from the last commit. As [`CheckpointView::load_block`].
    ///
    /// # Errors
    /// See there.
    pub fn load_block(&self, fragment: FragmentId, first_key: &[u8]) -> Result<StoredBytes, StoreError> {
        self.view()?.load_block(fragment, first_key)
    }

    /// Starts a checkpoint. One at a time: waits for the one before.
    ///
    /// # Errors
    /// The checkpoint is poisoned, or the disk fails.
    pub fn begin(&self) -> Result<CheckpointWriter<'_>, StoreError> {
        let txn = {
            let open = self.opened();
            let db = open.db.as_ref().ok_or_else(|| self.closed())?;
            self.guard.call("write", || writer::begin(db))?
        };
        Ok(CheckpointWriter::new(self, self.view()?, txn, self.files.writer()))
    }

    /// Bytes of all files: redb's, and the extent files that the last commit names.
    ///
    /// # Errors
    /// The disk fails, or the checkpoint is poisoned.
    pub fn file_bytes(&self) -> Result<u64, StoreError> {
        let path = self.guard.path();
        let bytes = self.disk.open(path, Open::Read).and_then(|file| file.bytes());
        let bytes = bytes.map_err(|error| StoreError::io("read", path, error))?;
        Ok(bytes + self.view()?.extents().iter().map(|file| file.bytes).sum::<u64>())
    }

    /// Removes extent files that no commit names any more and no view holds.
    pub fn sweep(&self) {
        // Poisoned: which commit is the last one is not known.
        if self.guard.check().is_ok() {
            self.files.sweep();
        }
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    fn opened(&self) -> RwLockReadGuard<'_, Opened> {
        self.open.read().expect("nothing panics while holding it")
    }

    /// Shows the last commit to readers.
    pub(super) fn turn_to_last_commit(&self) -> Result<(), StoreError> {
        let mut open = self.open.write().expect("nothing panics while holding it");
        let db = open.db.as_ref().ok_or_else(|| self.closed())?;
        let view = CheckpointView::new(self.guard.clone(), db, &self.files)?;
        open.view = Some(Arc::new(view));
        Ok(())
    }

    /// Opens the file again: after a full disk redb answers nothing more, and the last commit is untouched. Views held by others fail from
    /// now on; [`Checkpoint::view`] answers a fresh one.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut open = self.open.write().expect("nothing panics while holding it");
        open.view = None;
        let db = open.db.take();
        self.guard.give_back(|| drop(db));
        let outcome = open_file(&*self.disk, &self.guard, self.options).and_then(|db| {
            open.view = Some(Arc::new(CheckpointView::new(self.guard.clone(), &db, &self.files)?));
            open.db = Some(db);
            Ok(())
        });
        outcome.inspect_err(|error| _ = self.guard.poisoned(format!("could not open the checkpoint again: {error}")))
    }

    fn closed(&self) -> StoreError {
        self.guard.poisoned("the checkpoint could not be opened again".into())
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        let open = self.open.get_mut().expect("nothing panics while holding it");
        open.view = None;
        let db = open.db.take();
        self.guard.give_back(|| drop(db));
    }
}

/// Makes the file under another name and gives it its own when it is whole: redb can't open a file whose first bytes a crash tore.
fn create(disk: &dyn Disk, guard: &Guard, owner: Owner, options: CheckpointOptions) -> Result<(), StoreError> {
    let path = guard.path();
    let new = path.with_extension("redb.new");
    let io = |op| move |error: io::Error| StoreError::io(op, path, error);
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("remove")(error)),
        _ => {}
    }
    let file = disk.open(&new, Open::CreateNew).map_err(io("create"))?;
    guard.call("create", || {
        let db = build(file, options)?;
        let txn = writer::begin(&db)?;
        txn.open_table(BLOCKS)?;
        txn.open_table(SUMMARIES)?;
        txn.open_table(EXTENTS)?;
        writer::insert(&mut txn.open_table(META)?, value::FORMAT_KEY.as_bytes(), &value::format_value(owner))?;
        writer::insert(&mut txn.open_table(META)?, value::POINT_KEY.as_bytes(), &value::point_value(Point::genesis(&owner)))?;
        // redb's commit flushes the file before the file gets its name.
        txn.commit()?;
        Ok(())
    })?;
    disk.rename(&new, path).map_err(io("rename"))?;
    // The name before the journal below the first checkpoint is released: without the file those records would be needed again.
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.flush_dir(dir).map_err(io("flush the folder of"))
}

fn open_file(disk: &dyn Disk, guard: &Guard, options: CheckpointOptions) -> Result<Database, StoreError> {
    let path = guard.path();
    let file = disk.open(path, Open::Write).map_err(|error| StoreError::io("open", path, error))?;
    settle(&*file).map_err(|error| StoreError::io("flush", path, error))?;
    guard.call("open", || build(file, options))
}

/// Puts redb's header on the disk as it is seen. When the last flush of a commit failed, the system may show a header that names the
/// new state and believe it to be on the disk; the journal would be released on the strength of it.
/// (redb writes its header when it opens a file, as it happens; nothing says that it must.)
fn settle(file: &dyn DiskFile) -> io::Result<()> {
    let mut header = [0; HEADER_BYTES];
    let read = file.read_at(0, &mut header)?;
    file.write_at(0, &header[..read])?;
    file.flush()
}

fn build(file: Arc<dyn DiskFile>, options: CheckpointOptions) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(options.cache_bytes).create_with_backend(Backend(file))?)
}

/// Whether the file is one of ours and `owner`'s.
fn admit(guard: &Guard, view: &CheckpointView, owner: Owner) -> Result<(), StoreError> {
    let path = || guard.path().clone();
    let format = view.meta(value::FORMAT_KEY)?.ok_or_else(|| guard.damaged("it does not say which format it has"))?;
    let found = value::read_format(&format).map_err(|fault| match fault {
        FormatFault::Damaged => guard.damaged("it does not say which format it has"),
        FormatFault::Newer { what, found, known } => {
            StoreError::FormatNewer { path: path(), what, found: found.into(), known: known.into() }
        }
    })?;
    let (_, found) = found;
    if found == owner {
        return Ok(());
    }
    let text = |owner: Owner| format!("{}/{:016x}", crate::journal::hex(&owner.cluster), owner.incarnation);
    Err(StoreError::ForeignFolder { path: path(), what: "cluster and incarnation", expected: text(owner), found: text(found) })
}
