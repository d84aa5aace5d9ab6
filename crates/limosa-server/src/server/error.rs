//! Why a node can't start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use limosa_core::Retry;
use limosa_manifest::ManifestError;
use limosa_node::PkiError;
use limosa_node::driver::RoleError;
use limosa_node::pki::NodeName;
use limosa_store::{StageError, StoreError};
use thiserror::Error;

use crate::config::ConfigError;

/// A node that does not start. Each message says what to do.
#[derive(Debug, Error)]
pub enum ServerError {
    /// A port can't be listened on.
    #[error("--{flag} {address}: {source}; stop what uses that port, or choose another one with --{flag}")]
    Listen {
        /// The flag that names the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The data folder is of a node with another name.
    #[error("{} belongs to node {found}, not to {asked}: leave --name away, or use another --data folder", path.display())]
    OtherName {
        /// The data folder.
        path: PathBuf,
        /// The name that was asked for.
        asked: NodeName,
        /// The folder's.
        found: NodeName,
    },
    /// The folder is no node's.
    #[error("{} holds no node's data: name the folder of a node with --data", path.display())]
    NoFolder {
        /// Which.
        path: PathBuf,
    },
    /// A thread or runtime can't be started.
    #[error("the system gives no more resources ({source}): raise its limits of threads and open files")]
    Resources {
        /// What the system says.
        source: io::Error,
    },
    /// The file that says which fragments a member's folder was made with.
    #[error("{}: {why}; a folder that holds nothing yet can be emptied, else restore the file", path.display())]
    Frames {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The manifest of the cluster that a new folder joins.
    #[error("this new node can't be told the cluster's fragments: {source}")]
    Manifest {
        /// What it says.
        source: Box<ManifestError>,
    },
    /// A file that the configuration names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node's role.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The stage with which a history is exchanged.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl ServerError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "server.listen",
            Self::OtherName { .. } => "server.other_name",
            Self::NoFolder { .. } => "server.no_folder",
            Self::Resources { .. } => "server.resources",
            Self::Frames { .. } => "server.frames",
            Self::Manifest { source } => source.code(),
            Self::Config(error) => error.code(),
            Self::Pki(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Role(error) => error.code(),
            Self::Stage(error) => error.code(),
        }
    }

    /// Whether starting again may help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Listen { .. } | Self::Resources { .. } => Retry::Later,
            Self::OtherName { .. } | Self::NoFolder { .. } => Retry::Never,
            Self::Frames { .. } => Retry::Never,
            Self::Manifest { source } => source.retry(),
            Self::Config(error) => error.retry(),
            Self::Pki(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Role(error) => error.retry(),
            Self::Stage(error) => error.retry(),
        }
    }
}
