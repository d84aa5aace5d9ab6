//! What the front door asks of a node that may be one of many: the seam to the node behind it.

use std::sync::Arc;
use std::time::Duration;

use limosa_core::FragmentId;
use tokio::sync::watch;

use super::picture::Picture;

/// Whose disks have a commit before its answer leaves; the space's `ack`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AckLevel {
    /// The owner's, at its durability.
    #[default]
    Local,
    /// The owner's, and those of as many members of the sync set as the space asks for.
    Standby,
    /// Those of every member of the sync set.
    All,
}

/// The cluster around the front door. Called on the front door's thread: every method returns at once.
///
/// What a node without a manifest answers: no picture; it is then its one role that decides, see [`super::super::Node::is_owner`].
pub trait Cluster: Send + Sync + 'static {
    /// Who serves what, as far as this node knows; `None` while it is in no cluster. Replaced as a whole when anything in it changes,
    /// behind the change of a gate in the store. A request that finds a gate shut is routed again when the picture changes.
    fn pictures(&self) -> watch::Receiver<Option<Arc<Picture>>>;

    /// How far this node may be behind the owner of `fragment`, by the owner's word: zero for an owner, `None` when it can't tell (it does
    /// not follow the fragment, or has never held a consistent version of it).
    fn staleness(&self, fragment: FragmentId) -> Option<Duration>;

    /// Up to which position of this node's journal the commits of `fragment` are at the space's ack level. `u64::MAX` while that is in
    /// effect `local`: the level itself is, or the fragment has no complete standby yet.
    fn acked(&self, fragment: FragmentId) -> u64;

    /// Whether a read of a fragment of this node's own, evaluated already, may be answered: whether nobody else can have been promoted
    /// meanwhile. Not asked for reads at a standby.
    fn may_read(&self, fragment: FragmentId) -> bool {
        let _ = fragment;
        true
    }

    /// How many members of the sync set of `fragment` have it on disk up to `position` of this node's journal: what WAIT answers.
    fn copies(&self, fragment: FragmentId, position: u64) -> usize;

    /// Changes whenever [`Cluster::acked`] or [`Cluster::copies`] of any fragment may have grown, or the sync set has changed.
    fn ack_progress(&self) -> watch::Receiver<u64>;
}
