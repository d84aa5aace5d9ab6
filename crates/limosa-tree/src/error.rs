//! What can go wrong in a fragment, sorted by whose turn it is: storage, the owner's stream, the peer that sent a frame.

use bytes::Bytes;
use limosa_core::{DecodeError, Digest, FragmentId, Retry, Version};
use thiserror::Error;

/// Why a block's bytes could not be had.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LoadError {
    /// A summary names the block and the store does not have it: corrupt, not absent.
    #[error("the block is missing")]
    Missing,
    /// The bytes that the store has are not what it wrote.
    #[error("its bytes are damaged: {why}")]
    Damaged {
        /// The store's own words.
        why: String,
    },
    /// The store could not read.
    #[error("the store could not read it: {why}")]
    Failed {
        /// The store's own words.
        why: String,
    },
}

/// Storage: a block that is needed cannot be had. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TreeError {
    /// The block could not be read.
    #[error("block {first_key:?} of {fragment}: {source}")]
    Load {
        /// Which fragment.
        fragment: FragmentId,
        /// Which block.
        first_key: Bytes,
        /// Why.
        source: LoadError,
    },
    /// The block's bytes are not a block, or another one.
    #[error("block {first_key:?} of {fragment} is corrupt: {source}")]
    Corrupt {
        /// Which fragment.
        fragment: FragmentId,
        /// Which block.
        first_key: Bytes,
        /// Why.
        source: DecodeError,
    },
    /// The block is well formed and not the one that its summary speaks of: rot or a mixed-up checkpoint.
    #[error("block {first_key:?} of {fragment} does not match its summary")]
    Mismatch {
        /// Which fragment.
        fragment: FragmentId,
        /// Which block.
        first_key: Bytes,
    },
    /// The summaries that a fragment is opened from are not in key order or lie outside its range.
    #[error("the summaries of {fragment} are out of order at {first_key:?}")]
    Disorder {
        /// Which fragment.
        fragment: FragmentId,
        /// The first key that is out of place.
        first_key: Bytes,
    },
}

impl TreeError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Load { source: LoadError::Missing, .. } => "tree.block_missing",
            Self::Load { source: LoadError::Failed { .. }, .. } => "tree.block_unreadable",
            Self::Load { source: LoadError::Damaged { .. }, .. } | Self::Corrupt { .. } => "tree.block_corrupt",
            Self::Mismatch { .. } => "tree.block_mismatch",
            Self::Disorder { .. } => "tree.summaries_disorder",
        }
    }

    /// Whether the block's bytes are wrong or gone for good, so that another node's copy is needed; not just unreadable for now.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Load { source: LoadError::Failed { .. }, .. } | Self::Disorder { .. })
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Load { source: LoadError::Failed { .. }, .. } => Retry::Later,
            _ => Retry::Never,
        }
    }
}

/// A part of a commit that does not fit this fragment. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PartError {
    /// The part names another fragment.
    #[error("a part of {got} was given to {fragment}")]
    WrongFragment {
        /// This fragment.
        fragment: FragmentId,
        /// The part's.
        got: FragmentId,
    },
    /// The seq is not the one behind the head.
    #[error("{fragment} stands at {head} and was given {got}")]
    NotNext {
        /// This fragment.
        fragment: FragmentId,
        /// Where it stands.
        head: Version,
        /// The part's version.
        got: Version,
    },
    /// No epoch row of this fragment gives this version.
    #[error("{got} is in no epoch row of {fragment}")]
    UnknownEpoch {
        /// This fragment.
        fragment: FragmentId,
        /// The part's version.
        got: Version,
    },
    /// A key or range delete lies outside the fragment, or an entry has another version than its part.
    #[error("{key:?} does not belong into this part of {fragment}")]
    Misplaced {
        /// This fragment.
        fragment: FragmentId,
        /// The key, or the start of the range delete.
        key: Bytes,
    },
    /// A block that is needed cannot be had.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl PartError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongFragment { .. } => "tree.part_wrong_fragment",
            Self::NotNext { .. } => "tree.part_not_next",
            Self::UnknownEpoch { .. } => "tree.part_unknown_epoch",
            Self::Misplaced { .. } => "tree.part_misplaced",
            Self::Tree(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotNext { .. } | Self::UnknownEpoch { .. } => Retry::AfterResync,
            Self::WrongFragment { .. } | Self::Misplaced { .. } => Retry::Never,
            Self::Tree(error) => error.retry(),
        }
    }
}

/// A frame that cannot be applied. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FrameError {
    /// The frame names another fragment.
    #[error("a frame of {got} was given to {fragment}")]
    WrongFragment {
        /// This fragment.
        fragment: FragmentId,
        /// The frame's.
        got: FragmentId,
    },
    /// The frame's range reaches outside the fragment, or one of its keys lies outside its range.
    #[error("{key:?} lies outside")]
    Misplaced {
        /// The key, or the start of the range.
        key: Bytes,
    },
    /// The frame's versions contradict each other: from above to, an entry above to, an absent key in an advance.
    #[error("{version} does not fit a frame from {from} to {to}")]
    Versions {
        /// The frame's `from`.
        from: Version,
        /// The frame's `to`.
        to: Version,
        /// The offending version.
        version: Version,
    },
    /// A copy was sent into a range that has live entries.
    #[error("a copy needs an empty range; this one has {live} entries")]
    NotEmpty {
        /// Live entries of the range.
        live: u64,
    },
    /// After this frame the range would not be what the source has: wrong baseline, missing or stale frame, or damage.
    #[error("the range would have digest {got} where the source has {expected}")]
    Digest {
        /// The frame's digest.
        expected: Digest,
        /// What applying it would give.
        got: Digest,
    },
    /// A block that is needed cannot be had.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl FrameError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongFragment { .. } => "tree.frame_wrong_fragment",
            Self::Misplaced { .. } => "tree.frame_misplaced",
            Self::Versions { .. } => "tree.frame_versions",
            Self::NotEmpty { .. } => "tree.frame_range_not_empty",
            Self::Digest { .. } => "tree.frame_digest",
            Self::Tree(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotEmpty { .. } | Self::Digest { .. } => Retry::AfterResync,
            Self::WrongFragment { .. } | Self::Misplaced { .. } | Self::Versions { .. } => Retry::Never,
            Self::Tree(error) => error.retry(),
        }
    }
}

/// A block from another node that does not take the place of a damaged one. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum MendError {
    /// A key lies outside the block, or the keys are not ascending.
    #[error("{key:?} lies outside the block that starts at {first_key:?} of {fragment}")]
    Misplaced {
        /// Which fragment.
        fragment: FragmentId,
        /// Which block.
        first_key: Bytes,
        /// The key.
        key: Bytes,
    },
    /// The entries are not those that the summary speaks of.
    #[error("the block that starts at {first_key:?} of {fragment} has {expected}, what came has {got}")]
    Differs {
        /// Which fragment.
        fragment: FragmentId,
        /// Which block.
        first_key: Bytes,
        /// State digest of the summary.
        expected: Digest,
        /// State digest of the entries.
        got: Digest,
    },
}
