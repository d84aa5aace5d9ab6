//! Every step of the machine that the world can come between: the crash points of walks and simulations.

use limosa_wire::OwnershipMessage;

use super::action::{Action, Gate, Job};

/// What a change of a cell is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wish {
    /// A restarted owner begins a new epoch.
    Reopen,
    /// A move is announced.
    Prepare,
    /// A move is done.
    Commit,
    /// A move is ended.
    Abort,
    /// An owner, or an earlier fence, is fenced.
    Fence,
    /// The raiser of a fence serves.
    Promote,
    /// A node is asked to become complete.
    Assign,
    /// It need not any more.
    Unassign,
    /// A replica is complete.
    Join,
    /// A member goes.
    Leave,
    /// A member's copy is gone.
    Expel,
    /// So many members must flush.
    Require,
    /// As many as there are shall do.
    Shrink,
}

/// A step: before it, behind it, and between it and its answer a node may stop, or the answer be lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// A compare-and-set.
    Change(Wish),
    /// A compare-and-set over several cells.
    Reframe,
    /// The cell is read.
    ReadCell,
    /// [`OwnershipMessage::Renew`].
    Renew,
    /// [`OwnershipMessage::Renewed`].
    Renewed,
    /// [`OwnershipMessage::Seal`].
    Seal,
    /// [`OwnershipMessage::Ready`].
    Ready,
    /// [`OwnershipMessage::NotReady`].
    NotReady,
    /// [`OwnershipMessage::Committed`].
    Committed,
    /// [`OwnershipMessage::Unsealed`].
    Unsealed,
    /// [`OwnershipMessage::Fence`].
    Fence,
    /// [`OwnershipMessage::Fenced`].
    Fenced,
    /// [`OwnershipMessage::Doubt`].
    Doubt,
    /// [`OwnershipMessage::Doubted`].
    Doubted,
    /// The gate opens.
    Serve,
    /// The gate keeps requests waiting.
    Park,
    /// The gate closes.
    Close,
    /// A session is begun.
    Follow,
    /// A session is ended.
    Unfollow,
    /// Version and digest are asked for.
    Digest,
    /// An epoch row is opened.
    OpenEpoch,
    /// A fence is made durable.
    PersistFence,
    /// A copy is given up.
    Drop,
    /// Another rule for acknowledgements.
    Count,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 36] = [
        Self::Change(Wish::Reopen),
        Self::Change(Wish::Prepare),
        Self::Change(Wish::Commit),
        Self::Change(Wish::Abort),
        Self::Change(Wish::Fence),
        Self::Change(Wish::Promote),
        Self::Change(Wish::Assign),
        Self::Change(Wish::Unassign),
        Self::Change(Wish::Join),
        Self::Change(Wish::Leave),
        Self::Change(Wish::Expel),
        Self::Change(Wish::Require),
        Self::Change(Wish::Shrink),
        Self::Reframe,
        Self::ReadCell,
        Self::Renew,
        Self::Renewed,
        Self::Seal,
        Self::Ready,
        Self::NotReady,
        Self::Committed,
        Self::Unsealed,
        Self::Fence,
        Self::Fenced,
        Self::Doubt,
        Self::Doubted,
        Self::Serve,
        Self::Park,
        Self::Close,
        Self::Follow,
        Self::Unfollow,
        Self::Digest,
        Self::OpenEpoch,
        Self::PersistFence,
        Self::Drop,
        Self::Count,
    ];

    /// The step that an action is; `None` for what only tells or slows.
    pub fn of(action: &Action) -> Option<Self> {
        Some(match action {
            Action::Change(change) => Self::Change(change.wish),
            Action::Reframe(_) => Self::Reframe,
            Action::ReadCell(_) => Self::ReadCell,
            Action::Send { message, .. } => Self::of_message(message),
            Action::SetGate { gate: Gate::Serving, .. } => Self::Serve,
            Action::SetGate { gate: Gate::Parked, .. } => Self::Park,
            Action::SetGate { gate: Gate::Closed, .. } => Self::Close,
            Action::Follow { .. } => Self::Follow,
            Action::Unfollow { .. } => Self::Unfollow,
            Action::Job(Job::Digest { .. }) => Self::Digest,
            Action::Job(Job::OpenEpoch { .. }) => Self::OpenEpoch,
            Action::Job(Job::PersistFence { .. }) => Self::PersistFence,
            Action::Job(Job::Drop { .. }) => Self::Drop,
            Action::Count(_) => Self::Count,
            Action::Slow { .. } | Action::Report(_) => return None,
        })
    }

    fn of_message(message: &OwnershipMessage) -> Self {
        match message {
            OwnershipMessage::Renew { .. } => Self::Renew,
            OwnershipMessage::Renewed { .. } => Self::Renewed,
            OwnershipMessage::Seal(_) => Self::Seal,
            OwnershipMessage::Ready(_) => Self::Ready,
            OwnershipMessage::NotReady { .. } => Self::NotReady,
            OwnershipMessage::Committed { .. } => Self::Committed,
            OwnershipMessage::Unsealed { .. } => Self::Unsealed,
            OwnershipMessage::Fence { .. } => Self::Fence,
            OwnershipMessage::Fenced { .. } => Self::Fenced,
            OwnershipMessage::Doubt { .. } => Self::Doubt,
            OwnershipMessage::Doubted { .. } => Self::Doubted,
        }
    }
}
