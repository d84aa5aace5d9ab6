//! Makes a cluster of one node: cells for the fragments that its store has, all owned by it. State is not touched, so a node that served
//! alone goes on where it was.

use std::path::{Path, PathBuf};

use limosa_core::Retry;
use limosa_manifest::embedded::EmbeddedStore;
use limosa_manifest::{FragmentCell, Manifest, ManifestError, handover};
use thiserror::Error;

use crate::driver::cluster::Board;
use crate::driver::manifest::FILE;
use crate::driver::node::Shared;

/// The space that a node has.
const SPACE: &str = "0";
/// Cells made in one change.
const GROUP: usize = 60;

/// A cluster could not be made.
#[derive(Debug, Error)]
pub enum InitError {
    /// This node was started without a manifest.
    #[error("this node has no manifest: start it with one (setting `manifest`)")]
    NoManifest,
    /// Its manifest is not open yet.
    #[error("this node is starting: its manifest is not open yet")]
    Starting,
    /// There is a cluster.
    #[error("the manifest has {cells} fragments of another owner: this node joins that cluster by being started with its manifest")]
    Exists {
        /// How many.
        cells: usize,
    },
    /// Only etcd takes a manifest over.
    #[error("this node's manifest is not in etcd: start it with --manifest http(s)://HOST:PORT, then move the old one there")]
    NotEtcd,
    /// The folder holds no manifest.
    #[error("{}: no manifest.redb is there, nor in a folder `manifest` in it", folder.display())]
    NoFile {
        /// Which folder.
        folder: PathBuf,
    },
    /// The manifest refused, or is away. What was made stays: the same call goes on with the rest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The operating system gives no randomness.
    #[error("no randomness for an id")]
    Randomness,
}

impl InitError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoManifest => "cluster.no_manifest",
            Self::Starting => "cluster.starting",
            Self::Exists { .. } => "cluster.exists",
            Self::NotEtcd => "cluster.not_etcd",
            Self::NoFile { .. } => "cluster.no_manifest_file",
            Self::Manifest(error) => error.code(),
            Self::Randomness => "session.randomness",
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Manifest(error) => error.retry(),
            Self::Randomness | Self::Starting => Retry::Later,
            Self::NoManifest | Self::Exists { .. } | Self::NotEtcd | Self::NoFile { .. } => Retry::Never,
        }
    }
}

/// Makes the cells that are not there yet. Returns how many fragments this node has.
pub(in crate::driver) async fn init(shared: &Shared, board: &Board, manifest: &Manifest) -> Result<usize, InitError> {
    let (there, _) = manifest.cells().await?;
    let foreign = there.iter().filter(|held| *held.value.holder.last_served() != board.me).count();
    if foreign > 0 {
        return Err(InitError::Exists { cells: foreign });
    }
    let mut cells = Vec::new();
    for facts in shared.store.facts() {
        if there.iter().any(|held| held.value.id() == facts.id) {
            continue; // made by a call that was cut off
        }
        let lineage = shared.random().map_err(|_| InitError::Randomness)?;
        let new = FragmentCell::new(SPACE, facts.id, lineage, facts.range.clone(), board.me.clone());
        // The epoch is the store's own: serving begins with a higher one, as after any start.
        cells.push(FragmentCell { epoch: facts.epochs.epoch().max(1), committed: facts.head, ..new });
    }
    for group in cells.chunks(GROUP) {
        if !manifest.create(group).await? {
            return Err(InitError::Exists { cells: group.len() }); // somebody else made cells at the same moment
        }
    }
    Ok(there.len() + cells.len())
}

/// Moves the embedded manifest in `folder` to where this node's is.
pub(in crate::driver) async fn move_here(folder: &Path, manifest: &Manifest) -> Result<usize, InitError> {
    let file = [folder.join(FILE), folder.join("manifest").join(FILE)].into_iter().find(|file| file.is_file());
    let file = file.ok_or_else(|| InitError::NoFile { folder: folder.to_owned() })?;
    // The number would name a new file; this one is there and has its own.
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open_retired(&file, 1)).await;
    let old = opened.unwrap_or_else(|error| Err(ManifestError::Poisoned { why: error.to_string() }))?;
    Ok(handover::carry(&old, &**manifest.store()).await?)
}
