//! Why a split or merge is not done. Nothing has changed.

use bytes::Bytes;
use limosa_core::{FragmentId, Retry};
use thiserror::Error;

use crate::error::StoreError;

/// Why fragments stay as they are.
#[derive(Debug, Error)]
pub enum ReframeError {
    /// There is no such fragment; a split or merge gives new ids to what it makes.
    #[error("there is no fragment {fragment}: it was split or merged, or never was one")]
    Unknown {
        /// What was asked for.
        fragment: FragmentId,
    },
    /// A boundary must be the first key of a slot, so that all keys of a slot have one owner.
    #[error("{at:?} is not where a slot starts: fragments are parted between slots only")]
    NotABoundary {
        /// What was asked for.
        at: Bytes,
    },
    /// The boundary does not lie inside the fragment.
    #[error("{fragment} does not hold keys on both sides of {at:?}")]
    Outside {
        /// Which fragment.
        fragment: FragmentId,
        /// What was asked for.
        at: Bytes,
    },
    /// All keys of the fragment lie in one slot.
    #[error("{fragment} is one slot: it can't be parted")]
    OneSlot {
        /// Which fragment.
        fragment: FragmentId,
    },
    /// Only neighbours in key order can be merged.
    #[error("{left} and {right} do not lie side by side")]
    NotNeighbours {
        /// The one that was to be the left part.
        left: FragmentId,
        /// The other.
        right: FragmentId,
    },
    /// No epoch is open: this node owns nothing.
    #[error("no epoch is open here: only an owner splits and merges")]
    NotOwner,
    /// A transfer into this node is under way: its forks are of the fragments as they are.
    #[error("a transfer into this node is staged: it is installed or dropped first")]
    StageOpen,
    /// A limit on fragments, strands or ids.
    #[error("{what} would be {value}; the limit is {max}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// What it would be.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// This node's own turn.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReframeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "fragment.unknown",
            Self::NotABoundary { .. } => "fragment.not_a_boundary",
            Self::Outside { .. } => "fragment.boundary_outside",
            Self::OneSlot { .. } => "fragment.one_slot",
            Self::NotNeighbours { .. } => "fragment.not_neighbours",
            Self::NotOwner => "fragment.not_owner",
            Self::StageOpen => "fragment.stage_open",
            Self::Limit { .. } => "fragment.limit",
            Self::Store(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::StageOpen => Retry::Later,
            Self::Store(error) => error.retry(),
            _ => Retry::Never,
        }
    }
}
