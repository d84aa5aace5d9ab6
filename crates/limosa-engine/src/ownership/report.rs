//! What the machine tells people: typed events, why something is blocked, why a move ended, where each fragment stands.

use std::time::Duration;

use limosa_core::cell::Refusal;
use limosa_core::{FragmentId, NodeName, Retry, Version};
use thiserror::Error;

/// What happened, for logs, metrics and answers to orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// This node serves the fragment from now on.
    Serves {
        /// Which.
        fragment: FragmentId,
        /// At which epoch.
        epoch: u32,
    },
    /// It serves it no longer: another owner, or a fence.
    Lost {
        /// Which.
        fragment: FragmentId,
        /// The cell's epoch.
        epoch: u32,
    },
    /// Too few members have answered within a lease: reads and writes are parked.
    LeaseEnded {
        /// Which.
        fragment: FragmentId,
    },
    /// A move began.
    MoveBegan {
        /// Of which fragment.
        fragment: FragmentId,
        /// Its id.
        id: u64,
        /// Where to.
        to: NodeName,
    },
    /// A move ended with the target as owner.
    MoveDone {
        /// Of which fragment.
        fragment: FragmentId,
        /// Its id.
        id: u64,
        /// Where to.
        to: NodeName,
        /// How long requests waited here.
        parked: Duration,
    },
    /// A move ended, and this node serves on; or it never began.
    MoveFailed {
        /// Of which fragment.
        fragment: FragmentId,
        /// Where to.
        to: NodeName,
        /// Why.
        error: MoveError,
    },
    /// These went, and others came instead: all that was written or read in them is on every member's disk.
    Reframed {
        /// Which went.
        gone: Vec<FragmentId>,
    },
    /// A split or merge ended as if it had never begun.
    ReframeFailed {
        /// The fragment, or the left one of two.
        fragment: FragmentId,
        /// Why.
        error: ReframeError,
    },
    /// A node was asked to become complete.
    Assigned {
        /// Of which fragment.
        fragment: FragmentId,
        /// Who.
        node: NodeName,
    },
    /// A standby is complete.
    Joined {
        /// Of which fragment.
        fragment: FragmentId,
        /// Who.
        node: NodeName,
    },
    /// A member was let go.
    Left {
        /// Of which fragment.
        fragment: FragmentId,
        /// Who.
        node: NodeName,
        /// Fewer than w are left, by an explicit setting.
        shrunk: bool,
    },
    /// The owner has been silent for a lease.
    Suspects {
        /// Of which fragment.
        fragment: FragmentId,
        /// Whom.
        owner: NodeName,
    },
    /// This node raised a fence and collects.
    Fenced {
        /// Of which fragment.
        fragment: FragmentId,
        /// The fence's epoch.
        epoch: u32,
    },
    /// This node was promoted with this version.
    Promoted {
        /// Of which fragment.
        fragment: FragmentId,
        /// At which epoch.
        epoch: u32,
        /// What it holds.
        holds: Version,
        /// Acknowledged writes may have been lost, by an operator's word.
        accepted_loss: bool,
    },
    /// Something can't go on. Told once for each cause.
    Blocked {
        /// Of which fragment.
        fragment: FragmentId,
        /// Why, and who must act.
        why: Blocked,
    },
}

/// Why a fragment is not split or merged. It is served as before.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReframeError {
    /// Another node owns one of them, or this one does not serve it yet.
    #[error("this node does not serve {fragment}: merge only what one node owns; move one of the two first")]
    NotOwner {
        /// Which.
        fragment: FragmentId,
    },
    /// It is moving.
    #[error("{fragment} is moving: wait for it, or cancel it")]
    Moving {
        /// Which.
        fragment: FragmentId,
    },
    /// Another change of it is under way.
    #[error("another change of {fragment} is under way: try again")]
    Busy {
        /// Which.
        fragment: FragmentId,
    },
    /// Not every member has all of it on its disk.
    #[error("not every standby of {fragment} is there and complete (missing: {}): bring them back, or let them go", list(missing))]
    Members {
        /// Of which.
        fragment: FragmentId,
        /// Who.
        missing: Vec<NodeName>,
    },
    /// A copy is on its way to a node: it would begin anew.
    #[error("{fragment} is being copied to {to}: wait until that is complete")]
    Copying {
        /// Which.
        fragment: FragmentId,
        /// Where to.
        to: NodeName,
    },
    /// The rules of cells forbid it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The fragment changed hands, or its cell was changed, meanwhile.
    #[error("{fragment} was changed by another node meanwhile: look at it, and try again")]
    Superseded {
        /// Which.
        fragment: FragmentId,
    },
    /// The manifest does not answer.
    #[error("the manifest does not answer: try again when it is back")]
    ManifestAway,
}

