//! What an operator, or the node's own shutdown, asks of the ownership machine.

use bytes::Bytes;
use limosa_core::{FragmentId, NodeName, Retry};
use limosa_engine::ownership::ReframeError;
use limosa_manifest::ManifestError;
use thiserror::Error;

/// An order to this node. Those about fragments are given to the fragments' owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Fragments of this node go to another one.
    Move {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Where to.
        to: NodeName,
    },
    /// The running moves of these fragments end where they are.
    Cancel {
        /// Which.
        fragments: Vec<FragmentId>,
    },
    /// This node takes over fragments whose owner is lost: it must be a complete standby of them.
    Failover {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Acknowledged writes may be lost; the cell stays marked.
        accept_loss: bool,
    },
    /// Another node is to become, and stay, a standby of these fragments of this node.
    Assign {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Who.
        node: NodeName,
    },
    /// A node is no standby of these fragments of this node any more.
    Unassign {
        /// Which.
        fragments: Vec<FragmentId>,
        /// Who.
        node: NodeName,
    },
    /// Members of these fragments of this node that are away are let go, though too few may be left for each write to be flushed.
    Shrink {
        /// Which.
        fragments: Vec<FragmentId>,
    },
    /// A fragment of this node is parted.
    Split {
        /// Which.
        fragment: FragmentId,
        /// The first key of the right part.
        at: Bytes,
        /// Id and lineage of the left part.
        left: (FragmentId, u64),
        /// Of the right part.
        right: (FragmentId, u64),
    },
    /// Two neighbours of this node are put together.
    Merge {
        /// The one.
        left: FragmentId,
        /// Its right neighbour.
        right: FragmentId,
        /// Id and lineage of the whole.
        made: (FragmentId, u64),
    },
    /// All fragments of this node go to complete standbys, as far as there are some: nothing is copied.
    HandOver,
}

/// What became of an order: it was taken up for some fragments, and refused for others. How it ends, [`super::Cluster::moves`] tells.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ordered {
    /// For these it goes on.
    pub taken: Vec<FragmentId>,
    /// For these it does not, and why.
    pub refused: Vec<(FragmentId, String)>,
}

/// An order could not be given at all.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The manifest is away.
    #[error("blocked because the manifest is away ({0}): owners go on serving; give the order again when it is back")]
    Outage(String),
    /// The manifest refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The node named is not in the manifest.
    #[error("no node {0} is in the manifest: start it with this cluster's manifest first")]
    NoSuchNode(NodeName),
    /// A split or merge is not done.
    #[error(transparent)]
    Reframe(#[from] ReframeError),
    /// The store would refuse it.
    #[error(transparent)]
    Store(#[from] limosa_store::ReframeError),
    /// The operating system gives no randomness.
    #[error("no randomness for an id")]
    Randomness,
    /// The node stops.
    #[error("this node is stopping")]
    Stopping,
}

impl OrderError {
    /// The stable code, explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Outage(_) => "cluster.manifest_away",
            Self::Manifest(error) => error.code(),
            Self::NoSuchNode(_) => "cluster.no_such_node",
            Self::Reframe(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Randomness => "session.randomness",
            Self::Stopping => "cluster.stopping",
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Outage(_) | Self::Stopping | Self::Randomness => Retry::Later,
            Self::Reframe(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Manifest(error) => error.retry(),
            Self::NoSuchNode(_) => Retry::Never,
        }
    }
}
