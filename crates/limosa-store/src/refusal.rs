//! What the store refuses to a peer's stream or frames, sorted by whose turn it is; and how errors of the tree become the store's.

use bytes::Bytes;
use limosa_core::{DecodeError, Digest, FragmentId, KeyRange, Retry, Version};
use limosa_tree::{FrameError, PartError, TreeError};
use thiserror::Error;

use crate::error::StoreError;

/// Why commits of an owner's stream are not taken. Nothing of the batch was changed, unless a commit before the refused one pends.
#[derive(Debug, Error)]
pub enum ReplicateError {
    /// The peer's bytes are no commits.
    #[error("the stream's records can't be read: {0}")]
    Record(#[from] DecodeError),
    /// A commit names a fragment that this node does not have.
    #[error("the stream speaks of {fragment}, which this node does not have")]
    UnknownFragment {
        /// The peer's fragment.
        fragment: FragmentId,
    },
    /// A commit before this one is missing.
    #[error("{fragment} stands at {head}; the stream goes on with {got}")]
    Gap {
        /// Which fragment.
        fragment: FragmentId,
        /// Where it stands, pending commits included.
        head: Version,
        /// What the stream has next.
        got: Version,
    },
    /// This node holds writes that the owner's history does not have.
    #[error("{fragment} stands at {head}, which the owner's history does not have: it goes another way from {got} on")]
    Diverged {
        /// Which fragment.
        fragment: FragmentId,
        /// Where it stands.
        head: Version,
        /// What the owner's history has there.
        got: Version,
    },
    /// This node's own turn.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReplicateError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Record(_) => "replicate.record",
            Self::UnknownFragment { .. } => "replicate.unknown_fragment",
            Self::Gap { .. } => "replicate.gap",
            Self::Diverged { .. } => "replicate.diverged",
            Self::Store(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Gap { .. } | Self::Diverged { .. } => Retry::AfterResync,
            Self::Record(_) | Self::UnknownFragment { .. } => Retry::Never,
            Self::Store(error) => error.retry(),
        }
    }
}

/// Why a frame or a seal is not taken into the stage. The stage is as it was.
#[derive(Debug, Error)]
pub enum StageError {
    /// No stage is open.
    #[error("no stage is open")]
    NotOpen,
    /// A stage is open already; resume or abort it.
    #[error("session {session} has a stage open")]
    AlreadyOpen {
        /// Whose stage it is.
        session: u64,
    },
    /// The stage does not have this fragment.
    #[error("the stage has no {fragment}")]
    UnknownFragment {
        /// The peer's fragment.
        fragment: FragmentId,
    },
    /// A range reaches outside its fragment.
    #[error("{range:?} does not lie in {fragment}")]
    Misplaced {
        /// Which fragment.
        fragment: FragmentId,
        /// The peer's range.
        range: KeyRange,
    },
    /// The range is at or beyond `to` already.
    #[error("{range:?} of {fragment} stands at {at}: a frame to {to} is stale")]
    Stale {
        /// Which fragment.
        fragment: FragmentId,
        /// The frame's range.
        range: KeyRange,
        /// The highest version in the range.
        at: Version,
        /// The frame's `to`.
        to: Version,
    },
    /// The range has not got to `from`, or not uniformly where the frame needs that.
    #[error("{range:?} of {fragment} stands at {at}: a frame from {from} leaves a gap")]
    Gap {
        /// Which fragment.
        fragment: FragmentId,
        /// The frame's range.
        range: KeyRange,
        /// The lowest version in the range.
        at: Version,
        /// The frame's `from`.
        from: Version,
    },
    /// The tree refuses the frame.
    #[error("{fragment}: {source}")]
    Frame {
        /// Which fragment.
        fragment: FragmentId,
        /// Why.
        source: FrameError,
    },
    /// Some range has not reached the sealed version.
    #[error("{fragment} is not complete: {range:?} stands at {at}, the seal at {head}")]
    Incomplete {
        /// Which fragment.
        fragment: FragmentId,
        /// A range that is behind.
        range: KeyRange,
        /// Where it stands.
        at: Version,
        /// The sealed version.
        head: Version,
    },
    /// The whole fragment is not what the source sealed.
    #[error("{fragment} has state digest {got} where the seal has {expected}")]
    Digest {
        /// Which fragment.
        fragment: FragmentId,
        /// The seal's digest.
        expected: Digest,
        /// The stage's digest.
        got: Digest,
    },
    /// The sealed history is not above the one that this node serves: installing it could take back what was acknowledged.
    #[error("{fragment} holds epoch {held}; a history that ends with epoch {sealed} can't replace it")]
    Epoch {
        /// Which fragment.
        fragment: FragmentId,
        /// Newest epoch of the served history.
        held: u32,
        /// Newest epoch of the sealed history.
        sealed: u32,
    },
    /// Commits were published since the stage was forked: installing it would lose them.
    #[error("the served state has moved on since the stage was opened")]
    Moved,
    /// This node's own turn.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StageError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOpen => "stage.not_open",
            Self::AlreadyOpen { .. } => "stage.already_open",
            Self::UnknownFragment { .. } => "stage.unknown_fragment",
            Self::Misplaced { .. } => "stage.misplaced",
            Self::Stale { .. } => "stage.stale",
            Self::Gap { .. } => "stage.gap",
            Self::Frame { source, .. } => source.code(),
            Self::Incomplete { .. } => "stage.incomplete",
            Self::Digest { .. } => "stage.digest",
            Self::Epoch { .. } => "stage.epoch",
            Self::Moved => "stage.moved",
            Self::Store(error) => error.code(),
        }
    }

    /// What a driver may do.
    pub fn retry(&self) -> Retry {
        match self {
            Self::UnknownFragment { .. } | Self::Misplaced { .. } => Retry::Never,
            Self::Frame { source, .. } => source.retry(),
            Self::Store(error) => error.retry(),
            _ => Retry::AfterResync,
        }
    }
}

impl From<TreeError> for StoreError {
    fn from(error: TreeError) -> Self {
        let (fragment, first_key) = place(&error);
        Self::CorruptBlock { fragment, first_key: first_key.to_vec(), why: error.to_string() }
    }
}

fn place(error: &TreeError) -> (FragmentId, &Bytes) {
    match error {
        TreeError::Load { fragment, first_key, .. }
        | TreeError::Corrupt { fragment, first_key, .. }
        | TreeError::Mismatch { fragment, first_key }
        | TreeError::Disorder { fragment, first_key } => (*fragment, first_key),
    }
}

/// A commit that this node's own journal holds and its tree refuses: one of them is damaged.
pub(crate) fn part_refused(error: PartError) -> StoreError {
    match error {
        PartError::Tree(error) => error.into(),
        other => StoreError::Invalid { what: "a commit of the journal", why: other.to_string() },
    }
}