fn list(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

impl ReframeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOwner { .. } => "reframe.not_owner",
            Self::Moving { .. } => "reframe.moving",
            Self::Busy { .. } => "reframe.busy",
            Self::Members { .. } => "reframe.members",
            Self::Copying { .. } => "reframe.copying",
            Self::Refused(_) => "reframe.refused",
            Self::Superseded { .. } => "reframe.superseded",
            Self::ManifestAway => "reframe.manifest_away",
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotOwner { .. } | Self::Refused(_) => Retry::Never,
            _ => Retry::Later,
        }
    }
}

/// Why a fragment is not served, moved or taken over.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Blocked {
    /// The manifest does not answer.
    #[error("the manifest does not answer: it waits until the manifest is back")]
    ManifestAway,
    /// Too few members lend their lease, or have answered a fence.
    #[error("{have} of {need} members answer: bring more of its sync set back")]
    Quorum {
        /// Answer.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// This node holds less than what is known to be committed or acknowledged.
    #[error("this node holds {holds}, and {known} was acknowledged: a complete standby must take over, or an operator accepts the loss")]
    Behind {
        /// Held here, or the best among those who answered.
        holds: Version,
        /// Known to be acknowledged.
        known: Version,
    },
    /// The data folder is not the one that the cells speak of.
    #[error("the data folder is a new one: a complete standby must take over, or an operator accepts the loss")]
    Reborn,
    /// A member holds what this owner, restarted, does not.
    #[error("{by} holds acknowledged writes that this node lacks: a member must take over")]
    Disbelieved {
        /// Who said so.
        by: NodeName,
    },
    /// Another move, or more of them than may run at once.
    #[error("other moves go first")]
    Queued,
    /// The target is not connected, or does not answer.
    #[error("the target {to} does not follow yet")]
    TargetAway {
        /// Where to.
        to: NodeName,
    },
    /// Too few members would hold the sealed version.
    #[error("{need} members must hold the last version and {have} do: a standby must catch up or join first")]
    Members {
        /// Complete at the seal.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// A fragment whose owner changed again and again rests for a while.
    #[error("its owner changed too often: the next take-over waits")]
    Flapping,
}

impl Blocked {
    /// The stable code; `docs/errors.md` has one entry for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ManifestAway => "ownership.manifest_away",
            Self::Quorum { .. } => "ownership.quorum",
            Self::Behind { .. } => "ownership.behind",
            Self::Reborn => "ownership.reborn",
            Self::Disbelieved { .. } => "ownership.disbelieved",
            Self::Queued => "ownership.queued",
            Self::TargetAway { .. } => "ownership.target_away",
            Self::Members { .. } => "ownership.members",
            Self::Flapping => "ownership.flapping",
        }
    }
}

