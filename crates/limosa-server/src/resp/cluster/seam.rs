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

/// How far what was written in one stint is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acked {
    /// Up to this position of this node's journal.
    UpTo(u64),
    /// Nobody here will know: another node took over meanwhile.
    Unknown,
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

    /// The number of the stint in which this node serves `fragment`, or served it last: one uninterrupted time between its gate's opening and
    /// its closing. Numbers grow. Asked for a command that was evaluated, under the same hold of the store's lock.
    fn stint(&self, fragment: FragmentId) -> u64;

    /// How far the commits of `fragment` that were made in this stint are at the space's ack level. `u64::MAX` while that is in effect
    /// `local` (the level itself is, or the fragment has no complete standby yet), and behind a committed move: the new owner has them all.
    fn acked(&self, fragment: FragmentId, stint: u64) -> Acked;

    /// Whether a read of a fragment of this node's own, evaluated in this stint, may be answered: whether nobody else can have been promoted
    /// meanwhile. Not asked for reads at a standby.
    fn may_read(&self, fragment: FragmentId, stint: u64) -> bool {
        let _ = (fragment, stint);
        true
    }

    /// By how much writers of `fragment` are to be slowed, in thousandths of their rate: its move would not end otherwise. At most 500.
    fn slowed_per_mille(&self, fragment: FragmentId) -> u16 {
        let _ = fragment;
        0
    }

    /// How many members of the sync set of `fragment` have it on disk up to `position` of this node's journal, written in this stint: what
    /// WAIT answers.
    fn copies(&self, fragment: FragmentId, stint: u64, position: u64) -> usize;

    /// Changes whenever [`Cluster::acked`] or [`Cluster::copies`] of any fragment may have changed.
    fn ack_progress(&self) -> watch::Receiver<u64>;
}
