//! Why a change of a cell is not legal.

use crate::{FragmentId, NodeName, Version};
use thiserror::Error;

/// A rule that forbids a change. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Only the owner may ask for this.
    #[error("{node} does not own {fragment} at epoch {epoch}: read the manifest again")]
    NotOwner {
        /// Which fragment.
        fragment: FragmentId,
        /// Who asked.
        node: NodeName,
        /// The cell's epoch.
        epoch: u32,
    },
    /// Another move is under way.
    #[error("{fragment} is moving already (to {to}): wait for it, or cancel it")]
    Moving {
        /// Which fragment.
        fragment: FragmentId,
        /// Where to.
        to: NodeName,
    },
    /// The move that was meant is not the one under way.
    #[error("no such move of {fragment} is under way: it has ended")]
    NoSuchMove {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// The fragment is fenced: somebody must be promoted first.
    #[error("{fragment} is fenced at epoch {epoch}: a member of its sync set must be promoted first")]
    Fenced {
        /// Which fragment.
        fragment: FragmentId,
        /// The fence's epoch.
        epoch: u32,
    },
    /// Only a fenced fragment gets a new owner this way.
    #[error("{fragment} is not fenced: fence it first")]
    NotFenced {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// The node is no member of the sync set, so it may lack acknowledged writes.
    #[error("{node} is not in the sync set of {fragment}: it may lack acknowledged writes")]
    NotMember {
        /// Which fragment.
        fragment: FragmentId,
        /// Which node.
        node: NodeName,
    },
    /// The node is behind what is known to be committed.
    #[error("{node} holds {fragment} up to {holds}, and {committed} was acknowledged: promote another one, or accept the loss")]
    Behind {
        /// Which fragment.
        fragment: FragmentId,
        /// Which node.
        node: NodeName,
        /// What it holds.
        holds: Version,
        /// What is known to be committed.
        committed: Version,
    },
    /// Fewer members would be left than must flush each write.
    #[error("{fragment} needs {needed} members in its sync set and would have {left}: let another standby join first")]
    TooFewMembers {
        /// Which fragment.
        fragment: FragmentId,
        /// How many must flush.
        needed: u8,
        /// How many would be left.
        left: usize,
    },
    /// The move's deadline has not passed: only the owner may end it.
    #[error("the move of {fragment} may still end by itself: only its owner may abort it before its deadline")]
    NotDue {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// A fragment can't move to where it is.
    #[error("{fragment} is at {node} already")]
    AlreadyThere {
        /// Which fragment.
        fragment: FragmentId,
        /// Where.
        node: NodeName,
    },
    /// A split or merge whose ranges do not fit.
    #[error("{fragment}: {why}")]
    Ranges {
        /// Which fragment.
        fragment: FragmentId,
        /// What does not fit.
        why: &'static str,
    },
    /// A cell that breaks an invariant, whoever made it.
    #[error("a change of {fragment} breaks a rule: {rule}")]
    Illegal {
        /// Which fragment.
        fragment: FragmentId,
        /// Which one.
        rule: &'static str,
    },
}