/// Why a move ended without a change of owner.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum MoveError {
    /// This node does not own the fragment.
    #[error("this node does not own {fragment}: ask its owner")]
    NotOwner {
        /// Which.
        fragment: FragmentId,
    },
    /// The target is this node, or leaving, or not known.
    #[error("{to} can't take {fragment}: {why}")]
    Target {
        /// Which.
        fragment: FragmentId,
        /// Where to.
        to: NodeName,
        /// Why not.
        why: &'static str,
    },
    /// It moves already.
    #[error("{fragment} is moving already: wait for it, or cancel it")]
    Moving {
        /// Which.
        fragment: FragmentId,
    },
    /// There is no complete standby to hand it to.
    #[error("{fragment} has no complete standby that is connected: move it instead")]
    NoStandby {
        /// Which.
        fragment: FragmentId,
    },
    /// An operator cancelled it.
    #[error("the move of {fragment} was cancelled")]
    Cancelled {
        /// Which.
        fragment: FragmentId,
    },
    /// It took too long.
    #[error("the move of {fragment} passed its deadline ({blocked})")]
    Deadline {
        /// Which.
        fragment: FragmentId,
        /// What it waited for.
        blocked: String,
    },
    /// Writes come faster than they can be sent, even slowed by half.
    #[error(
        "{fragment} changes by {change_bytes_per_s} bytes/s and {transfer_bytes_per_s} bytes/s can be sent, with its writers slowed by half"
    )]
    Diverges {
        /// Which.
        fragment: FragmentId,
        /// Written.
        change_bytes_per_s: u64,
        /// Sent.
        transfer_bytes_per_s: u64,
    },
    /// The target did not get ready at the sealed version, again and again.
    #[error("{to} was not ready at the last version of {fragment} after {tries} tries: {why}")]
    NotReady {
        /// Which.
        fragment: FragmentId,
        /// Where to.
        to: NodeName,
        /// How often it was asked.
        tries: u32,
        /// What it said.
        why: String,
    },
    /// The owner changed, or somebody else ended the move.
    #[error("the move of {fragment} was ended at epoch {epoch}, by a failover, a restart or its deadline")]
    Superseded {
        /// Which.
        fragment: FragmentId,
        /// The cell's.
        epoch: u32,
    },
}

impl MoveError {
    /// The stable code; `docs/errors.md` has one entry for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOwner { .. } => "move.not_owner",
            Self::Target { .. } => "move.target",
            Self::Moving { .. } => "move.moving",
            Self::NoStandby { .. } => "move.no_standby",
            Self::Cancelled { .. } => "move.cancelled",
            Self::Deadline { .. } => "move.deadline",
            Self::Diverges { .. } => "move.diverges",
            Self::NotReady { .. } => "move.not_ready",
            Self::Superseded { .. } => "move.superseded",
        }
    }

    /// What may be done about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotOwner { .. } | Self::Target { .. } | Self::Cancelled { .. } => Retry::Never,
            Self::Moving { .. } | Self::Deadline { .. } | Self::Diverges { .. } | Self::NotReady { .. } => Retry::Later,
            Self::NoStandby { .. } => Retry::Later,
            Self::Superseded { .. } => Retry::AfterResync,
        }
    }
}

/// What this node does with requests for a fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It serves them. An answer that was evaluated may leave before `until` on this machine's clock; `None`: at any time.
    Serving {
        /// At which epoch.
        epoch: u32,
        /// End of the read lease.
        until: Option<Duration>,
    },
    /// It keeps them waiting: it owns the fragment, or is about to.
    Parked,
    /// This node serves.
    Elsewhere {
        /// Who.
        owner: NodeName,
        /// At which epoch.
        epoch: u32,
    },
    /// Nobody serves now; the reason is in [`super::Ownership::blocked`] of whoever acts.
    Nobody {
        /// The cell's epoch; 0: no cell is known.
        epoch: u32,
    },
}

/// How far a move has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Waits for its turn.
    Queued,
    /// Announced in the manifest, or about to be.
    Preparing,
    /// The target gets what it lacks.
    Copying,
    /// Parked; the last version is flushed.
    Sealing,
    /// Parked; the target verifies.
    Verifying,
    /// Parked; COMMIT was sent.
    Committing,
    /// It is being ended; requests are served.
    Aborting,
}

/// A move that this node carries out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveView {
    /// Of which fragment.
    pub fragment: FragmentId,
    /// Its id.
    pub id: u64,
    /// Where to.
    pub to: NodeName,
    /// How far.
    pub phase: Phase,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Writers are slowed by this share, in thousandths.
    pub slowed_per_mille: u16,
    /// What it waits for, if it does not go on by itself.
    pub blocked: Option<Blocked>,
}
