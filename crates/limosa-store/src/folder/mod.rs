//! The data folder: who may use it, whose it is, and what lies where.
//!
//! ```text
//! DIR/lock              held by the process that uses the folder; its text is that process's id
//! DIR/node.toml         whose data it is: written once, last, when the folder is made
//! DIR/journal/          see `journal`
//! DIR/checkpoint.redb   see `checkpoint`
//! DIR/quarantine/       tails of histories that lost, as readable files
//! ```
//!
//! # Invariants
//! - One process at a time, by the operating system's advisory lock, which ends with the process however it ends.
//! - A folder without an identity file holds no data: nothing is written into it before that file is on the disk.
//! - The incarnation is drawn once for each folder: a node that comes back with an empty folder is a new incarnation, and seen to be.

mod identity;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, Open};
use crate::error::StoreError;
use crate::journal::{Owner, hex};
use crate::options::Entropy;
use identity::{FILE_BYTES_MAX, IdentityFile};
pub(crate) use identity::{check_text, sample};

/// Who opens a data folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The node's name: 1 to 64 letters, digits, '.', '_' and '-'.
    pub node: String,
}

/// A data folder that this process holds. Dropping it gives the lock back.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    owner: Owner,
    /// Only held: the lock lives as long as the file is open.
    _lock: Arc<dyn DiskFile>,
}

impl Folder {
    /// Creates the folder, or checks that it belongs to `identity` and these space keys, and takes its lock.
    ///
    /// # Errors
    /// In use, of another node, cluster or set of space keys, of a newer format, damaged, or a failing disk.
    pub fn open(disk: &dyn Disk, dir: &Path, identity: &Identity, space_keys: u64, entropy: &Entropy) -> Result<Self, StoreError> {
        identity::check_node(&identity.node)?;
        disk.create_dir(dir).map_err(|error| StoreError::io("create", dir, error))?;
        // The lock before anything is read: two processes that start at once must not both find an empty folder.
        let lock = take_lock(disk, dir)?;
        let file = match read_identity(disk, dir)? {
            Some(file) => file,
            None => create(disk, dir, identity, space_keys, draw_incarnation(entropy)?)?,
        };
        admit(&path_of_identity(dir), &file, identity, space_keys)?;
        let owner = Owner { cluster: file.cluster, incarnation: file.incarnation };
        Ok(Self { dir: dir.to_path_buf(), owner, _lock: lock })
    }

    /// Cluster and incarnation, for the journal and the checkpoint.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The journal's segments.
    pub fn journal(&self) -> PathBuf {
        journal(&self.dir)
    }

    /// The checkpoint's file.
    pub fn checkpoint(&self) -> PathBuf {
        checkpoint(&self.dir)
    }

    /// Tails of histories that lost, as readable files.
    pub fn quarantine(&self) -> PathBuf {
        quarantine(&self.dir)
    }
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("journal")
}

fn checkpoint(dir: &Path) -> PathBuf {
    dir.join("checkpoint.redb")
}

fn quarantine(dir: &Path) -> PathBuf {
    dir.join("quarantine")
}

fn path_of_identity(dir: &Path) -> PathBuf {
    dir.join("node.toml")
}

/// Takes the lock, and leaves this process's id in it for the one that comes second.
fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
    let path = dir.join("lock");
    let file = disk.open(&path, Open::Create).map_err(|error| StoreError::io("open", &path, error))?;
    if !file.try_lock().map_err(|error| StoreError::io("lock", &path, error))? {
        return Err(StoreError::FolderInUse { dir: dir.to_path_buf(), pid: holder(&*file) });
    }
    // Not flushed: after a crash nobody holds the lock, whatever the text says.
    let text = format!("{}\n", std::process::id());
    let written = file.set_bytes(0).and_then(|()| file.write_at(0, text.as_bytes()));
    match written {
        Err(error) if !crate::error::is_full(&error) => Err(StoreError::io("write", &path, error)),
        _ => Ok(file), // on a full disk the text is missed by a person only
    }
}

/// The process that the lock file names.
fn holder(file: &dyn DiskFile) -> Option<u32> {
    let mut text = [0; 16];
    let count = file.read_at(0, &mut text).ok()?;
    std::str::from_utf8(&text[..count]).ok()?.trim().parse().ok()
}

