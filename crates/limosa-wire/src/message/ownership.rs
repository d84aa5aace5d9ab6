//! What nodes say about ownership, on a control lane of their own: leases, the end of a move, fences.
//!
//! Every message names the epoch or the move that it is about: an old or unknown one is answered, never obeyed.
//!
//! # Not here
//! - When to say it and what follows: `limosa_engine::ownership`. Who owns what is the manifest's; these messages only hurry and prove.

use limosa_core::{Digest, FragmentId, Version};

/// First message of a control lane, from each end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greet {
    /// Lowest and highest wire version that the sender speaks.
    pub wire_versions: (u32, u32),
    /// Feature bits that the sender understands.
    pub features: u64,
    /// Which cluster; must be the receiver's.
    pub cluster: [u8; 16],
    /// The sender's name; must be the one in its certificate.
    pub node: String,
    /// Random, new for each data folder.
    pub incarnation: u64,
    /// Random, new for each start of the process: what was promised before a restart is not remembered.
    pub start: u64,
    /// The newest revision of the manifest that the sender has read; 0: none.
    pub revision: u64,
}

/// About leases, moves and fences.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OwnershipMessage {
    /// Owner to member: believe me the owner for another lease.
    Renew {
        /// Counts the sender's beats from 1.
        beat: u64,
        /// What it owns and the receiver is a member of, ascending.
        fragments: Vec<Renewal>,
    },
    /// Member to owner: the answer to a beat.
    Renewed {
        /// The beat's.
        beat: u64,
        /// Fragments that it does not believe the owner's, and the epoch that it knows of each: one above the beat's, or the same when
        /// the owner's `base` is behind what may have been acknowledged.
        refused: Vec<(FragmentId, u32)>,
    },
    /// Source to target of a move: the last version of this epoch.
    Seal(MoveAt),
    /// Target to source: it stands exactly there, durably, with that digest.
    Ready(MoveAt),
    /// Target to source: it does not.
    NotReady {
        /// Which move.
        move_id: u64,
        /// Which fragment.
        fragment: FragmentId,
        /// Why, for people.
        why: String,
    },
    /// Source to target and members: read the cell now.
    Committed {
        /// Which fragment.
        fragment: FragmentId,
        /// The cell's new epoch.
        epoch: u32,
        /// The manifest's revision that made it so.
        revision: u64,
    },
    /// Source to target: it serves on; the seal is void.
    Unsealed {
        /// Which move.
        move_id: u64,
        /// Which fragment.
        fragment: FragmentId,
    },
    /// To a member: take nothing of an older epoch from now on, and renew no older lease.
    Fence {
        /// Which fragment.
        fragment: FragmentId,
        /// The epoch of the fence.
        epoch: u32,
    },
    /// Member: the fence is durable.
    Fenced {
        /// Which fragment.
        fragment: FragmentId,
        /// The epoch up to which it is fenced: the question's, or a higher one.
        epoch: u32,
        /// The consistent version that it shows to readers.
        installed: Version,
        /// The highest version of which it knows that it was acknowledged.
        acknowledged: Version,
    },
    /// Member to member: is the owner at this epoch silent for you, too?
    Doubt {
        /// Which fragments, and at which epochs, ascending.
        fragments: Vec<(FragmentId, u32)>,
    },
    /// The answer: those of which the sender has heard nothing for a lease.
    Doubted {
        /// Which fragments, and at which epochs, ascending.
        fragments: Vec<(FragmentId, u32)>,
    },
}

/// One fragment of a beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// Which.
    pub fragment: FragmentId,
    /// The epoch at which the sender owns it.
    pub epoch: u32,
    /// The version at which it opened that epoch: a member that holds more of older epochs does not believe it.
    pub base: Version,
    /// The version that is known to be acknowledged.
    pub acknowledged: Version,
}

/// A fragment that moves, at its last version of an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveAt {
    /// Which move.
    pub move_id: u64,
    /// Which fragment.
    pub fragment: FragmentId,
    /// The epoch that ends.
    pub epoch: u32,
    /// The last version.
    pub version: Version,
    /// State digest there.
    pub state: Digest,
}