/// `None` in a folder that holds nothing yet.
fn read_identity(disk: &dyn Disk, dir: &Path) -> Result<Option<IdentityFile>, StoreError> {
    let path = path_of_identity(dir);
    let read = |file: Arc<dyn DiskFile>| {
        let mut bytes = vec![0; FILE_BYTES_MAX];
        let count = file.read_at(0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    };
    match disk.open(&path, Open::Read).and_then(read) {
        Ok(bytes) => IdentityFile::decode(&path, &bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refuse_orphan(disk, dir).map(|()| None),
        Err(error) => Err(StoreError::io("read", &path, error)),
    }
}

/// Data without an identity is not overwritten: a new incarnation over an old journal would hide a loss.
fn refuse_orphan(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let ask = |path: PathBuf| disk.exists(&path).map_err(|error| StoreError::io("look for", &path, error));
    let journal = journal(dir);
    let has_segments = ask(journal.clone())? && !disk.list(&journal).map_err(|error| StoreError::io("list", &journal, error))?.is_empty();
    if has_segments || ask(checkpoint(dir))? {
        return Err(StoreError::IdentityMissing { path: path_of_identity(dir) });
    }
    Ok(())
}

/// Makes the layout and the identity file.
fn create(disk: &dyn Disk, dir: &Path, identity: &Identity, space_keys: u64, incarnation: u64) -> Result<IdentityFile, StoreError> {
    for sub in [journal(dir), quarantine(dir)] {
        disk.create_dir(&sub).map_err(|error| StoreError::io("create", &sub, error))?;
    }
    // The layout's names before the identity file's: an identity file promises that the rest is there.
    disk.flush_dir(dir).map_err(|error| StoreError::io("flush", dir, error))?;
    flush_ancestors(disk, dir)?;
    let file = IdentityFile { cluster: identity.cluster, node: identity.node.clone(), incarnation, space_keys };
    write_identity(disk, dir, &file)?;
    Ok(file)
}

/// The folder's own name, and the names of the folders above it that may just have been made: a flushed journal in a folder without a
/// name is lost. A folder above that this process may not open was not made by it.
fn flush_ancestors(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    for above in dir.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        match disk.flush_dir(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            outcome => outcome.map_err(|error| StoreError::io("flush", above, error))?,
        }
    }
    Ok(())
}

fn write_identity(disk: &dyn Disk, dir: &Path, identity: &IdentityFile) -> Result<(), StoreError> {
    let path = path_of_identity(dir);
    let new = dir.join("node.toml.new");
    let at = |op, path: &Path| {
        let path = path.to_path_buf();
        move |error| StoreError::io(op, &path, error)
    };
    let file = disk.open(&new, Open::Create).map_err(at("create", &new))?;
    file.set_bytes(0).map_err(at("cut", &new))?; // what an earlier crash left
    file.write_at(0, identity.encode().as_bytes()).map_err(at("write", &new))?;
    // The text before the name: a crash between the two would leave an empty identity file otherwise.
    file.flush_all().map_err(at("flush", &new))?;
    disk.rename(&new, &path).map_err(at("rename", &path))?;
    // The identity's name before any data: a journal without an identity file is refused.
    disk.flush_dir(dir).map_err(at("flush", dir))
}

fn draw_incarnation(entropy: &Entropy) -> Result<u64, StoreError> {
    entropy().map_err(|source| StoreError::Io { op: "draw random bytes for", path: PathBuf::from("a new data folder"), source })
}

/// Whether the folder is the one that was meant; each refusal says what differs.
fn admit(path: &Path, file: &IdentityFile, identity: &Identity, space_keys: u64) -> Result<(), StoreError> {
    let keys = |id: u64| format!("{id:016x}");
    let checks = [
        ("cluster", hex(&identity.cluster), hex(&file.cluster)),
        ("node", identity.node.clone(), file.node.clone()),
        ("space keys", keys(space_keys), keys(file.space_keys)),
    ];
    match checks.into_iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(StoreError::ForeignFolder { path: path.to_path_buf(), what, expected, found }),
        None => Ok(()),
    }
}
